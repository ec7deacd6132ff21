// The operator's calls: submit, status, pause, resume, discontinue, abort, list. They only write to the progress store; workers do the rest.

import { AbortScope } from '../core/abort.js';
import type { Clock, Random } from '../core/clock.js';
import { systemClock, systemRandom } from '../core/clock.js';
import { BackupError } from '../core/errors.js';
import type { KeyRange } from '../core/key-range.js';
import { checkRange } from '../core/key-range.js';
import type { Version } from '../core/version.js';
import { checkVersion } from '../core/check-version.js';
import { checkedStore } from '../ports/checked-progress-store.js';
import type { ProgressStore, ProgressTransaction } from '../ports/progress-store.js';
import type { JobStatus, SnapshotStatus, TagStatus } from './job-status.js';
import { jobStatus } from './job-status.js';
import { JOB_PREFIX, PAUSED_KEY, jobKey, prefixEnd } from './keys.js';
import type { JobRecord } from './records.js';
import { PAUSED_VALUE, decodeJob, isActiveState } from './records.js';
import * as store from './store-access.js';
import { endJob } from './worker-transactions.js';

export interface BackupOperatorOptions {
  readonly clock?: Clock;
  readonly random?: Random;
  /** ms between looks at a job whose watch has not fired. Default 1,000. */
  readonly pollInterval?: number;
}

export interface SubmitRequest {
  /** 1 to 64 of a-z, A-Z, 0-9, `_` and `-`; never used before. Default: a random one. */
  readonly uid?: string;
  /**
   * Passed to every worker's `openContainer`. The container must not belong to another job. Kept as it is in the progress store, for whoever may read that; shown without the secrets that it may hold. Credentials are
   * better given to `openContainer` by the host.
   */
  readonly url: string;
  /** Half-open. Default, and for an empty list: the normal keys ["", 0xFF). */
  readonly ranges?: readonly KeyRange[];
  /** Inclusive: no message below it is stored. 0 for everything that the log still has. */
  readonly startVersion: Version;
  /** Restorable from an empty database by the log alone. Default false: a snapshot is needed. */
  readonly logOnly?: boolean;
  /**
   * ms from the begin of one snapshot to that of the next, a whole number; the first one is taken as soon as the job is Running. Processes that call `runSnapshots` take them (docs/protocol.md, S1).
   * Default: none are taken by themselves. Not for a `logOnly` job, which says that no snapshot will ever come.
   */
  readonly snapshotInterval?: number;
  /** The first version that the database ever wrote: a `logOnly` job is restorable only if its log begins at or below it. Default 1. */
  readonly firstVersion?: Version;
  /** Stops the waiting, not the job. */
  readonly signal?: AbortSignal;
}

export interface SubmittedJob {
  readonly uid: string;
  /** Inclusive: every tag stores the job from here on. */
  readonly completeFrom: Version;
}

export type { JobStatus, SnapshotStatus, TagStatus };

/** One object per store; holds no state. Every call may be made from any process. */
export class BackupOperator {
  readonly #store: ProgressStore;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #pollInterval: number;

  constructor(progressStore: ProgressStore, options: BackupOperatorOptions = {}) {
    this.#clock = options.clock ?? systemClock;
    this.#store = checkedStore(progressStore, this.#clock);
    this.#random = options.random ?? systemRandom;
    this.#pollInterval = options.pollInterval ?? 1_000;
    if (!(this.#pollInterval > 0)) {
      throw new BackupError('INVALID_OPTION', `pollInterval must be a number of ms above 0, got ${this.#pollInterval}`);
    }
  }

  /**
   * Starts a job, and resolves when every worker of the current epoch has registered for it (rule P3). Rejects with JOB_EXISTS, with
   * JOB_ABORTED or JOB_FAILED when that becomes of it first, and with the signal's reason; the job stays submitted then. When the store gives up (STORE_CONFLICT,
   * STORE_UNAVAILABLE) the outcome is unknown: the error's `jobUid` is what to ask `status` for.
   */
  async submit(request: SubmitRequest): Promise<SubmittedJob> {
    const uid = request.uid ?? this.#random.uid();
    const job = newJob(uid, this.#random.uid(), request);
    request.signal?.throwIfAborted();
    try {
      await this.#record(job);
    } catch (error) {
      if (!BackupError.is(error) || !error.retryable) throw error;
      const message = `${error.message}; job ${uid} may have been submitted all the same, status() tells`;
      throw new BackupError(error.code, message, { jobUid: uid, retryable: true, cause: error });
    }
    return { uid, completeFrom: await this.#awaitStarted(uid, request.signal) };
  }

  async #record(job: JobRecord): Promise<void> {
    const { uid } = job;
    await this.#store.transact(async (tx) => {
      const existing = await store.readJob(tx, uid);
      if (existing !== undefined) {
        if (existing.submission === job.submission) return; // an earlier run of this body has committed
        throw new BackupError('JOB_EXISTS', `job ${uid} exists already: a UID is never used twice, choose another`, {
          jobUid: uid,
        });
      }
      store.writeJob(tx, job);
      store.writeStarted(tx, [...(await store.readStarted(tx)), { uid, startVersion: job.startVersion }]);
    });
  }

