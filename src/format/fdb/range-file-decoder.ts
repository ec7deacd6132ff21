// Reads the rows of a range file, strictly: whatever is not exactly what the format says is refused with the file and the offset.
// Pure: blocks are handed in, the caller does the reading. Runs once per row of a restore, so it allocates nothing per row.
// The layout of a block, and why rows stand in two of them, is in range-file-encoder.ts.

import { EMPTY_BYTES, equalBytes, printableBytes } from '../../core/bytes.js';
import type { BackupErrorCode } from '../../core/errors.js';
import { BackupError, assert } from '../../core/errors.js';
import type { KeyRange } from '../../core/key-range.js';
import { ITEM_HEADER_BYTES, RANGE_BLOCK_HEADER_BYTES, RANGE_BLOCK_VERSION } from './range-file-encoder.js';

const PADDING = 0xff;

/** What the decoder must know of a file: its name's block size, its size in bytes and, where a manifest says it, the keys that it covers. */
export interface DecodedRangeFile {
  readonly name: string;
  readonly size: number;
  readonly blockSize: number;
  /** The file must cover exactly these keys. */
  readonly range?: KeyRange | undefined;
}

/**
 * Walks a file row by row. `load` a run of whole blocks, call `next` until it says false, and so on until `nextOffset` is the file's size. After `next` the fields
 * describe the row; they are numbers, not objects, because a restore looks at every one of them. Every row comes once, in key order.
 *
 * Throws UNSUPPORTED_FORMAT for an unknown block version, CORRUPT_FILE for the rest.
 */
export class RangeFileReader {
  /** The key is bytes[keyStart, keyEnd), the value bytes[valueStart, valueEnd). */
  keyStart = 0;
  keyEnd = 0;
  valueStart = 0;
  valueEnd = 0;
  /** The run that `load` was given. */
  bytes: Uint8Array = EMPTY_BYTES;
  /** Rows so far. */
  rows = 0;
  /** Sum of the lengths of keys and values so far. */
  rowBytes = 0;

  readonly file: DecodedRangeFile;
  #begin: Uint8Array | undefined;
  #end: Uint8Array | undefined;
  /** Offset in the file of the run's first byte. */
  #runOffset = 0;
  #at = 0;
  #blockEnd = 0;

  /** The last key and value; their bytes are in the run, or in a copy when the run is another. The begin key, without a value, before the first row. */
  #last: Uint8Array = EMPTY_BYTES;
  #lastKeyStart = 0;
  #lastKeyEnd = 0;
  #lastValueStart = 0;
  #lastValueEnd = 0;

  /** CORRUPT_FILE for a file of 0 bytes: one that covers keys without rows says so. */
  constructor(file: DecodedRangeFile) {
    this.file = file;
    if (file.size === 0) this.#refuse(0, 'an empty file is no range file');
  }

  /** Offset in the file of the next byte to load. */
  get nextOffset(): number {
    return this.#runOffset + this.bytes.length;
  }

  /** Inclusive: the first key that the file covers; undefined before the first `next`. */
  get begin(): Uint8Array | undefined {
    return this.#begin;
  }

  /** Exclusive: the first key that the file no longer covers; undefined before the file's last `next`. */
  get end(): Uint8Array | undefined {
    return this.#end;
  }

  /** The current row's key. Shares the run's memory. */
  key(): Uint8Array {
    return this.bytes.subarray(this.keyStart, this.keyEnd);
  }

  /** The current row's value. Shares the run's memory. */
  value(): Uint8Array {
    return this.bytes.subarray(this.valueStart, this.valueEnd);
  }

