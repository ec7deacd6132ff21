// Takes a raw data block apart: prefix-compressed keys, values, restart points. Runs over every entry of a scan, so it works on numbers in typed arrays only.
//
// entry = varint shared, varint unshared, varint value length, the unshared bytes of the key, the value. A key shares its first bytes with the one before it, none at a restart point.

import { printableBytes } from '../../core/bytes.js';
import { readUint32LE } from '../../core/mutation.js';
import { checkBlockBytes } from './block-opener.js';
import { readBlockTail } from './block-tail.js';
import { ENTRY_TYPES, INTERNAL_BYTES, RANGE_DELETION, VALUE } from './entry-types.js';
import type { SstColumns } from './sst-batch.js';
import type { SstFile } from './sst-file.js';
import { refuseSst } from './sst-file.js';

const FIRST_CAPACITY = 1024;
/** Above so many shared bytes a copy by the engine beats a loop. */
const LONG = 32;

export interface DataBlockOptions {
  readonly file: Pick<SstFile, 'name'>;
  readonly maxBlockBytes: number;
  /** Has the file a global sequence number? Then its entries must have none of their own. */
  readonly globalSeqno: boolean;
  /** The block of range deletions, whose entries need not be in order: SstFileWriter writes them as they come. Default false: a data block. */
  readonly rangeDeletions?: boolean;
}

/**
 * Decodes one block after the other, strictly: lengths, restart points, known types, and internal keys that ascend; CORRUPT_FILE otherwise. What is behind the fields is valid until the next `decode`; `columns` gives what lasts.
 */
export class DataBlockDecoder {
  readonly #options: DataBlockOptions;

  /** Entries of the block. */
  count = 0;
  /** All are values, no user key comes twice: nothing to resolve. */
  isPlain = true;
  /** Sum of the lengths of the values. */
  valueTotal = 0;
  /** Internal keys, one behind the other. */
  keyBytes: Uint8Array = new Uint8Array(0);
  /** Sum of the lengths of the internal keys. */
  keyTotal = 0;
  keyStarts = new Uint32Array(FIRST_CAPACITY);
  /** Of the user keys. */
  keyEnds = new Uint32Array(FIRST_CAPACITY);
  valueStarts = new Uint32Array(FIRST_CAPACITY);
  valueEnds = new Uint32Array(FIRST_CAPACITY);
  raw: Uint8Array = new Uint8Array(0);
  /** Deletions of both kinds, and merges: for the counters of a file. */
  deletions = 0;
  merges = 0;

  #shared = new Uint32Array(FIRST_CAPACITY);
  #offset = 0;
  /** Where the varint that was read last ends. */
  #next = 0;

  constructor(options: DataBlockOptions) {
    this.#options = options;
  }

