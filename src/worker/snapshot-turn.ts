// One process's turn at a job's snapshot: takes the lease, begins or goes on with the snapshot, and records how it ended (rules S2 to S6).
// Must never record anything, or publish a snapshot, without the lease.

import { abortable } from '../core/abort.js';
import { AssertionError, BackupError } from '../core/errors.js';
import { lingerFor } from '../core/linger.js';
import { jobKey, snapshotLeaseKey } from '../job/keys.js';
import type { JobState } from '../job/records.js';
import { MAX_SNAPSHOT_RETRY_DELAY, encodeSnapshotLease } from '../job/snapshot-record.js';
import type { BegunSnapshot, SnapshotHolder } from '../job/snapshot-transactions.js';
import * as transactions from '../job/snapshot-transactions.js';
import type { ProgressTransaction } from '../ports/progress-store.js';
import type { SnapshotResult, takeSnapshot } from '../snapshot/take-snapshot.js';
import { callSafely } from './events.js';
import { openJobContainer } from './job-container.js';
import type { RetryPolicy } from './retry.js';
import { retrying } from './retry.js';
import { guardedContainer, watchedSource } from './snapshot-guard.js';
import type { HeldLease } from './under-lease.js';
import { underLease } from './under-lease.js';
import type { ResolvedSnapshotsOptions, SnapshotEvent } from './snapshot-options.js';
import { StallWatch } from './stall-watch.js';
import { withHelpers } from './task-group.js';
import { watchOrPoll } from './watch.js';
import type { SnapshotPath } from './worker-path.js';

/** Why a snapshot stops that the job does not want any more. */
class SnapshotDropped extends BackupError {
  readonly state: JobState | undefined;

  constructor(uid: string, state: JobState | undefined) {
    super('STOPPED', `job ${uid} is ${state ?? 'gone'}: it takes no snapshots any more`, { jobUid: uid });
    this.state = state;
  }
}

export class SnapshotTurn {
  readonly options: ResolvedSnapshotsOptions;
  readonly #policy: RetryPolicy;
  readonly #take: typeof takeSnapshot;
  readonly #met: (path: SnapshotPath) => void;
  readonly #holder: SnapshotHolder;

  constructor(
    uid: string,
    options: ResolvedSnapshotsOptions,
    policy: RetryPolicy,
    take: typeof takeSnapshot,
    met: (path: SnapshotPath) => void,
  ) {
    this.options = options;
    this.#policy = policy;
    this.#take = take;
    this.#met = met;
    const run = { leaseId: options.random.uid(), by: options.name };
    this.#holder = { uid, ...run, leaseValue: encodeSnapshotLease(run) };
  }

