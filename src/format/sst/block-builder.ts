// Lays rows out in data blocks, one behind the other in one buffer, as RocksDB does: prefix compression, restart points, and the same choice of where a block ends. Must never see keys out of order: `follows` tells.
//
// block = row*, u32 LE offset of every restart point, u32 LE their number; row = varint bytes shared with the key before, varint unshared bytes, varint value length, unshared bytes of the internal key, value
//
// An internal key is the user key and 8 bytes: type 1 (a value), sequence number 0. Runs once per row of a backup: it copies, and allocates nothing per row.

import type { BufferPool } from '../../core/buffer-pool.js';
import { EMPTY_BYTES, setBytes } from '../../core/bytes.js';
import { writeUint32LE } from '../../core/mutation.js';
import { BLOCK_TRAILER_BYTES } from './block-press.js';
import { varintLength, writeVarint } from './write-varint.js';

/** Behind every user key in a file. */
export const INTERNAL_TRAILER_BYTES = 8;

/** Three varints of 32 bits. */
const MAX_ROW_HEAD = 15;
/** Up to here a loop over the bytes is faster than a call that copies them. */
const SHORT_COPY = 20;
/** RocksDB's block_size_deviation of 10 %: a row that would make a block too large begins a new one if the block is at least so full. */
const FULL_ENOUGH = 0.9;

export interface BlockBuilderOptions {
  /** Raw bytes at which a block ends. */
  readonly blockSize: number;
  readonly restartInterval: number;
  /** Raw bytes of finished blocks that are handed on together. */
  readonly batchBytes: number;
  readonly pool: BufferPool;
}

/** Finished blocks in one buffer, each with room for a trailer behind it. */
export interface BlockBatch {
  readonly buffer: Uint8Array;
  readonly blocks: readonly Uint8Array[];
  /** Sum of the blocks' lengths. */
  readonly bytes: number;
}

export class BlockBuilder {
  readonly #blockSize: number;
  readonly #almostFull: number;
  readonly #restartInterval: number;
  readonly #batchBytes: number;
  readonly #pool: BufferPool;

  #bytes = EMPTY_BYTES;
  /** Where the open block begins, and where its next row goes. */
  #start = 0;
  #at = 0;
  /** Of the open block; the first restart point is its first row. */
  #restarts = new Uint32Array(256);
  #restartCount = 1;
  #sinceRestart = 0;

  /** The last user key; there is none yet: length -1. */
  #lastKey = new Uint8Array(64);
  #lastKeyLength = -1;
  /** Bytes at the front that the key of the last `follows` has in common with the last key. */
  #common = 0;

  #blocks: Uint8Array[] = [];
  #blockBytes = 0;
  #sealed: BlockBatch[] = [];
  #sealedBytes = 0;

  constructor({ blockSize, restartInterval, batchBytes, pool }: BlockBuilderOptions) {
    this.#blockSize = blockSize;
    this.#almostFull = Math.ceil(blockSize * FULL_ENOUGH);
    this.#restartInterval = restartInterval;
    this.#batchBytes = batchBytes;
    this.#pool = pool;
  }

  /** Raw bytes of the open block, as if it ended here; 0 without a row in it. */
  get openBytes(): number {
    return this.#at === this.#start ? 0 : this.#at - this.#start + 4 * this.#restartCount + 4;
  }

  /** Raw bytes of the batches that wait for `takeBatch`. */
  get sealedBytes(): number {
    return this.#sealedBytes;
  }

  /** A copy of the last user key. */
  lastKey(): Uint8Array {
    return this.#lastKey.slice(0, this.#lastKeyLength);
  }

  /** Whether `key` is above the last key, as `add` needs it to be; asked right before `add`. */
  follows(key: Uint8Array): boolean {
    const last = this.#lastKey;
    const lastLength = this.#lastKeyLength;
    const length = lastLength < key.length ? lastLength : key.length;
    let at = 0;
    while (at < length && last[at] === key[at]) at++;
    this.#common = at;
    return at < length ? (last[at] as number) < (key[at] as number) : lastLength < key.length;
  }

