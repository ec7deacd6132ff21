// The state of one run of a worker. BackupWorker owns it; actors read it and change the part that is theirs:
// pull the queue's end, upload savedVersion, noop noopVersion, the monitors jobs, pause and displacement.

import { Mutex } from 'async-mutex';
import { AbortScope, abortable } from '../core/abort.js';
import type { Clock, Random } from '../core/clock.js';
import { BackupError } from '../core/errors.js';
import type { LogEpoch, Version } from '../core/version.js';
import { maxVersion } from '../core/version.js';
import type { Claim, WorkerRun } from '../job/worker-transactions.js';
import type { FlowLock } from '../pipeline/flow-lock.js';
import { MessageQueue } from '../pipeline/message-queue.js';
import { MutationRouter } from '../pipeline/mutation-router.js';
import type { ProgressTransaction } from '../ports/progress-store.js';
import type { WorkerEventEmitter, WorkerEvents, WorkerMetrics, WorkerState } from './events.js';
import { emitSafely } from './events.js';
import { JobSet } from './job-set.js';
import type { ResolvedOptions } from './options.js';
import type { RetryPolicy } from './retry.js';
import { retrying } from './retry.js';
import type { WorkerRules } from './rules.js';
import { Trigger } from './trigger.js';

const BATCH_PATHS = {
  disjoint: 'P19 batch outside the ranges',
  inside: 'P19 batch as whole spans',
  crossing: 'P19 batch message by message',
} as const;

export class Run {
  readonly options: ResolvedOptions;
  readonly rules: WorkerRules;
  readonly events: WorkerEventEmitter;
  readonly owner: WorkerRun;
  readonly clock: Clock;
  readonly random: Random;
  readonly lock: FlowLock;
  readonly queue: MessageQueue;
  readonly router: MutationRouter;
  readonly jobs: JobSet;
  readonly retryPolicy: RetryPolicy;
  /** Reads of the active jobs are applied one at a time, in the order in which they were read. */
  readonly jobReads = new Mutex();
  /** Fired on every change that an actor may wait for. */
  readonly changed = new Trigger();
  readonly #setState: (state: WorkerState) => void;

  /** Inclusive: everything up to it is stored and recorded, or was before this run began. */
  savedVersion: Version;
  /** Inclusive: what is recorded as stored, by this run or one before it; undefined: nothing yet. */
  recordedVersion: Version | undefined;
  /** Inclusive: recorded as not to be stored. */
  noopVersion: Version | undefined;
  /** Inclusive; of the backup epoch. */
  minKnownCommittedVersion: Version | undefined;
  /** Inclusive: what the log has acknowledged. */
  poppedVersion: Version | undefined;
  paused = false;
  /** Aborts once a newer epoch has begun: no more pulling, no more popping. */
  readonly #displaced = new AbortController();
  /** As the log system says; undefined while unknown. */
  oldestBackupEpoch: LogEpoch | undefined;
  /** A NOOP transaction in flight: no firstVersion is fixed before it has ended (rule P2). */
  noopInFlight: Promise<void> | undefined;
  /** Ends when the last job leaves: what pull mode does is not wanted any more (rule P22). */
  pullMode: AbortScope | undefined;

  bytesWritten = 0;
  filesWritten = 0;
  rounds = 0;
  retries = 0;

