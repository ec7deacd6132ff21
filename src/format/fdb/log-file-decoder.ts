// Reads the records of a partitioned log file, strictly: whatever is not exactly what the format says is refused with the file and the offset.
// Pure: blocks are handed in, the caller does the reading. Runs once per mutation of a restore, so it allocates nothing per record.
//
// block  = u32 LE 4110, record*, 0xFF padding up to the block's end (not needed in the last block)
// record = version i64 BE, subsequence u32 BE, length u32 BE, mutation

import { RECORD_HEADER_BYTES } from '../../core/message-batch.js';
import type { VersionedMessage } from '../../core/mutation.js';
import {
  CHECKSUM_FLAG,
  CHECKSUM_INDEX_FLAG,
  MUTATION_OVERHEAD_BYTES,
  decodeMutation,
  isStorableType,
} from '../../core/mutation.js';
import type { BackupErrorCode } from '../../core/errors.js';
import { BackupError, assert } from '../../core/errors.js';
import type { Version } from '../../core/version.js';
import type { LogFileDescriptor } from './names.js';

/** First word of every block: FoundationDB's PARTITIONED_MLOG_VERSION. */
export const LOG_BLOCK_VERSION = 4110;
export const LOG_BLOCK_HEADER_BYTES = 4;
const PADDING = 0xff;

/** What the decoder must know of a file: its name's facts and its size in bytes. */
export type DecodedLogFile = Pick<LogFileDescriptor, 'begin' | 'end' | 'blockSize'> & {
  readonly name: string;
  readonly size: number;
};

/**
 * Walks a file record by record. `load` a run of whole blocks, call `next` until it says false, and so on until `offset` is the file's size. After `next` the
 * fields describe the record; they are numbers, not objects, because a restore looks at every one of them.
 *
 * Throws UNSUPPORTED_FORMAT for an unknown block version, CHECKSUM_MISMATCH, INVALID_MUTATION for a type that is never stored, CORRUPT_FILE for the rest.
 */
export class LogRecordReader {
  /** Upper and lower half of the record's version; versions in a container are never negative, so the halves compare unsigned. */
  versionHigh = 0;
  versionLow = 0;
  subsequence = 0;
  /** The mutation is bytes[mutationStart, mutationEnd). */
  mutationStart = 0;
  mutationEnd = 0;
  /** The run that `load` was given. */
  bytes: Uint8Array = new Uint8Array(0);

  readonly file: DecodedLogFile;
  readonly #beginHigh: number;
  readonly #beginLow: number;
  readonly #endHigh: number;
  readonly #endLow: number;
  #view: DataView = new DataView(new ArrayBuffer(0));
  /** Offset in the file of the run's first byte. */
  #runOffset = 0;
  #at = 0;
  #blockEnd = 0;

  constructor(file: DecodedLogFile) {
    this.file = file;
    this.#beginHigh = Number(file.begin >> 32n);
    this.#beginLow = Number(file.begin & 0xffffffffn);
    this.#endHigh = Number(file.end >> 32n);
    this.#endLow = Number(file.end & 0xffffffffn);
  }

  /** Offset in the file of the next byte to load. */
  get nextOffset(): number {
    return this.#runOffset + this.bytes.length;
  }

  /** Offset in the file of the current record. */
  get recordOffset(): number {
    return this.#runOffset + this.mutationStart - RECORD_HEADER_BYTES;
  }

  get version(): Version {
    return (BigInt(this.versionHigh) << 32n) | BigInt(this.versionLow);
  }