  /** Throws JOB_NOT_FOUND. */
  async status(uid: string): Promise<JobStatus> {
    return this.#store.transact(async (tx) => jobStatus(tx, await findJob(tx, uid)));
  }

  /** Every job that was ever submitted, by UID. */
  async list(): Promise<JobStatus[]> {
    return this.#store.transact(async (tx) => {
      const entries = await tx.getRange(JOB_PREFIX, prefixEnd(JOB_PREFIX));
      const jobs: JobStatus[] = [];
      for (const { key, value } of entries) jobs.push(await jobStatus(tx, decodeJob(key, value)));
      return jobs;
    });
  }

  /**
   * Asks for a snapshot as soon as a process that runs `runSnapshots` comes to it, besides those of the schedule; `status(uid).snapshot` says what has become of it. One that is being taken already does
   * not count: another follows. A job that is Submitted gets it once it is Running. Throws JOB_NOT_FOUND, JOB_ABORTED, JOB_FAILED, and INVALID_STATE for a `logOnly` job or one that is being stopped or has completed.
   */
  async requestSnapshot(uid: string): Promise<void> {
    await this.#store.transact(async (tx) => {
      const job = await findJob(tx, uid);
      checkSnapshotRequest(job);
      store.writeSnapshot(tx, uid, { ...(await store.readSnapshot(tx, uid)), requested: true });
    });
  }

  /** No worker pulls until `resume` (rule P21). What is queued is still stored. */
  async pause(): Promise<void> {
    await this.#store.transact(async (tx) => {
      tx.set(PAUSED_KEY, PAUSED_VALUE);
      await Promise.resolve();
    });
  }

  async resume(): Promise<void> {
    await this.#store.transact(async (tx) => {
      tx.clear(PAUSED_KEY);
      await Promise.resolve();
    });
  }

  /**
   * Ends a job after everything that is committed now is stored; `status` says when it is Completed. A job that is still Submitted is aborted (rule P8). Fine for one that is being stopped or has
   * completed; throws JOB_NOT_FOUND, JOB_ABORTED or JOB_FAILED.
   */
  async discontinue(uid: string): Promise<void> {
    await this.#store.transact(async (tx) => {
      const job = await findJob(tx, uid);
      if (job.state === 'Submitted') await endJob(tx, { ...job, state: 'Aborted' });
      else if (job.state === 'Running') store.writeJob(tx, { ...job, state: 'Stopping' });
      else if (job.state === 'Aborted' || job.state === 'Failed') {
        // A submitted job that an earlier run of this body has aborted is what was asked for.
        if (job.state === 'Aborted' && job.completeFrom === undefined) return;
        throw endedError(job);
      }
    });
  }

  /** Ends a job at once (rule P9). What it has stored stays. Fine for one that has ended already; throws JOB_NOT_FOUND. */
  async abort(uid: string): Promise<void> {
    await this.#store.transact(async (tx) => {
      const job = await findJob(tx, uid);
      if (isActiveState(job.state)) await endJob(tx, { ...job, state: 'Aborted' });
    });
  }

  async #awaitStarted(uid: string, signal: AbortSignal | undefined): Promise<Version> {
    for (;;) {
      signal?.throwIfAborted();
      const value = await this.#readJobValue(uid);
      if (value !== undefined) {
        const job = decodeJob(jobKey(uid), value);
        if (job.completeFrom !== undefined) return job.completeFrom;
        if (!isActiveState(job.state)) throw endedError(job);
      }
      await this.#changeOrPoll(uid, value, signal);
    }
  }

  /** undefined when the store could not be asked just now. */
  async #readJobValue(uid: string): Promise<Uint8Array | undefined> {
    try {
      const value = await this.#store.transact((tx) => tx.get(jobKey(uid)));
      if (value === undefined) throw notFound(uid);
      return value;
    } catch (error) {
      // The job is submitted: a passing failure to look at it must not make the caller submit it again.
      if (BackupError.is(error) && error.retryable) return undefined;
      throw error;
    }
  }

  /** A watch may be late or lost; the poll saves the day. */
  async #changeOrPoll(uid: string, seen: Uint8Array | undefined, signal: AbortSignal | undefined): Promise<void> {
    const scope = new AbortScope(signal);
    const waits = [this.#clock.sleep(this.#pollInterval, scope.signal)];
    if (seen !== undefined) waits.push(this.#store.watch(jobKey(uid), seen, scope.signal));
    try {
      await Promise.race(waits);
    } catch (error) {
      signal?.throwIfAborted();
      if (!BackupError.is(error) || !error.retryable) throw error;
    } finally {
      scope.end();
      await Promise.allSettled(waits);
    }
  }
}

