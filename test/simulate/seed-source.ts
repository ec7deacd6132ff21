// Which seeds are run, and in which order: those that ever failed, then fresh ones, until there are enough or the time is over.

import type { Options } from './options.js';
import { MAX_SEED } from './options.js';

/** Seeds that a child process is given at a time. */
const SEEDS_AT_A_TIME = 10;

export class SeedSource {
  readonly #failed: number[];
  readonly #isOver: () => boolean;
  readonly #total: number;
  #next: number;
  #left: number;

  /** `isOver`: the time of a soak is. */
  constructor(
    { from, seeds, failedFirst }: Pick<Options, 'from' | 'seeds' | 'failedFirst'>,
    failed: readonly number[],
    isOver: () => boolean,
  ) {
    this.#failed = failedFirst ? [...failed] : [];
    this.#total = this.#failed.length + seeds;
    this.#next = from;
    this.#left = seeds;
    this.#isOver = isOver;
  }

  /** Infinite for a soak. */
  get total(): number {
    return this.#total;
  }

  /** The next few; none: that was all. */
  take(): number[] {
    if (this.#isOver()) return [];
    const taken = this.#failed.splice(0, SEEDS_AT_A_TIME);
    while (taken.length < SEEDS_AT_A_TIME && this.#left > 0) {
      this.#left--;
      taken.push(this.#next++ % MAX_SEED);
    }
    return taken;
  }
}
