// Builds MessageBatches: what a LogSource calls for each message. The only place where a message is encoded.
// The hot path is `add` and `addJoined`: no allocation, no bigint, no DataView of a changing buffer per message.

import { SIGN_BIT, comparePlaces, prefixOf, wordAt } from './batch-keys.js';
import { markBuilt } from './built-batches.js';
import { EMPTY_BYTES, setBytes } from './bytes.js';
import type { BufferPool } from './buffer-pool.js';
import { BackupError } from './errors.js';
import { MessageBatch, RECORD_HEADER_BYTES } from './message-batch.js';
import { MUTATION_OVERHEAD_BYTES, MutationType, isSingleKeyClear, isStorableType } from './mutation.js';
import type { Version } from './version.js';

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
/** Longest param1 that `addJoined` moves to its place word by word. */
const JOINED_KEY_BYTES = 64;
/** To take a version apart. */
const wholeVersion = new BigInt64Array(1);
const versionHalves = new Int32Array(wholeVersion.buffer);
/** Index of the high half on this machine. */
const HIGH = new Uint8Array(Uint16Array.of(1).buffer)[0] === 1 ? 1 : 0;
/** A guess for the size of the arrays at the start. */
const RECORD_BYTES_GUESS = 64;

/** Not to be used by two callers at once. After `build` it starts over. */
export class MessageBatchBuilder {
  readonly #pool: BufferPool | undefined;
  #nextBytes: number;
  #nextRecords: number;
  #nextVersions = 16;

  #bytes: Uint8Array = EMPTY_BYTES;
  /** Of #bytes. */
  #view: DataView = NO_VIEW;
  #byteLength = 0;
  #starts: Uint32Array = new Uint32Array(0);
  #recordCount = 0;
  #versions: BigInt64Array = new BigInt64Array(0);
  #versionRecords: Uint32Array = new Uint32Array(0);
  /** With the current one, which may have no record yet. */
  #versionCount = 0;
  #maxRecordBytes = 0;

  #version: Version = -1n;
  /** The version's halves; high is -1 before the first one. */
  #versionHigh = -1;
  #versionLow = 0;
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
    // By its halves: bigints are slow to compare and to take apart, even through a DataView.
    wholeVersion[0] = version;
    const high = versionHalves[HIGH] as number;
    const low = versionHalves[1 - HIGH] as number;
    const before = this.#versionHigh;
    const isLater = high > before || (high === before && low >>> 0 > this.#versionLow >>> 0);
    if (high < 0 || !isLater || wholeVersion[0] !== version) this.#refuseVersion(version);
    this.#version = version;
    this.#versionHigh = high;
    this.#versionLow = low;
    this.#subsequence = 0;
    this.#enterVersion();
  }

