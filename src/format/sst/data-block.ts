// Takes a raw data block apart: prefix-compressed keys, values, restart points. Runs over every entry of a scan, so it works on numbers in typed arrays only.
//
// entry = varint shared, varint unshared, varint value length, the unshared bytes of the key, the value. A key shares its first bytes with the one before it, none at a restart point.

import { printableBytes } from '../../core/bytes.js';
import { readUint32LE } from '../../core/mutation.js';
import { checkBlockBytes } from './block-opener.js';
import { readBlockTail } from './block-tail.js';
import { ENTRY_TYPES, INTERNAL_BYTES, RANGE_DELETION, VALUE } from './entry-types.js';
import { KEY_END, KEY_START, PLACE_NUMBERS, type SstPlaces, VALUE_END, VALUE_START } from './sst-batch.js';
import type { SstFile } from './sst-file.js';
import { refuseSst } from './sst-file.js';

const FIRST_CAPACITY = 1024;
/** Keys are copied a word at a time, over their end: what stands there is written afterwards, or is nobody's. */
const WORD_BYTES = 4;
const SLACK_BYTES = WORD_BYTES - 1;
/** Above so many bytes a copy by the engine beats a loop over words. */
const LONG = 96;

export interface DataBlockOptions {
  readonly file: Pick<SstFile, 'name'>;
  readonly maxBlockBytes: number;
  /** Has the file a global sequence number? Then its entries must have none of their own. */
  readonly globalSeqno: boolean;
  /** The block of range deletions, whose entries need not be in order: SstFileWriter writes them as they come. Default false: a data block. */
  readonly rangeDeletions?: boolean;
}

/**
 * Decodes one block after the other, strictly: lengths, restart points, known types, and internal keys that ascend; CORRUPT_FILE otherwise. What is behind the fields is valid until the next `decode`; `places` gives what lasts.
 */
export class DataBlockDecoder {
  readonly #options: DataBlockOptions;

  /** Entries of the block. */
  count = 0;
  /** All are values, no user key comes twice: nothing to resolve. */
  isPlain = true;
  /** Sum of the lengths of the values. */
  valueTotal = 0;
  /** Internal keys, one behind the other: the first `keyTotal` bytes. */
  keyBytes = new Uint8Array(SLACK_BYTES);
  /** Sum of the lengths of the internal keys. */
  keyTotal = 0;
  /** As in SstPlaces: of the first `count` entries. */
  at = new Uint32Array(PLACE_NUMBERS * FIRST_CAPACITY);
  raw: Uint8Array = new Uint8Array(0);
  /** Deletions of both kinds, and merges: for the counters of a file. */
  deletions = 0;
  merges = 0;

  #allValues = true;
  #noSeqnos = true;
  #offset = 0;
  /** Where the varint that was read last ends. */
  #next = 0;

  constructor(options: DataBlockOptions) {
    this.#options = options;
  }

