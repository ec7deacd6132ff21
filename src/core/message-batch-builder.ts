// Builds MessageBatches: what a LogSource calls for each message. The only place where a message is encoded.
// The hot path is `add`: no allocation, no bigint, no DataView of a changing buffer per message.

import { EMPTY_BYTES } from './bytes.js';
import type { BufferPool } from './buffer-pool.js';
import { BackupError } from './errors.js';
import { MessageBatch, RECORD_HEADER_BYTES } from './message-batch.js';
import { MUTATION_OVERHEAD_BYTES, MutationType, isSingleKeyClear, isStorableType } from './mutation.js';
import { MAX_VERSION, type Version } from './version.js';

export interface MessageBatchBuilderOptions {
  /** Where buffers come from and where a released batch's go. Only for batches of which nothing is used after `release`. Default: none. */
  readonly pool?: BufferPool | undefined;
  /** Size of the first buffer; it grows as needed, and later batches begin with what the last one needed. Default 64 KiB. */
  readonly initialBytes?: number | undefined;
}

const DEFAULT_INITIAL_BYTES = 64 << 10;
/** Bytes of a record besides the two params. */
const OVERHEAD_BYTES = RECORD_HEADER_BYTES + MUTATION_OVERHEAD_BYTES;
/** Offsets are u32. */
const MAX_BATCH_BYTES = 0xffffffff;
/** Longest param that is copied word by word: a call of TypedArray.set costs 17 ns whatever it copies, a word of four bytes 3.5 (measured). */
const WORD_COPY_BYTES = 16;
const NO_VIEW = new DataView(new ArrayBuffer(0));
const SIGN_BIT = 0x80000000 | 0;
/** To take a version apart. */
const halves = new DataView(new ArrayBuffer(8));
/** A guess for the size of the arrays at the start. */
const RECORD_BYTES_GUESS = 64;

/** Not to be used by two callers at once. After `build` it starts over. */
export class MessageBatchBuilder {
  readonly #pool: BufferPool | undefined;
  #nextBytes: number;
  #nextRecords: number;

  #bytes: Uint8Array = EMPTY_BYTES;
  /** Of #bytes. */
  #view: DataView = NO_VIEW;
  #byteLength = 0;
  #starts: Uint32Array = new Uint32Array(0);
  #recordCount = 0;
  #versions: BigInt64Array = new BigInt64Array(0);
  #versionRecords: Uint32Array = new Uint32Array(0);
  #versionCount = 0;
  #maxRecordBytes = 0;

  #version: Version = -1n;
  #versionHigh = 0;
  #versionLow = 0;
  /** The current version has a record, and so an entry. */
  #versionEntered = false;
  /** Of the last message. */
  #subsequence = 0;

  // The key interval, as places in #bytes: no allocation while it widens.
  #minAt = 0;
  #minLength = -1;
  #maxAt = 0;
  #maxLength = -1;
  /** The end of the interval is the largest key followed by a zero byte, not a clear's end. */
  #maxIsKey = false;
  /** First four bytes of both, as `prefixOf` gives them. */
  #minPrefix = 0;
  #maxPrefix = 0;

  constructor(options: MessageBatchBuilderOptions = {}) {
    const initialBytes = options.initialBytes ?? DEFAULT_INITIAL_BYTES;
    if (!Number.isSafeInteger(initialBytes) || initialBytes < 1 || initialBytes > MAX_BATCH_BYTES) {
      throw new BackupError(
        'INVALID_OPTION',
        `initialBytes must be a whole number from 1 to 2^32 - 1, got ${String(initialBytes)}`,
      );
    }
    this.#pool = options.pool;
    this.#nextBytes = initialBytes;
    this.#nextRecords = Math.ceil(initialBytes / RECORD_BYTES_GUESS);
  }

  /** Encoded bytes so far. */
  get byteLength(): number {
    return this.#byteLength;
  }

  get recordCount(): number {
    return this.#recordCount;
  }

