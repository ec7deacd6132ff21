// Cuts the rows of neighbouring regions into range files.
// Must never let a file claim keys that were not scanned, at the file's version, to their end.

import type { BufferPool } from '../core/buffer-pool.js';
import { compareBytes, keyAfter } from '../core/bytes.js';
import { BackupError, assert } from '../core/errors.js';
import { formatRange } from '../core/key-range.js';
import type { Version } from '../core/version.js';
import { rangeBlockSizeFor } from '../format/fdb/range-file-encoder.js';
import type { KeyValueBatch, Region } from '../ports/range-source.js';
import type { TaskHandle } from '../schedule/task.js';
import { OpenRangeFile } from './open-range-file.js';
import type { RowCutter } from './row-format.js';
import type { SaveChannel } from './save-channel.js';

export interface RangeFileCutterOptions {
  readonly blockSize: number;
  readonly maxFileSize: number;
  readonly pool: BufferPool;
  readonly channel: SaveChannel;
  /** Whose time the encoding is counted to, and whose end ends it. */
  readonly task: TaskHandle;
}

type Row = readonly [key: Uint8Array, value: Uint8Array];

/** Encoded bytes after which they are passed on to the save workers. */
const FLUSH_BYTES = 1 << 20;

export class RangeFileCutter implements RowCutter<KeyValueBatch> {
  readonly #options: RangeFileCutterOptions;
  /** The keys from #begin to #at have been scanned at #version; their rows, if there are any, are in #file. */
  #begin: Uint8Array | undefined;
  #at: Uint8Array = new Uint8Array(0);
  #version: Version = 0n;
  #file: OpenRangeFile | undefined;
  /** Right after the last row. */
  #rowsEnd: Uint8Array = this.#at;
  /** Size of #file at which it is flushed. */
  #flushAt = 0;
  /** Of the files before #file. */
  #endedBytes = 0;

  constructor(options: RangeFileCutterOptions) {
    this.#options = options;
  }

  get at(): Uint8Array {
    return this.#at;
  }

  get encodedBytes(): number {
    return this.#endedBytes + (this.#file?.bytes ?? 0);
  }

  /** The file goes on: neighbours share it. */
  enter({ range }: Region): void {
    this.skipTo(range.begin);
  }

  skipTo(key: Uint8Array): void {
    const isThere = compareBytes(key, this.#at) === 0;
    assert(isThere || this.#begin === undefined, 'a file does not cover what was left out');
    this.#at = key;
  }

  async useVersion(version: Version): Promise<void> {
    if (version !== this.#version) await this.endFile();
    this.#version = version;
    this.#begin ??= this.#at;
  }

  async add(batch: KeyValueBatch, region: Region): Promise<void> {
    if (batch.length === 0) return;
    checkBatch(batch, this.#at, region);
    for (let next = 0; next < batch.length;) {
      const [key, value] = batch[next] as Row;
      if (compareBytes(key, this.#at) < 0) throw outOfOrder(region);
      if (this.#mustEndBefore(key, value)) await this.#endFileAt(key);
      next = this.#options.task.measure(() => this.#addRows(batch, next, region));
      this.#at = this.#rowsEnd = keyAfter((batch[next - 1] as Row)[0]);
      await this.#flush();
    }
  }

  coverTo(end: Uint8Array): void {
    this.#at = end;
  }

  async endFile(): Promise<void> {
    const file = this.#file;
    let begin = this.#begin;
    this.#file = undefined;
    this.#begin = undefined;
    if (begin === undefined || compareBytes(begin, this.#at) === 0) return;
    if (file !== undefined) {
      const end = file.fitsEnd(this.#at) ? this.#at : this.#rowsEnd;
      await this.#end(file, end);
      if (compareBytes(end, this.#at) === 0) return;
      begin = end;
    }
    await this.#end(this.#open(begin, this.#at.length), this.#at);
  }

  fail(error: unknown): void {
    this.#file?.fail(error);
  }

  /** Adds rows, `first` and as many as can follow it before something is to be done about the file; returns where it stopped. No await: there may be millions of rows. */
  #addRows(batch: KeyValueBatch, first: number, region: Region): number {
    let next = first;
    try {
      do {
        const [key, value] = batch[next] as Row;
        if (next > first && this.#mustEndBefore(key, value)) break;
        this.#file ??= this.#openForRow(key, value);
        this.#file.add(key, value);
        next++;
        if (this.#file.bytes >= this.#flushAt) break;
      } while (next < batch.length);
    } catch (cause) {
      throw BackupError.is(cause, 'INVALID_OPTION') ? outOfOrder(region, cause) : cause;
    }
    return next;
  }

  async #endFileAt(key: Uint8Array): Promise<void> {
    this.#at = key;
    await this.endFile();
    this.#begin = key;
  }

  #mustEndBefore(key: Uint8Array, value: Uint8Array): boolean {
    const file = this.#file;
    return file !== undefined && (file.bytes >= this.#options.maxFileSize || file.hasFailed || !file.fits(key, value));
  }

  #openForRow(key: Uint8Array, value: Uint8Array): OpenRangeFile {
    assert(this.#begin !== undefined, 'a version has been chosen');
    this.#flushAt = FLUSH_BYTES;
    return this.#open(this.#begin, key.length + value.length);
  }

  /** Its blocks hold such a row, or end key. */
  #open(begin: Uint8Array, largest: number): OpenRangeFile {
    const { pool, channel } = this.#options;
    const blockSize = rangeBlockSizeFor(Math.max(begin.length, largest), this.#options.blockSize);
    return new OpenRangeFile({ begin, version: this.#version, blockSize, pool, channel });
  }

  async #end(file: OpenRangeFile, end: Uint8Array): Promise<void> {
    await file.end(end, this.#options.task.signal);
    this.#endedBytes += file.bytes;
  }

  async #flush(): Promise<void> {
    const file = this.#file;
    if (file === undefined || file.bytes < this.#flushAt) return;
    this.#flushAt = file.bytes + FLUSH_BYTES;
    await file.flush(this.#options.task.signal);
  }
}

function checkBatch(batch: KeyValueBatch, from: Uint8Array, region: Region): void {
  const [first] = batch[0] as Row;
  const [last] = batch.at(-1) as Row;
  if (compareBytes(first, from) < 0 || compareBytes(last, region.range.end) >= 0) throw outOfOrder(region);
}

function outOfOrder({ id, range }: Region, cause?: unknown): BackupError {
  return new BackupError(
    'ADAPTER_CONTRACT',
    `a scan of region ${id}, ${formatRange(range)}, must yield rows of the range that it is asked for, each key once and in order`,
    { cause },
  );
}
