// The reads of a restore: so many at a time over all files, with the checksums that the container has, again with backoff where a failure may be a passing one.

import PQueue from 'p-queue';
import { abortable } from '../core/abort.js';
import type { Clock } from '../core/clock.js';
import { BackupError } from '../core/errors.js';
import type { FileSums } from '../format/fdb/file-sums.js';
import type { BackupContainer } from '../ports/backup-container.js';
import type { BlockFile } from './log-file-blocks.js';
import { readRun } from './log-file-blocks.js';
import { SumsReader } from './log-sums.js';

export interface CheckedReadsOptions {
  readonly clock: Clock;
  readonly signal?: AbortSignal | undefined;
  /** Bytes read at a time, unless a block is larger. */
  readonly readBytes: number;
  /** Reads at a time. Default 4: more would fill libuv's threads, which the host needs for files of its own. */
  readonly concurrentReads?: number | undefined;
}

const READ_ATTEMPTS = 6;
const FIRST_RETRY_MS = 100;

export class CheckedReads {
  readonly container: BackupContainer;
  readonly readBytes: number;
  readonly #clock: Clock;
  readonly #signal: AbortSignal | undefined;
  readonly #queue: PQueue;
  readonly #sums: SumsReader;

  constructor(container: BackupContainer, { clock, signal, readBytes, concurrentReads = 4 }: CheckedReadsOptions) {
    this.container = container;
    this.readBytes = readBytes;
    this.#clock = clock;
    this.#signal = signal;
    this.#queue = new PQueue({ concurrency: concurrentReads });
    this.#sums = new SumsReader(container, signal);
  }

  /** The run of blocks at `offset`. `sums`: the file's, where they are known already; else they are looked up. */
  run(file: BlockFile, offset: number, sums?: FileSums): Promise<Uint8Array> {
    return this.#queue.add(() =>
      this.#retry(async () => {
        const known = sums ?? (await this.#sums.forFile(file.name));
        return readRun(this.container, file, offset, this.readBytes, known);
      }),
    );
  }

  async #retry<T>(read: () => Promise<T>): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      this.#signal?.throwIfAborted();
      try {
        // A container may hang, and its calls know no signal; what it reads too late is nobody's.
        return await (this.#signal === undefined ? read() : abortable(read(), this.#signal));
      } catch (error) {
        if (attempt >= READ_ATTEMPTS || !BackupError.is(error) || !error.retryable) throw error;
      }
      await this.#clock.sleep(FIRST_RETRY_MS * 2 ** (attempt - 1), this.#signal);
    }
  }
}
