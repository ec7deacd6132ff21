// Lays the rows of one key range out in the blocks of a range file, byte for byte as FoundationDB does. Pure: gives chunks of bytes, the caller writes them.
//
// block = u32 LE 1001, begin key, (key, value)*, [end key], 0xFF padding up to the block's end (not in the last block); every item is u32 BE length, bytes
//
// Every block can be read alone: its begin key says where it begins, and the last row of a block stands again at the begin of the next one, as the end of the one and the
// first row of the other. So two neighbouring rows must fit into a block together. Runs once per row of a snapshot: it copies, and allocates nothing per row.

import type { BufferPool } from '../../core/buffer-pool.js';
import { EMPTY_BYTES, printableBytes, setBytes } from '../../core/bytes.js';
import type { Crc64Xor } from '../../core/crc64.js';
import { BackupError, assert } from '../../core/errors.js';
import { writeUint32BE, writeUint32LE } from '../../core/mutation.js';
import type { EncodedGroup } from './log-file-encoder.js';
import { MAX_BLOCK_SIZE } from './names.js';

/** First word of every block: FoundationDB's BACKUP_AGENT_SNAPSHOT_FILE_VERSION. */
export const RANGE_BLOCK_VERSION = 1001;
export const RANGE_BLOCK_HEADER_BYTES = 4;
/** In front of every key and value. */
export const ITEM_HEADER_BYTES = 4;
/** Header, begin key and end key, both of them empty. */
export const SMALLEST_RANGE_BLOCK = RANGE_BLOCK_HEADER_BYTES + 2 * ITEM_HEADER_BYTES;
/** What a row takes beside its key and value. */
const ROW_OVERHEAD = 2 * ITEM_HEADER_BYTES;

/** A flush at every MiB fits, with some rows on top. */
const STAGING_BYTES = (1 << 20) + (1 << 18);
/** Shorter pads are copied. */
const COPY_BELOW = 4 << 10;
/** Made when first needed: long pads come with long rows only. */
let padding: Uint8Array | undefined;
const PADDING_BYTES = 1 << 20;
/** Up to here a loop over the key's bytes is faster than a call that copies them. */
const SHORT_KEY = 40;
/** `fits` leaves room for an end key of up to so many bytes (FoundationDB's longest key), or a quarter of the block if that is less. */
const END_KEY_ROOM = 10_000;

export interface RangeFileEncoderOptions {
  /** Bytes of every block but the last. */
  readonly blockSize: number;
  /** The first key that the file covers; there need not be a row with it. */
  readonly begin: Uint8Array;
  readonly pool: BufferPool;
  /** Is given every row, from where it lies in the file: faster than adding keys and values one by one. */
  readonly crc64?: Crc64Xor | undefined;
}

/**
 * The block size of a file in which no row's key and value (together) are longer than `largestPairBytes`: any two such rows fit into a block, and a begin key and an end key of
 * that length together. `wanted` if that is enough.
 */
export function rangeBlockSizeFor(largestPairBytes: number, wanted: number): number {
  return Math.max(wanted, 3 * largestPairBytes + 32);
}

/** One file. `add` the rows in order, `takeGroup` after every MiB or so, `finish` with the file's end key, `takeGroup` once more. */
export class RangeFileEncoder {
  readonly #blockSize: number;
  readonly #pool: BufferPool;
  readonly #crc64: Crc64Xor | undefined;
  readonly #endKeyRoom: number;
  /** Bytes left in the open block; 0 before the first one, too. */
  #room = 0;
  #fileBytes = 0;
  #rows = 0;
  #rowBytes = 0;
  #finished = false;

  /** The last row as it lies in the file, wherever there is a copy of it; the begin key alone as long as there is no row. */
  #last: Uint8Array;
  #lastAt = 0;
  #lastKeyLength: number;
  #lastLength: number;

  #chunks: Uint8Array[] = [];
  #groupBytes = 0;
  /** The group's pooled buffer. A group that is taken in time has only this one. */
  #pooled: Uint8Array | undefined;
  /** What is being filled; [#stagedFrom, #stagedTo) is not in #chunks yet. */
  #staging: Uint8Array = EMPTY_BYTES;
  #stagedFrom = 0;
  #stagedTo = 0;

