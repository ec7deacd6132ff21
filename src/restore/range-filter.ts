// Which mutations of a log concern the ranges that are restored. Pure.

import { compareBytes } from '../core/bytes.js';
import type { KeyRange } from '../core/key-range.js';
import { coalesceRanges, intersectRanges } from '../core/key-range.js';

export class RangeFilter {
  /** Sorted, disjoint, not touching. */
  readonly ranges: readonly KeyRange[];

  constructor(ranges: readonly KeyRange[]) {
    this.ranges = coalesceRanges(ranges);
  }

  contains(key: Uint8Array): boolean {
    const range = this.ranges[this.#firstEndingAfter(key)];
    return range !== undefined && compareBytes(range.begin, key) <= 0;
  }

  /** What of [begin, end) lies in the ranges; calls `part` with each piece. */
  clip(begin: Uint8Array, end: Uint8Array, part: (begin: Uint8Array, end: Uint8Array) => void): void {
    for (let i = this.#firstEndingAfter(begin); i < this.ranges.length; i++) {
      const range = this.ranges[i] as KeyRange;
      if (compareBytes(range.begin, end) >= 0) return;
      const piece = intersectRanges(range, { begin, end });
      if (piece !== undefined) part(piece.begin, piece.end);
    }
  }

  #firstEndingAfter(key: Uint8Array): number {
    let low = 0;
    let high = this.ranges.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (compareBytes((this.ranges[middle] as KeyRange).end, key) <= 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

/** The keys that are in both lists. */
export function intersectRangeSets(a: readonly KeyRange[], b: readonly KeyRange[]): KeyRange[] {
  const filter = new RangeFilter(a);
  const result: KeyRange[] = [];
  for (const range of coalesceRanges(b))
    filter.clip(range.begin, range.end, (begin, end) => result.push({ begin, end }));
  return result;
}

/** The keys of `a` that are not in `b`. */
export function subtractRangeSets(a: readonly KeyRange[], b: readonly KeyRange[]): KeyRange[] {
  const holes = coalesceRanges(b);
  const result: KeyRange[] = [];
  let next = 0;
  for (const { begin, end } of coalesceRanges(a)) {
    let from = begin;
    while (next < holes.length && compareBytes(holes[next]!.end, begin) <= 0) next++;
    for (let i = next; i < holes.length && compareBytes(holes[i]!.begin, end) < 0; i++) {
      const hole = holes[i]!;
      if (compareBytes(from, hole.begin) < 0) result.push({ begin: from, end: hole.begin });
      from = hole.end;
    }
    if (compareBytes(from, end) < 0) result.push({ begin: from, end });
  }
  return result;
}
