// Sets of versions as sorted lists of half-open ranges that neither overlap nor touch. Pure.

import type { Version } from '../core/version.js';
import { maxVersion, minVersion } from '../core/version.js';
import type { VersionRange } from './description.js';

/** Index of the first range that ends above `version`. */
function firstEndingAfter(ranges: readonly VersionRange[], version: Version): number {
  let low = 0;
  let high = ranges.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (ranges[middle]!.end <= version) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** The range that holds `version`, if one does. */
export function rangeHolding<T extends VersionRange>(ranges: readonly T[], version: Version): T | undefined {
  const range = ranges[firstEndingAfter(ranges, version)];
  return range !== undefined && range.begin <= version ? range : undefined;
}

/** What of `ranges` lies in `bounds`. */
export function clipRanges(ranges: readonly VersionRange[], bounds: VersionRange): VersionRange[] {
  const result: VersionRange[] = [];
  for (let i = firstEndingAfter(ranges, bounds.begin); i < ranges.length; i++) {
    const range = ranges[i]!;
    if (range.begin >= bounds.end) break;
    result.push({ begin: maxVersion(range.begin, bounds.begin), end: minVersion(range.end, bounds.end) });
  }
  return result;
}

export function intersectRangeLists(a: readonly VersionRange[], b: readonly VersionRange[]): VersionRange[] {
  return a.flatMap((range) => clipRanges(b, range));
}

/** What of `bounds` lies in none of `ranges`, which may touch each other. */
export function subtractRanges(bounds: VersionRange, ranges: readonly VersionRange[]): VersionRange[] {
  const result: VersionRange[] = [];
  let begin = bounds.begin;
  for (const range of ranges) {
    if (range.begin > begin) result.push({ begin, end: minVersion(range.begin, bounds.end) });
    begin = maxVersion(begin, range.end);
    if (begin >= bounds.end) return result;
  }
  result.push({ begin, end: bounds.end });
  return result;
}

/** Touching neighbours joined. `sorted` by begin, not overlapping. */
export function joinRanges(sorted: readonly VersionRange[]): VersionRange[] {
  const result: { begin: Version; end: Version }[] = [];
  for (const range of sorted) {
    const last = result.at(-1);
    if (last?.end === range.begin) last.end = range.end;
    else result.push({ begin: range.begin, end: range.end });
  }
  return result;
}