function newJob(uid: string, submission: string, request: SubmitRequest): JobRecord {
  if (typeof uid !== 'string' || !/^[A-Za-z0-9_-]{1,64}$/.test(uid)) {
    throw new BackupError(
      'INVALID_OPTION',
      `uid must be 1 to 64 of a-z, A-Z, 0-9, "_" and "-", got ${JSON.stringify(uid)}`,
    );
  }
  if (typeof request.url !== 'string' || request.url === '') {
    throw new BackupError('INVALID_OPTION', `url must be a non-empty string, got ${JSON.stringify(request.url)}`);
  }
  checkVersion(request.startVersion, 'startVersion');
  const firstVersion = request.firstVersion ?? 1n;
  checkVersion(firstVersion, 'firstVersion');
  const ranges = request.ranges ?? [];
  if (!isArray(ranges)) throw new BackupError('INVALID_OPTION', `ranges must be an array, got ${typeof ranges}`);
  const logOnly = request.logOnly ?? false;
  if (typeof logOnly !== 'boolean') {
    throw new BackupError('INVALID_OPTION', `logOnly must be true or false, got ${JSON.stringify(logOnly)}`);
  }
  checkSnapshotInterval(request.snapshotInterval, logOnly);
  ranges.forEach((range, index) => checkRange(range, `ranges[${index}]`));
  return {
    uid,
    submission,
    state: 'Submitted',
    url: request.url,
    ranges,
    logOnly,
    snapshotInterval: request.snapshotInterval,
    firstVersion,
    startVersion: request.startVersion,
  };
}

function checkSnapshotInterval(interval: number | undefined, logOnly: boolean): void {
  if (interval === undefined) return;
  if (!Number.isSafeInteger(interval) || interval < 1) {
    throw new BackupError(
      'INVALID_OPTION',
      `snapshotInterval must be a whole number of ms from 1 on, got ${String(interval)}`,
    );
  }
  if (logOnly) {
    throw new BackupError(
      'INVALID_OPTION',
      `snapshotInterval ${interval} contradicts logOnly, which says that no snapshot will ever come: leave out one of the two`,
    );
  }
}

function checkSnapshotRequest(job: JobRecord): void {
  const { uid, state } = job;
  if (state === 'Aborted' || state === 'Failed') throw endedError(job);
  const refusal =
    state === 'Stopping' || state === 'Completed'
      ? `job ${uid} is ${state}: it takes no snapshots any more`
      : job.logOnly
        ? `job ${uid} is logOnly, which says that no snapshot will ever come`
        : undefined;
  if (refusal !== undefined) throw new BackupError('INVALID_STATE', refusal, { jobUid: uid });
}

function notFound(uid: string): BackupError {
  return new BackupError('JOB_NOT_FOUND', `there is no job ${uid}; list() names those that exist`, { jobUid: uid });
}

function endedError(job: JobRecord): BackupError {
  return job.state === 'Failed'
    ? new BackupError('JOB_FAILED', `job ${job.uid} has failed: ${job.failure?.message ?? 'no reason recorded'}`, {
        jobUid: job.uid,
      })
    : new BackupError('JOB_ABORTED', `job ${job.uid} has been aborted; submit a new one`, { jobUid: job.uid });
}

async function findJob(tx: ProgressTransaction, uid: string): Promise<JobRecord> {
  const job = await store.readJob(tx, uid);
  if (job === undefined) throw notFound(uid);
  return job;
}

/** Without Array.isArray's narrowing to any[]. */
function isArray(value: unknown): boolean {
  return Array.isArray(value);
}
