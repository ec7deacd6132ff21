// Cuts long synchronous work into slices of a few milliseconds, so that the host's event loop turns.

import type { Clock } from '../core/clock.js';

const SLICE_MS = 4;
/** The clock is asked once in so many steps: a step takes well below a microsecond. */
const STEPS_PER_LOOK = 2048;

export class TimeSlices {
  readonly #clock: Clock;
  #steps = 0;
  #began: number;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#began = clock.now();
  }

  /** To be called once per step of the work; true when it is time to yield. */
  due(): boolean {
    if (++this.#steps < STEPS_PER_LOOK) return false;
    this.#steps = 0;
    return this.#clock.now() - this.#began >= SLICE_MS;
  }

  /** The same for a step that takes long: the clock is asked at once. */
  isOver(): boolean {
    this.#steps = 0;
    return this.#clock.now() - this.#began >= SLICE_MS;
  }

  async yield(): Promise<void> {
    await this.#clock.yieldToHost();
    this.#began = this.#clock.now();
  }
}
