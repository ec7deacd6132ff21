// Entries of a file as columns: keys and values are places in two buffers, so that a scan makes no object per entry. Who wants objects asks for them.

import { compareBytes } from '../../core/bytes.js';
import { readUint32LE } from '../../core/mutation.js';
import { ENTRY_TYPES, INTERNAL_BYTES } from './entry-types.js';
import type { SstEntryType } from './entry-types.js';

/** Where the entries lie. Behind each user key in `keyBytes` stand its 8 bytes of sequence number and type. */
export interface SstColumns {
  readonly keyBytes: Uint8Array;
  readonly keyStarts: Uint32Array;
  readonly keyEnds: Uint32Array;
  readonly valueBytes: Uint8Array;
  readonly valueStarts: Uint32Array;
  readonly valueEnds: Uint32Array;
}

/** Entries in the order that was asked for. The memory belongs to the receiver; all keys and values share it, so one of them keeps the batch's. */
export class SstBatch {
  readonly columns: SstColumns;
  /** All entries are values, and no user key comes twice. */
  readonly isPlain: boolean;
  readonly #globalSeqno: bigint | undefined;

  constructor(columns: SstColumns, isPlain: boolean, globalSeqno: bigint | undefined) {
    this.columns = columns;
    this.isPlain = isPlain;
    this.#globalSeqno = globalSeqno;
  }

  get count(): number {
    return this.columns.keyStarts.length;
  }

  /** The user key. */
  key(i: number): Uint8Array {
    const { keyBytes, keyStarts, keyEnds } = this.columns;
    return keyBytes.subarray(keyStarts[i], keyEnds[i]);
  }

  /** Empty for deletions. */
  value(i: number): Uint8Array {
    const { valueBytes, valueStarts, valueEnds } = this.columns;
    return valueBytes.subarray(valueStarts[i], valueEnds[i]);
  }

  type(i: number): SstEntryType {
    return ENTRY_TYPES[this.typeByte(i)] as SstEntryType;
  }

  typeByte(i: number): number {
    const { keyBytes, keyEnds } = this.columns;
    return keyBytes[keyEnds[i] as number] as number;
  }

  /** The file's global one where it has one. */
  seqno(i: number): bigint {
    if (this.#globalSeqno !== undefined) return this.#globalSeqno;
    const { keyBytes, keyEnds } = this.columns;
    const at = keyEnds[i] as number;
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
    const { keyBytes, keyStarts, keyEnds } = this.columns;
    return keyBytes.subarray(keyStarts[i], (keyEnds[i] as number) + INTERNAL_BYTES);
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
    return this.#with((column) => column.subarray(first, last));
  }

  reversed(): SstBatch {
    return this.#with((column) => column.slice().reverse());
  }

  /** Only the entries at these places, in their order. */
  pick(places: readonly number[]): SstBatch {
    return this.#with((column) => Uint32Array.from(places, (place) => column[place] as number));
  }

  #with(change: (column: Uint32Array) => Uint32Array): SstBatch {
    const { keyBytes, keyStarts, keyEnds, valueBytes, valueStarts, valueEnds } = this.columns;
    const columns = {
      keyBytes,
      keyStarts: change(keyStarts),
      keyEnds: change(keyEnds),
      valueBytes,
      valueStarts: change(valueStarts),
      valueEnds: change(valueEnds),
    };
    return new SstBatch(columns, this.isPlain, this.#globalSeqno);
  }
}
