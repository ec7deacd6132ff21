// Rows as FoundationDB's range files: the cutters encode them, a bounded channel takes them to the save workers.

import type { BufferPool } from '../core/buffer-pool.js';
import type { Version } from '../core/version.js';
import { RANGE_FILES_PER_FOLDER, rangeFileName } from '../format/fdb/names.js';
import type { BackupContainer } from '../ports/backup-container.js';
import { checkedContainer } from '../ports/checked-container.js';
import type { KeyValueBatch } from '../ports/range-source.js';
import type { TaskHandle } from '../schedule/task.js';
import type { FileStream } from './file-stream.js';
import { RangeFileCutter } from './range-file-cutter.js';
import type { RangeResponse } from './range-response.js';
import type { RateLimiter } from './rate-limiter.js';
import type { RowFormat } from './row-format.js';
import { SaveChannel } from './save-channel.js';
import { SaveWorkers } from './save-workers.js';
import type { ResolvedEndpoint } from './snapshot-options.js';

export interface RangeFileFormatOptions {
  readonly endpoint: ResolvedEndpoint;
  /** Shared by all requests of an endpoint. */
  readonly limiter: RateLimiter;
  readonly buffers: BufferPool;
  readonly container: BackupContainer;
  /** Names the folder of the files. */
  readonly snapshotBegin: Version;
  /** The number of the first one: a folder has room for so many. */
  readonly firstFile: number;
  readonly respond: (response: RangeResponse) => Promise<void>;
}

export class RangeFileFormat implements RowFormat<KeyValueBatch> {
  readonly #options: RangeFileFormatOptions;
  readonly #channel: SaveChannel;
  readonly #saving: SaveWorkers;
  #files: number;

  constructor(options: RangeFileFormatOptions) {
    const { endpoint, limiter, buffers, respond } = options;
    this.#options = options;
    this.#files = options.firstFile;
    this.#channel = new SaveChannel(endpoint.channelBytes);
    this.#saving = new SaveWorkers({
      container: checkedContainer(options.container, endpoint.clock),
      channel: this.#channel,
      pool: buffers,
      limiter,
      policy: endpoint,
      clock: endpoint.clock,
      nameOf: (stream) => this.#nameOf(stream),
      respond,
    });
  }

  get givenUp(): { readonly error: unknown } | undefined {
    return this.#saving.givenUp;
  }

  get failuresInARow(): number {
    return this.#saving.failuresInARow;
  }

  newCutter(task: TaskHandle): RangeFileCutter {
    const { endpoint, buffers } = this.#options;
    const { blockSize, maxFileSize } = endpoint;
    return new RangeFileCutter({ blockSize, maxFileSize, pool: buffers, channel: this.#channel, task });
  }

  run(workers: number, signal: AbortSignal): Promise<void> {
    return this.#saving.run(workers, signal);
  }

  close(): void {
    this.#channel.close();
  }

  #nameOf({ version, blockSize }: FileStream): string {
    const { endpoint, snapshotBegin } = this.#options;
    const folder = Math.floor(this.#files++ / RANGE_FILES_PER_FOLDER);
    return rangeFileName({ snapshotBegin, folder, version, uid: endpoint.random.uid(), blockSize });
  }
}