  /** INVALID_OPTION for a block size that does not hold the begin key. */
  constructor({ blockSize, begin, pool, crc64 }: RangeFileEncoderOptions) {
    const least = SMALLEST_RANGE_BLOCK + begin.length;
    if (!Number.isSafeInteger(blockSize) || blockSize < least || blockSize > MAX_BLOCK_SIZE) {
      throw new BackupError(
        'INVALID_OPTION',
        `blockSize must be a whole number from ${least} to ${MAX_BLOCK_SIZE}, got ${String(blockSize)}`,
      );
    }
    this.#blockSize = blockSize;
    this.#pool = pool;
    this.#crc64 = crc64;
    this.#endKeyRoom = Math.min(END_KEY_ROOM, blockSize >>> 2);
    this.#lastLength = ITEM_HEADER_BYTES + begin.length;
    this.#lastKeyLength = begin.length;
    this.#last = new Uint8Array(this.#lastLength);
    writeUint32BE(this.#last, 0, begin.length);
    this.#last.set(begin, ITEM_HEADER_BYTES);
  }

  /** Size of the file so far. */
  get fileBytes(): number {
    return this.#fileBytes;
  }

  /** Rows so far. */
  get rows(): number {
    return this.#rows;
  }

  /** Sum of the lengths of all keys and values so far. */
  get rowBytes(): number {
    return this.#rowBytes;
  }

  /**
   * Whether the row can come next, and the file can end behind it with any end key of ordinary length (`fitsEnd` tells of a certain one; the key right after the row's always
   * fits). If not, end this file and begin another one with larger blocks: rangeBlockSizeFor.
   */
  fits(key: Uint8Array, value: Uint8Array): boolean {
    const row = ROW_OVERHEAD + key.length + value.length;
    const endKey = Math.max(key.length + 1, this.#endKeyRoom);
    const alone = RANGE_BLOCK_HEADER_BYTES + ITEM_HEADER_BYTES + key.length + row + ITEM_HEADER_BYTES + endKey;
    return alone <= this.#blockSize && this.#hasRoomFor(row);
  }

  /** Whether `finish` can put this end key into the file. */
  fitsEnd(end: Uint8Array): boolean {
    return this.#hasRoomFor(ITEM_HEADER_BYTES + end.length);
  }

  /** Copies the row. INVALID_OPTION for a key that is not above the last one (or below the begin key), and for a row that does not fit. */
  add(key: Uint8Array, value: Uint8Array): void {
    assert(!this.#finished, 'no row comes after the end key');
    this.#checkOrder(key, this.#rows === 0);
    const keyLength = key.length;
    const valueLength = value.length;
    const length = ROW_OVERHEAD + keyLength + valueLength;
    if (length > this.#room) this.#openBlock(length);
    const start = this.#reserve(length);
    const staging = this.#staging;
    const keyStart = start + ITEM_HEADER_BYTES;
    const keyEnd = keyStart + keyLength;
    const valueStart = keyEnd + ITEM_HEADER_BYTES;
    writeUint32BE(staging, start, keyLength);
    if (keyLength > SHORT_KEY) setBytes.call(staging, key, keyStart);
    else for (let i = 0; i < keyLength; i++) staging[keyStart + i] = key[i] as number;
    writeUint32BE(staging, keyEnd, valueLength);
    setBytes.call(staging, value, valueStart);
    this.#last = staging;
    this.#lastAt = start;
    this.#lastKeyLength = keyLength;
    this.#lastLength = length;
    this.#rows++;
    this.#rowBytes += keyLength + valueLength;
    this.#crc64?.addRow(staging, keyStart, keyEnd, valueStart, valueStart + valueLength);
  }

  /** `end`: the first key that the file no longer covers. INVALID_OPTION unless it is above all keys (and the begin key), and if it does not fit. */
  finish(end: Uint8Array): void {
    assert(!this.#finished, 'a file ends once');
    this.#checkOrder(end, false);
    const length = ITEM_HEADER_BYTES + end.length;
    if (length > this.#room) this.#openBlock(length);
    const start = this.#reserve(length);
    writeUint32BE(this.#staging, start, end.length);
    this.#staging.set(end, start + ITEM_HEADER_BYTES);
    this.#finished = true;
  }

  /** What was added since the last call; undefined if nothing was. */
  takeGroup(): EncodedGroup | undefined {
    this.#flushStaged();
    if (this.#chunks.length === 0) return undefined;
    // The next block begins with the last row, and its buffer is about to be someone else's.
    this.#last = this.#last.slice(this.#lastAt, this.#lastAt + this.#lastLength);
    this.#lastAt = 0;
    const group = { chunks: this.#chunks, bytes: this.#groupBytes, staging: this.#pooled };
    this.#chunks = [];
    this.#groupBytes = 0;
    this.#pooled = undefined;
    this.#staging = EMPTY_BYTES;
    this.#stagedFrom = 0;
    this.#stagedTo = 0;
    return group;
  }

  /** Whether an item of that length has room in the open block or in the next one. */
  #hasRoomFor(length: number): boolean {
    return length <= this.#room || this.#blockHead() + length <= this.#blockSize;
  }

  /** Bytes in front of the first new item of a new block. */
  #blockHead(): number {
    const beginKey = RANGE_BLOCK_HEADER_BYTES + ITEM_HEADER_BYTES + this.#lastKeyLength;
    return this.#rows === 0 ? beginKey : beginKey + this.#lastLength;
  }

  #checkOrder(key: Uint8Array, mayBeEqual: boolean): void {
    const last = this.#last;
    const lastStart = this.#lastAt + ITEM_HEADER_BYTES;
    const shorter = Math.min(key.length, this.#lastKeyLength);
    let i = 0;
    while (i < shorter && key[i] === last[lastStart + i]) i++;
    const difference =
      i < shorter ? (key[i] as number) - (last[lastStart + i] as number) : key.length - this.#lastKeyLength;
    if (difference > 0 || (difference === 0 && mayBeEqual)) return;
    const lastKey = last.subarray(lastStart, lastStart + this.#lastKeyLength);
    throw new BackupError(
      'INVALID_OPTION',
      `keys of a range file come in order: "${printableBytes(key)}" was given after "${printableBytes(lastKey)}"`,
    );
  }

  /** Pads the open block and begins the next one, for an item of that length. */
  #openBlock(length: number): void {
    if (!this.#hasRoomFor(length)) {
      throw new BackupError(
        'INVALID_OPTION',
        `blockSize ${this.#blockSize} is too small: ${this.#blockHead() + length} bytes must fit into a block, for two neighbouring rows or keys`,
      );
    }
    if (this.#room > 0) this.#pad(this.#room);
    const keyItem = ITEM_HEADER_BYTES + this.#lastKeyLength;
    this.#room = this.#blockSize;
    const head = this.#blockHead();
    let at = this.#reserve(head);
    const staging = this.#staging;
    writeUint32LE(staging, at, RANGE_BLOCK_VERSION);
    at += RANGE_BLOCK_HEADER_BYTES;
    staging.set(this.#last.subarray(this.#lastAt, this.#lastAt + keyItem), at);
    if (this.#rows === 0) return;
    at += keyItem;
    staging.set(this.#last.subarray(this.#lastAt, this.#lastAt + this.#lastLength), at);
    this.#last = staging;
    this.#lastAt = at;
  }

  #pad(length: number): void {
    if (length < COPY_BELOW) {
      const start = this.#reserve(length);
      this.#staging.fill(0xff, start, start + length);
      return;
    }
    padding ??= new Uint8Array(PADDING_BYTES).fill(0xff);
    this.#flushStaged();
    for (let left = length; left > 0; left -= PADDING_BYTES) {
      this.#chunks.push(padding.subarray(0, Math.min(left, PADDING_BYTES)));
    }
    this.#count(length);
  }

  /** Room for `length` bytes in one piece, counted as written; returns where in #staging it begins. */
  #reserve(length: number): number {
    if (this.#stagedTo + length > this.#staging.length) this.#nextStaging(length);
    const start = this.#stagedTo;
    this.#stagedTo = start + length;
    this.#count(length);
    return start;
  }

  #count(length: number): void {
    this.#room -= length;
    this.#groupBytes += length;
    this.#fileBytes += length;
  }

  #nextStaging(length: number): void {
    this.#flushStaged();
    const size = Math.max(length, STAGING_BYTES);
    // A group gives one buffer back to the pool; any more of them, for long rows or a caller in no hurry, are left to the garbage collector.
    this.#staging = this.#pooled === undefined ? this.#pool.take(size) : new Uint8Array(size);
    this.#pooled ??= this.#staging;
    this.#stagedFrom = 0;
    this.#stagedTo = 0;
  }

  #flushStaged(): void {
    if (this.#stagedFrom === this.#stagedTo) return;
    this.#chunks.push(this.#staging.subarray(this.#stagedFrom, this.#stagedTo));
    this.#stagedFrom = this.#stagedTo;
  }
}
