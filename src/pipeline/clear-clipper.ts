// Clears that cross the edges of a job's ranges, cut into one record per range that they touch. All parts keep the clear's version and subsequence (rule P18).

import { compareBytes } from '../core/bytes.js';
import { intersectRanges, type KeyRange } from '../core/key-range.js';
import { RECORD_HEADER_BYTES } from '../core/message-batch.js';
import { MutationType, encodeMutation, writeUint32BE } from '../core/mutation.js';
import type { RecordSource } from './routed-job.js';

const INITIAL_BYTES = 4 << 10;
/** Bytes of version and subsequence at the head of a record. */
const ORDER_BYTES = 12;

/** The clipped records of one job and one cut, in order. */
export class ClippedClears implements RecordSource {
  bytes: Uint8Array = new Uint8Array(0);
  recordStarts: Uint32Array = new Uint32Array(1);
  recordCount = 0;

  /** Adds the part of a clear that lies in one range. `order`: bytes that begin with the version and subsequence of the original's record. */
  add(order: Uint8Array, part: KeyRange): void {
    const mutation = encodeMutation({ type: MutationType.ClearRange, param1: part.begin, param2: part.end });
    const start = this.recordStarts[this.recordCount] as number;
    const end = start + RECORD_HEADER_BYTES + mutation.length;
    this.#reserve(end);
    this.bytes.set(order.subarray(0, ORDER_BYTES), start);
    writeUint32BE(this.bytes, start + ORDER_BYTES, mutation.length);
    this.bytes.set(mutation, start + RECORD_HEADER_BYTES);
    this.recordCount++;
    this.recordStarts[this.recordCount] = end;
  }

  #reserve(end: number): void {
    if (end > this.bytes.length) {
      const grown = new Uint8Array(Math.max(end, INITIAL_BYTES, this.bytes.length * 2));
      grown.set(this.bytes);
      this.bytes = grown;
    }
    if (this.recordCount + 2 > this.recordStarts.length) {
      const grown = new Uint32Array(this.recordStarts.length * 2 + 16);
      grown.set(this.recordStarts);
      this.recordStarts = grown;
    }
  }
}

/** The parts of `clear` that lie in `ranges` (coalesced), in key order. Exactly [clear] when one range holds it all. */
export function clipToRanges(clear: KeyRange, ranges: readonly KeyRange[]): KeyRange[] {
  const parts: KeyRange[] = [];
  for (let i = firstRangeEndingAfter(ranges, clear.begin); i < ranges.length; i++) {
    const part = intersectRanges(clear, ranges[i] as KeyRange);
    if (part === undefined) break;
    parts.push(part);
  }
  return parts;
}

/** How the key interval of a batch lies to a job's ranges (rule P19). */
export type Relation = 'inside' | 'disjoint' | 'crossing';

/** `ranges` coalesced, the interval half-open. */
export function relateToRanges(minKey: Uint8Array, endKey: Uint8Array, ranges: readonly KeyRange[]): Relation {
  const range = ranges[firstRangeEndingAfter(ranges, minKey)];
  if (range === undefined || compareBytes(range.begin, endKey) >= 0) return 'disjoint';
  return compareBytes(range.begin, minKey) <= 0 && compareBytes(endKey, range.end) <= 0 ? 'inside' : 'crossing';
}

/** Index of the first range whose end is above `key`; ranges.length if there is none. */
function firstRangeEndingAfter(ranges: readonly KeyRange[], key: Uint8Array): number {
  let low = 0;
  let high = ranges.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (compareBytes((ranges[middle] as KeyRange).end, key) <= 0) low = middle + 1;
    else high = middle;
  }
  return low;
}