  /** `bytes`: what follows in the file from `nextOffset`, whole blocks unless the file ends. The run before may be used again by whoever owns it. */
  load(bytes: Uint8Array): void {
    const offset = this.nextOffset;
    const { blockSize, size } = this.file;
    assert(this.#at === this.bytes.length, 'a run of blocks is read to its end before the next one');
    assert(bytes.length > 0 && offset % blockSize === 0, 'runs begin at a block');
    assert(bytes.length % blockSize === 0 || offset + bytes.length === size, 'runs end with a block');
    this.#keepLast();
    this.#runOffset = offset;
    this.bytes = bytes;
    this.#at = 0;
    this.#blockEnd = 0;
  }

  /** Moves to the next row; false when the run is used up. */
  next(): boolean {
    let at = this.#at;
    while (at === this.#blockEnd || this.bytes[at] === PADDING) {
      if (at < this.#blockEnd) at = this.#skipPadding(at);
      else if (at === this.bytes.length) return this.#endRun();
      else at = this.#enterBlock(at);
      this.#at = at;
    }
    if (!this.#readRow(at)) return this.next();
    this.rows++;
    this.rowBytes += this.keyEnd - this.keyStart + this.valueEnd - this.valueStart;
    return true;
  }

  /** Reads a key and, unless it is the file's end key, its value. */
  #readRow(at: number): boolean {
    const keyEnd = this.#item(at, 'key');
    const keyStart = at + ITEM_HEADER_BYTES;
    this.#checkOrder(keyStart, keyEnd);
    if (keyEnd === this.#blockEnd || this.bytes[keyEnd] === PADDING) {
      this.#endFile(keyStart, keyEnd);
      return false;
    }
    this.valueEnd = this.#item(keyEnd, 'value');
    this.valueStart = keyEnd + ITEM_HEADER_BYTES;
    this.keyStart = keyStart;
    this.keyEnd = keyEnd;
    this.#at = this.valueEnd;
    this.#setLast(this.bytes, keyStart, keyEnd, this.valueStart, this.valueEnd);
    return true;
  }

  /** Returns where the item that begins at `at` ends. */
  #item(at: number, what: string): number {
    const left = this.#blockEnd - at - ITEM_HEADER_BYTES;
    if (left < 0) this.#refuse(at, `${left + ITEM_HEADER_BYTES} bytes are left in the block, too few for a ${what}`);
    const bytes = this.bytes;
    const length =
      (((bytes[at] as number) << 24) |
        ((bytes[at + 1] as number) << 16) |
        ((bytes[at + 2] as number) << 8) |
        (bytes[at + 3] as number)) >>>
      0;
    if (length > left) this.#refuse(at, `a ${what} of ${length} bytes does not fit into its block`);
    return at + ITEM_HEADER_BYTES + length;
  }

  /** Keys ascend; only the first row may have the begin key. */
  #checkOrder(keyStart: number, keyEnd: number): void {
    const bytes = this.bytes;
    const last = this.#last;
    const keyLength = keyEnd - keyStart;
    const lastStart = this.#lastKeyStart;
    const lastLength = this.#lastKeyEnd - lastStart;
    const shorter = keyLength < lastLength ? keyLength : lastLength;
    let i = 0;
    while (i < shorter && bytes[keyStart + i] === last[lastStart + i]) i++;
    const difference =
      i < shorter ? (bytes[keyStart + i] as number) - (last[lastStart + i] as number) : keyLength - lastLength;
    if (difference > 0 || (difference === 0 && this.rows === 0)) return;
    const key = printableBytes(bytes.subarray(keyStart, keyEnd));
    const before = printableBytes(last.subarray(lastStart, this.#lastKeyEnd));
    this.#refuse(keyStart - ITEM_HEADER_BYTES, `key "${key}" comes after "${before}"`);
  }

  #enterBlock(at: number): number {
    const { blockSize } = this.file;
    const left = this.bytes.length - at;
    if (left < RANGE_BLOCK_HEADER_BYTES) this.#refuse(at, `${left} bytes at the end are too few for a block`);
    const bytes = this.bytes;
    const version = new DataView(bytes.buffer, bytes.byteOffset + at, RANGE_BLOCK_HEADER_BYTES).getUint32(0, true);
    if (version !== RANGE_BLOCK_VERSION) {
      this.#refuse(
        at,
        `block version ${version} is unknown, only ${RANGE_BLOCK_VERSION} can be read`,
        'UNSUPPORTED_FORMAT',
      );
    }
    this.#blockEnd = at + Math.min(left, blockSize);
    const keyAt = at + RANGE_BLOCK_HEADER_BYTES;
    const keyEnd = this.#item(keyAt, 'begin key');
    const beginKey = bytes.subarray(keyAt + ITEM_HEADER_BYTES, keyEnd);
    return this.#runOffset + at === 0 ? this.#beginFile(beginKey, keyEnd) : this.#repeatRow(keyAt, beginKey, keyEnd);
  }

