// The threads that compress blocks: one pool for all writers of a process. It owns the threads; nothing of it is left once `close` has resolved.

import { checkWholeNumber } from '../../core/check-option.js';
import { BackupError } from '../../core/errors.js';
import type { BlockPress } from '../../format/sst/block-press.js';
import type { SstCompression } from '../../format/sst/codec.js';
import { loadCodec } from '../../format/sst/codecs/load-codec.js';
import { inlinePress } from '../../format/sst/inline-press.js';
import { loadCrc32c } from '../../format/sst/native-crc32c.js';
import { MultilevelQueue, type MultilevelQueueOptions } from '../../schedule/multilevel-queue.js';
import type { TaskId } from '../../schedule/task-time.js';
import { PressThreads } from './press-threads.js';
import { ThreadedBlockPress } from './threaded-block-press.js';

/** Far above what helps: each thread has a heap, an event loop and codecs of its own. */
const MOST_THREADS = 256;

export interface BlockPoolOptions {
  /** Threads, as TiKV's `backup.num-threads`. 0: none, blocks are compressed on the thread that writes. */
  readonly numThreads: number;
  /** Closes the pool when it aborts, as `close` does. */
  readonly signal?: AbortSignal | undefined;
  /** How those who wait for a thread take turns. A unit of work is some 2 MiB: with the default thresholds of 5 and 100 ms a backup counts as short for its first few MiB. */
  readonly queue?: MultilevelQueueOptions | undefined;
  /** Where the threads' code is: for a host that is bundled into one file, and has `block-worker.js` somewhere else. */
  readonly workerFile?: string | URL | undefined;
  /** Node's own options for the threads. Default: those of this process. */
  readonly execArgv?: readonly string[] | undefined;
}

export interface BlockPressOptions {
  readonly compression: SstCompression;
  /** zstd: -7 to 22, default 3. zlib: -1 to 9. */
  readonly level?: number | undefined;
  /** Whom the work is for: the presses of one backup share an id, and ids share the threads fairly. Default: one of its own. */
  readonly taskId?: TaskId | undefined;
  /** Cancels this press alone: calls under way reject at once with its reason. */
  readonly signal?: AbortSignal | undefined;
}

/** `await using pool = await BlockPool.open({ numThreads: 2 })`. A pool that is not closed holds memory, but does not keep the process alive. */
export class BlockPool implements AsyncDisposable {
  readonly numThreads: number;
  readonly #queue: MultilevelQueue;
  readonly #threads: PressThreads | undefined;
  readonly #signal: AbortSignal | undefined;
  readonly #onAbort = () => void this.close();
  #closed: Promise<void> | undefined;

  private constructor(queue: MultilevelQueue, threads: PressThreads | undefined, signal: AbortSignal | undefined) {
    this.numThreads = threads?.numThreads ?? 0;
    this.#queue = queue;
    this.#threads = threads;
    this.#signal = signal;
    signal?.addEventListener('abort', this.#onAbort, { once: true });
  }

  /** PACKAGE_MISSING without the package piscina, unless `numThreads` is 0. */
  static async open(options: BlockPoolOptions): Promise<BlockPool> {
    const { signal, workerFile, execArgv } = options;
    const numThreads = checkWholeNumber('numThreads', options.numThreads, 0, MOST_THREADS);
    const queue = new MultilevelQueue(options.queue);
    signal?.throwIfAborted();
    const threads =
      numThreads === 0 ? undefined : await PressThreads.start({ numThreads, queue, workerFile, execArgv });
    if (signal?.aborted === true) await threads?.close();
    signal?.throwIfAborted();
    return new BlockPool(queue, threads, signal);
  }

  /** Calls of `press` that wait for a thread, of all presses together. Their bound is the writers' affair: each has `concurrency` calls under way at most. */
  get waiting(): number {
    return this.#threads?.waiting ?? 0;
  }

  /** How long the threads have worked for that id, in ms: what the line in front of them goes by. */
  timeOf(taskId: TaskId): number {
    return this.#queue.timeOf(taskId).ms;
  }

  /**
   * A press for one writer, or for all writers of a backup. PACKAGE_MISSING and INVALID_OPTION for the codec come here, not with the first block; STOPPED once the pool is closed. Blocks that are not to be
   * compressed stay on this thread: their checksum takes about as long as it takes to hand them over.
   */
  async press(options: BlockPressOptions): Promise<BlockPress> {
    const { compression, level, taskId, signal } = options;
    if (this.#closed !== undefined) throw new BackupError('STOPPED', 'the pool of threads has been closed');
    const codec = await loadCodec(compression, { level });
    if (this.#threads === undefined || compression === 'none') return inlinePress(codec, await loadCrc32c());
    return new ThreadedBlockPress(this.#threads, { compression, level, time: this.#queue.timeOf(taskId), signal });
  }

  /** Ends the threads: calls of `press` that are under way reject with STOPPED. Resolves when all threads are gone. */
  close(): Promise<void> {
    this.#signal?.removeEventListener('abort', this.#onAbort);
    this.#closed ??= this.#threads?.close() ?? Promise.resolve();
    return this.#closed;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