  /** Following messages belong to `version`, which must be larger than the one before (within a batch). A version without messages leaves no trace. */
  beginVersion(version: Version): void {
    if (version < 0n || version > MAX_VERSION || version <= this.#version) {
      throw new BackupError(
        'ADAPTER_CONTRACT',
        `versions of a batch must ascend within [0, 2^63): ${version} after ${this.#version}`,
        { version },
      );
    }
    this.#version = version;
    // Through memory: shifting a bigint allocates.
    halves.setBigInt64(0, version);
    this.#versionHigh = halves.getInt32(0);
    this.#versionLow = halves.getInt32(4);
    this.#versionEntered = false;
    this.#subsequence = 0;
  }

  /**
   * Adds a message of the current version. Params as in `Mutation`; a clear may also come in its stored short form. Subsequences must not descend within a version.
   * Returns false, and adds nothing, for what is no change to the database: types that are never stored and clears of an empty range. Throws INVALID_MUTATION
   * for an unknown type or a clear whose end lies before its begin, ADAPTER_CONTRACT for a message out of order.
   */
  add(subsequence: number, type: number, param1: Uint8Array, param2: Uint8Array): boolean {
    if (type !== MutationType.SetValue && !isStorableType(type)) return false;
    if (subsequence >>> 0 !== subsequence || subsequence < this.#subsequence) this.#refuseOrder(subsequence);
    if (type === MutationType.ClearRange) return this.#addClear(subsequence, param1, param2);
    const at = this.#write(subsequence, type, param1, param2);
    this.#widen(at, param1.length);
    return true;
  }

  #addClear(subsequence: number, begin: Uint8Array, end: Uint8Array): boolean {
    const isShort = end.length === 0 && begin.length > 0;
    if (isShort && begin[begin.length - 1] !== 0) {
      throw new BackupError(
        'INVALID_MUTATION',
        'a clear without an end must be the short form, key followed by a zero byte',
      );
    }
    if (isShort || isSingleKeyClear(begin, end)) {
      const stored = isShort ? begin : end;
      const at = this.#write(subsequence, MutationType.ClearRange, stored, EMPTY_BYTES);
      this.#widen(at, stored.length - 1);
      return true;
    }
    const order = Buffer.compare(begin, end);
    if (order === 0) return false;
    if (order > 0)
      throw new BackupError('INVALID_MUTATION', 'a clear whose end lies before its begin', { version: this.#version });
    const at = this.#write(subsequence, MutationType.ClearRange, begin, end);
    this.#widenMin(at, begin.length);
    this.#widenMax(at + begin.length + 4, end.length, false);
    return true;
  }

  /** The batch so far, which may be empty. The builder starts over, with versions free to begin anywhere. */
  build(): MessageBatch {
    const { minKey, endKey } = this.#interval();
    if (this.#recordCount > 0) this.#versionRecords[this.#versionCount] = this.#recordCount;
    const batch =
      this.#recordCount === 0
        ? MessageBatch.empty
        : new MessageBatch({
            bytes: this.#bytes,
            byteLength: this.#byteLength,
            recordStarts: this.#starts,
            recordCount: this.#recordCount,
            versions: this.#versions,
            versionRecords: this.#versionRecords,
            versionCount: this.#versionCount,
            minKey,
            endKey,
            maxRecordBytes: this.#maxRecordBytes,
            onRelease: this.#onRelease(),
          });
    this.#startOver();
    return batch;
  }

  /** Writes one record and its entries; returns where its param1 begins. */
  #write(subsequence: number, type: number, param1: Uint8Array, param2: Uint8Array): number {
    const length1 = param1.length;
    const length2 = param2.length;
    const recordBytes = OVERHEAD_BYTES + length1 + length2;
    const record = this.#recordCount;
    if (!this.#versionEntered) this.#enterVersion(record);
    const start = this.#byteLength;
    const end = start + recordBytes;
    if (end > this.#bytes.length) this.#growBytes(end);
    if (record + 2 > this.#starts.length) this.#growRecords(record + 2);

    const view = this.#view;
    view.setInt32(start, this.#versionHigh);
    view.setInt32(start + 4, this.#versionLow);
    view.setInt32(start + 8, subsequence);
    view.setInt32(start + 12, recordBytes - RECORD_HEADER_BYTES);
    view.setUint8(start + 16, type);
    view.setInt32(start + 17, length1, true);
    const at1 = start + 21;
    copy(param1, this.#bytes, view, at1);
    const at2 = at1 + length1;
    view.setInt32(at2, length2, true);
    copy(param2, this.#bytes, view, at2 + 4);

    this.#subsequence = subsequence;
    this.#byteLength = end;
    this.#recordCount = record + 1;
    this.#starts[record + 1] = end;
    if (recordBytes > this.#maxRecordBytes) this.#maxRecordBytes = recordBytes;
    return at1;
  }

  #enterVersion(record: number): void {
    if (this.#version < 0n) throw new BackupError('INVALID_STATE', 'add() before beginVersion()');
    const index = this.#versionCount;
    if (index + 2 > this.#versionRecords.length || index + 1 > this.#versions.length) this.#growVersions(index + 2);
    this.#versions[index] = this.#version;
    this.#versionRecords[index] = record;
    this.#versionCount = index + 1;
    this.#versionEntered = true;
  }

  /** The interval now holds the single key of that place, in the record that was just written. */
  #widen(at: number, length: number): void {
    const prefix = length >= 4 ? this.#view.getInt32(at) ^ SIGN_BIT : 0;
    // Strictly between the smallest and the largest by its first four bytes: the usual case.
    if (length >= 4 && prefix > this.#minPrefix && prefix < this.#maxPrefix) return;
    this.#widenMin(at, length);
    this.#widenMax(at, length, true);
  }

  #widenMin(at: number, length: number): void {
    if (this.#minLength >= 0 && comparePlaces(this.#bytes, at, length, this.#minAt, this.#minLength) >= 0) return;
    this.#minAt = at;
    this.#minLength = length;
    this.#minPrefix = prefixOf(this.#view, at, length);
  }

  /** `key + 0x00` against a clear's end: where one is a prefix of the other the longer one is not smaller, and on a tie the key's end is larger. */
  #widenMax(at: number, length: number, isKey: boolean): void {
    if (this.#maxLength >= 0) {
      const order = comparePlaces(this.#bytes, at, length, this.#maxAt, this.#maxLength);
      if (order < 0 || (order === 0 && (this.#maxIsKey || !isKey))) return;
    }
    this.#maxAt = at;
    this.#maxLength = length;
    this.#maxIsKey = isKey;
    this.#maxPrefix = prefixOf(this.#view, at, length);
  }

  #interval(): { minKey: Uint8Array | undefined; endKey: Uint8Array | undefined } {
    if (this.#recordCount === 0) return { minKey: undefined, endKey: undefined };
    const endKey = new Uint8Array(this.#maxLength + (this.#maxIsKey ? 1 : 0));
    endKey.set(this.#bytes.subarray(this.#maxAt, this.#maxAt + this.#maxLength));
    return { minKey: this.#bytes.slice(this.#minAt, this.#minAt + this.#minLength), endKey };
  }

  #onRelease(): (() => void) | undefined {
    const pool = this.#pool;
    if (pool === undefined) return undefined;
    const arrays = [this.#bytes, this.#starts, this.#versions, this.#versionRecords];
    return () => {
      for (const array of arrays) pool.give(new Uint8Array(array.buffer));
    };
  }

  #startOver(): void {
    if (this.#recordCount > 0) {
      // The next batch is probably like this one, or a little longer.
      this.#nextBytes = this.#byteLength + (this.#byteLength >>> 3);
      this.#nextRecords = this.#recordCount + (this.#recordCount >>> 3);
      this.#bytes = EMPTY_BYTES;
      this.#view = NO_VIEW;
      this.#starts = new Uint32Array(0);
      this.#versions = new BigInt64Array(0);
      this.#versionRecords = new Uint32Array(0);
    }
    this.#byteLength = 0;
    this.#recordCount = 0;
    this.#versionCount = 0;
    this.#maxRecordBytes = 0;
    this.#version = -1n;
    this.#versionEntered = false;
    this.#subsequence = 0;
    this.#minLength = -1;
    this.#maxLength = -1;
    this.#maxIsKey = false;
    this.#minPrefix = 0;
    this.#maxPrefix = 0;
  }

  #growBytes(needed: number): void {
    if (needed > MAX_BATCH_BYTES)
      throw new BackupError('ADAPTER_CONTRACT', `a batch holds at most ${MAX_BATCH_BYTES} bytes`);
    const old = this.#bytes;
    const grown = this.#allocate(Math.max(needed, this.#nextBytes, Math.min(old.length * 2, MAX_BATCH_BYTES)));
    grown.set(old.subarray(0, this.#byteLength));
    this.#bytes = grown;
    this.#view = new DataView(grown.buffer);
    if (old.length > 0) this.#pool?.give(old);
  }

  #growRecords(needed: number): void {
    const old = this.#starts;
    const memory = this.#allocate(Math.max(needed, this.#nextRecords + 1, old.length * 2) * 4);
    this.#starts = new Uint32Array(memory.buffer, 0, memory.length >>> 2);
    this.#starts.set(old);
    if (old.length > 0) this.#pool?.give(new Uint8Array(old.buffer));
    else this.#starts[0] = 0;
  }

  #growVersions(needed: number): void {
    const oldVersions = this.#versions;
    const oldRecords = this.#versionRecords;
    const count = Math.max(needed, 16, oldVersions.length * 2);
    const versions = this.#allocate(count * 8);
    const records = this.#allocate((count + 1) * 4);
    this.#versions = new BigInt64Array(versions.buffer, 0, versions.length >>> 3);
    this.#versionRecords = new Uint32Array(records.buffer, 0, records.length >>> 2);
    this.#versions.set(oldVersions);
    this.#versionRecords.set(oldRecords.subarray(0, this.#versionCount));
    if (oldVersions.length > 0) {
      this.#pool?.give(new Uint8Array(oldVersions.buffer));
      this.#pool?.give(new Uint8Array(oldRecords.buffer));
    }
  }

  #allocate(bytes: number): Uint8Array {
    return this.#pool === undefined ? new Uint8Array(Math.ceil(bytes / 8) * 8) : this.#pool.take(bytes);
  }

  #refuseOrder(subsequence: number): never {
    throw new BackupError(
      'ADAPTER_CONTRACT',
      `subsequence ${subsequence} of version ${this.#version} must be a u32 and not below ${this.#subsequence}`,
      { version: this.#version },
    );
  }
}

function copy(from: Uint8Array, to: Uint8Array, view: DataView, at: number): void {
  const length = from.length;
  if (length > WORD_COPY_BYTES) {
    to.set(from, at);
    return;
  }
  let i = 0;
  for (; i < length - 3; i += 4) view.setInt32(at + i, wordAt(from, i));
  for (; i < length; i++) to[at + i] = from[i] as number;
}

function wordAt(bytes: Uint8Array, at: number): number {
  return (
    ((bytes[at] as number) << 24) |
    ((bytes[at + 1] as number) << 16) |
    ((bytes[at + 2] as number) << 8) |
    (bytes[at + 3] as number)
  );
}

/** First four bytes as a number that orders as they do; a shorter key as if zero bytes followed, so that equal prefixes need a look at the keys. */
function prefixOf(view: DataView, at: number, length: number): number {
  if (length >= 4) return view.getInt32(at) ^ SIGN_BIT;
  let prefix = 0;
  for (let i = 0; i < 4; i++) prefix = (prefix << 8) | (i < length ? view.getUint8(at + i) : 0);
  return prefix ^ SIGN_BIT;
}

function comparePlaces(bytes: Uint8Array, a: number, lengthA: number, b: number, lengthB: number): number {
  const length = lengthA < lengthB ? lengthA : lengthB;
  for (let i = 0; i < length; i++) {
    const difference = (bytes[a + i] as number) - (bytes[b + i] as number);
    if (difference !== 0) return difference;
  }
  return lengthA - lengthB;
}
