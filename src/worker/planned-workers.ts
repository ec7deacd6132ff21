// Runs planned workers in this process, one run at a time for each, and knows which of them must not run again. Who they are is decided elsewhere.

import { AbortScope } from '../core/abort.js';
import { BackupError } from '../core/errors.js';
import { logRouterTag } from '../core/version.js';
import type { PlannedWorker } from '../job/plan.js';
import type { TagOfEpoch } from '../job/store-access.js';
import type { Fence } from '../job/worker-transactions.js';
import type { WorkerResult } from './backup-worker.js';
import { BackupWorker } from './backup-worker.js';
import { callSafely } from './events.js';
import type { SharedWorkerOptions } from './plan-follower.js';
import type { RetryPolicy } from './retry.js';
import { backoff, isTransient } from './retry.js';
import type { WorkerRules } from './rules.js';

/** What is heard of them. What these throw is the host's to see. */
export interface WorkerHooks {
  /** A worker has been made and is about to run. */
  readonly onWorker: (worker: BackupWorker, planned: PlannedWorker) => void;
  readonly onEnded?: (planned: PlannedWorker, result: WorkerResult) => void;
  /** It may be started again, after a while, if `willRestart`. */
  readonly onError: (error: unknown, planned: PlannedWorker, willRestart: boolean) => void;
  /** A worker has ended, or may be started again. */
  readonly onChange: () => void;
}

export interface StartOptions {
  readonly signal: AbortSignal;
  readonly fence?: Fence;
  /** Whether one that was displaced may be started again in this epoch: by whoever knows that the tag is its own. */
  readonly restartsDisplaced?: boolean;
}

interface RunningWorker {
  readonly planned: PlannedWorker;
  readonly scope: AbortScope;
  readonly ended: Promise<void>;
}

export class PlannedWorkers {
  readonly #options: SharedWorkerOptions;
  readonly #rules: WorkerRules;
  readonly #policy: RetryPolicy;
  readonly #hooks: WorkerHooks;
  /** Those that run, and those that wait for being allowed to again. */
  readonly #running = new Map<string, RunningWorker>();
  /** Those that must not be started again in this epoch: displaced, drained, or failed for good. */
  readonly #retired = new Set<string>();
  /** Those of them that met LOG_GAP. */
  readonly #gapped = new Set<string>();
  /** How often one was displaced, one time after the other. */
  readonly #displacements = new Map<string, number>();

  constructor(options: SharedWorkerOptions, rules: WorkerRules, policy: RetryPolicy, hooks: WorkerHooks) {
    this.#options = options;
    this.#rules = rules;
    this.#policy = policy;
    this.#hooks = hooks;
  }

  /** Nothing happens when it runs already, or must not run again in this epoch. */
  start(planned: PlannedWorker, options: StartOptions): void {
    const key = keyOf(planned);
    if (this.#running.has(key) || this.#retired.has(key)) return;
    const scope = new AbortScope(options.signal);
    const ended = this.#run(planned, key, options, scope.signal).finally(() => {
      scope.end();
      this.#running.delete(key);
      this.#hooks.onChange();
    });
    this.#running.set(key, { planned, scope, ended });
  }

  /** The tags that have a worker, or one that waits for being allowed to run again. */
  tags(): TagOfEpoch[] {
    return [...this.#running.values()].map(({ planned }) => ({ epoch: planned.backupEpoch, tag: planned.tag }));
  }

  has(at: TagOfEpoch): boolean {
    return this.#of(at).length > 0;
  }

  /** It has failed for good, and is not tried again unless it is readmitted. */
  isRetired(planned: PlannedWorker): boolean {
    return this.#retired.has(keyOf(planned));
  }

  /** It may be tried again although it has failed for good: by whoever has been given its tag anew, and may find that the cause is gone. */
  readmit(planned: PlannedWorker): void {
    const key = keyOf(planned);
    this.#retired.delete(key);
    this.#gapped.delete(key);
  }

  /** Resolves when the tag's workers have ended. */
  async stop(at: TagOfEpoch): Promise<void> {
    const running = this.#of(at);
    for (const { scope } of running) scope.end();
    await Promise.all(running.map(({ ended }) => ended));
  }

  /** Resolves when all have ended: abort their signals before. */
  async ended(): Promise<void> {
    await Promise.all([...this.#running.values()].map(({ ended }) => ended));
  }

  /** In a new epoch every worker may be started again; those that still run are told by the log system themselves. */
  noteNewEpoch(): void {
    this.#retired.clear();
    this.#displacements.clear();
  }

  get hasMetGaps(): boolean {
    return this.#gapped.size > 0;
  }

  /** Once no job is active nothing is missing any more: a worker that met a gap passes it in NOOP mode. */
  forgetGaps(): void {
    for (const key of this.#gapped) this.#retired.delete(key);
    this.#gapped.clear();
  }

  #of({ epoch, tag }: TagOfEpoch): RunningWorker[] {
    return [...this.#running.values()].filter(({ planned }) => planned.backupEpoch === epoch && planned.tag === tag);
  }

  /** Never rejects. */
  async #run(
    planned: PlannedWorker,
    key: string,
    { fence, restartsDisplaced = false }: StartOptions,
    signal: AbortSignal,
  ): Promise<void> {
    const { clock, maxDelay } = this.#policy;
    const { onWorker, onEnded, onError } = this.#hooks;
    const startedAt = clock.now();
    try {
      const worker = new BackupWorker({ ...this.#options, ...workerOptions(planned) }, this.#rules, fence);
      callSafely(() => onWorker(worker, planned));
      const result = await worker.run({ signal });
      callSafely(() => onEnded?.(planned, result));
      if (result.outcome === 'stopped') return;
      if (result.outcome === 'displaced' && restartsDisplaced) {
        // Two who take a tag from each other for ever do it slower and slower.
        const before = clock.now() - startedAt > maxDelay ? 0 : (this.#displacements.get(key) ?? 0);
        this.#displacements.set(key, before + 1);
        await pause(clock.sleep(backoff(this.#policy, before), signal));
      } else this.#retired.add(key);
    } catch (error) {
      const willRestart = isTransient(error);
      // Before anyone hears of it: a listener may ask.
      if (!willRestart) this.#retired.add(key);
      if (BackupError.is(error, 'LOG_GAP')) this.#gapped.add(key);
      callSafely(() => onError(error, planned, willRestart));
      // Stays in the way of a new one for a while, or until it is stopped.
      if (willRestart) await pause(clock.sleep(maxDelay, signal));
    }
  }
}

/** The only thing that a sleep rejects with is its signal's abort. */
async function pause(sleep: Promise<void>): Promise<void> {
  await sleep.catch(() => undefined);
}

function keyOf({ recruitedEpoch, backupEpoch, tag }: PlannedWorker): string {
  return `${recruitedEpoch}/${backupEpoch}/${tag}`;
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
