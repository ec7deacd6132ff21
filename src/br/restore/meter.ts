// How far a restore has come, and how long it will take.

import type { Clock } from '../../core/clock.js';
import type { RestoreBrProgress } from './options.js';

export class RestoreMeter {
  readonly #clock: Clock;
  readonly #began: number;
  readonly #onProgress: ((progress: RestoreBrProgress) => void) | undefined;
  /** Stored bytes of the files that this run reads, twice each. */
  bytesTotal = 0;
  bytesRead = 0;
  rows = 0;

  constructor(clock: Clock, onProgress: ((progress: RestoreBrProgress) => void) | undefined) {
    this.#clock = clock;
    this.#began = clock.now();
    this.#onProgress = onProgress;
  }

  report(phase: RestoreBrProgress['phase']): void {
    if (this.#onProgress === undefined) return;
    const { rows } = this;
    // Blocks that are read twice, such as a footer, must not make it more than all.
    const bytesTotal = Math.max(this.bytesTotal, this.bytesRead);
    const bytesRead = phase === 'done' ? bytesTotal : this.bytesRead;
    const elapsed = this.#clock.now() - this.#began;
    const left = bytesRead === 0 ? undefined : Math.round((elapsed * (bytesTotal - bytesRead)) / bytesRead);
    this.#onProgress({ phase, bytesRead, bytesTotal, rows, estimatedMsLeft: phase === 'done' ? 0 : left });
  }
}
