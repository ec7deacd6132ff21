// The recruiter: keeps the right workers running in this process, by the recovery plan, after every recovery and every death (rules P23, P24).

import { AbortScope, abortable, abortableStream } from '../core/abort.js';
import type { Clock } from '../core/clock.js';
import { systemClock, systemRandom } from '../core/clock.js';
import { BackupError } from '../core/errors.js';
import type { LogEpoch } from '../core/version.js';
import { logRouterTag } from '../core/version.js';
import type { PlannedWorker } from '../job/plan.js';
import { announceEpoch, planFromStore } from '../job/recruiter-transactions.js';
import { readStarted } from '../job/store-access.js';
import { checkedLogSource } from '../ports/checked-log-source.js';
import { checkedStore } from '../ports/checked-progress-store.js';
import type { LogEpochInfo, LogSystemInfo } from '../ports/log-source.js';
import { BackupWorker } from './backup-worker.js';
import { callSafely } from './events.js';
import { hasLogSystem } from './monitors.js';
import type { BackupWorkerOptions } from './options.js';
import { resolveOptions } from './options.js';
import type { RetryPolicy } from './retry.js';
import { isTransient, retrying } from './retry.js';
import type { WorkerRules } from './rules.js';
import { workerRules } from './rules.js';
import { Trigger, triggerOrSleep } from './trigger.js';

/** A worker that has just been made and is about to run: the place to listen to its events. */
export type WorkerListener = (worker: BackupWorker, planned: PlannedWorker) => void;

export interface RecruitOptions extends Omit<
  BackupWorkerOptions,
  'tag' | 'totalTags' | 'startVersion' | 'endVersion' | 'recruitedEpoch' | 'backupEpoch'
> {
  readonly signal: AbortSignal;
  /** The log's only epoch, for a LogSource without `logSystem`. */
  readonly epoch?: LogEpochInfo;
  /** Which workers this process runs: several processes share the tags by it. Default: all. */
  readonly tags?: (epoch: LogEpoch, tag: number) => boolean;
  readonly onWorker?: WorkerListener;
  /** A worker has ended with an error; it is started again after a while if `willRestart`. Without a listener an error that is final ends `recruit` with it. */
  readonly onWorkerError?: (error: unknown, planned: PlannedWorker, willRestart: boolean) => void;
  /** ms between looks at the plan. Default 5,000. */
  readonly planInterval?: number;
}

/**
 * Runs until the signal aborts; then all its workers have stopped. A worker that another run has displaced is not started again before the next epoch: that run has the tag now, and two recruiters
 * that cover one tag would take it from each other for ever. So share the tags out with `tags`, and let whoever starts a second recruiter for a tag restart it when it dies. One that fails
 * for good stays down and is reported to `onWorkerError`; after LOG_GAP it is started again as soon as no job is active. Rejects with INVALID_OPTION, INVALID_EPOCHS, or a permanent error of the store.
 */
export function recruit(options: RecruitOptions): Promise<void> {
  return recruitWith(options, workerRules);
}

/** The same, with rules for its workers: for the simulation. */
export async function recruitWith(options: RecruitOptions, rules: WorkerRules): Promise<void> {
  await new Recruiter(options, rules).run();
}

class Recruiter {
  readonly #options: RecruitOptions;
  readonly #rules: WorkerRules;
  readonly #clock: Clock;
  readonly #policy: RetryPolicy;
  readonly #scope: AbortScope;
  readonly #changed = new Trigger();
  readonly #running = new Map<string, Promise<void>>();
  /** Those that must not be started again in this epoch: displaced, drained, or failed for good. */
  readonly #retired = new Set<string>();
  /** Those of them that met LOG_GAP. */
  readonly #gapped = new Set<string>();
  #epochs: readonly LogEpochInfo[] | undefined;
  #failure: { readonly error: unknown } | undefined;

  constructor(options: RecruitOptions, rules: WorkerRules) {
    if (options.logSource.logSystem === undefined && options.epoch === undefined) {
      throw new BackupError('INVALID_OPTION', 'recruit: epoch is needed for a LogSource without logSystem');
    }
    // What no worker can run with is refused before any is started.
    const anyWorker = { tag: logRouterTag(0), totalTags: 1, startVersion: 0n, recruitedEpoch: 0, backupEpoch: 0 };
    resolveOptions({ ...options, ...anyWorker });
    const planInterval = options.planInterval ?? 5_000;
    if (!(planInterval > 0 && planInterval < 2 ** 31)) {
      throw new BackupError(
        'INVALID_OPTION',
        `planInterval must be a number of ms above 0, got ${String(planInterval)}`,
      );
    }
    this.#clock = options.clock ?? systemClock;
    this.#options = {
      ...options,
      logSource: checkedLogSource(options.logSource, this.#clock),
      progressStore: checkedStore(options.progressStore, this.#clock),
    };
    this.#rules = rules;
    this.#policy = {
      clock: this.#clock,
      random: options.random ?? systemRandom,
      minDelay: options.retryMinDelay ?? 100,
      maxDelay: options.retryMaxDelay ?? 10_000,
      onRetry: () => undefined,
    };
    this.#scope = new AbortScope(options.signal);
    if (options.epoch !== undefined) this.#epochs = [options.epoch];
  }

