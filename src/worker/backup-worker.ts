// The backup worker of one log tag: pulls its messages, stores them for every active job, records progress, and lets the log forget what is safe.

import { EventEmitter } from 'eventemitter3';
import { AbortScope, abortable } from '../core/abort.js';
import { BackupError } from '../core/errors.js';
import type { Version } from '../core/version.js';
import { claim, recordDone } from '../job/worker-transactions.js';
import type { Claim, Fence, WorkerRun } from '../job/worker-transactions.js';
import { coordinateJobs } from './coordinator.js';
import type { WorkerEvents, WorkerMetrics, WorkerState } from './events.js';
import { emitSafely } from './events.js';
import { monitorJobs, refreshJobs } from './job-monitor.js';
import { hasLogSystem, monitorLogSystem, monitorPause, reportMetrics } from './monitors.js';
import { noopMode } from './noop.js';
import type { BackupWorkerOptions, ResolvedOptions } from './options.js';
import { resolveOptions } from './options.js';
import { flushPops, popWhatIsSaved } from './pop.js';
import { pullMode } from './pull-mode.js';
import { isTransient, retrying } from './retry.js';
import type { WorkerRules } from './rules.js';
import { workerRules } from './rules.js';
import { Run, retryPolicyOf } from './run.js';
import type { Task } from './task-group.js';
import { withHelpers } from './task-group.js';
import { isSavedToEnd } from './upload.js';
import { VersionTimes, recordVersionTimes } from './version-times.js';
import type { WorkerPath } from './worker-path.js';
import { writeLimiter } from './write-limiter.js';

/** How a run ended, when nothing was wrong. */
export type WorkerResult =
  /** An old epoch's tag is drained and recorded as done. */
  | { readonly outcome: 'completed' }
  /** A newer epoch has begun, or another run has claimed the tag; `error` (code DISPLACED) says which. Nothing is lost: the new owner goes on from what is recorded. */
  | { readonly outcome: 'displaced'; readonly error: BackupError }
  /** The signal has aborted. A new run goes on from what is recorded. */
  | { readonly outcome: 'stopped' };

/**
 * One object per run. Emits the events of WorkerEvents. Mirrors FoundationDB's backup worker (fdbserver/BackupWorker.actor.cpp).
 */
export class BackupWorker extends EventEmitter<WorkerEvents> {
  readonly #options: ResolvedOptions;
  readonly #rules: WorkerRules;
  readonly #fence: Fence | undefined;
  #state: WorkerState = 'Initializing';
  #hasStarted = false;
  #run: Run | undefined;

  /**
   * Throws INVALID_OPTION.
   * @param rules for simulations that plant a bug; leave it out.
   * @param fence for a fleet, which runs the worker under a lease (rule F3); leave it out.
   */
  constructor(options: BackupWorkerOptions, rules: WorkerRules = workerRules, fence?: Fence) {
    super();
    this.#fence = fence;
    this.#options = resolveOptions(options);
    this.#rules = rules;
  }

  get state(): WorkerState {
    return this.#state;
  }

  /** undefined until the tag is claimed. */
  metrics(): WorkerMetrics | undefined {
    return this.#run?.metrics(this.#state);
  }