  /** `offset`: where the block is stored, for errors. With `reuse` the keys go into memory that the next `decode` overwrites. */
  decode(raw: Uint8Array, offset: number, reuse = false): void {
    this.#offset = offset;
    this.raw = raw;
    this.#parse();
    checkBlockBytes(this.#options.file, offset, this.keyTotal, this.#options.maxBlockBytes);
    if (!reuse || this.keyBytes.length < this.keyTotal) this.keyBytes = new Uint8Array(this.keyTotal);
    this.#joinKeys();
    this.#checkTypes();
  }

  /** The block's entries, in memory of their own (the values in the block's). Needs a `decode` without `reuse`. */
  columns(): SstColumns {
    const { count, keyBytes, raw } = this;
    return {
      keyBytes,
      keyStarts: this.keyStarts.slice(0, count),
      keyEnds: this.keyEnds.slice(0, count),
      valueBytes: raw,
      valueStarts: this.valueStarts.slice(0, count),
      valueEnds: this.valueEnds.slice(0, count),
    };
  }

  /** The internal key of an entry; shares memory. */
  internalKey(i: number): Uint8Array {
    return this.keyBytes.subarray(this.keyStarts[i], (this.keyEnds[i] as number) + INTERNAL_BYTES);
  }

  /** First pass: where everything is, and how long. */
  #parse(): void {
    const { raw } = this;
    const { restartsAt: end, restarts } = readBlockTail(this.#options.file, this.#offset, raw);
    let restart = 0;
    let nextRestart = readUint32LE(raw, end);
    let count = 0;
    let keyTotal = 0;
    let valueTotal = 0;
    let lastLength = 0;
    let at = 0;
    if (nextRestart !== 0) this.#refuse(`the first restart point is ${nextRestart}`);
    while (at < end) {
      const entryAt = at;
      // The restart points behind the entries let these reads stay in the block.
      let shared = raw[at] as number;
      let unshared = raw[at + 1] as number;
      let valueLength = raw[at + 2] as number;
      if ((shared | unshared | valueLength) < 0x80) {
        at += 3;
      } else {
        shared = this.#varint(at, end);
        unshared = this.#varint(this.#next, end);
        valueLength = this.#varint(this.#next, end);
        at = this.#next;
      }
      if (entryAt === nextRestart) {
        if (shared !== 0) this.#refuse(`the restart point at ${entryAt} has no whole key`);
        restart++;
        nextRestart = restart < restarts ? readUint32LE(raw, end + 4 * restart) : end;
      }
      const keyLength = shared + unshared;
      const valueAt = at + unshared;
      at = valueAt + valueLength;
      if (at > end || at > nextRestart || shared > lastLength || keyLength < INTERNAL_BYTES) {
        this.#refuse(`the entry at ${entryAt} of the block cannot be: ${shared}, ${unshared} and ${valueLength} bytes`);
      }
      if (count === this.keyEnds.length) {
        // Many short entries share long keys: before there is room for more of them.
        checkBlockBytes(this.#options.file, this.#offset, keyTotal, this.#options.maxBlockBytes);
        this.#grow();
      }
      this.#shared[count] = shared;
      this.valueStarts[count] = valueAt;
      this.valueEnds[count] = at;
      this.keyStarts[count] = keyTotal;
      keyTotal += keyLength;
      this.keyEnds[count] = keyTotal - INTERNAL_BYTES;
      valueTotal += valueLength;
      lastLength = keyLength;
      count++;
    }
    // A block without entries has its one restart point at its end.
    if (restart < restarts && !(count === 0 && restarts === 1)) this.#refuse('a restart point is not at an entry');
    this.count = count;
    this.keyTotal = keyTotal;
    this.valueTotal = valueTotal;
  }

  /** Second pass: keys become whole, each is compared with the one before. */
  #joinKeys(): void {
    const { raw, keyBytes, keyStarts, keyEnds, valueStarts, count } = this;
    let isPlain = true;
    let lastStart = 0;
    let lastUserLength = -1;
    for (let i = 0; i < count; i++) {
      const start = keyStarts[i] as number;
      const userLength = (keyEnds[i] as number) - start;
      const shared = this.#shared[i] as number;
      const unshared = userLength + INTERNAL_BYTES - shared;
      const from = (valueStarts[i] as number) - unshared;
      if (shared > LONG) keyBytes.copyWithin(start, lastStart, lastStart + shared);
      else for (let j = 0; j < shared; j++) keyBytes[start + j] = keyBytes[lastStart + j] as number;
      const to = start + shared;
      if (unshared > 2 * LONG) keyBytes.set(raw.subarray(from, from + unshared), to);
      else for (let j = 0; j < unshared; j++) keyBytes[to + j] = raw[from + j] as number;

      // Only what is not shared can differ.
      const shorter = userLength < lastUserLength ? userLength : lastUserLength;
      let j = shared;
      while (j < shorter && keyBytes[start + j] === keyBytes[lastStart + j]) j++;
      if (j < shorter) {
        if ((keyBytes[start + j] as number) < (keyBytes[lastStart + j] as number)) this.#refuseOrder(i);
      } else if (userLength <= lastUserLength) {
        isPlain = false;
        if (userLength < lastUserLength || !this.#isOlder(start + userLength, lastStart + userLength)) {
          this.#refuseOrder(i);
        }
      }
      lastStart = start;
      lastUserLength = userLength;
    }
    this.isPlain = isPlain;
  }

  /** Of one user key the newest comes first. */
  #isOlder(at: number, lastAt: number): boolean {
    const { keyBytes } = this;
    for (let i = INTERNAL_BYTES - 1; i >= 0; i--) {
      const difference = (keyBytes[at + i] as number) - (keyBytes[lastAt + i] as number);
      if (difference !== 0) return difference < 0;
    }
    return false;
  }

  #checkTypes(): void {
    const { keyBytes, keyEnds, count } = this;
    const { globalSeqno, rangeDeletions = false } = this.#options;
    let deletions = 0;
    let merges = 0;
    for (let i = 0; i < count; i++) {
      const at = keyEnds[i] as number;
      const type = keyBytes[at] as number;
      if (globalSeqno && !isZero(keyBytes, at + 1, at + INTERNAL_BYTES)) {
        this.#refuse('an entry has a sequence number, and the file a global one');
      }
      if (type === VALUE && !rangeDeletions) continue;
      this.isPlain = false;
      const name = ENTRY_TYPES[type];
      if (rangeDeletions ? type !== RANGE_DELETION : name === undefined) {
        const what = `entries of type 0x${type.toString(16)} are not read`;
        refuseSst(this.#options.file, this.#offset, what, 'UNSUPPORTED_FORMAT');
      }
      if (name === 'merge') merges++;
      else if (name === 'deletion' || name === 'single-deletion') deletions++;
    }
    this.deletions = deletions;
    this.merges = merges;
  }

  #varint(from: number, end: number): number {
    const { raw } = this;
    let value = 0;
    let scale = 1;
    const last = Math.min(end, from + 5);
    for (let at = from; at < last; at++) {
      const byte = raw[at] as number;
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) {
        if (value > 0xffffffff) break;
        this.#next = at + 1;
        return value;
      }
      scale *= 128;
    }
    return this.#refuse(`no number stands at ${from} of the block`);
  }

  #grow(): void {
    const capacity = 2 * this.keyEnds.length;
    const grown = (column: Uint32Array): Uint32Array<ArrayBuffer> => {
      const larger = new Uint32Array(capacity);
      larger.set(column);
      return larger;
    };
    this.#shared = grown(this.#shared);
    this.keyStarts = grown(this.keyStarts);
    this.keyEnds = grown(this.keyEnds);
    this.valueStarts = grown(this.valueStarts);
    this.valueEnds = grown(this.valueEnds);
  }

  #refuseOrder(i: number): void {
    if (this.#options.rangeDeletions === true) return;
    const key = printableBytes(this.internalKey(i));
    this.#refuse(`the internal key "${key}" comes after "${printableBytes(this.internalKey(i - 1))}"`);
  }

  #refuse(what: string): never {
    return refuseSst(this.#options.file, this.#offset, what);
  }
}

function isZero(bytes: Uint8Array, from: number, to: number): boolean {
  for (let at = from; at < to; at++) if (bytes[at] !== 0) return false;
  return true;
}
