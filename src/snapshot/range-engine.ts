// The engine of every endpoint: scans the regions of a request, gives their rows to a format, and answers range by range. It only coordinates; scan workers scan, the format saves.
// As TiKV's backup endpoint (components/backup/src/endpoint.rs).

import { AbortScope } from '../core/abort.js';
import type { Clock } from '../core/clock.js';
import { FirstFailure } from '../core/first-failure.js';
import type { KeyRange } from '../core/key-range.js';
import type { BackupSettings } from '../schedule/backup-settings.js';
import type { LoadStatistics } from '../schedule/host-load.js';
import type { SoftLimit } from '../schedule/soft-limit.js';
import { SoftLimitKeeper } from '../schedule/soft-limit-keeper.js';
import { TaskPool } from '../schedule/task-pool.js';
import type { RetryPolicy } from './backoff.js';
import type { RangeFailed } from './range-response.js';
import { ResponseQueue } from './response-queue.js';
import type { RegionSource, RowFormat, ScanVersions } from './row-format.js';
import { ScanProgress } from './scan-progress.js';
import { type ScanContext, scanWorker } from './scan-worker.js';

export interface EngineOptions<Batch> extends BackupSettings, RetryPolicy {
  readonly source: RegionSource<Batch>;
  /** Where the scans run; not stopped. undefined: one of `numThreads` for each request. */
  readonly pool: TaskPool | undefined;
  /** For `enableAutoTune`. */
  readonly statistics: LoadStatistics | undefined;
  readonly clock: Clock;
}

export interface EngineRequest {
  /** Sorted and disjoint. */
  readonly ranges: readonly KeyRange[];
  /** At which to read. */
  readonly versions: ScanVersions;
  /** Regions that a scan worker takes at once. Default: the engine's. */
  readonly batchSize?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Hands an answer to whoever iterates; waits while too many are not taken. */
export type Respond<Answer> = (answer: Answer | RangeFailed) => Promise<void>;

/** Answers that may wait for being taken. */
const MAX_RESPONSES = 256;

/** `Answer`: what the format says of a piece that is stored. */
export class RangeEngine<Batch, Answer extends { readonly range: KeyRange }> {
  readonly #options: EngineOptions<Batch>;

  constructor(options: EngineOptions<Batch>) {
    this.#options = options;
  }

  /**
   * The answers, as they come. Work begins with the first `next`, and ends early, leaving nothing unfinished behind, when the iteration is left or the signal aborts (it then throws the signal's reason).
   * A failure is an answer, for the rest of the region alone. `openFormat`: its signal aborts as soon as the request ends early.
   */
  async *request(
    request: EngineRequest,
    openFormat: (respond: Respond<Answer>, signal: AbortSignal) => RowFormat<Batch>,
  ): AsyncGenerator<Answer | RangeFailed, void, undefined> {
    using scope = new AbortScope(request.signal);
    const responses = new ResponseQueue<Answer | RangeFailed>(MAX_RESPONSES);
    const respond: Respond<Answer> = (response) => responses.push(response, scope.signal);
    const work = this.#work(request, openFormat, respond, scope).then(
      () => responses.end({}),
      (error: unknown) => responses.end({ error }),
    );
    try {
      yield* responses.items();
    } finally {
      scope.end();
      await work;
    }
  }

  async #work(
    request: EngineRequest,
    openFormat: (respond: Respond<Answer>, signal: AbortSignal) => RowFormat<Batch>,
    respond: Respond<Answer>,
    scope: AbortScope,
  ): Promise<void> {
    const { numThreads, ioThreadSize, clock } = this.#options;
    const { signal } = scope;
    signal.throwIfAborted();
    const format = openFormat(respond, signal);
    const keeper = this.#options.enableAutoTune ? this.#keeper() : undefined;
    const context = this.#scanContext(request, format, respond);
    const pool = this.#options.pool ?? new TaskPool({ concurrency: numThreads, clock });
    const failure = new FirstFailure(scope);
    using tuning = new AbortScope(signal);
    const tuned = keeper === undefined ? undefined : failure.guard(keeper.run(tuning.signal));
    const saved = failure.guard(format.run(ioThreadSize, signal));
    const scans = Array.from({ length: numThreads }, () =>
      failure.guard(scanAll(context, pool, keeper?.limit, signal)),
    );
    await Promise.all(scans);
    format.close();
    await saved;
    tuning.end();
    await tuned;
    if (pool !== this.#options.pool) await pool.stop();
    failure.throwIfAny();
  }

  #keeper(): SoftLimitKeeper {
    const { statistics, clock } = this.#options;
    return new SoftLimitKeeper({ settings: this.#options, statistics, clock });
  }

  #scanContext(
    { ranges, versions, batchSize = this.#options.batchSize }: EngineRequest,
    format: RowFormat<Batch>,
    respond: (failed: RangeFailed) => Promise<void>,
  ): ScanContext<Batch> {
    const { source } = this.#options;
    const progress = new ScanProgress(source, ranges, batchSize, this.#options);
    return { source, progress, versions, format, policy: this.#options, respond };
  }
}

/**
 * One scan worker. With a limit it leaves the pool between two batches, to wait for its place: inside it would keep others from running, those that have a place among them. One that has begun a batch goes on
 * with it, however low the limit becomes.
 */
async function scanAll<Batch>(
  context: ScanContext<Batch>,
  pool: TaskPool,
  limit: SoftLimit | undefined,
  signal: AbortSignal,
): Promise<void> {
  for (let isOver = false; !isOver;) {
    using _place = await limit?.guard(signal);
    isOver = await pool.run((task) => scanWorker(context, task, limit === undefined ? Infinity : 1), { signal });
  }
}