  /**
   * Works until the signal aborts, the worker is displaced, or an old epoch is drained. Rejects with a BackupError (LOG_GAP, ADAPTER_CONTRACT, EPOCH_NOT_ANNOUNCED,
   * STORE_CORRUPT or one that an adapter marked as not retryable): then nothing more is popped, and what is not stored is still in the log. Call it once.
   */
  async run(options: { readonly signal?: AbortSignal } = {}): Promise<WorkerResult> {
    if (this.#hasStarted)
      throw new BackupError('INVALID_STATE', 'run() was called before: make a new BackupWorker for each run');
    this.#hasStarted = true;
    const scope = new AbortScope(options.signal);
    try {
      const result = await this.#runToEnd(scope.signal);
      this.#setState(result.outcome === 'completed' ? 'Completed' : 'Displaced');
      return result;
    } catch (error) {
      // A failure that came before the stop is a failure.
      if (options.signal?.aborted === true && (error === options.signal.reason || isTransient(error))) {
        this.#setState('Stopped');
        return { outcome: 'stopped' };
      }
      if (BackupError.is(error, 'DISPLACED')) {
        if (this.#run === undefined) this.#rules.met('P01 claim refused: a newer epoch has begun');
        // Claimed by another run (rule P1), or told by the log before the log system did.
        if (this.#run?.displacement === undefined) emitSafely(this, 'displaced', error);
        this.#setState('Displaced');
        return { outcome: 'displaced', error };
      }
      this.#setState('Failed');
      throw error;
    } finally {
      scope.end();
      // Every actor has settled, but for container calls that hang. What is still queued stays in the log; its memory and permits go back.
      this.#run?.queue.dropAll();
    }
  }

  async #runToEnd(signal: AbortSignal): Promise<WorkerResult> {
    const owner: WorkerRun = {
      epoch: this.#options.backupEpoch,
      tag: this.#options.tag.id,
      runId: this.#options.random.uid(),
      checksClaim: this.#rules.checksClaim,
      fence: this.#fence,
    };
    const claimed = await this.#claim(owner, signal);
    const run = new Run(this.#options, this.#rules, this, owner, claimed, (state) => this.#setState(state));
    this.#run = run;
    for (const path of pathsOfClaim(claimed, this.#options.startVersion)) this.#rules.met(path);
    if (claimed.done) return { outcome: 'completed' };
    return withHelpers(signal, (inner) => drive(run, inner), this.#helpers(run));
  }

  #helpers(run: Run): Task<void>[] {
    const { logSource, tag, backupEpoch, recruitedEpoch, versionTimeInterval } = this.#options;
    const helpers: Task<void>[] = [
      (signal) => monitorJobs(run, signal),
      (signal) => monitorPause(run, signal),
      (signal) => popWhatIsSaved(run, signal),
      (signal) => reportMetrics(run, () => this.#state, signal),
    ];
    if (hasLogSystem(logSource)) helpers.push((signal) => monitorLogSystem(run, logSource, signal));
    if (tag.id === 0 && backupEpoch === recruitedEpoch) {
      const times = versionTimeInterval > 0 ? new VersionTimes(this.#rules.met) : undefined;
      helpers.push((signal) => coordinateJobs(run, times, signal));
      if (times !== undefined) helpers.push((signal) => recordVersionTimes(run, times, signal));
    }
    return helpers;
  }

  #claim(run: WorkerRun, signal: AbortSignal): Promise<Claim> {
    const { progressStore, recruitedEpoch, totalTags, startVersion, endVersion } = this.#options;
    const policy = retryPolicyOf(this.#options, (what, error, delay) => emitSafely(this, 'retry', what, error, delay));
    return retrying(policy, 'claim the tag', signal, () =>
      abortable(
        progressStore.transact((tx) => {
          // A run that was stopped while the store hung must not take the tag from its replacement.
          signal.throwIfAborted();
          return claim(tx, { run, recruitedEpoch, totalTags, startVersion, endVersion });
        }),
        signal,
      ),
    );
  }

  #setState(state: WorkerState): void {
    const previous = this.#state;
    if (state === previous) return;
    this.#state = state;
    emitSafely(this, 'state', state, previous);
  }
}

/** P12: where a run begins, and why there. */
function pathsOfClaim({ startVersion, savedVersion, noopVersion, jobs, done }: Claim, planned: Version): WorkerPath[] {
  if (done) return ['P11 claimed a tag that is done'];
  const paths: WorkerPath[] = [];
  if (startVersion === (savedVersion ?? -2n) + 1n) paths.push('P12 begins after what is saved');
  else if (startVersion === (noopVersion ?? -2n) + 1n) paths.push('P12 begins after what noop discarded');
  else paths.push('P12 begins where the plan says');
  if (startVersion > planned) paths.push('P12 begins above the plan');
  if (jobs.some(({ progress }) => progress.files > 0)) paths.push('P12 job goes on at its recorded begin');
  return paths;
}

/** From mode to mode (FoundationDB: monitorBackupKeyOrPullData). */
async function drive(run: Run, signal: AbortSignal): Promise<WorkerResult> {
  const limiter = writeLimiter(run.options.concurrentWrites);
  for (;;) {
    run.setState('CheckingBackupKey');
    if (run.displacement !== undefined) return { outcome: 'displaced', error: run.displacement };
    if (run.isOldEpoch) {
      if (await finishOldEpoch(run, signal)) return { outcome: 'completed' };
      await pullMode(run, limiter, signal);
    } else if (run.jobs.size > 0) await pullMode(run, limiter, signal);
    else await noopMode(run, signal);
  }
}

/** P11: an old epoch is done when it is saved to its end, or at once when no job needs it. */
async function finishOldEpoch(run: Run, signal: AbortSignal): Promise<boolean> {
  const { endVersion } = run.options;
  if (endVersion === undefined) return false;
  const served = (uid: string) => {
    const job = run.jobs.get(uid);
    return job !== undefined && job.progress.nextBegin > endVersion;
  };
  if (!isSavedToEnd(run) && !run.jobs.uids().every(served)) return false;
  const isDrained = isSavedToEnd(run);
  if (isDrained) await run.untilDisplaced(signal, (inner) => flushPops(run, inner));
  const isDone = await run.transact('record that the tag is drained', signal, (tx) =>
    recordDone(tx, run.owner, endVersion, served),
  );
  if (!isDone) {
    run.rules.met('P11 not done: a job still needs the tag');
    await refreshJobs(run, signal);
    return false;
  }
  run.rules.met(isDrained ? 'P11 done after draining' : 'P11 done without draining');
  return true;
}
