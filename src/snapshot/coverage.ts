// Which keys files cover, and which they leave out.

import { compareBytes, equalBytes } from '../core/bytes.js';
import { assert } from '../core/errors.js';
import type { KeyRange } from '../core/key-range.js';
import { formatRange } from '../core/key-range.js';

interface HasRange {
  readonly range: KeyRange;
}

export function byKey(a: HasRange, b: HasRange): number {
  return compareBytes(a.range.begin, b.range.begin);
}

/** Those that lie within the ranges and do not overlap one another, in key order; of two that overlap the first. `ranges` sorted and disjoint. */
export function disjointWithin<T extends HasRange>(files: readonly T[], ranges: readonly KeyRange[]): T[] {
  const kept: T[] = [];
  let index = 0;
  for (const file of [...files].sort(byKey)) {
    const { begin, end } = file.range;
    while (index < ranges.length && compareBytes((ranges[index] as KeyRange).end, begin) <= 0) index++;
    const range = ranges[index];
    const last = kept.at(-1);
    if (range === undefined || compareBytes(range.begin, begin) > 0 || compareBytes(end, range.end) > 0) continue;
    if (compareBytes(begin, end) >= 0 || (last !== undefined && compareBytes(last.range.end, begin) > 0)) continue;
    kept.push(file);
  }
  return kept;
}

/** What of `ranges` none of the files covers. Both sorted and disjoint, the files within the ranges. */
export function missingRanges(files: readonly HasRange[], ranges: readonly KeyRange[]): KeyRange[] {
  const missing: KeyRange[] = [];
  let next = 0;
  for (const range of ranges) {
    let at = range.begin;
    for (let file = files[next]; file !== undefined && compareBytes(file.range.begin, range.end) < 0;) {
      if (compareBytes(at, file.range.begin) < 0) missing.push({ begin: at, end: file.range.begin });
      at = file.range.end;
      file = files[++next];
    }
    if (compareBytes(at, range.end) < 0) missing.push({ begin: at, end: range.end });
  }
  return missing;
}

/** Files in key order cover the ranges without overlap and without a hole: what a manifest promises. */
export function assertCovered(files: readonly HasRange[], ranges: readonly KeyRange[]): void {
  let next = 0;
  for (const range of ranges) {
    let at = range.begin;
    while (!equalBytes(at, range.end)) {
      const file = files[next++];
      assert(
        file !== undefined && equalBytes(file.range.begin, at) && compareBytes(at, file.range.end) < 0,
        `a snapshot's files cover ${formatRange(range)} without overlap or hole`,
      );
      at = file.range.end;
    }
  }
  assert(next === files.length, 'no file of a snapshot lies outside of its ranges');
}
