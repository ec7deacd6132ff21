// The snapshot endpoint: stores the rows of the ranges that it is asked for, and answers range by range. It only coordinates; scan workers scan, save workers save,
// and a bounded channel joins them. As TiKV's backup endpoint (components/backup/src/endpoint.rs).

import { AbortScope } from '../core/abort.js';
import { BufferPool } from '../core/buffer-pool.js';
import type { KeyRange } from '../core/key-range.js';
import type { Version } from '../core/version.js';
import { RANGE_FILES_PER_FOLDER, rangeFileName } from '../format/fdb/names.js';
import { checkedContainer } from '../ports/checked-container.js';
import type { BackupContainer } from '../ports/backup-container.js';
import type { SoftLimit } from '../schedule/soft-limit.js';
import { SoftLimitKeeper } from '../schedule/soft-limit-keeper.js';
import { TaskPool } from '../schedule/task-pool.js';
import type { TaskHandle } from '../schedule/task.js';
import type { FileStream } from './file-stream.js';
import { RateLimiter } from './rate-limiter.js';
import type { RangeResponse } from './range-response.js';
import { ResponseQueue } from './response-queue.js';
import { RowCutter } from './row-cutter.js';
import { SaveChannel } from './save-channel.js';
import { SaveWorkers } from './save-workers.js';
import { ScanProgress } from './scan-progress.js';
import { type ScanContext, scanWorker } from './scan-worker.js';
import type { EndpointOptions, ResolvedEndpoint } from './snapshot-options.js';
import { resolveEndpoint } from './snapshot-options.js';
import type { SnapshotVersions } from './versions.js';

export interface BackupRequest {
  readonly container: BackupContainer;
  /** Sorted and disjoint. */
  readonly ranges: readonly KeyRange[];
  /** At which to read. */
  readonly versions: SnapshotVersions;
  /** Names the folder of the files: the version at which the snapshot was begun. */
  readonly snapshotBegin: Version;
  /** Files that the snapshot has already: they are numbered on from there. Default 0. */
  readonly firstFile?: number;
  /** Regions that a scan worker takes at once. Default: the endpoint's. */
  readonly batchSize?: number;
  readonly signal?: AbortSignal;
}

/** Answers that may wait for being taken. */
const MAX_RESPONSES = 256;

/**
 * Takes requests, several at a time if need be; all of them share the rate limit and the buffers. Memory, per request: `channelBytes` of encoded rows that wait to be saved, and for each of the
 * `numThreads` scans a batch of rows of the source and the group of rows that is being encoded (1.25 MiB, or one row if that is larger). Buffers that nobody uses are kept, up to `channelBytes` for all requests.
 */
export class SnapshotEndpoint {
  readonly #options: ResolvedEndpoint;
  readonly #limiter: RateLimiter;
  readonly #buffers: BufferPool;

  /** INVALID_OPTION */
  constructor(options: EndpointOptions) {
    this.#options = resolveEndpoint(options);
    this.#limiter = new RateLimiter(this.#options.rateLimit, this.#options.clock);
    this.#buffers = new BufferPool({ maxIdleBytes: this.#options.channelBytes });
  }

  /**
   * The answers, as they come. Work begins with the first `next`, and ends early, leaving nothing unfinished behind, when the iteration is left or the signal aborts (it then throws the signal's reason).
   * A version that has become too old is replaced by a newer one on the spot. Any other failure is an answer, for the rest of the region alone: to ask for it again is the caller's part.
   */
  async *request(request: BackupRequest): AsyncGenerator<RangeResponse, void, undefined> {
    using scope = new AbortScope(request.signal);
    const responses = new ResponseQueue<RangeResponse>(MAX_RESPONSES);
    const work = this.#work(request, responses, scope).then(
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

  async #work(request: BackupRequest, responses: ResponseQueue<RangeResponse>, scope: AbortScope): Promise<void> {
    const { numThreads, ioThreadSize, clock } = this.#options;
    const { signal } = scope;
    signal.throwIfAborted();
    const channel = new SaveChannel(this.#options.channelBytes);
    const respond = (response: RangeResponse) => responses.push(response, signal);
    const saving = this.#saveWorkers(request, channel, respond);
    const keeper = this.#options.enableAutoTune ? this.#keeper() : undefined;
    const context = this.#scanContext(request, channel, saving, respond);
    const pool = this.#options.pool ?? new TaskPool({ concurrency: numThreads, clock });
    let failure: { readonly error: unknown } | undefined;
    const guard = async (work: Promise<void>) => {
      try {
        await work;
      } catch (error) {
        failure ??= { error };
        scope.end(error);
      }
    };
    using tuning = new AbortScope(signal);
    const tuned = keeper === undefined ? undefined : guard(keeper.run(tuning.signal));
    const saved = guard(saving.run(ioThreadSize, signal));
    const scans = Array.from({ length: numThreads }, () => guard(scanAll(context, pool, keeper?.limit, signal)));
    await Promise.all(scans);
    channel.close();
    await saved;
    tuning.end();
    await tuned;
    if (pool !== this.#options.pool) await pool.stop();
    if (failure !== undefined) throw failure.error;
  }

  #keeper(): SoftLimitKeeper {
    const { statistics, clock } = this.#options;
    return new SoftLimitKeeper({ settings: this.#options, statistics, clock });
  }

  #saveWorkers(
    request: BackupRequest,
    channel: SaveChannel,
    respond: (response: RangeResponse) => Promise<void>,
  ): SaveWorkers {
    const { snapshotBegin, firstFile = 0 } = request;
    const container = checkedContainer(request.container, this.#options.clock);
    let files = firstFile;
    const nameOf = ({ version, blockSize }: FileStream) => {
      const folder = Math.floor(files++ / RANGE_FILES_PER_FOLDER);
      return rangeFileName({ snapshotBegin, folder, version, uid: this.#options.random.uid(), blockSize });
    };
    return new SaveWorkers({
      container,
      channel,
      pool: this.#buffers,
      limiter: this.#limiter,
      policy: this.#options,
      clock: this.#options.clock,
      nameOf,
      respond,
    });
  }

  #scanContext(
    { ranges, versions, batchSize = this.#options.batchSize }: BackupRequest,
    channel: SaveChannel,
    saving: SaveWorkers,
    respond: (response: RangeResponse) => Promise<void>,
  ): ScanContext {
    const { source, blockSize, maxFileSize } = this.#options;
    const progress = new ScanProgress(source, ranges, batchSize, this.#options);
    const newCutter = (task: TaskHandle) =>
      new RowCutter({ blockSize, maxFileSize, pool: this.#buffers, channel, task });
    return { source, progress, versions, saving, policy: this.#options, newCutter, respond };
  }
}

/**
 * One scan worker. With a limit it leaves the pool between two batches, to wait for its place: inside it would keep others from running, those that have a place among them. One that has begun a batch goes on
 * with it, however low the limit becomes.
 */
async function scanAll(
  context: ScanContext,
  pool: TaskPool,
  limit: SoftLimit | undefined,
  signal: AbortSignal,
): Promise<void> {
  for (let isOver = false; !isOver;) {
    using _place = await limit?.guard(signal);
    isOver = await pool.run((task) => scanWorker(context, task, limit === undefined ? Infinity : 1), { signal });
  }
}
