// A range file as a scan worker sees it: rows in, encoded groups out to the save workers.

import type { BufferPool } from '../core/buffer-pool.js';
import { Crc64Xor } from '../core/crc64.js';
import type { Version } from '../core/version.js';
import { RangeFileEncoder } from '../format/fdb/range-file-encoder.js';
import { FileStream } from './file-stream.js';
import type { SaveChannel } from './save-channel.js';

export interface OpenRangeFileOptions {
  /** The first key that the file covers. */
  readonly begin: Uint8Array;
  readonly version: Version;
  readonly blockSize: number;
  readonly pool: BufferPool;
  readonly channel: SaveChannel;
}

export class OpenRangeFile {
  readonly begin: Uint8Array;
  readonly version: Version;
  readonly #encoder: RangeFileEncoder;
  readonly #stream: FileStream;
  readonly #channel: SaveChannel;
  readonly #crc = new Crc64Xor();

  constructor({ begin, version, blockSize, pool, channel }: OpenRangeFileOptions) {
    this.begin = begin;
    this.version = version;
    this.#encoder = new RangeFileEncoder({ blockSize, begin, pool, crc64: this.#crc });
    this.#stream = new FileStream(version, blockSize);
    this.#channel = channel;
  }

  /** Size so far. */
  get bytes(): number {
    return this.#encoder.fileBytes;
  }

  /** It cannot be saved: what is added from now on is lost. */
  get hasFailed(): boolean {
    return this.#stream.failure !== undefined;
  }

  /** Whether the row can go into this file's blocks. */
  fits(key: Uint8Array, value: Uint8Array): boolean {
    return this.#encoder.fits(key, value);
  }

  /** Whether the file's blocks hold this end key; the key right after the last row's they do. */
  fitsEnd(end: Uint8Array): boolean {
    return this.#encoder.fitsEnd(end);
  }

  /** Copies the row. INVALID_OPTION unless its key comes after the last one. */
  add(key: Uint8Array, value: Uint8Array): void {
    this.#encoder.add(key, value);
  }

  /** Gives what is encoded to the save workers; waits when they are too far behind. */
  async flush(signal: AbortSignal): Promise<void> {
    const group = this.#encoder.takeGroup();
    if (group !== undefined) await this.#channel.send(this.#stream, group, signal);
  }

  fail(error: unknown): void {
    this.#stream.failure ??= { error };
  }

  /** The file covers its keys up to `end`, exclusive. */
  async end(end: Uint8Array, signal: AbortSignal): Promise<void> {
    if (!this.hasFailed) {
      this.#encoder.finish(end);
      await this.flush(signal);
    }
    const { rows, rowBytes } = this.#encoder;
    this.#channel.end(this.#stream, {
      range: { begin: this.begin, end },
      rows,
      rowBytes,
      crc64xor: this.#crc.digest(),
    });
  }
}