  /** Returns when there is nothing more to do for now. Rejects when the signal aborts, or with a permanent error of the store. */
  async run(signal: AbortSignal): Promise<void> {
    const held = await this.#acquire(signal);
    if (held === undefined) {
      this.#met('S2 lease held by another process');
      return;
    }
    try {
      await underLease(held, this.#policy, signal, (inner) => this.#snapshot(inner));
    } catch (error) {
      signal.throwIfAborted();
      if (!BackupError.is(error, 'LEASE_LOST')) throw error;
      this.#met('S2 stopped: the lease is lost');
      this.#emit({ kind: 'leaseLost', jobUid: this.#holder.uid, error });
    } finally {
      // So that another process need not wait; one that cannot be released ends by its time.
      await lingerFor(held.lease.release(), this.options.clock);
    }
  }

  async #acquire(signal: AbortSignal): Promise<HeldLease | undefined> {
    const { progressStore, clock, leaseTtl: ttl } = this.options;
    const { uid, leaseValue: value } = this.#holder;
    return retrying(this.#policy, `take the lease on snapshots of job ${uid}`, signal, async () => {
      const acquiredAt = clock.now();
      const acquiring = progressStore.acquireLease({ key: snapshotLeaseKey(uid), value, ttl });
      const lease = await abortable(acquiring, signal, (late) => void late?.release().catch(ignoreLateFailure));
      return lease && { lease, ttl, acquiredAt };
    });
  }

  async #snapshot(signal: AbortSignal): Promise<void> {
    const { clock } = this.options;
    const { uid } = this.#holder;
    const startedAt = Math.floor(clock.wallTime());
    const begun = await this.#transact('begin', signal, (tx) =>
      transactions.beginSnapshot(tx, this.#holder, startedAt),
    );
    if (begun === undefined) {
      this.#met('S3 nothing to begin any more');
      return;
    }
    this.#met('S3 begun under the lease');
    this.#emit({ kind: 'started', jobUid: uid, isResumed: begun.wasCutOff });
    let snapshot: SnapshotResult;
    try {
      snapshot = await this.#takeWatched(begun, signal);
    } catch (error) {
      signal.throwIfAborted();
      await this.#recordEnd(error, begun, signal);
      return;
    }
    await this.#recordSuccess(snapshot, startedAt, signal);
    this.#emit({ kind: 'finished', jobUid: uid, snapshot });
  }

  /** Beside it runs who stops it: the job's state (S4), and the time limit. */
  #takeWatched(begun: BegunSnapshot, signal: AbortSignal): Promise<SnapshotResult> {
    const { clock, stallTimeout } = this.options;
    const stall = new StallWatch(clock, stallTimeout, () =>
      this.#met('S6 the process stood still: its time does not count'),
    );
    return withHelpers(signal, (inner) => this.#takeGuarded(begun, () => stall.restart(), inner), [
      (inner) => this.#watchJob(inner),
      (inner) => stall.expire(`the snapshot of job ${begun.job.uid}`, inner),
    ]);
  }

  async #takeGuarded(
    { job, completeFrom }: BegunSnapshot,
    onAnswer: () => void,
    signal: AbortSignal,
  ): Promise<SnapshotResult> {
    const { openContainer, rangeSource, clock, random, snapshot, onProgress } = this.options;
    const container = await abortable(openJobContainer(openContainer, job), signal);
    onAnswer();
    const guard = { onAnswer, check: () => this.#checkBeforePublishing(signal) };
    return this.#take({
      ...snapshot,
      source: watchedSource(rangeSource, guard),
      container: guardedContainer(container, guard),
      ranges: job.ranges,
      // P3: below it the log is not complete, so that nothing could be restored from rows that old.
      atLeast: completeFrom,
      signal,
      clock,
      random,
      ...(onProgress === undefined
        ? {}
        : { onProgress: (progress) => callSafely(() => onProgress(job.uid, progress)) }),
    });
  }

  async #watchJob(signal: AbortSignal): Promise<never> {
    const key = jobKey(this.#holder.uid);
    for (;;) {
      const seen = await this.#transact('look at', signal, async (tx) => {
        await this.#expectWanted(tx);
        return tx.get(key);
      });
      await watchOrPoll(this, key, seen, signal);
    }
  }

  /** S5: before what others rely on. */
  async #checkBeforePublishing(signal: AbortSignal): Promise<void> {
    this.#met('S5 looked before a manifest or a delete');
    try {
      await this.#transact('look at', signal, (tx) => this.#expectWanted(tx));
    } catch (error) {
      if (BackupError.is(error, 'LEASE_LOST')) this.#met('S5 manifest or delete refused: the lease is lost');
      if (error instanceof SnapshotDropped) this.#met('S5 manifest or delete refused: the job is not Running');
      throw error;
    }
  }

  /** LEASE_LOST, or a SnapshotDropped unless the job is Running. */
  async #expectWanted(tx: ProgressTransaction): Promise<void> {
    const state = await transactions.readSnapshotJob(tx, this.#holder);
    if (state !== 'Running') throw new SnapshotDropped(this.#holder.uid, state);
  }

  async #recordSuccess(
    { name, beginVersion, endVersion, files, rows, bytes }: SnapshotResult,
    startedAt: number,
    signal: AbortSignal,
  ): Promise<void> {
    const { clock, name: by } = this.options;
    const finishedAt = Math.floor(clock.wallTime());
    const last = { name, beginVersion, endVersion, startedAt, finishedAt, by, files: files.length, rows, bytes };
    await this.#transact('record', signal, (tx) => transactions.finishSnapshot(tx, this.#holder, last));
  }

  async #recordEnd(error: unknown, { failedTries }: BegunSnapshot, signal: AbortSignal): Promise<void> {
    const { uid } = this.#holder;
    if (error instanceof AssertionError || BackupError.is(error, 'LEASE_LOST')) throw error;
    if (error instanceof SnapshotDropped) {
      await this.#transact('drop', signal, (tx) => transactions.dropSnapshot(tx, this.#holder));
      this.#emit({ kind: 'dropped', jobUid: uid, state: error.state });
      return;
    }
    const failure = asSnapshotError(error, uid);
    const at = Math.floor(this.options.clock.wallTime());
    const tries = failedTries + 1;
    const delay = Math.min(MAX_SNAPSHOT_RETRY_DELAY, this.options.failureDelay * 2 ** Math.min(tries - 1, 30));
    const { code, message } = failure;
    await this.#transact('record the failure of', signal, (tx) =>
      transactions.failSnapshot(tx, this.#holder, { code, message, at, tries }, at + delay),
    );
    this.#emit({ kind: 'failed', jobUid: uid, error: failure, retryAt: at + delay });
  }

  async #transact<T>(doing: string, signal: AbortSignal, body: (tx: ProgressTransaction) => Promise<T>): Promise<T> {
    try {
      return await retrying(this.#policy, `${doing} the snapshot of job ${this.#holder.uid}`, signal, () =>
        abortable(this.options.progressStore.transact(body), signal),
      );
    } catch (error) {
      if (BackupError.is(error, 'LEASE_LOST') && !signal.aborted) this.#met('S2 a transaction finds the lease gone');
      throw error;
    }
  }

  #emit(event: SnapshotEvent): void {
    callSafely(() => this.options.onEvent?.(event));
  }
}

function asSnapshotError(error: unknown, uid: string): BackupError {
  if (BackupError.is(error)) return error;
  return new BackupError('CONTAINER_UNAVAILABLE', `the snapshot of job ${uid} failed: ${String(error)}`, {
    jobUid: uid,
    cause: error,
  });
}

/** The run has ended without the lease: it ends by its time. */
function ignoreLateFailure(): void {
  return undefined;
}
