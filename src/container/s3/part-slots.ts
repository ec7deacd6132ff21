// How many parts of a container may be under way at once, whichever files they belong to: first come, first served.

import { Semaphore } from 'async-mutex';
import { abortable } from '../../core/abort.js';

export class PartSlots {
  readonly #semaphore: Semaphore;

  constructor(count: number) {
    this.#semaphore = new Semaphore(count);
  }

  /** Resolves with the function that gives the slot back. Rejects with the signal's reason when it aborts. */
  async take(signal: AbortSignal): Promise<() => void> {
    const [, release] = await abortable(this.#semaphore.acquire(), signal, ([, late]) => late());
    return release;
  }
}