  constructor(
    options: ResolvedOptions,
    rules: WorkerRules,
    events: WorkerEventEmitter,
    owner: WorkerRun,
    claim: Claim,
    setState: (state: WorkerState) => void,
  ) {
    this.options = options;
    this.rules = rules;
    this.events = events;
    this.owner = owner;
    this.clock = options.clock;
    this.random = options.random;
    this.#setState = setState;
    this.router = new MutationRouter({ onBatch: (relation) => rules.met(BATCH_PATHS[relation]) });
    this.lock = rules.makeLock(options.lockBytes, { onWait: () => this.changed.fire() });
    this.queue = new MessageQueue({ nextVersion: claim.startVersion, tag: options.tag });
    this.jobs = new JobSet(this.router, () => this.#onNoJobLeft(), rules.remembersLeavers);
    this.retryPolicy = retryPolicyOf(options, (what, error, delay) => this.#onRetry(what, error, delay));
    this.savedVersion = claim.startVersion - 1n;
    this.recordedVersion = claim.savedVersion;
    this.noopVersion = claim.noopVersion;
    this.paused = claim.paused;
    for (const { job, firstVersion, progress } of claim.jobs) {
      this.jobs.join({ record: job, firstVersion, progress, isRegistered: true, stopVersion: job.stopVersion });
      this.emit('jobJoined', job.uid, firstVersion);
    }
  }

  get isOldEpoch(): boolean {
    return this.options.endVersion !== undefined;
  }

  /** Inclusive: all that the store says may be forgotten (rule P5). */
  get poppableVersion(): Version {
    return maxVersion(this.recordedVersion ?? -1n, this.noopVersion ?? -1n);
  }

  /** Whether no older epoch is unfinished. A log that never changes hands has no older epoch. */
  get isOldestEpoch(): boolean {
    return this.options.logSource.logSystem === undefined || this.oldestBackupEpoch === this.options.backupEpoch;
  }

  /** Why a newer epoch's workers have taken over; undefined while they have not. */
  get displacement(): BackupError | undefined {
    const reason: unknown = this.#displaced.signal.reason;
    return BackupError.is(reason) ? reason : undefined;
  }

  displace(error: BackupError): void {
    if (this.displacement !== undefined) return;
    this.#displaced.abort(error);
    this.emit('displaced', error);
    this.changed.fire();
  }

  /** Runs a task that displacement ends too; undefined then. */
  async untilDisplaced<T>(signal: AbortSignal, task: (signal: AbortSignal) => Promise<T>): Promise<T | undefined> {
    if (this.displacement !== undefined) return undefined;
    using scope = new AbortScope(signal);
    const onDisplaced = () => scope.end(this.displacement);
    this.#displaced.signal.addEventListener('abort', onDisplaced, { once: true });
    try {
      return await task(scope.signal);
    } catch (error) {
      if (error !== undefined && error === this.displacement) return undefined;
      throw error;
    } finally {
      this.#displaced.signal.removeEventListener('abort', onDisplaced);
    }
  }

  setState(state: WorkerState): void {
    this.#setState(state);
  }

  emit<K extends keyof WorkerEvents>(name: K, ...values: Parameters<WorkerEvents[K]>): void {
    emitSafely(this.events, name, ...values);
  }

  /** What is committed never goes back. */
  noteCommitted(version: Version): void {
    this.minKnownCommittedVersion = maxVersion(this.minKnownCommittedVersion ?? version, version);
  }

  retry<T>(what: string, signal: AbortSignal, body: () => Promise<T>): Promise<T> {
    return retrying(this.retryPolicy, what, signal, body);
  }

  /** A transaction, until it succeeds. The signal is that of the whole run: a transaction in flight is joined before modes change. */
  async transact<T>(what: string, signal: AbortSignal, body: (tx: ProgressTransaction) => Promise<T>): Promise<T> {
    try {
      return await this.retry(what, signal, () => abortable(this.options.progressStore.transact(body), signal));
    } catch (error) {
      if (BackupError.is(error, 'DISPLACED')) this.rules.met('P01 a transaction finds another owner');
      throw error;
    }
  }

  metrics(state: WorkerState): WorkerMetrics {
    const committed = this.minKnownCommittedVersion;
    const stored = maxVersion(this.savedVersion, this.noopVersion ?? -1n);
    return {
      tag: this.options.tag,
      backupEpoch: this.options.backupEpoch,
      state,
      paused: this.paused,
      savedVersion: this.savedVersion,
      noopVersion: this.noopVersion,
      pulledEnd: this.queue.end,
      minKnownCommittedVersion: committed,
      poppedVersion: this.poppedVersion,
      lag: committed === undefined || committed < stored ? 0n : committed - stored,
      queuedMessages: this.queue.messages,
      bufferedBytes: this.lock.activePermits,
      availableBytes: this.lock.available,
      bytesWritten: this.bytesWritten,
      filesWritten: this.filesWritten,
      rounds: this.rounds,
      retries: this.retries,
      activeJobs: this.jobs.size,
    };
  }

  /** P22: in the same synchronous step. A batch that waits for the lock and a peek in flight go with the pull mode's signal. */
  #onNoJobLeft(): void {
    if (this.queue.messages > 0) this.rules.met('P22 queue dropped');
    if (this.lock.waiters > 0) this.rules.met('P22 batch that waits for the lock dropped');
    this.pullMode?.end(new NoJobLeft());
    this.queue.dropAll();
    this.changed.fire();
  }

  #onRetry(what: string, error: unknown, delay: number): void {
    this.retries++;
    this.emit('retry', what, error, delay);
  }
}

export function retryPolicyOf(options: ResolvedOptions, onRetry: RetryPolicy['onRetry']): RetryPolicy {
  const { clock, random, retryMinDelay, retryMaxDelay } = options;
  return { clock, random, minDelay: retryMinDelay, maxDelay: retryMaxDelay, onRetry };
}

/** Why pull mode ends when the last job has left: no error. */
export class NoJobLeft extends Error {
  constructor() {
    super('no job is active any more');
    this.name = 'NoJobLeft';
  }
}
