// Keeps something that others drive from spinning: a few at once, then at most so many per second.

import type { Clock } from './clock.js';

/** How many may come at once. */
const BURST = 32;
/** ms between two when the burst is used up. */
const INTERVAL = 20;

export class Pace {
  readonly #clock: Clock;
  #credit = BURST;
  #countedAt: number;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#countedAt = clock.now();
  }

  /** Resolves when the next one may be let through: at once, unless they come too fast. Rejects with the signal's reason when it aborts. */
  async next(signal?: AbortSignal): Promise<void> {
    const now = this.#clock.now();
    this.#credit = Math.min(BURST, this.#credit + (now - this.#countedAt) / INTERVAL);
    this.#countedAt = now;
    this.#credit -= 1;
    if (this.#credit < 0) await this.#clock.sleep(-this.#credit * INTERVAL, signal);
  }
}
