// Blocks are compressed and checksummed on the threads of a pool. This side only hands memory over and takes memory back.

import { abortable } from '../../core/abort.js';
import type { BlockPress } from '../../format/sst/block-press.js';
import type { SstCompression } from '../../format/sst/codec.js';
import type { TaskTime } from '../../schedule/task-time.js';
import { PER_THREAD, type PressThreads } from './press-threads.js';

/** Within: made by `BlockPool.press`. */
export interface ThreadedBlockPressOptions {
  readonly compression: SstCompression;
  readonly level: number | undefined;
  readonly time: TaskTime;
  readonly signal: AbortSignal | undefined;
}

/**
 * Each call of `press` is one unit of work for one thread: about 2 MiB of raw blocks keep what it costs to hand them over small. The blocks' buffers are transferred, and gone here from the call on; the stored blocks
 * come back in that same memory. Calls may overlap, from several writers too; each answers for its own blocks, in their order.
 */
export class ThreadedBlockPress implements BlockPress {
  readonly #threads: PressThreads;
  readonly #options: ThreadedBlockPressOptions;
  readonly #cancelled = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT));

  get compression(): SstCompression {
    return this.#options.compression;
  }

  constructor(threads: PressThreads, options: ThreadedBlockPressOptions) {
    this.#threads = threads;
    this.#options = options;
  }

  /** As many as the threads hold. */
  get concurrency(): number {
    return PER_THREAD * this.#threads.numThreads;
  }

  /** Rejects with the signal's reason as soon as it aborts; THREAD_FAILED (worth another try) when the thread dies; STOPPED once the pool is closed. */
  async press(blocks: readonly Uint8Array[]): Promise<readonly Uint8Array[]> {
    if (blocks.length === 0) return [];
    const { compression, level, time, signal } = this.#options;
    signal?.throwIfAborted();
    const pressed = this.#threads.run({ compression, level, blocks, cancelled: this.#cancelled }, time);
    if (signal === undefined) return await pressed;
    try {
      return await abortable(pressed, signal);
    } catch (error) {
      // What still waits for a thread is answered without being looked at.
      if (signal.aborted) Atomics.store(this.#cancelled, 0, 1);
      throw error;
    }
  }
}