  async run(): Promise<void> {
    const { signal } = this.#scope;
    const following = this.#follow(signal).catch((error: unknown) => this.#fail(error));
    try {
      for (;;) {
        const seen = this.#changed.count;
        if (this.#failure !== undefined) throw this.#failure.error;
        if (this.#epochs !== undefined) await this.#plan(this.#epochs, signal);
        await triggerOrSleep(this.#changed, seen, this.#clock, this.#options.planInterval ?? 5_000, signal);
      }
    } catch (error) {
      if (!this.#options.signal.aborted) throw error;
    } finally {
      this.#scope.end();
      await following;
      await Promise.all(this.#running.values());
    }
  }

  #fail(error: unknown): void {
    if (!this.#scope.signal.aborted) this.#failure ??= { error };
    this.#changed.fire();
  }

  /** Keeps `#epochs` up to date. */
  async #follow(signal: AbortSignal): Promise<void> {
    const { logSource } = this.#options;
    if (!hasLogSystem(logSource)) return;
    for (;;) {
      await retrying(this.#policy, 'logSystem', signal, async () => {
        for await (const info of abortableStream(logSource.logSystem(signal), signal)) this.#learn(info);
      });
      await this.#clock.sleep(this.#policy.minDelay, signal);
    }
  }

  #learn(info: LogSystemInfo): void {
    // In a new epoch every worker may be started again; those that still run are told by the log system themselves.
    if (this.#epochs?.at(-1)?.epoch !== info.recoveryCount) this.#retired.clear();
    this.#epochs = info.epochs;
    this.#changed.fire();
  }

  async #plan(epochs: readonly LogEpochInfo[], signal: AbortSignal): Promise<void> {
    const { progressStore, tags } = this.#options;
    const current = epochs.at(-1);
    if (current === undefined) throw new BackupError('INVALID_EPOCHS', 'the log system names no epoch');
    try {
      const plan = await retrying(this.#policy, 'plan', signal, async () => {
        await abortable(announceEpoch(progressStore, current), signal);
        return abortable(planFromStore(progressStore, epochs), signal);
      });
      if (this.#gapped.size > 0) await this.#forgetGaps(signal);
      for (const planned of plan.workers) {
        if (tags === undefined || tags(planned.backupEpoch, planned.tag)) this.#start(planned);
      }
    } catch (error) {
      // A newer epoch has been announced by another process: the log system will tell us of it too.
      if (!BackupError.is(error, 'DISPLACED')) throw error;
    }
  }

  /** Once no job is active nothing is missing any more: a worker that met a gap passes it in NOOP mode. */
  async #forgetGaps(signal: AbortSignal): Promise<void> {
    const { progressStore } = this.#options;
    const active = await retrying(this.#policy, 'look for active jobs', signal, () =>
      abortable(progressStore.transact(readStarted), signal),
    );
    if (active.length > 0) return;
    for (const key of this.#gapped) this.#retired.delete(key);
    this.#gapped.clear();
  }

  /** Nothing happens when it runs already, or must not run again in this epoch. */
  #start(planned: PlannedWorker): void {
    const key = `${planned.recruitedEpoch}/${planned.backupEpoch}/${planned.tag}`;
    if (this.#running.has(key) || this.#retired.has(key)) return;
    const running = this.#runWorker(planned, key).finally(() => {
      this.#running.delete(key);
      this.#changed.fire();
    });
    this.#running.set(key, running);
  }

  /** Never rejects. */
  async #runWorker(planned: PlannedWorker, key: string): Promise<void> {
    const { signal } = this.#scope;
    const { onWorker, onWorkerError } = this.#options;
    try {
      const worker = new BackupWorker({ ...this.#options, ...workerOptions(planned) }, this.#rules);
      callSafely(() => onWorker?.(worker, planned));
      await worker.run({ signal });
      this.#retired.add(key);
    } catch (error) {
      const willRestart = isTransient(error);
      callSafely(() => onWorkerError?.(error, planned, willRestart));
      if (willRestart) {
        // Stays in the way of a new one for a while, or until the recruiter is stopped.
        await this.#clock.sleep(this.#policy.maxDelay, signal).catch(() => undefined);
        return;
      }
      this.#retired.add(key);
      if (BackupError.is(error, 'LOG_GAP')) this.#gapped.add(key);
      // Nobody listens: the recruiter itself is the only one who can be loud.
      if (onWorkerError === undefined) this.#fail(error);
    }
  }
}

function workerOptions(planned: PlannedWorker) {
  const { tag, totalTags, startVersion, endVersion, recruitedEpoch, backupEpoch } = planned;
  return {
    tag: logRouterTag(tag),
    totalTags,
    startVersion,
    recruitedEpoch,
    backupEpoch,
    ...(endVersion === undefined ? {} : { endVersion }),
  };
}
