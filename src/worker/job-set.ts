// The jobs of a run: who is active, from where, and who has left for good. Joining and leaving are synchronous steps (rules P2, P9, P22).

import { assert } from '../core/errors.js';
import type { Version } from '../core/version.js';
import type { JobProgress, JobRecord } from '../job/records.js';
import type { MutationRouter } from '../pipeline/mutation-router.js';

/** One job as this run stores it (FoundationDB: PerBackupInfo). */
export interface JobInRun {
  readonly record: JobRecord;
  /** Inclusive: no file of this tag and epoch holds anything below it for the job. */
  readonly firstVersion: Version;
  /** Absolute: the next begin, and totals over all runs of this tag and epoch. Moves when a round is saved. */
  progress: JobProgress;
  /** Whether the store is known to have its firstVersion. */
  isRegistered: boolean;
  /** Inclusive; set while the job is being discontinued. */
  stopVersion: Version | undefined;
  /** Aborts when the job leaves: whatever is being written for it stops. */
  readonly departure: AbortController;
}

export class JobSet {
  readonly #jobs = new Map<string, JobInRun>();
  /** Who has left never joins this run again, even if a late read still shows it (scenario 8). */
  readonly #left = new Set<string>();
  readonly #router: MutationRouter;
  readonly #onEmpty: () => void;
  readonly #remembersLeavers: boolean;

  /** `onEmpty` runs in the same synchronous step in which the last job leaves. `remembersLeavers`: see src/worker/rules.ts. */
  constructor(router: MutationRouter, onEmpty: () => void, remembersLeavers: boolean) {
    this.#router = router;
    this.#onEmpty = onEmpty;
    this.#remembersLeavers = remembersLeavers;
  }

  get size(): number {
    return this.#jobs.size;
  }

  get(uid: string): JobInRun | undefined {
    return this.#jobs.get(uid);
  }

  has(uid: string): boolean {
    return this.#jobs.has(uid);
  }

  hasLeft(uid: string): boolean {
    return this.#left.has(uid);
  }

  uids(): string[] {
    return [...this.#jobs.keys()];
  }

  values(): JobInRun[] {
    return [...this.#jobs.values()];
  }

  join(joining: Omit<JobInRun, 'departure'>): JobInRun {
    const uid = joining.record.uid;
    assert(!this.#jobs.has(uid) && !this.#left.has(uid), `job ${uid} joins a run twice`);
    const job: JobInRun = { ...joining, departure: new AbortController() };
    this.#jobs.set(uid, job);
    this.#updateRouter();
    return job;
  }

  /** False when it is not there. */
  leave(uid: string): boolean {
    if (this.#remembersLeavers) this.#left.add(uid);
    const job = this.#jobs.get(uid);
    if (job === undefined) return false;
    this.#jobs.delete(uid);
    this.#updateRouter();
    job.departure.abort(new JobHasLeft(uid));
    if (this.#jobs.size === 0) this.#onEmpty();
    return true;
  }

  #updateRouter(): void {
    this.#router.setJobs(this.values().map(({ record }) => ({ uid: record.uid, ranges: record.ranges })));
  }
}

/** Why writing for a job stops when it leaves: no error, nobody wants the file any more. */
export class JobHasLeft extends Error {
  constructor(uid: string) {
    super(`job ${uid} is not active any more`);
    this.name = 'JobHasLeft';
  }
}
