// How far a restore has come, and how long it will take.

import type { Clock } from '../core/clock.js';
import type { Version } from '../core/version.js';
import type { RestoreCheckpoint } from '../ports/restore-target.js';

export interface RestoreProgress {
  /** With several shards: the phase of the one that is furthest behind. */
  readonly phase: RestoreCheckpoint['phase'];
  /** Everything at or below it is in the target; 0 as long as rows are loaded. With several shards: of the one that is furthest behind. */
  readonly version: Version;
  /** Bytes of range files and log files read, of those that this run has to read in all. */
  readonly bytesRead: number;
  readonly bytesTotal: number;
  /** Rows of the snapshot that were read, and mutations that were handed on, so far by this run. */
  readonly rows: number;
  readonly mutations: number;
  /** Milliseconds until the restore is done if it goes on as it went; undefined before anything was read. */
  readonly estimatedMsLeft: number | undefined;
}

export class ProgressMeter {
  readonly #clock: Clock;
  readonly #began: number;
  readonly bytesTotal: number;
  rowBytesRead = 0;
  logBytesRead = 0;
  rows = 0;

  constructor(clock: Clock, bytesTotal: number) {
    this.#clock = clock;
    this.#began = clock.now();
    this.bytesTotal = bytesTotal;
  }

  get bytesRead(): number {
    return this.rowBytesRead + this.logBytesRead;
  }

  at(phase: RestoreCheckpoint['phase'], version: Version, mutations: number): RestoreProgress {
    const { bytesRead, bytesTotal, rows } = this;
    const elapsed = this.#clock.now() - this.#began;
    const left = bytesRead === 0 ? undefined : Math.round((elapsed * (bytesTotal - bytesRead)) / bytesRead);
    return {
      phase,
      version,
      bytesRead,
      bytesTotal,
      rows,
      mutations,
      estimatedMsLeft: phase === 'done' ? 0 : left,
    };
  }
}