  /** Whether a row of these lengths belongs into the next block; false as long as the open one is empty. */
  isFull(keyLength: number, valueLength: number): boolean {
    const bytes = this.openBytes;
    if (bytes <= this.#almostFull) return false;
    if (bytes >= this.#blockSize) return true;
    // RocksDB's estimate, which is a little high.
    const restart = this.#sinceRestart >= this.#restartInterval ? 4 : 0;
    const internal = keyLength + INTERNAL_TRAILER_BYTES;
    const row = internal + valueLength + restart + 4 + varintLength(internal) + varintLength(valueLength);
    return bytes + row > this.#blockSize;
  }

  /** Only after `follows` has said true of this key. */
  add(key: Uint8Array, value: Uint8Array): void {
    const keyLength = key.length;
    this.#makeRoom(keyLength + value.length + INTERNAL_TRAILER_BYTES + MAX_ROW_HEAD);
    let shared = 0;
    if (this.#sinceRestart >= this.#restartInterval) this.#restart();
    else if (this.#at > this.#start) shared = this.#shared(key);

    const bytes = this.#bytes;
    let at = this.#at;
    const unshared = keyLength + INTERNAL_TRAILER_BYTES - shared;
    at = writeVarint(bytes, at, shared);
    at = writeVarint(bytes, at, unshared);
    at = writeVarint(bytes, at, value.length);
    if (keyLength - shared <= SHORT_COPY) {
      for (let i = shared; i < keyLength; i++) bytes[at++] = key[i] as number;
    } else {
      setBytes.call(bytes, shared === 0 ? key : key.subarray(shared), at);
      at += keyLength - shared;
    }
    bytes[at] = 1;
    bytes[at + 1] = 0;
    bytes[at + 2] = 0;
    bytes[at + 3] = 0;
    bytes[at + 4] = 0;
    bytes[at + 5] = 0;
    bytes[at + 6] = 0;
    bytes[at + 7] = 0;
    at += INTERNAL_TRAILER_BYTES;
    setBytes.call(bytes, value, at);
    this.#at = at + value.length;
    this.#sinceRestart++;
    this.#keep(key);
  }

  /** The open block, which has rows, ends here. */
  endBlock(): void {
    const length = this.#writeRestarts();
    this.#blocks.push(this.#bytes.subarray(this.#start, this.#start + length));
    this.#blockBytes += length;
    this.#start += length + BLOCK_TRAILER_BYTES;
    this.#at = this.#start;
    this.#restartCount = 1;
    this.#sinceRestart = 0;
    if (this.#blockBytes >= this.#batchBytes) this.seal();
  }

  /** Makes a batch of the blocks that have ended, if there are any. */
  seal(): void {
    this.#seal(0);
  }

  /** The oldest batch. Its buffer belongs to the pool afterwards. */
  takeBatch(): BlockBatch | undefined {
    const batch = this.#sealed.shift();
    if (batch !== undefined) this.#sealedBytes -= batch.bytes;
    return batch;
  }

  /** Returns the block's length with them. */
  #writeRestarts(): number {
    const bytes = this.#bytes;
    const restarts = this.#restarts;
    const count = this.#restartCount;
    let at = this.#at;
    restarts[0] = 0;
    for (let i = 0; i < count; i++, at += 4) writeUint32LE(bytes, at, restarts[i] as number);
    writeUint32LE(bytes, at, count);
    return at + 4 - this.#start;
  }

  #restart(): void {
    if (this.#restartCount === this.#restarts.length) {
      const more = new Uint32Array(2 * this.#restartCount);
      more.set(this.#restarts);
      this.#restarts = more;
    }
    this.#restarts[this.#restartCount++] = this.#at - this.#start;
    this.#sinceRestart = 0;
  }

  /** Where the last key is the begin of this one, the 8 bytes behind it (1 and zeros) may be what this key goes on with; they are never found behind this key's own end, since its own 8 bytes begin with the only 1. */
  #shared(key: Uint8Array): number {
    let shared = this.#common;
    if (shared < this.#lastKeyLength) return shared;
    const most = Math.min(this.#lastKeyLength + INTERNAL_TRAILER_BYTES, key.length);
    while (shared < most && key[shared] === (shared === this.#lastKeyLength ? 1 : 0)) shared++;
    return shared;
  }

  #keep(key: Uint8Array): void {
    const { length } = key;
    if (length > this.#lastKey.length) {
      const longer = new Uint8Array(2 * length);
      longer.set(this.#lastKey);
      this.#lastKey = longer;
    }
    const last = this.#lastKey;
    const from = this.#common;
    if (length - from <= SHORT_COPY) for (let i = from; i < length; i++) last[i] = key[i] as number;
    else setBytes.call(last, from === 0 ? key : key.subarray(from), from);
    this.#lastKeyLength = length;
  }

  /** For a row of so many bytes, and the end of the block behind it. */
  #makeRoom(rowBytes: number): void {
    const needed = rowBytes + 4 * (this.#restartCount + 2) + BLOCK_TRAILER_BYTES;
    if (this.#at + needed <= this.#bytes.length) return;
    if (this.#blocks.length > 0) {
      this.#seal(needed);
    } else {
      const full = this.#bytes;
      this.#moveOpenBlock(needed);
      if (full.length > 0) this.#pool.give(full);
    }
  }

  /** A batch keeps its buffer, so the open block goes on in another, with room for `more` bytes. */
  #seal(more: number): void {
    if (this.#blocks.length === 0) return;
    this.#sealed.push({ buffer: this.#bytes, blocks: this.#blocks, bytes: this.#blockBytes });
    this.#sealedBytes += this.#blockBytes;
    this.#blocks = [];
    this.#blockBytes = 0;
    this.#moveOpenBlock(more);
  }

  /** To a new buffer; to none as long as there is nothing to go into it. */
  #moveOpenBlock(more: number): void {
    const from = this.#bytes;
    const open = this.#at - this.#start;
    if (open + more === 0) {
      this.#bytes = EMPTY_BYTES;
    } else {
      const usual = this.#batchBytes + this.#blockSize;
      // Twice what is there: a block of many rows that is larger than a batch is not copied at every row.
      this.#bytes = this.#pool.take(open + more <= usual ? usual : 2 * open + more);
      if (open > 0) setBytes.call(this.#bytes, from.subarray(this.#start, this.#at), 0);
    }
    this.#start = 0;
    this.#at = open;
  }
}
