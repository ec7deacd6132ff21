// A model of a database and of the backup that a job would have written of it, for random tests: what the rows are at each version, and files of every tag with the splits, overlaps
// and empty stretches that crashes and idle times leave behind.

import type { MemoryContainer } from '../../src/container/memory-container.js';
import { evaluateAtomic } from '../../src/core/atomic.js';
import { fromHex, toHex } from '../../src/core/bytes.js';
import type { Mutation } from '../../src/core/mutation.js';
import { MutationType } from '../../src/core/mutation.js';
import type { RestoreLimits } from '../../src/ports/restore-target.js';
import type { TestRecord } from '../format/encode-log-file.js';
import { putLog } from './container-builder.js';

/** Deterministic: the same seed gives the same numbers (mulberry32). */
export class SeededRandom {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let t = this.#state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  }

  /** 0 <= result < n */
  below(n: number): number {
    return Math.floor(this.next() * n);
  }

  bytes(maxLength: number): Uint8Array {
    return Uint8Array.from({ length: this.below(maxLength + 1) }, () => this.below(256));
  }

  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)] as T;
  }
}

export type ModelRecord = TestRecord & { readonly mutation: Mutation; readonly tag: number };

const ATOMICS = [2, 6, 7, 8, 9, 12, 13, 16, 17, 18, 19, 20] as const;

const key = (random: SeededRandom) =>
  Buffer.from([random.below(4), random.below(8), random.below(3)].slice(0, 1 + random.below(3)));

export function randomMutation(random: SeededRandom): Mutation {
  const kind = random.below(10);
  if (kind < 4) return { type: MutationType.SetValue, param1: key(random), param2: random.bytes(12) };
  if (kind < 8) return { type: random.pick(ATOMICS), param1: key(random), param2: random.bytes(6) };
  const [a, b] = [key(random), key(random)];
  return {
    type: MutationType.ClearRange,
    param1: Buffer.compare(a, b) <= 0 ? a : b,
    param2: Buffer.compare(a, b) <= 0 ? b : a,
  };
}

/** What a target takes at once: nearly nothing, or any amount. No operation of the model has more bytes than these. */
export function randomLimits(random: SeededRandom): RestoreLimits | undefined {
  if (random.below(3) === 0) return undefined;
  return { operations: random.pick([1, 2, 3, 4, 5, 1000]), bytes: random.pick([500, 600, 1 << 20]) };
}

/** hex key -> hex value */
export type Rows = Map<string, string>;

export function applyToRows(rows: Rows, { type, param1, param2 }: Mutation): void {
  if (type === MutationType.SetValue) {
    rows.set(toHex(param1), toHex(param2));
  } else if (type === MutationType.ClearRange) {
    for (const hex of [...rows.keys()]) {
      if (Buffer.compare(fromHex(hex), param1) >= 0 && Buffer.compare(fromHex(hex), param2) < 0) rows.delete(hex);
    }
  } else {
    const before = rows.get(toHex(param1));
    const after = evaluateAtomic(type, before === undefined ? undefined : fromHex(before), param2);
    if (after === undefined) rows.delete(toHex(param1));
    else rows.set(toHex(param1), toHex(after));
  }
}

export function rowsAt(
  records: readonly ModelRecord[],
  version: bigint,
  inRanges: (key: Uint8Array) => boolean = () => true,
): Rows {
  const rows: Rows = new Map();
  for (const record of records) if (record.version <= version) applyToRows(rows, record.mutation);
  return new Map([...rows].filter(([hex]) => inRanges(fromHex(hex))).sort(([a], [b]) => (a < b ? -1 : 1)));
}

export interface Epoch {
  readonly begin: bigint;
  readonly end: bigint;
  readonly totalTags: number;
}

/** Versions with random gaps between them, each with mutations dealt to random tags, in order. */
export function randomHistory(
  random: SeededRandom,
  epochs: readonly Epoch[],
  versionsPerEpoch: number,
  maxMutations = 6,
): ModelRecord[] {
  const records: ModelRecord[] = [];
  for (const { begin, end, totalTags } of epochs) {
    const span = Number(end - begin);
    const versions = new Set(Array.from({ length: versionsPerEpoch }, () => begin + BigInt(random.below(span))));
    for (const version of [...versions].sort((a, b) => (a < b ? -1 : 1))) {
      const count = 1 + random.below(maxMutations);
      for (let subsequence = 1; subsequence <= count; subsequence++) {
        records.push({ version, subsequence, mutation: randomMutation(random), tag: random.below(totalTags) });
      }
    }
  }
  return records;
}

/** Writes the files of all tags: cut at random versions, some written twice or with an overlap, blocks of random sizes. */
export async function writeHistory(
  container: MemoryContainer,
  random: SeededRandom,
  epochs: readonly Epoch[],
  records: readonly ModelRecord[],
): Promise<void> {
  for (const { begin, end, totalTags } of epochs) {
    for (let tag = 0; tag < totalTags; tag++) {
      const own = records.filter((record) => record.tag === tag && record.version >= begin && record.version < end);
      const write = (from: bigint, to: bigint) =>
        putLog(
          container,
          { begin: from, end: to, tag, totalTags, blockSize: random.pick([128, 256, 1_048_576]) },
          own.filter((r) => r.version >= from && r.version < to),
        );
      let from = begin;
      while (from < end) {
        const to = random.below(4) === 0 ? end : from + 1n + BigInt(random.below(Number(end - from)));
        await write(from, to);
        // A worker that died before it saved: its replacement begins a little earlier and reaches a little further, or less far.
        if (random.below(4) === 0) await write(from, to + (to < end ? BigInt(random.below(Number(end - to))) : 0n));
        if (random.below(4) === 0 && to - from > 1n) await write(from + 1n, to);
        from = to;
      }
    }
  }
}
