// How long a job may hold up the others (rule P10): a clock that only real progress sets back, over all tries of a round.

import type { Clock } from '../core/clock.js';
import { BackupError } from '../core/errors.js';
import type { BackupFile } from '../ports/backup-container.js';

/** A look at the clock that comes this much later than it should shows that the process stood still: that is not the container's fault. */
const LATE = 2;

export class StallWatch {
  readonly #clock: Clock;
  readonly #timeout: number;
  readonly #slice: number;
  readonly #onStandstill: () => void;
  /** Finished steps and bytes of the one under way, at the furthest: to fail again at the same place is no progress. */
  #furthest = 0;
  /** ms without progress, counted up to #countedAt. */
  #stalled = 0;
  #countedAt: number;

  /** `timeout` in ms. `onStandstill` is called when time does not count because the process stood still. */
  constructor(clock: Clock, timeout: number, onStandstill: () => void = () => undefined) {
    this.#clock = clock;
    this.#timeout = timeout;
    this.#slice = timeout / 10;
    this.#onStandstill = onStandstill;
    this.#countedAt = clock.now();
  }

  /** ms left until the job counts as failed, as counted last; <= 0 when it does. */
  get left(): number {
    return this.#timeout - this.#stalled;
  }

  /** The largest place that was reached. */
  get furthest(): number {
    return this.#furthest;
  }

  /** `place` grows with everything that is done. */
  reached(place: number): void {
    if (place <= this.#furthest) return;
    this.#furthest = place;
    this.restart();
  }

  /** Waiting for a turn is not the job's fault. */
  restart(): void {
    this.#stalled = 0;
    this.#countedAt = this.#clock.now();
  }

  /**
   * Counts the time since the last look, which was expected to be `expected` ms ago, or a slice of the time limit. A process that was frozen for longer than the limit finds its
   * timers due before the answers that wait for it: it must not fail a job that it has not listened to.
   * Returns `left`.
   */
  count(expected = 0): number {
    const now = this.#clock.now();
    const since = now - this.#countedAt;
    const most = LATE * Math.max(expected, this.#slice);
    if (since > most) this.#onStandstill();
    this.#stalled += Math.min(since, most);
    this.#countedAt = now;
    return this.left;
  }

  /** Rejects with TIMEOUT when the job has stalled for too long, with the signal's reason when that comes first. */
  async expire(what: string, signal: AbortSignal): Promise<never> {
    while (this.count() > 0) await this.#clock.sleep(Math.min(this.left, this.#slice), signal);
    throw new BackupError('TIMEOUT', `${what} made no progress for ${this.#timeout} ms`);
  }

  /** Resolves when there was no progress for `ms`, or for half of the limit if that is less. */
  async stalled(ms: number, signal: AbortSignal): Promise<void> {
    const limit = Math.min(ms, this.#timeout / 2);
    while (this.#timeout - this.count() < limit) {
      await this.#clock.sleep(Math.min(limit - this.#stalled, this.#slice), signal);
    }
  }

  /**
   * For the files of one step: each comes back as one whose appends and whose end count as progress from `base` on. They are counted together, because files that are
   * written side by side do not get on in the same order each time: at the same sum nothing is further than it was.
   */
  watcher(base: number): (file: BackupFile) => BackupFile {
    let place = base;
    const advance = (amount: number) => {
      place += amount;
      this.reached(place);
    };
    return (file) => ({
      name: file.name,
      append: async (chunks) => {
        await file.append(chunks);
        let bytes = 0;
        for (const chunk of chunks) bytes += chunk.length;
        advance(bytes);
      },
      finish: async () => {
        await file.finish();
        advance(1);
      },
      abort: () => file.abort(),
    });
  }
}