  #beginFile(beginKey: Uint8Array, keyEnd: number): number {
    const { range } = this.file;
    if (range !== undefined && !equalBytes(beginKey, range.begin)) {
      this.#refuse(0, `begins at "${printableBytes(beginKey)}", it should at "${printableBytes(range.begin)}"`);
    }
    this.#begin = beginKey.slice();
    this.#setLast(this.#begin, 0, beginKey.length, 0, 0);
    return keyEnd;
  }

  /** A later block begins with the last row of the one before, which has been read already. Returns where the first new item begins. */
  #repeatRow(at: number, beginKey: Uint8Array, beginKeyEnd: number): number {
    if (this.rows === 0) this.#refuse(at, 'the block before it has no row');
    const last = this.#last.subarray(this.#lastKeyStart, this.#lastKeyEnd);
    if (!equalBytes(beginKey, last)) {
      this.#refuse(
        at,
        `the block begins at "${printableBytes(beginKey)}", the one before ends "${printableBytes(last)}"`,
      );
    }
    const keyEnd = this.#item(beginKeyEnd, 'key');
    const valueEnd = this.#item(keyEnd, 'value');
    const key = this.bytes.subarray(beginKeyEnd + ITEM_HEADER_BYTES, keyEnd);
    const value = this.bytes.subarray(keyEnd + ITEM_HEADER_BYTES, valueEnd);
    const lastValue = this.#last.subarray(this.#lastValueStart, this.#lastValueEnd);
    if (!equalBytes(key, last) || !equalBytes(value, lastValue)) {
      this.#refuse(beginKeyEnd, 'the block does not begin with the last row of the one before');
    }
    return valueEnd;
  }

  #endFile(keyStart: number, keyEnd: number): void {
    const offset = keyStart - ITEM_HEADER_BYTES;
    if (this.#runOffset + this.#blockEnd !== this.file.size)
      this.#refuse(offset, 'the end key is not in the last block');
    const end = this.bytes.slice(keyStart, keyEnd);
    const { range } = this.file;
    if (range !== undefined && !equalBytes(end, range.end)) {
      this.#refuse(offset, `ends at "${printableBytes(end)}", it should at "${printableBytes(range.end)}"`);
    }
    if (this.rows === 0 && equalBytes(end, this.#begin as Uint8Array)) this.#refuse(offset, 'the file covers no keys');
    this.#at = keyEnd === this.#blockEnd ? keyEnd : this.#skipPadding(keyEnd);
    this.#end = end;
  }

  #endRun(): false {
    if (this.nextOffset === this.file.size && this.#end === undefined) {
      this.#refuse(this.bytes.length, 'the file has no end key: it is cut off');
    }
    return false;
  }

  #skipPadding(from: number): number {
    for (let at = from; at < this.#blockEnd; at++) {
      if (this.bytes[at] !== PADDING)
        this.#refuse(at, `the padding that begins at ${this.#runOffset + from} holds another byte`);
    }
    return this.#blockEnd;
  }

  #setLast(bytes: Uint8Array, keyStart: number, keyEnd: number, valueStart: number, valueEnd: number): void {
    this.#last = bytes;
    this.#lastKeyStart = keyStart;
    this.#lastKeyEnd = keyEnd;
    this.#lastValueStart = valueStart;
    this.#lastValueEnd = valueEnd;
  }

  /** Copies the last row out of a run that is about to go. */
  #keepLast(): void {
    if (this.rows === 0) return;
    const key = this.#last.subarray(this.#lastKeyStart, this.#lastKeyEnd);
    const value = this.#last.subarray(this.#lastValueStart, this.#lastValueEnd);
    const copy = new Uint8Array(key.length + value.length);
    copy.set(key);
    copy.set(value, key.length);
    this.#setLast(copy, 0, key.length, key.length, copy.length);
  }

  #refuse(at: number, what: string, code: BackupErrorCode = 'CORRUPT_FILE'): never {
    const offset = this.#runOffset + at;
    throw new BackupError(code, `${this.file.name} at offset ${offset}: ${what}`, { file: this.file.name, offset });
  }
}

/** A range file that is in memory whole. The rows share its memory. */
export interface RangeFileContent {
  /** The keys that the file covers. */
  readonly range: KeyRange;
  readonly rows: readonly (readonly [key: Uint8Array, value: Uint8Array])[];
}

/** For tools and tests. Throws as RangeFileReader does. */
export function decodeRangeFile(bytes: Uint8Array, file: Omit<DecodedRangeFile, 'size'>): RangeFileContent {
  const { name, blockSize, range } = file;
  const reader = new RangeFileReader({ name, blockSize, range, size: bytes.length });
  reader.load(bytes);
  const rows: (readonly [Uint8Array, Uint8Array])[] = [];
  while (reader.next()) rows.push([reader.key(), reader.value()]);
  const { begin, end } = reader;
  assert(begin !== undefined && end !== undefined, 'a whole file was read');
  return { range: { begin, end }, rows };
}
