// The recruiter: keeps the right workers running in this process, by the recovery plan, after every recovery and every death (rules P23, P24).

import { AbortScope } from '../core/abort.js';
import type { LogEpoch } from '../core/version.js';
import type { PlannedWorker } from '../job/plan.js';
import type { LogEpochInfo } from '../ports/log-source.js';
import type { BackupWorker } from './backup-worker.js';
import type { BackupWorkerOptions } from './options.js';
import { DEFAULT_PLAN_INTERVAL, PlanFollower, checkPlanning, planningPolicy } from './plan-follower.js';
import { PlannedWorkers } from './planned-workers.js';
import type { RetryPolicy } from './retry.js';
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
  readonly #policy: RetryPolicy;
  readonly #scope: AbortScope;
  readonly #changed = new Trigger();
  readonly #follower: PlanFollower;
  readonly #workers: PlannedWorkers;
  #failure: { readonly error: unknown } | undefined;

  constructor(unchecked: RecruitOptions, rules: WorkerRules) {
    const options = checkPlanning('recruit', unchecked);
    this.#options = options;
    this.#policy = planningPolicy(options, () => undefined);
    this.#scope = new AbortScope(options.signal);
    this.#follower = new PlanFollower(options, this.#policy, (isNewEpoch) => {
      if (isNewEpoch) this.#workers.noteNewEpoch();
      this.#changed.fire();
    });
    const { onWorker, onWorkerError } = options;
    this.#workers = new PlannedWorkers(options, rules, this.#policy, {
      onWorker: (worker, planned) => onWorker?.(worker, planned),
      onError: (error, planned, willRestart) => {
        // Nobody listens: the recruiter itself is the only one who can be loud.
        if (onWorkerError === undefined && !willRestart) this.#fail(error);
        onWorkerError?.(error, planned, willRestart);
      },
      onChange: () => this.#changed.fire(),
    });
  }

  async run(): Promise<void> {
    const { signal } = this.#scope;
    const following = this.#follower.follow(signal).catch((error: unknown) => this.#fail(error));
    try {
      for (;;) {
        const seen = this.#changed.count;
        if (this.#failure !== undefined) throw this.#failure.error;
        if (this.#follower.epochs !== undefined) await this.#plan(this.#follower.epochs, signal);
        const { planInterval = DEFAULT_PLAN_INTERVAL } = this.#options;
        await triggerOrSleep(this.#changed, seen, this.#policy.clock, planInterval, signal);
      }
    } catch (error) {
      if (!this.#options.signal.aborted) throw error;
    } finally {
      this.#scope.end();
      await following;
      await this.#workers.ended();
    }
  }

  #fail(error: unknown): void {
    if (!this.#scope.signal.aborted) this.#failure ??= { error };
    this.#changed.fire();
  }

  async #plan(epochs: readonly LogEpochInfo[], signal: AbortSignal): Promise<void> {
    const { tags } = this.#options;
    const planned = await this.#follower.plan(epochs, signal);
    if (planned === undefined) return;
    if (this.#workers.hasMetGaps && !(await this.#follower.hasActiveJobs(signal))) this.#workers.forgetGaps();
    for (const worker of planned) {
      if (tags === undefined || tags(worker.backupEpoch, worker.tag)) this.#workers.start(worker, { signal });
    }
  }
}
