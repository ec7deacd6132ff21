// Builds MessageBatches: what a LogSource calls for each message. The only place where a message is encoded.
// The hot path is `add`: no allocation, no bigint, no DataView of a changing buffer per message.

import { EMPTY_BYTES } from './bytes.js';
import type { BufferPool } from './buffer-pool.js';
import { BackupError } from './errors.js';
import { MessageBatch, RECORD_HEADER_BYTES } from './message-batch.js';
import { MUTATION_OVERHEAD_BYTES, MutationType, isSingleKeyClear, isStorableType, writeUint32BE } from './mutation.js';
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
/** Up to here a loop beats TypedArray.set (measured). */
const LOOP_COPY_BYTES = 24;
/** A guess for the size of the arrays at the start. */
const RECORD_BYTES_GUESS = 64;

/** Not to be used by two callers at once. After `build` it starts over. */
export class MessageBatchBuilder {
  readonly #pool: BufferPool | undefined;
  #nextBytes: number;
  #nextRecords: number;

  #bytes: Uint8Array = EMPTY_BYTES;
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
  #subsequence = 0;

  // The key interval, as places in #bytes: no allocation while it widens.
  #minAt = 0;
  #minLength = -1;
  #maxAt = 0;
  #maxLength = -1;
  /** The end of the interval is the largest key followed by a zero byte, not a clear's end. */
  #maxIsKey = false;

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
    this.#versionHigh = Number(version >> 32n);
    this.#versionLow = Number(version & 0xffffffffn);
    this.#versionEntered = false;
    this.#subsequence = 0;
  }

  /**
   * Adds a message of the current version. Params as in `Mutation`; a clear may also come in its stored short form. Subsequences must not descend within a version.
   * Returns false, and adds nothing, for what is no change to the database: types that are never stored and clears of an empty range. Throws INVALID_MUTATION
   * for an unknown type or a clear whose end lies before its begin, ADAPTER_CONTRACT for a message out of order.
   */
  add(subsequence: number, type: number, param1: Uint8Array, param2: Uint8Array): boolean {
    if (!isStorableType(type)) return false;
    if (subsequence >>> 0 !== subsequence || subsequence < this.#subsequence || this.#version < 0n)
      this.#refuseOrder(subsequence);
    if (type === MutationType.ClearRange) return this.#addClear(subsequence, param1, param2);
    const at = this.#write(subsequence, type, param1, param2);
    this.#widenMin(at, param1.length);
    this.#widenMax(at, param1.length, true);
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
      this.#widenMin(at, stored.length - 1);
      this.#widenMax(at, stored.length - 1, true);
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
    const start = this.#byteLength;
    const end = start + recordBytes;
    if (end > this.#bytes.length) this.#growBytes(end);
    const record = this.#recordCount;
    if (record + 2 > this.#starts.length) this.#growRecords(record + 2);
    if (!this.#versionEntered) this.#enterVersion(record);

    const bytes = this.#bytes;
    writeUint32BE(bytes, start, this.#versionHigh);
    writeUint32BE(bytes, start + 4, this.#versionLow);
    writeUint32BE(bytes, start + 8, subsequence);
    writeUint32BE(bytes, start + 12, recordBytes - RECORD_HEADER_BYTES);
    bytes[start + 16] = type;
    bytes[start + 17] = length1;
    bytes[start + 18] = length1 >>> 8;
    bytes[start + 19] = length1 >>> 16;
    bytes[start + 20] = length1 >>> 24;
    const at1 = start + 21;
    copy(param1, bytes, at1);
    const at2 = at1 + length1;
    bytes[at2] = length2;
    bytes[at2 + 1] = length2 >>> 8;
    bytes[at2 + 2] = length2 >>> 16;
    bytes[at2 + 3] = length2 >>> 24;
    copy(param2, bytes, at2 + 4);

    this.#subsequence = subsequence;
    this.#byteLength = end;
    this.#recordCount = record + 1;
    this.#starts[record + 1] = end;
    if (recordBytes > this.#maxRecordBytes) this.#maxRecordBytes = recordBytes;
    return at1;
  }

  #enterVersion(record: number): void {
    const index = this.#versionCount;
    if (index + 2 > this.#versionRecords.length || index + 1 > this.#versions.length) this.#growVersions(index + 2);
    this.#versions[index] = this.#version;
    this.#versionRecords[index] = record;
    this.#versionCount = index + 1;
    this.#versionEntered = true;
  }

  #widenMin(at: number, length: number): void {
    if (this.#minLength >= 0 && comparePlaces(this.#bytes, at, length, this.#minAt, this.#minLength) >= 0) return;
    this.#minAt = at;
    this.#minLength = length;
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
  }

  #growBytes(needed: number): void {
    if (needed > MAX_BATCH_BYTES)
      throw new BackupError('ADAPTER_CONTRACT', `a batch holds at most ${MAX_BATCH_BYTES} bytes`);
    const old = this.#bytes;
    const grown = this.#allocate(Math.max(needed, this.#nextBytes, Math.min(old.length * 2, MAX_BATCH_BYTES)));
    grown.set(old.subarray(0, this.#byteLength));
    this.#bytes = grown;
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
    if (this.#version < 0n) throw new BackupError('INVALID_STATE', 'add() before beginVersion()');
    throw new BackupError(
      'ADAPTER_CONTRACT',
      `subsequence ${subsequence} of version ${this.#version} must be a u32 and not below ${this.#subsequence}`,
      { version: this.#version },
    );
  }
}

function copy(from: Uint8Array, to: Uint8Array, at: number): void {
  const length = from.length;
  if (length > LOOP_COPY_BYTES) {
    to.set(from, at);
    return;
  }
  for (let i = 0; i < length; i++) to[at + i] = from[i] as number;
}

function comparePlaces(bytes: Uint8Array, a: number, lengthA: number, b: number, lengthB: number): number {
  const length = lengthA < lengthB ? lengthA : lengthB;
  for (let i = 0; i < length; i++) {
    const difference = (bytes[a + i] as number) - (bytes[b + i] as number);
    if (difference !== 0) return difference;
  }
  return lengthA - lengthB;
}
