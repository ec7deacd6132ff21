// Time that passes only when a task works.

import { setImmediate as nextTurn } from 'node:timers/promises';

import type { Clock } from '../../src/core/clock.js';

/** A clock that a test's tasks move: the machine's own speed plays no part. */
export class WorkClock implements Clock {
  #now = 0;
  /** How often the host has had a turn. */
  hostTurns = 0;

  now(): number {
    return this.#now;
  }

  wallTime(): number {
    return this.#now;
  }

  sleep(): Promise<void> {
    return Promise.reject(new Error('nothing sleeps here'));
  }

  async yieldToHost(): Promise<void> {
    this.hostTurns++;
    await nextTurn();
  }

  /** `ms` ms of synchronous work. */
  work(ms: number): void {
    this.#now += ms;
  }

  /** The same, as a slice of p-queue. */
  does(ms: number): Promise<void> {
    this.work(ms);
    return Promise.resolve();
  }
}

/** Lets everything that is ready run. */
export async function settle(): Promise<void> {
  for (let turn = 0; turn < 4; turn++) await nextTurn();
}
