// How long a job may hold up the others (rule P10): a clock that only real progress sets back, over all tries of a round.

import type { Clock } from '../core/clock.js';
import { BackupError } from '../core/errors.js';
import type { BackupFile } from '../ports/backup-container.js';

export class StallWatch {
  readonly #clock: Clock;
  readonly #timeout: number;
  /** Finished steps and bytes of the one under way, at the furthest: to fail again at the same place is no progress. */
  #furthest = 0;
  #since: number;

  /** `timeout` in ms */
  constructor(clock: Clock, timeout: number) {
    this.#clock = clock;
    this.#timeout = timeout;
    this.#since = clock.now();
  }

  /** ms left until the job counts as failed; <= 0 when it does. */
  get left(): number {
    return this.#since + this.#timeout - this.#clock.now();
  }

  /** ms since the last progress. */
  get stalledFor(): number {
    return this.#clock.now() - this.#since;
  }

  /** `place` grows with everything that is done. */
  reached(place: number): void {
    if (place <= this.#furthest) return;
    this.#furthest = place;
    this.#since = this.#clock.now();
  }

  /** Waiting for a turn is not the job's fault. */
  restart(): void {
    this.#since = this.#clock.now();
  }

  /** Rejects with TIMEOUT when the job has stalled for too long, with the signal's reason when that comes first. */
  async expire(what: string, signal: AbortSignal): Promise<never> {
    while (this.left > 0) await this.#clock.sleep(this.left, signal);
    throw new BackupError('TIMEOUT', `${what} made no progress for ${this.#timeout} ms`);
  }

  /** Resolves when there was no progress for `ms`. */
  async stalled(ms: number, signal: AbortSignal): Promise<void> {
    while (this.stalledFor < ms) await this.#clock.sleep(ms - this.stalledFor, signal);
  }

  /** The same file, whose appends count as progress from `base` on. */
  watch(file: BackupFile, base: number): BackupFile {
    let bytes = 0;
    return {
      name: file.name,
      append: async (chunks) => {
        await file.append(chunks);
        for (const chunk of chunks) bytes += chunk.length;
        this.reached(base + bytes);
      },
      finish: () => file.finish(),
      abort: () => file.abort(),
    };
  }
}
