// Range deletions of a file: which entries they hide.

import { compareBytes } from '../../core/bytes.js';

/** Every entry with begin <= user key < end and a smaller sequence number is deleted. Entries of the same number stay: so RocksDB has it, and in an ingested file all numbers are the same. */
export interface SstRangeDeletion {
  readonly begin: Uint8Array;
  readonly end: Uint8Array;
  readonly seqno: bigint;
}

/** Answers for any key in logarithmic time, however the range deletions overlap. */
export class RangeDeletions {
  readonly #all: readonly SstRangeDeletion[];
  /** Ascending; between one and the next `#seqnos` is the same. */
  readonly #bounds: Uint8Array[];
  /** -1n: none. */
  readonly #seqnos: bigint[];

  constructor(all: readonly SstRangeDeletion[]) {
    this.#all = all;
    this.#bounds = sortedBounds(all);
    this.#seqnos = this.#paint();
  }

  /** As they stand in the file. */
  get all(): readonly SstRangeDeletion[] {
    return this.#all;
  }

  get isEmpty(): boolean {
    return this.#all.length === 0;
  }

  hides(userKey: Uint8Array, seqno: bigint): boolean {
    const place = this.#placeOf(userKey);
    return place >= 0 && (this.#seqnos[place] as bigint) > seqno;
  }

  /** The last bound that is not above the key; -1 if there is none. */
  #placeOf(key: Uint8Array): number {
    let low = 0;
    let high = this.#bounds.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (compareBytes(this.#bounds[middle] as Uint8Array, key) <= 0) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }

  /** The newest first, each over what no newer one covers: every stretch is painted once. */
  #paint(): bigint[] {
    const seqnos = new Array<bigint>(this.#bounds.length).fill(-1n);
    /** From a stretch to the next that is not painted yet, by way of others. */
    const next = Int32Array.from({ length: seqnos.length + 1 }, (_, i) => i);
    const firstFree = (from: number): number => {
      let at = from;
      for (;;) {
        const step = next[at] as number;
        if (step === at) return at;
        // Halves the way for whoever comes next.
        next[at] = next[step] as number;
        at = step;
      }
    };
    const newestFirst = [...this.#all].sort((a, b) => (a.seqno < b.seqno ? 1 : a.seqno > b.seqno ? -1 : 0));
    for (const { begin, end, seqno } of newestFirst) {
      const last = this.#placeOf(end);
      for (let at = firstFree(this.#placeOf(begin)); at < last; at = firstFree(at)) {
        seqnos[at] = seqno;
        next[at] = at + 1;
      }
    }
    return seqnos;
  }
}

function sortedBounds(all: readonly SstRangeDeletion[]): Uint8Array[] {
  const bounds = all.flatMap(({ begin, end }) => [begin, end]).sort(compareBytes);
  return bounds.filter((bound, i) => i === 0 || compareBytes(bounds[i - 1] as Uint8Array, bound) !== 0);
}
