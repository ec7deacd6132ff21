// The model: what the database has really committed, version by version. The oracle holds every file and every restore against it.

import { compareBytes, toHex } from '../../core/bytes.js';
import { assert } from '../../core/errors.js';
import type { KeyRange } from '../../core/key-range.js';
import {
  METADATA_VERSION_RANGE,
  NORMAL_KEYS,
  coalesceRanges,
  intersectRanges,
  rangeContains,
} from '../../core/key-range.js';
import type { Mutation } from '../../core/mutation.js';
import { MutationType } from '../../core/mutation.js';
import type { Version } from '../../core/version.js';
import { applyToModel } from './model-state.js';

/** A mutation with its place in its version and the tag that carries it. */
export interface TaggedMutation {
  readonly subsequence: number;
  readonly tag: number;
  readonly mutation: Mutation;
}

/** One version; not committed until the history says so. */
export interface SimTransactionRecord {
  readonly version: Version;
  readonly mutations: readonly TaggedMutation[];
}

/** What a log file should hold, in order. */
export interface ExpectedRecord {
  readonly version: Version;
  readonly subsequence: number;
  readonly mutation: Mutation;
}

export class SimHistory {
  /** Ascending versions. Those above `committed` may still be rolled back. */
  readonly #transactions: SimTransactionRecord[] = [];
  #committed: Version;
  /** When `committed` moved, and to where; ascending. */
  readonly #commits: { readonly version: Version; readonly at: number }[] = [];
  readonly #now: () => number;

  /** `now`: virtual ms. */
  constructor(firstVersion: Version, now: () => number = () => 0) {
    this.#committed = firstVersion - 1n;
    this.#now = now;
  }

  /** Inclusive. */
  get committed(): Version {
    return this.#committed;
  }

  append(transaction: SimTransactionRecord): void {
    const last = this.#transactions.at(-1);
    assert(last === undefined || last.version < transaction.version, 'the history must ascend');
    this.#transactions.push(transaction);
  }

  commit(version: Version): void {
    if (version <= this.#committed) return;
    this.#committed = version;
    this.#commits.push({ version, at: this.#now() });
  }

  /** Virtual ms at which everything at or below `version` was committed, and 0 for what was before the first commit; undefined: not yet. */
  committedAt(version: Version): number | undefined {
    if (version > this.#committed) return undefined;
    return this.#commits.find((commit) => commit.version >= version)?.at ?? 0;
  }

  /** A recovery: nothing at or above `end` has ever happened. */
  rollBack(end: Version): number {
    assert(end > this.#committed, 'a recovery must keep what is committed');
    const kept = this.#indexFrom(end);
    return this.#transactions.splice(kept).length;
  }

  /** Versions with at least one mutation, begin <= version < end. */
  versions(begin: Version, end: Version): Version[] {
    return this.#transactions
      .slice(this.#indexFrom(begin), this.#indexFrom(end))
      .map((transaction) => transaction.version);
  }

  /** What one tag's file over [begin, end) holds for a job with these ranges. */
  records(tag: number, ranges: readonly KeyRange[], begin: Version, end: Version): ExpectedRecord[] {
    const wanted = rangesOfJob(ranges);
    const records: ExpectedRecord[] = [];
    const last = this.#indexFrom(end);
    for (let i = this.#indexFrom(begin); i < last; i++) {
      const { version, mutations } = this.#transactions[i] as SimTransactionRecord;
      for (const { subsequence, tag: carrier, mutation } of mutations) {
        if (carrier !== tag) continue;
        for (const part of clip(mutation, wanted)) records.push({ version, subsequence, mutation: part });
      }
    }
    return records;
  }

  /** The database's rows, hex key to hex value, as they were at `version`, within these ranges. */
  rowsAt(version: Version, ranges: readonly KeyRange[]): Map<string, string> {
    const rows = new Map<string, Uint8Array>();
    for (const { version: at, mutations } of this.#transactions) {
      if (at > version) break;
      for (const { mutation } of mutations) applyToModel(rows, mutation);
    }
    const wanted = ranges.length === 0 ? [NORMAL_KEYS] : ranges;
    const inside = [...rows].filter(([key]) => wanted.some((range) => rangeContains(range, Buffer.from(key, 'hex'))));
    return new Map(inside.sort(([a], [b]) => (a < b ? -1 : 1)).map(([key, value]) => [key, toHex(value)]));
  }

  #indexFrom(version: Version): number {
    let low = 0;
    let high = this.#transactions.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#transactions[middle] as SimTransactionRecord).version < version) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

/** What a job stores: its ranges, or the normal keys, and the metadata version key. */
function rangesOfJob(ranges: readonly KeyRange[]): KeyRange[] {
  return coalesceRanges([...(ranges.length === 0 ? [NORMAL_KEYS] : ranges), METADATA_VERSION_RANGE]);
}

function clip(mutation: Mutation, ranges: readonly KeyRange[]): Mutation[] {
  if (mutation.type !== MutationType.ClearRange)
    return ranges.some((range) => rangeContains(range, mutation.param1)) ? [mutation] : [];
  if (compareBytes(mutation.param1, mutation.param2) >= 0) return [];
  const cleared = { begin: mutation.param1, end: mutation.param2 };
  return ranges
    .map((range) => intersectRanges(range, cleared))
    .filter((part) => part !== undefined)
    .map((part) => ({ type: mutation.type, param1: part.begin, param2: part.end }));
}