  /** `bytes`: what follows in the file from `nextOffset`, whole blocks unless the file ends. */
  load(bytes: Uint8Array): void {
    const offset = this.nextOffset;
    assert(this.#at === this.bytes.length, 'a run of blocks is read to its end before the next one');
    assert(bytes.length > 0 && offset % this.file.blockSize === 0, 'runs begin at a block');
    assert(
      bytes.length % this.file.blockSize === 0 || offset + bytes.length === this.file.size,
      'runs end with a block',
    );
    this.#runOffset = offset;
    this.bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#at = 0;
    this.#blockEnd = 0;
  }

  /** Moves to the next record; false when the run is used up. */
  next(): boolean {
    let at = this.#at;
    for (;;) {
      if (at === this.#blockEnd) {
        if (at === this.bytes.length) return false;
        at = this.#enterBlock(at);
      } else if (this.bytes[at] === PADDING) {
        at = this.#skipPadding(at);
      } else {
        break;
      }
      this.#at = at;
    }
    const left = this.#blockEnd - at;
    if (left < RECORD_HEADER_BYTES) this.#refuse(at, `${left} bytes are left in the block, too few for a record`);
    const view = this.#view;
    const high = view.getUint32(at);
    const low = view.getUint32(at + 4);
    const subsequence = view.getUint32(at + 8);
    const length = view.getUint32(at + 12);
    if (length > left - RECORD_HEADER_BYTES)
      this.#refuse(at, `a record of ${length} bytes does not fit into its block`);
    if (
      high < this.versionHigh ||
      (high === this.versionHigh &&
        (low < this.versionLow || (low === this.versionLow && subsequence < this.subsequence)))
    ) {
      this.#refuse(
        at,
        `record ${pair(high, low, subsequence)} comes after ${pair(this.versionHigh, this.versionLow, this.subsequence)}`,
      );
    }
    if (
      high > this.#endHigh ||
      (high === this.#endHigh && low >= this.#endLow) ||
      high < this.#beginHigh ||
      (high === this.#beginHigh && low < this.#beginLow)
    ) {
      this.#refuse(
        at,
        `record ${pair(high, low, subsequence)} is outside the file's [${this.file.begin}, ${this.file.end})`,
      );
    }
    this.versionHigh = high;
    this.versionLow = low;
    this.subsequence = subsequence;
    const start = at + RECORD_HEADER_BYTES;
    this.mutationStart = start;
    this.mutationEnd = start + length;
    this.#checkMutation(start, length);
    this.#at = start + length;
    return true;
  }

  /** The record's mutation, whole: for tools, tests and restores. Shares the run's memory. */
  mutation(): ReturnType<typeof decodeMutation> {
    return this.#decode(this.mutationStart, this.mutationEnd);
  }

  #enterBlock(at: number): number {
    const left = this.bytes.length - at;
    if (left < LOG_BLOCK_HEADER_BYTES) this.#refuse(at, `${left} bytes at the end are too few for a block`);
    const version = this.#view.getUint32(at, true);
    if (version !== LOG_BLOCK_VERSION) {
      this.#refuse(
        at,
        `block version ${version} is unknown, only ${LOG_BLOCK_VERSION} can be read`,
        'UNSUPPORTED_FORMAT',
      );
    }
    this.#blockEnd = at + Math.min(left, this.file.blockSize);
    return at + LOG_BLOCK_HEADER_BYTES;
  }

  #skipPadding(from: number): number {
    for (let at = from; at < this.#blockEnd; at++) {
      if (this.bytes[at] !== PADDING)
        this.#refuse(at, `the padding that begins at ${this.#runOffset + from} holds another byte`);
    }
    return this.#blockEnd;
  }

  /** The lengths must add up and the type must be one that is stored; a checksum, if there is one, must be right. */
  #checkMutation(start: number, length: number): void {
    if (length < MUTATION_OVERHEAD_BYTES) this.#refuseRecord(`a mutation of ${length} bytes is too short`);
    const room = length - MUTATION_OVERHEAD_BYTES;
    const length1 = this.#view.getUint32(start + 1, true);
    if (length1 > room || this.#view.getUint32(start + 5 + length1, true) !== room - length1) {
      this.#refuseRecord(`the lengths of its params do not make up the ${length} bytes of the mutation`);
    }
    const type = this.bytes[start] as number;
    // Sets are most of any log; everything that needs a closer look goes through the codec.
    if (type !== 0) this.#checkType(type, start, start + length);
  }

  #checkType(type: number, start: number, end: number): void {
    if ((type & (CHECKSUM_FLAG | CHECKSUM_INDEX_FLAG)) !== 0 || type === 1) {
      this.#decode(start, end);
      return;
    }
    try {
      if (isStorableType(type)) return;
    } catch (cause) {
      this.#refuseRecord(`mutation type ${type} is unknown`, 'INVALID_MUTATION', cause);
    }
    this.#refuseRecord(`messages of type ${type} are never stored`, 'INVALID_MUTATION');
  }

  #decode(start: number, end: number): ReturnType<typeof decodeMutation> {
    try {
      return decodeMutation(this.bytes.subarray(start, end));
    } catch (cause) {
      if (!BackupError.is(cause)) throw cause;
      return this.#refuseRecord(cause.message, cause.code, cause);
    }
  }

  #refuseRecord(what: string, code: BackupErrorCode = 'CORRUPT_FILE', cause?: unknown): never {
    const at = this.mutationStart - RECORD_HEADER_BYTES;
    this.#refuse(at, `record ${pair(this.versionHigh, this.versionLow, this.subsequence)}: ${what}`, code, cause);
  }

  #refuse(at: number, what: string, code: BackupErrorCode = 'CORRUPT_FILE', cause?: unknown): never {
    const offset = this.#runOffset + at;
    throw new BackupError(code, `${this.file.name} at offset ${offset}: ${what}`, {
      file: this.file.name,
      offset,
      cause,
    });
  }
}

function pair(high: number, low: number, subsequence: number): string {
  // As the signed number that it is on disk: a version below zero is a sign of damage, and reads best as such.
  return `(${BigInt.asIntN(64, (BigInt(high) << 32n) | BigInt(low))}, ${subsequence})`;
}

/** A record with its place in the file. */
export interface DecodedRecord extends VersionedMessage {
  readonly offset: number;
}

/** All records of a file that is in memory whole: for tools and tests. Throws as LogRecordReader does. */
export function* decodeLogFile(bytes: Uint8Array, file: Omit<DecodedLogFile, 'size'>): IterableIterator<DecodedRecord> {
  if (bytes.length === 0) return;
  const reader = new LogRecordReader({
    name: file.name,
    begin: file.begin,
    end: file.end,
    blockSize: file.blockSize,
    size: bytes.length,
  });
  reader.load(bytes);
  while (reader.next()) {
    yield {
      version: reader.version,
      subsequence: reader.subsequence,
      offset: reader.recordOffset,
      mutation: reader.mutation(),
    };
  }
}
