// Time and randomness come from outside, so that a simulation can own both.

import { randomBytes } from 'node:crypto';
import { setImmediate as immediate } from 'node:timers/promises';

/** Where time comes from. A simulation passes a virtual one. */
export interface Clock {
  /** Milliseconds, monotonic; only differences mean anything. */
  now(): number;
  /** Milliseconds since 1970 (UTC). May jump when the machine's clock is set: for timestamps that people read, and for plans that several processes share. */
  wallTime(): number;
  /** Resolves after `ms` milliseconds. Rejects with the signal's reason, and leaves no timer behind, when it aborts first. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
  /** Lets the host's event loop turn once; called between slices of long synchronous work. */
  yieldToHost(): Promise<void>;
}

/** Where random numbers come from. */
export interface Random {
  /** Uniform in [0, 1). */
  next(): number;
  /** 32 lower-case hex digits, unique: names of files and runs. */
  uid(): string;
}

/** ms: Node's timers fire at once when they are asked for more. */
const LONGEST_TIMER = 2 ** 31 - 1;

export const systemClock: Clock = {
  now: () => performance.now(),
  wallTime: () => Date.now(),
  sleep: (ms, signal) =>
    new Promise<void>((resolve, reject) => {
      if (signal?.aborted === true) {
        reject(signal.reason as Error);
        return;
      }
      const onAbort = () => {
        clearTimeout(timer);
        reject(signal?.reason as Error);
      };
      let left = ms;
      let timer: NodeJS.Timeout;
      const wait = () => {
        const part = Math.min(left, LONGEST_TIMER);
        left -= part;
        timer = setTimeout(left > 0 ? wait : onEnd, part);
      };
      const onEnd = () => {
        signal?.removeEventListener('abort', onAbort);
        resolve();
      };
      wait();
      signal?.addEventListener('abort', onAbort, { once: true });
    }),
  yieldToHost: () => immediate(),
};

/**
 * Milliseconds since the machine was started, the same for all its processes: what `process.hrtime` reads on Linux, macOS and Windows. It does not run backwards, does not follow when the machine's clock is
 * set, and may stand still while the machine sleeps; a machine that starts anew begins at 0.
 */
export function machineTime(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}

export const systemRandom: Random = {
  next: () => Math.random(),
  uid: () => randomBytes(16).toString('hex'),
};
