// Knows what has to run: follows the log system, and runs the recovery plan over what is recorded (rules P23, P24). It starts nobody.

import { abortable, abortableStream } from '../core/abort.js';
import type { Clock } from '../core/clock.js';
import { systemClock, systemRandom } from '../core/clock.js';
import { BackupError } from '../core/errors.js';
import { logRouterTag } from '../core/version.js';
import type { PlannedWorker } from '../job/plan.js';
import { announceEpoch, planFromStore } from '../job/recruiter-transactions.js';
import { readStarted } from '../job/store-access.js';
import { checkedLogSource } from '../ports/checked-log-source.js';
import { checkedStore } from '../ports/checked-progress-store.js';
import type { LogEpochInfo, LogSource } from '../ports/log-source.js';
import type { ProgressStore } from '../ports/progress-store.js';
import { hasLogSystem } from './monitors.js';
import type { BackupWorkerOptions } from './options.js';
import { resolveOptions } from './options.js';
import type { RetryPolicy } from './retry.js';
import { retrying } from './retry.js';

/** What all workers of a process have in common. */
export type SharedWorkerOptions = Omit<
  BackupWorkerOptions,
  'tag' | 'totalTags' | 'startVersion' | 'endVersion' | 'recruitedEpoch' | 'backupEpoch'
>;

export interface PlanningOptions extends SharedWorkerOptions {
  readonly epoch?: LogEpochInfo;
  readonly planInterval?: number;
}

/** ms */
export const DEFAULT_PLAN_INTERVAL = 5_000;

/** The same, with ports that are held to their contracts. Throws INVALID_OPTION: what no worker can run with is refused before any is started. */
export function checkPlanning<Options extends PlanningOptions>(caller: string, options: Options): Options {
  if (options.logSource.logSystem === undefined && options.epoch === undefined) {
    throw new BackupError('INVALID_OPTION', `${caller}: epoch is needed for a LogSource without logSystem`);
  }
  const anyWorker = { tag: logRouterTag(0), totalTags: 1, startVersion: 0n, recruitedEpoch: 0, backupEpoch: 0 };
  resolveOptions({ ...options, ...anyWorker });
  const planInterval = options.planInterval ?? DEFAULT_PLAN_INTERVAL;
  if (!(planInterval > 0 && planInterval < 2 ** 31)) {
    throw new BackupError('INVALID_OPTION', `planInterval must be a number of ms above 0, got ${String(planInterval)}`);
  }
  const clock = options.clock ?? systemClock;
  return {
    ...options,
    logSource: checkedLogSource(options.logSource, clock),
    progressStore: checkedStore(options.progressStore, clock),
  };
}

/** How calls of the store and the log system are tried again. */
export function planningPolicy(options: PlanningOptions, onRetry: RetryPolicy['onRetry']): RetryPolicy {
  return {
    clock: options.clock ?? systemClock,
    random: options.random ?? systemRandom,
    minDelay: options.retryMinDelay ?? 100,
    maxDelay: options.retryMaxDelay ?? 10_000,
    onRetry,
  };
}

export class PlanFollower {
  readonly #logSource: LogSource;
  readonly #progressStore: ProgressStore;
  readonly #clock: Clock;
  readonly #policy: RetryPolicy;
  readonly #onChange: (isNewEpoch: boolean) => void;
  #epochs: readonly LogEpochInfo[] | undefined;

  /** `onChange` is called for everything that the log system says. */
  constructor(options: PlanningOptions, policy: RetryPolicy, onChange: (isNewEpoch: boolean) => void) {
    this.#logSource = options.logSource;
    this.#progressStore = options.progressStore;
    this.#clock = policy.clock;
    this.#policy = policy;
    this.#onChange = onChange;
    if (options.epoch !== undefined) this.#epochs = [options.epoch];
  }

  /** As the log system says; undefined until it has said something. */
  get epochs(): readonly LogEpochInfo[] | undefined {
    return this.#epochs;
  }

  /** Runs until the signal aborts, or there is no log system to follow. */
  async follow(signal: AbortSignal): Promise<void> {
    const logSource = this.#logSource;
    if (!hasLogSystem(logSource)) return;
    for (;;) {
      await retrying(this.#policy, 'logSystem', signal, async () => {
        for await (const { recoveryCount, epochs } of abortableStream(logSource.logSystem(signal), signal)) {
          const isNewEpoch = this.#epochs?.at(-1)?.epoch !== recoveryCount;
          this.#epochs = epochs;
          this.#onChange(isNewEpoch);
        }
      });
      await this.#clock.sleep(this.#policy.minDelay, signal);
    }
  }

  /** undefined: a newer epoch has been announced by another process; the log system will tell us of it too. */
  async plan(epochs: readonly LogEpochInfo[], signal: AbortSignal): Promise<readonly PlannedWorker[] | undefined> {
    const progressStore = this.#progressStore;
    const current = epochs.at(-1);
    if (current === undefined) throw new BackupError('INVALID_EPOCHS', 'the log system names no epoch');
    try {
      const plan = await retrying(this.#policy, 'plan', signal, async () => {
        await abortable(announceEpoch(progressStore, current), signal);
        return abortable(planFromStore(progressStore, epochs), signal);
      });
      return plan.workers;
    } catch (error) {
      if (BackupError.is(error, 'DISPLACED')) return undefined;
      throw error;
    }
  }

  async hasActiveJobs(signal: AbortSignal): Promise<boolean> {
    const active = await retrying(this.#policy, 'look for active jobs', signal, () =>
      abortable(this.#progressStore.transact(readStarted), signal),
    );
    return active.length > 0;
  }
}
