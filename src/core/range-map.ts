// The key space cut into segments, each with the set of jobs that want its keys. One search answers for all jobs at once.
// The hot path is `segmentOf`: keys are compared in place, nothing is allocated.

import { EMPTY_BYTES, compareBytes } from './bytes.js';
import type { KeyRange } from './key-range.js';

/** Bytes of a boundary that are compared as one number. Six, because a double holds whole numbers up to 2^53. */
const PREFIX_BYTES = 6;
/** By the first two of those bytes: where to search. */
const BUCKETS = 1 << 16;
const BUCKET_WIDTH = 2 ** 32;
/** Boundaries from which on buckets are made. */
const BUCKETS_FROM = 64;
const NO_JOBS: Uint16Array = new Uint16Array(0);

/**
 * Immutable. Segment `s` holds the keys from boundary `s - 1` (inclusive; none for segment 0) to boundary `s` (exclusive; none for the last).
 * Looking a key up takes O(log n) comparisons at worst, and usually one or two: most keys differ from the boundaries around them in their first few bytes.
 */
export class RangeMap {
  readonly #boundaries: readonly Uint8Array[];
  /** The sets of jobs, each once, and which of them a segment has: numbers, because they must not push each other out of the processor's caches. */
  readonly #sets: readonly Uint16Array[];
  readonly #setOf: SmallNumbers;

  // The boundaries that begin with a byte below 0xFF, [#low, #high), are searched by number. The few others ("" and the system keys) would
  // spoil their common prefix.
  readonly #low: number;
  readonly #high: number;
  /** What all of them begin with. */
  readonly #common: Uint8Array;
  /** The bytes after it, as numbers, ascending. */
  readonly #prefixes: Float64Array;
  /** #buckets[b] is the first boundary whose two bytes after the common prefix are >= b. Not worth its memory for few boundaries. */
  readonly #buckets: SmallNumbers | undefined;

  /** `rangesByIndex[i]`: the ranges of job i. They may overlap, in one job and between jobs. At most 65,536 jobs. */
  constructor(rangesByIndex: readonly (readonly KeyRange[])[]) {
    const edges = rangesByIndex.flatMap((ranges, job) =>
      ranges.flatMap(({ begin, end }) => [
        { key: begin, job, change: 1 },
        { key: end, job, change: -1 },
      ]),
    );
    edges.sort((a, b) => compareBytes(a.key, b.key));
    const boundaries: Uint8Array[] = [];
    const sets: Uint16Array[] = [NO_JOBS];
    const setOf = [0];
    const depth = new Map<number, number>();
    const known = new Map<string, number>();
    edges.forEach(({ key, job, change }, i) => {
      const left = (depth.get(job) ?? 0) + change;
      if (left === 0) depth.delete(job);
      else depth.set(job, left);
      const next = edges[i + 1];
      if (next !== undefined && compareBytes(next.key, key) === 0) return;
      boundaries.push(key);
      setOf.push(indexOfSet(sets, known, depth));
    });
    this.#boundaries = boundaries;
    this.#sets = sets;
    this.#setOf = smallNumbers(setOf.length, sets.length);
    this.#setOf.set(setOf);

    const low = boundaries.findIndex((key) => key.length > 0);
    const high = boundaries.findIndex((key) => key[0] === 0xff);
    this.#high = high < 0 ? boundaries.length : high;
    this.#low = low < 0 ? this.#high : Math.min(low, this.#high);
    this.#common = commonPrefix(boundaries[this.#low], boundaries[this.#high - 1], this.#high - this.#low);
    const common = this.#common.length;
    this.#prefixes = Float64Array.from(boundaries, (key) => prefixOf(key, common, key.length));
    this.#buckets =
      this.#high - this.#low < BUCKETS_FROM ? undefined : bucketsOf(this.#prefixes, this.#low, this.#high);
  }

  get segments(): number {
    return this.#setOf.length;
  }

  /** Indices of the jobs that want the segment's keys, ascending. Segments with equal sets share one array. */
  jobsOf(segment: number): Uint16Array {
    return this.#sets[this.#setOf[segment] as number] as Uint16Array;
  }

  lookup(key: Uint8Array): Uint16Array {
    return this.jobsOf(this.segmentOf(key, 0, key.length));
  }

