// Key ranges as TiKV's protocol has them: an empty end key means that there is no bound. Nothing here may take such an end for the smallest key.

import { compareBytes, printableBytes } from '../../core/bytes.js';
import type { BrKeyRange } from '../../format/br/messages.js';

/** < 0, 0 or > 0 for end keys: the empty one is the largest. */
export function compareEnds(a: Uint8Array, b: Uint8Array): number {
  if (a.length === 0 || b.length === 0) return a.length === b.length ? 0 : a.length === 0 ? 1 : -1;
  return compareBytes(a, b);
}

/** Whether a range that ends at `end` (exclusive) has nothing at or after `begin`. */
export function endsBefore(end: Uint8Array, begin: Uint8Array): boolean {
  return end.length > 0 && compareBytes(end, begin) <= 0;
}

export function isEmptyRange({ startKey, endKey }: BrKeyRange): boolean {
  return endsBefore(endKey, startKey);
}

/** Whether all keys of `inner` are in `outer`. */
export function containsRange(outer: BrKeyRange, inner: BrKeyRange): boolean {
  return compareBytes(outer.startKey, inner.startKey) <= 0 && compareEnds(inner.endKey, outer.endKey) <= 0;
}

/** For messages: keys beyond ASCII as \xNN. */
export function formatBrRange({ startKey, endKey }: BrKeyRange): string {
  return `["${printableBytes(startKey)}", ${endKey.length === 0 ? 'no end' : `"${printableBytes(endKey)}"`})`;
}
