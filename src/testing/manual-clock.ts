// A clock that stands still until a test moves it.

import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Clock } from '../core/clock.js';

interface Timer {
  readonly at: number;
  readonly wake: () => void;
}

/** Turns of the event loop after which everything that needs no time has happened (each turn runs all microtasks). */
const TURNS = 4;
const WALL_TIME_AT_START = Date.UTC(2026, 0, 1);

/** For tests of code over in-memory adapters: `advance` fires what is due in order of time, and lets the consequences happen in between. */
export class ManualClock implements Clock {
  #now = 0;
  /** By time, first come first served among equals. */
  readonly #timers: Timer[] = [];

  /** ms */
  now(): number {
    return this.#now;
  }

  /** ms since 1970: the clock starts at the beginning of 2026, so that a time is not mistaken for a duration. */
  wallTime(): number {
    return WALL_TIME_AT_START + this.#now;
  }

  /** Sleeps that have not ended. */
  get pendingTimers(): number {
    return this.#timers.length;
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted === true) {
        reject(signal.reason as Error);
        return;
      }
      const onAbort = () => {
        this.#timers.splice(this.#timers.indexOf(timer), 1);
        reject(signal?.reason as Error);
      };
      const timer: Timer = {
        at: this.#now + Math.max(0, ms),
        wake: () => {
          signal?.removeEventListener('abort', onAbort);
          resolve();
        },
      };
      const index = this.#timers.findIndex(({ at }) => at > timer.at);
      this.#timers.splice(index === -1 ? this.#timers.length : index, 0, timer);
      signal?.addEventListener('abort', onAbort, { once: true });
    });
  }

  yieldToHost(): Promise<void> {
    return Promise.resolve();
  }

  /** Lets everything happen that needs no time. */
  async settle(): Promise<void> {
    for (let turn = 0; turn < TURNS; turn++) await nextTurn();
  }

  /** Moves on by `ms` ms. */
  async advance(ms: number): Promise<void> {
    const target = this.#now + ms;
    await this.settle();
    for (let first = this.#timers[0]; first !== undefined && first.at <= target; first = this.#timers[0]) {
      this.#timers.shift();
      this.#now = Math.max(this.#now, first.at);
      first.wake();
      await this.settle();
    }
    this.#now = target;
  }
}
