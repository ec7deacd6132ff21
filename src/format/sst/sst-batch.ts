// Entries of a file as numbers: keys and values are places in two buffers, so that a scan makes no object per entry. Who wants objects asks for them.

import { compareBytes } from '../../core/bytes.js';
import { readUint32LE } from '../../core/mutation.js';
import { ENTRY_TYPES, INTERNAL_BYTES } from './entry-types.js';
import type { SstEntryType } from './entry-types.js';

/** Where the entries lie. Behind each user key in `keyBytes` stand its 8 bytes of sequence number and type. */
export interface SstPlaces {
  readonly keyBytes: Uint8Array;
  readonly valueBytes: Uint8Array;
  /** Four numbers an entry: where its user key begins in `keyBytes` and ends, where its value begins in `valueBytes` and ends. Ends are exclusive. */
  readonly at: Uint32Array;
}

/** Numbers per entry in `SstPlaces.at`, and where among them each stands. */
export const PLACE_NUMBERS = 4;
export const [KEY_START, KEY_END, VALUE_START, VALUE_END] = [0, 1, 2, 3] as const;

/** Entries in the order that was asked for. The memory belongs to the receiver (but see `reuse` of a scan); all keys and values share it, so one of them keeps the batch's. */
export class SstBatch {
  readonly places: SstPlaces;
  /** All entries are values, and no user key comes twice. */
  readonly isPlain: boolean;
  readonly #globalSeqno: bigint | undefined;

  constructor(places: SstPlaces, isPlain: boolean, globalSeqno: bigint | undefined) {
    this.places = places;
    this.isPlain = isPlain;
    this.#globalSeqno = globalSeqno;
  }

  get count(): number {
    return this.places.at.length / PLACE_NUMBERS;
  }

  /** The user key. */
  key(i: number): Uint8Array {
    const { keyBytes, at } = this.places;
    const entry = PLACE_NUMBERS * i;
    return keyBytes.subarray(at[entry + KEY_START], at[entry + KEY_END]);
  }

  /** Empty for deletions. */
  value(i: number): Uint8Array {
    const { valueBytes, at } = this.places;
    const entry = PLACE_NUMBERS * i;
    return valueBytes.subarray(at[entry + VALUE_START], at[entry + VALUE_END]);
  }

  type(i: number): SstEntryType {
    return ENTRY_TYPES[this.typeByte(i)] as SstEntryType;
  }

  typeByte(i: number): number {
    return this.places.keyBytes[this.#keyEnd(i)] as number;
  }

  /** The file's global one where it has one. */
  seqno(i: number): bigint {
    if (this.#globalSeqno !== undefined) return this.#globalSeqno;
    const { keyBytes } = this.places;
    const at = this.#keyEnd(i);
    return (BigInt(readUint32LE(keyBytes, at + 4)) << 24n) | BigInt(readUint32LE(keyBytes, at) >>> 8);
  }

  /** A view each. */
  keys(): Uint8Array[] {
    return Array.from({ length: this.count }, (_, i) => this.key(i));
  }

  /** A view each. */
  values(): Uint8Array[] {
    return Array.from({ length: this.count }, (_, i) => this.value(i));
  }

  /** With sequence number and type. */
  internalKey(i: number): Uint8Array {
    const { keyBytes, at } = this.places;
    return keyBytes.subarray(at[PLACE_NUMBERS * i + KEY_START], this.#keyEnd(i) + INTERNAL_BYTES);
  }

  /** In a batch in ascending order: the first entry whose user key is not below `key`; `count` if there is none. */
  lowerBound(key: Uint8Array): number {
    let low = 0;
    let high = this.count;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (compareBytes(this.key(middle), key) < 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** The entries from `first` up to, not including, `last`. Shares memory. */
  slice(first: number, last: number): SstBatch {
    if (first === 0 && last === this.count) return this;
    return this.#with(this.places.at.subarray(PLACE_NUMBERS * first, PLACE_NUMBERS * last));
  }

  reversed(): SstBatch {
    return this.pick(Array.from({ length: this.count }, (_, i) => this.count - 1 - i));
  }

  /** Only these entries, in the order in which they are named. */
  pick(entries: readonly number[]): SstBatch {
    const { at } = this.places;
    const picked = new Uint32Array(PLACE_NUMBERS * entries.length);
    for (let i = 0; i < entries.length; i++) {
      const from = PLACE_NUMBERS * (entries[i] as number);
      for (let j = 0; j < PLACE_NUMBERS; j++) picked[PLACE_NUMBERS * i + j] = at[from + j] as number;
    }
    return this.#with(picked);
  }

  #keyEnd(i: number): number {
    return this.places.at[PLACE_NUMBERS * i + KEY_END] as number;
  }

  #with(at: Uint32Array): SstBatch {
    const { keyBytes, valueBytes } = this.places;
    return new SstBatch({ keyBytes, valueBytes, at }, this.isPlain, this.#globalSeqno);
  }
}
