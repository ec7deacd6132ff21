// Half-open key ranges, and the coalesced form in which jobs keep them.

import { compareBytes, equalBytes, printableBytes, utf8, keyAfter } from './bytes.js';
import { BackupError } from './errors.js';

/** Keys with begin <= key < end. */
export interface KeyRange {
  readonly begin: Uint8Array;
  readonly end: Uint8Array;
}

/** The keys that belong to the user, ["", 0xFF): what a job without ranges backs up. */
export const NORMAL_KEYS: KeyRange = { begin: new Uint8Array(0), end: Uint8Array.of(0xff) };

/** Clients cache schema by this key; every job stores its changes (FoundationDB: `metadataVersionKey`). */
export const METADATA_VERSION_KEY: Uint8Array = (() => {
  const name = utf8('/metadataVersion');
  const key = new Uint8Array(name.length + 1);
  key[0] = 0xff;
  key.set(name, 1);
  return key;
})();

/** The range that holds just the metadata version key. */
export const METADATA_VERSION_RANGE: KeyRange = { begin: METADATA_VERSION_KEY, end: keyAfter(METADATA_VERSION_KEY) };

export function formatRange(range: KeyRange): string {
  return `["${printableBytes(range.begin)}", "${printableBytes(range.end)}")`;
}

/** Throws INVALID_OPTION for a range that is empty or backwards. */
export function checkRange(range: KeyRange, what: string): void {
  if (!(range.begin instanceof Uint8Array) || !(range.end instanceof Uint8Array)) {
    throw new BackupError('INVALID_OPTION', `${what} must have Uint8Array begin and end`);
  }
  if (compareBytes(range.begin, range.end) >= 0) {
    throw new BackupError('INVALID_OPTION', `${what} must have begin < end, got ${formatRange(range)}`);
  }
}

/** Sorted, disjoint, with touching neighbours joined. */
export function coalesceRanges(ranges: readonly KeyRange[]): KeyRange[] {
  const sorted = ranges.filter((r) => compareBytes(r.begin, r.end) < 0).sort((a, b) => compareBytes(a.begin, b.begin));
  const result: KeyRange[] = [];
  for (const range of sorted) {
    const last = result.at(-1);
    if (last !== undefined && compareBytes(range.begin, last.end) <= 0) {
      if (compareBytes(range.end, last.end) > 0) result[result.length - 1] = { begin: last.begin, end: range.end };
    } else {
      result.push({ begin: range.begin, end: range.end });
    }
  }
  return result;
}

export function rangeContains(range: KeyRange, key: Uint8Array): boolean {
  return compareBytes(range.begin, key) <= 0 && compareBytes(key, range.end) < 0;
}

/** undefined when they do not overlap. */
export function intersectRanges(a: KeyRange, b: KeyRange): KeyRange | undefined {
  const begin = compareBytes(a.begin, b.begin) >= 0 ? a.begin : b.begin;
  const end = compareBytes(a.end, b.end) <= 0 ? a.end : b.end;
  return compareBytes(begin, end) < 0 ? { begin, end } : undefined;
}

export function equalRanges(a: KeyRange, b: KeyRange): boolean {
  return equalBytes(a.begin, b.begin) && equalBytes(a.end, b.end);
}