  /**
   * Adds a message of the current version. Params as in `Mutation`; a clear may also come in its stored short form. Subsequences must not descend within a version.
   * Returns false, and adds nothing, for what is no change to the database: types that are never stored and clears of an empty range. Throws INVALID_MUTATION
   * for an unknown type or a clear whose end lies before its begin, ADAPTER_CONTRACT for a message out of order.
   */
  add(subsequence: number, type: number, param1: Uint8Array, param2: Uint8Array): boolean {
    if (type !== MutationType.SetValue) {
      if (!isStorableType(type)) return false;
      if (type === MutationType.ClearRange) return this.#addClear(subsequence, param1, param2);
    }
    const length1 = param1.length;
    const at = this.#begin(subsequence, type, length1, param2.length);
    const view = this.#view;
    if (length1 >= 4 && length1 <= WORD_COPY_BYTES) {
      // A short key word by word, and compared by its first word: nothing that was just written is read back.
      const first = wordAt(param1, 0);
      view.setInt32(at, first);
      let i = 4;
      for (; i < length1 - 3; i += 4) view.setInt32(at + i, wordAt(param1, i));
      for (; i < length1; i++) view.setUint8(at + i, param1[i] as number);
      const prefix = first ^ SIGN_BIT;
      if (prefix <= this.#minPrefix || prefix >= this.#maxPrefix) this.#widen(at, length1);
    } else {
      setBytes.call(this.#bytes, param1, at);
      this.#widen(at, length1);
    }
    setBytes.call(this.#bytes, param2, at + length1 + 4);
    return true;
  }

  /**
   * As `add`, for params that lie together, as they often do in a log's own format: `params` is param1, of `length1` bytes, and then param2. Quicker than `add`: one
   * copy instead of two, and no view of each.
   */
  addJoined(subsequence: number, type: number, params: Uint8Array, length1: number): boolean {
    const length = params.length;
    if (length1 >>> 0 !== length1 || length1 > length) this.#refuseLength(length1, length);
    if (type !== MutationType.SetValue || length1 > JOINED_KEY_BYTES)
      return this.add(subsequence, type, params.subarray(0, length1), params.subarray(length1));
    const at = this.#begin(subsequence, type, length1, length - length1);
    const view = this.#view;
    setBytes.call(this.#bytes, params, at + 4);
    // The key belongs in front of the second length.
    let i = 0;
    for (; i < length1 - 3; i += 4) view.setInt32(at + i, view.getInt32(at + i + 4));
    for (; i < length1; i++) view.setUint8(at + i, view.getUint8(at + i + 4));
    view.setInt32(at + length1, length - length1, true);
    this.#widen(at, length1);
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
    const records = this.#recordCount;
    if (records > 0) {
      if (this.#versionRecords[this.#versionCount - 1] === records) this.#versionCount--;
      this.#versionRecords[this.#versionCount] = records;
    }
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
    return markBuilt(batch);
  }

  /** Writes one record; returns where its param1 begins. */
  #write(subsequence: number, type: number, param1: Uint8Array, param2: Uint8Array): number {
    const at = this.#begin(subsequence, type, param1.length, param2.length);
    this.#bytes.set(param1, at);
    this.#bytes.set(param2, at + param1.length + 4);
    return at;
  }

  /** Makes room for a record, enters it everywhere and writes all of it but the params; returns where param1 belongs. */
  #begin(subsequence: number, type: number, length1: number, length2: number): number {
    if (subsequence >>> 0 !== subsequence || subsequence < this.#subsequence) this.#refuseOrder(subsequence);
    if (this.#versionHigh < 0) throw new BackupError('INVALID_STATE', 'add() before beginVersion()');
    const recordBytes = OVERHEAD_BYTES + length1 + length2;
    const record = this.#recordCount;
    const start = this.#byteLength;
    const end = start + recordBytes;
    if (end > this.#bytes.length) this.#growBytes(end);
    if (record + 2 > this.#starts.length) this.#growRecords(record + 2);
    this.#subsequence = subsequence;
    this.#byteLength = end;
    this.#recordCount = record + 1;
    this.#starts[record + 1] = end;
    if (recordBytes > this.#maxRecordBytes) this.#maxRecordBytes = recordBytes;
    const view = this.#view;
    view.setInt32(start, this.#versionHigh);
    view.setInt32(start + 4, this.#versionLow);
    view.setInt32(start + 8, subsequence);
    view.setInt32(start + 12, recordBytes - RECORD_HEADER_BYTES);
    view.setUint8(start + 16, type);
    view.setInt32(start + 17, length1, true);
    view.setInt32(start + 21 + length1, length2, true);
    return start + 21;
  }

  /** Gives the current version its entry. */
  #enterVersion(): void {
    const record = this.#recordCount;
    let index = this.#versionCount;
    // The one before has no message: its entry is free.
    if (index > 0 && this.#versionRecords[index - 1] === record) index--;
    if (index + 2 > this.#versionRecords.length || index + 1 > this.#versions.length) this.#growVersions(index + 2);
    this.#versions[index] = this.#version;
    this.#versionRecords[index] = record;
    this.#versionCount = index + 1;
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
      this.#nextVersions = this.#versionCount + (this.#versionCount >>> 3) + 2;
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
    this.#versionHigh = -1;
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
    const count = Math.max(needed, this.#nextVersions, oldVersions.length * 2);
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

  #refuseVersion(version: Version): never {
    throw new BackupError(
      'ADAPTER_CONTRACT',
      `versions of a batch must ascend within [0, 2^63): ${version} after ${this.#version}`,
      { version },
    );
  }

  #refuseLength(length1: number, length: number): never {
    throw new BackupError(
      'ADAPTER_CONTRACT',
      `param1 of ${length1} bytes must lie within the ${length} bytes of both params`,
      { version: this.#version },
    );
  }

  #refuseOrder(subsequence: number): never {
    throw new BackupError(
      'ADAPTER_CONTRACT',
      `subsequence ${subsequence} of version ${this.#version} must be a u32 and not below ${this.#subsequence}`,
      { version: this.#version },
    );
  }
}