  /** Segment of the key bytes[at .. at + length): the number of boundaries that are not above it. */
  segmentOf(bytes: Uint8Array, at: number, length: number): number {
    let low = 0;
    let high = this.#boundaries.length;
    const common = this.#common;
    const shared = common.length;
    if (length >= shared && startsWith(bytes, at, common) && length > 0 && bytes[at] !== 0xff) {
      const prefix = prefixOf(bytes, at + shared, at + length);
      const buckets = this.#buckets;
      if (buckets === undefined) {
        low = this.#low;
        high = this.#high;
      } else {
        const bucket = (prefix / BUCKET_WIDTH) | 0;
        low = buckets[bucket] as number;
        high = buckets[bucket + 1] as number;
      }
      const prefixes = this.#prefixes;
      while (low < high) {
        const middle = (low + high) >>> 1;
        const boundary = prefixes[middle] as number;
        if (boundary < prefix || (boundary === prefix && this.#isNotAbove(middle, bytes, at, length))) low = middle + 1;
        else high = middle;
      }
      return low;
    }
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#isNotAbove(middle, bytes, at, length)) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** Whether boundary `index` <= the key. */
  #isNotAbove(index: number, bytes: Uint8Array, at: number, length: number): boolean {
    const boundary = this.#boundaries[index] as Uint8Array;
    const shorter = boundary.length < length ? boundary.length : length;
    for (let i = 0; i < shorter; i++) {
      const difference = (boundary[i] as number) - (bytes[at + i] as number);
      if (difference !== 0) return difference < 0;
    }
    return boundary.length <= length;
  }
}

/** For the boundaries [from, to), whose prefixes ascend. */
function bucketsOf(prefixes: Float64Array, from: number, to: number): SmallNumbers {
  const buckets = smallNumbers(BUCKETS + 1, to);
  for (let bucket = 0, i = from; bucket <= BUCKETS; bucket++) {
    while (i < to && (prefixes[i] as number) < bucket * BUCKET_WIDTH) i++;
    buckets[bucket] = i;
  }
  return buckets;
}

type SmallNumbers = Uint16Array | Uint32Array;

/** `length` numbers up to `most`, in as little memory as they need: they are looked up for every message. */
function smallNumbers(length: number, most: number): SmallNumbers {
  return most <= 0xffff ? new Uint16Array(length) : new Uint32Array(length);
}

/** Index in `sets` of the set of those jobs; it is added if it is not there. */
function indexOfSet(sets: Uint16Array[], known: Map<string, number>, depth: ReadonlyMap<number, number>): number {
  if (depth.size === 0) return 0;
  const members = Uint16Array.from(depth.keys()).sort();
  const name = members.join();
  const index = known.get(name) ?? sets.push(members) - 1;
  known.set(name, index);
  return index;
}

/** Of a sorted run of `count` keys, given its first and last. */
function commonPrefix(first: Uint8Array | undefined, last: Uint8Array | undefined, count: number): Uint8Array {
  if (first === undefined || last === undefined || count < 1) return EMPTY_BYTES;
  let length = 0;
  while (length < first.length && length < last.length && first[length] === last[length]) length++;
  return first.slice(0, length);
}

function startsWith(bytes: Uint8Array, at: number, prefix: Uint8Array): boolean {
  for (let i = 0; i < prefix.length; i++) if (bytes[at + i] !== prefix[i]) return false;
  return true;
}

/** The first bytes of [at, end) as a number; what is missing counts as zero, which keeps the order (never equal without a full comparison). */
function prefixOf(bytes: Uint8Array, at: number, end: number): number {
  if (end - at >= PREFIX_BYTES) {
    const high = ((bytes[at] as number) << 8) | (bytes[at + 1] as number);
    const low =
      ((bytes[at + 2] as number) << 24) |
      ((bytes[at + 3] as number) << 16) |
      ((bytes[at + 4] as number) << 8) |
      (bytes[at + 5] as number);
    return high * BUCKET_WIDTH + (low >>> 0);
  }
  let prefix = 0;
  for (let i = at; i < at + PREFIX_BYTES; i++) prefix = prefix * 256 + (i < end ? (bytes[i] as number) : 0);
  return prefix;
}
