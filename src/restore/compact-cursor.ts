// One log file as a stream of records, read run by run and held against its recorded checksums.

import { BackupError } from '../core/errors.js';
import { RECORD_HEADER_BYTES } from '../core/message-batch.js';
import type { FileSums } from '../format/fdb/file-sums.js';
import { FileSumsBuilder } from '../format/fdb/file-sums.js';
import { LogRecordReader } from '../format/fdb/log-file-decoder.js';
import type { BackupContainer } from '../ports/backup-container.js';
import type { LogFile } from './description.js';
import { firstWrongBlock, readExactly } from './verify-read.js';

export const RUN_BYTES = 1 << 20;

export class FileCursor {
  readonly file: LogFile;
  readonly #container: BackupContainer;
  readonly #sums: FileSums | undefined;
  readonly #seen: FileSumsBuilder | undefined;
  readonly #reader: LogRecordReader;
  /** There is a record to stand on. */
  #onRecord = false;

  constructor(container: BackupContainer, file: LogFile, sums: FileSums | undefined) {
    this.file = file;
    this.#container = container;
    this.#sums = sums;
    this.#seen = sums === undefined ? undefined : new FileSumsBuilder(sums.blockSize);
    this.#reader = new LogRecordReader(file);
  }

  /** False behind the last record. */
  get onRecord(): boolean {
    return this.#onRecord;
  }

  get reader(): LogRecordReader {
    return this.#reader;
  }

  /** Where the record begins in the run's bytes. */
  get start(): number {
    return this.#reader.mutationStart - RECORD_HEADER_BYTES;
  }

  get end(): number {
    return this.#reader.mutationEnd;
  }

  /** Moves to the next record of the run; false when the run is used up: then `refill`. */
  next(): boolean {
    this.#onRecord = this.#reader.next();
    return this.#onRecord;
  }

  /** Reads the next runs until there is a record, or the file has ended; then its checksums must have been right. CORRUPT_FILE, CHECKSUM_MISMATCH … with file and offset. */
  async refill(): Promise<void> {
    const { file } = this;
    while (!this.#onRecord && this.#reader.nextOffset < file.size) {
      const offset = this.#reader.nextOffset;
      const whole = Math.max(1, Math.floor(RUN_BYTES / file.blockSize)) * file.blockSize;
      const bytes = await readExactly(this.#container, file, offset, Math.min(whole, file.size - offset));
      this.#seen?.update(bytes);
      this.#reader.load(bytes);
      this.next();
    }
    if (!this.#onRecord) this.#checkSums();
  }

  /** The record's bytes, head included. Shares the run's memory. */
  record(): Uint8Array {
    return this.#reader.bytes.subarray(this.start, this.end);
  }

  #checkSums(): void {
    if (this.#sums === undefined || this.#seen === undefined) return;
    const offset = firstWrongBlock(this.#sums, this.#seen.build());
    if (offset === undefined) return;
    const { name } = this.file;
    throw new BackupError('CHECKSUM_MISMATCH', `${name}: the block at offset ${offset} is not what was written`, {
      file: name,
      offset,
    });
  }
}