  /** `offset`: where the block is stored, for errors. */
  decode(raw: Uint8Array, offset: number): void {
    this.#offset = offset;
    this.raw = raw;
    this.#parse();
    const { globalSeqno, rangeDeletions = false } = this.#options;
    if (globalSeqno && !this.#noSeqnos) this.#refuse('an entry has a sequence number, and the file a global one');
    if (this.#allValues && !rangeDeletions) this.deletions = this.merges = 0;
    else this.#checkTypes(rangeDeletions);
  }

  /** The block's entries, in memory of their own (the values in the block's). */
  places(): SstPlaces {
    const { count, keyTotal } = this;
    // One piece of memory: a piece costs more than filling it.
    const atBytes = Uint32Array.BYTES_PER_ELEMENT * PLACE_NUMBERS * count;
    const memory = Buffer.allocUnsafeSlow(atBytes + keyTotal).buffer;
    const at = new Uint32Array(memory, 0, PLACE_NUMBERS * count);
    at.set(this.at.subarray(0, PLACE_NUMBERS * count));
    const keyBytes = new Uint8Array(memory, atBytes, keyTotal);
    keyBytes.set(this.keyBytes.subarray(0, keyTotal));
    return { keyBytes, valueBytes: this.raw, at };
  }

  /** The same, valid until the next `decode`. */
  borrowedPlaces(): SstPlaces {
    return { keyBytes: this.keyBytes, valueBytes: this.raw, at: this.at.subarray(0, PLACE_NUMBERS * this.count) };
  }

  /** The internal key of an entry; shares memory. */
  internalKey(i: number): Uint8Array {
    const entry = PLACE_NUMBERS * i;
    return this.keyBytes.subarray(this.at[entry + KEY_START], (this.at[entry + KEY_END] as number) + INTERNAL_BYTES);
  }

  /** Finds where everything is, makes the keys whole and compares each with the one before. One pass: what it says of an entry is in the processor's registers then. */
  #parse(): void {
    const { raw } = this;
    const { restartsAt: end, restarts } = readBlockTail(this.#options.file, this.#offset, raw);
    const rawView = new DataView(raw.buffer, raw.byteOffset, raw.length);
    let { keyBytes, at: places } = this;
    let keyView = new DataView(keyBytes.buffer);
    let restart = 0;
    let nextRestart = readUint32LE(raw, end);
    let count = 0;
    let valueTotal = 0;
    let isPlain = true;
    /** What is anywhere in the first four of the 8 bytes behind a user key, the type the lowest (0: a value), and in the last four. */
    let tags = 0;
    let seqnos = 0;
    let lastStart = 0;
    /** Where the last key ends and the next one begins. */
    let start = 0;
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
      const keyAt = at;
      const valueAt = at + unshared;
      at = valueAt + valueLength;
      if (at > end || at > nextRestart || shared > start - lastStart || keyLength < INTERNAL_BYTES) {
        this.#refuse(`the entry at ${entryAt} of the block cannot be: ${shared}, ${unshared} and ${valueLength} bytes`);
      }
      const keyEnd = start + keyLength;
      if (keyEnd + SLACK_BYTES > keyBytes.length) {
        this.#growKeys(keyEnd, start);
        ({ keyBytes } = this);
        keyView = new DataView(keyBytes.buffer);
      }
      const place = PLACE_NUMBERS * count;
      if (place === places.length) {
        this.#growPlaces();
        ({ at: places } = this);
      }

      if (shared > LONG) {
        keyBytes.copyWithin(start, lastStart, lastStart + shared);
      } else {
        for (let j = 0; j < shared; j += WORD_BYTES) {
          keyView.setUint32(start + j, keyView.getUint32(lastStart + j, true), true);
        }
      }
      const to = start + shared;
      if (unshared > LONG) {
        keyBytes.set(raw.subarray(keyAt, valueAt), to);
      } else {
        // The restart points let these reads stay in the block, too.
        for (let j = 0; j < unshared; j += WORD_BYTES) {
          keyView.setUint32(to + j, rawView.getUint32(keyAt + j, true), true);
        }
      }
      const userEnd = keyEnd - INTERNAL_BYTES;
      if (unshared >= INTERNAL_BYTES) {
        tags |= rawView.getUint32(valueAt - INTERNAL_BYTES, true) ^ VALUE;
        seqnos |= rawView.getUint32(valueAt - WORD_BYTES, true);
      } else {
        tags |= keyView.getUint32(userEnd, true) ^ VALUE;
        seqnos |= keyView.getUint32(userEnd + WORD_BYTES, true);
      }

      places[place + KEY_START] = start;
      places[place + KEY_END] = userEnd;
      places[place + VALUE_START] = valueAt;
      places[place + VALUE_END] = at;
      if (count > 0) {
        // Only what is not shared can differ.
        const lastUserEnd = start - INTERNAL_BYTES;
        let i = to;
        let lastI = lastStart + shared;
        while (i < userEnd && lastI < lastUserEnd && keyBytes[i] === keyBytes[lastI]) {
          i++;
          lastI++;
        }
        if (i < userEnd && lastI < lastUserEnd) {
          if ((keyBytes[i] as number) < (keyBytes[lastI] as number)) this.#refuseOrder(count);
        } else if (userEnd - start <= lastUserEnd - lastStart) {
          isPlain = false;
          if (userEnd - start < lastUserEnd - lastStart || !this.#isOlder(userEnd, lastUserEnd))
            this.#refuseOrder(count);
        }
      }
      valueTotal += valueLength;
      lastStart = start;
      start = keyEnd;
      count++;
    }
    // A block without entries has its one restart point at its end.
    if (restart < restarts && !(count === 0 && restarts === 1)) this.#refuse('a restart point is not at an entry');
    this.count = count;
    this.keyTotal = start;
    this.valueTotal = valueTotal;
    this.isPlain = isPlain;
    this.#allValues = (tags & 0xff) === 0;
    this.#noSeqnos = ((tags & ~0xff) | seqnos) === 0;
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

  #checkTypes(rangeDeletions: boolean): void {
    const { keyBytes, at, count } = this;
    let deletions = 0;
    let merges = 0;
    for (let i = 0; i < count; i++) {
      const type = keyBytes[at[PLACE_NUMBERS * i + KEY_END] as number] as number;
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

  #growPlaces(): void {
    const larger = new Uint32Array(2 * this.at.length);
    larger.set(this.at);
    this.at = larger;
  }

  /** Many short entries may share long keys: what is too much is refused before there is room for it. */
  #growKeys(wanted: number, used: number): void {
    const { file, maxBlockBytes } = this.#options;
    checkBlockBytes(file, this.#offset, wanted, maxBlockBytes);
    const larger = new Uint8Array(Math.min(2 * wanted, maxBlockBytes) + SLACK_BYTES);
    larger.set(this.keyBytes.subarray(0, used));
    this.keyBytes = larger;
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
