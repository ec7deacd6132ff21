// A thread's code for tests: does what the first byte of a request's first block says, and knows nothing of compression.

import { move, transferableSymbol, valueSymbol } from 'piscina';

import { buffersOf, type PressAnswer, type PressRequest } from '../../src/br/threads/press-message.js';

/** Gives the blocks back and says that this took as many ms as the second byte has. */
export const ECHO = 0;
/** Ends the thread. */
export const EXIT = 1;
/** Ends the thread with an error that nothing catches. */
export const CRASH = 2;
/** Never answers. */
export const HANG = 3;

export default async function oddWork({ blocks, cancelled }: PressRequest): Promise<unknown> {
  switch (blocks[0]?.[0]) {
    case EXIT:
      return process.exit(3);
    case CRASH:
      queueMicrotask(() => {
        throw new Error('out of luck');
      });
      return await new Promise(() => undefined);
    case HANG:
      return await new Promise(() => undefined);
    default: {
      const stored = Atomics.load(cancelled, 0) === 0 ? blocks : [];
      const answer: PressAnswer = { ms: blocks[0]?.[1] ?? 0, stored };
      return move({ [transferableSymbol]: buffersOf(stored), [valueSymbol]: answer });
    }
  }
}
