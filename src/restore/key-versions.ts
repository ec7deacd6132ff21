// From which version on the log counts for a key: a row that was read at version v contains everything up to v, and what contains an atomic operation must not get it again.

import { compareBytes } from '../core/bytes.js';
import type { KeyRange } from '../core/key-range.js';
import { intersectRanges } from '../core/key-range.js';
import type { Version } from '../core/version.js';
import { RangeFilter } from './range-filter.js';

/** Keys whose mutations count from version `from` (inclusive) on. */
export interface VersionedRange extends KeyRange {
  readonly from: Version;
}

/** Mutations of keys in none of the ranges never count. Versions are given as halves: this is asked once per mutation. */
export class KeyVersions {
  /** Sorted, disjoint; touching neighbours have different versions. */
  readonly #ranges: readonly VersionedRange[];
  readonly #fromHigh: Uint32Array;
  readonly #fromLow: Uint32Array;
  /** From this version on every range counts: then only the outlines matter. */
  readonly #allHigh: number;
  readonly #allLow: number;
  readonly #outlines: RangeFilter;

  /** `ranges`: sorted and disjoint. */
  constructor(ranges: readonly VersionedRange[]) {
    this.#ranges = joinEqual(ranges);
    this.#fromHigh = Uint32Array.from(this.#ranges, ({ from }) => Number(from >> 32n));
    this.#fromLow = Uint32Array.from(this.#ranges, ({ from }) => Number(from & 0xffffffffn));
    const last = this.#ranges.reduce((max, { from }) => (from > max ? from : max), 0n);
    this.#allHigh = Number(last >> 32n);
    this.#allLow = Number(last & 0xffffffffn);
    this.#outlines = new RangeFilter(ranges);
  }

  /** Whether a mutation of `key` at this version counts. */
  counts(key: Uint8Array, high: number, low: number): boolean {
    if (high > this.#allHigh || (high === this.#allHigh && low >= this.#allLow)) return this.#outlines.contains(key);
    const i = this.#firstEndingAfter(key);
    const range = this.#ranges[i];
    return range !== undefined && this.#isFrom(i, high, low) && compareBytes(range.begin, key) <= 0;
  }

  /** The parts of a clear [begin, end) at this version that count; calls `part` with each, in order, as few as can be. */
  clip(
    begin: Uint8Array,
    end: Uint8Array,
    high: number,
    low: number,
    part: (begin: Uint8Array, end: Uint8Array) => void,
  ): void {
    if (high > this.#allHigh || (high === this.#allHigh && low >= this.#allLow)) {
      this.#outlines.clip(begin, end, part);
      return;
    }
    let open: { begin: Uint8Array; end: Uint8Array } | undefined;
    for (let i = this.#firstEndingAfter(begin); i < this.#ranges.length; i++) {
      const range = this.#ranges[i] as VersionedRange;
      if (compareBytes(range.begin, end) >= 0) break;
      const piece = this.#isFrom(i, high, low) ? intersectRanges(range, { begin, end }) : undefined;
      if (piece === undefined) continue;
      if (open !== undefined && compareBytes(open.end, piece.begin) === 0) {
        open.end = piece.end;
      } else {
        if (open !== undefined) part(open.begin, open.end);
        open = { begin: piece.begin, end: piece.end };
      }
    }
    if (open !== undefined) part(open.begin, open.end);
  }

  #isFrom(i: number, high: number, low: number): boolean {
    const fromHigh = this.#fromHigh[i] as number;
    return high > fromHigh || (high === fromHigh && low >= (this.#fromLow[i] as number));
  }

  #firstEndingAfter(key: Uint8Array): number {
    let low = 0;
    let high = this.#ranges.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (compareBytes((this.#ranges[middle] as VersionedRange).end, key) <= 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

function joinEqual(ranges: readonly VersionedRange[]): VersionedRange[] {
  const result: VersionedRange[] = [];
  for (const range of ranges) {
    const last = result.at(-1);
    if (last?.from === range.from && compareBytes(last.end, range.begin) === 0)
      result[result.length - 1] = { begin: last.begin, end: range.end, from: last.from };
    else result.push(range);
  }
  return result;
}
