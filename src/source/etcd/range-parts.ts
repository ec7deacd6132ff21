// Key ranges with holes in them. Pure.

import { compareBytes } from '../../core/bytes.js';
import type { KeyRange } from '../../core/key-range.js';

/** What of `ranges` is not in `holes`. Both sorted and disjoint, and so is what comes out. */
export function withoutRanges(ranges: readonly KeyRange[], holes: readonly KeyRange[]): KeyRange[] {
  if (holes.length === 0) return [...ranges];
  const parts: KeyRange[] = [];
  let first = 0;
  for (const range of ranges) {
    let { begin } = range;
    while (first < holes.length && compareBytes((holes[first] as KeyRange).end, begin) <= 0) first++;
    // A hole may reach into the next range as well.
    for (let i = first; i < holes.length; i++) {
      const hole = holes[i] as KeyRange;
      if (compareBytes(hole.begin, range.end) >= 0) break;
      if (compareBytes(begin, hole.begin) < 0) parts.push({ begin, end: hole.begin });
      begin = hole.end;
    }
    if (compareBytes(begin, range.end) < 0) parts.push({ begin, end: range.end });
  }
  return parts;
}

/** There is no empty key in etcd, so nothing is below "\0"; and a request whose range ends there would be taken for one without an end. */
export function isOnlyEmptyKey(end: Uint8Array): boolean {
  return end.length === 1 && end[0] === 0;
}
