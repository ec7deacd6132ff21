// The contents of a progress store at one moment. Immutable: a transaction reads from one of these while others commit.

import { equalBytes } from '../core/bytes.js';
import type { ProgressEntry } from '../ports/progress-store.js';

/** What a transaction leaves behind: a new value for a key, or undefined where the key is cleared. */
export type ProgressWrites = ReadonlyMap<string, Uint8Array | undefined>;

/** Small on purpose: a commit copies the map of keys (hundreds of them), never the values. */
export class ProgressState {
  static readonly empty = new ProgressState(new Map());

  readonly #values: ReadonlyMap<string, Uint8Array>;
  #sortedKeys: readonly string[] | undefined;

  constructor(values: ReadonlyMap<string, Uint8Array>) {
    this.#values = values;
  }

  get size(): number {
    return this.#values.size;
  }

  get(key: string): Uint8Array | undefined {
    return this.#values.get(key);
  }

  /** Keys with begin <= key < end, in order. */
  range(begin: string, end: string): ProgressEntry[] {
    const keys = this.#keys();
    const entries: ProgressEntry[] = [];
    for (let i = firstAtOrAfter(keys, begin); i < keys.length; i++) {
      const key = keys[i] as string;
      if (key >= end) break;
      entries.push({ key, value: this.#values.get(key) as Uint8Array });
    }
    return entries;
  }

  /** Every key, in order. */
  entries(): ProgressEntry[] {
    return this.#keys().map((key) => ({ key, value: this.#values.get(key) as Uint8Array }));
  }

  with(writes: ProgressWrites): ProgressState {
    const values = new Map(this.#values);
    let sameKeys = true;
    for (const [key, value] of writes) {
      sameKeys &&= values.has(key) === (value !== undefined);
      if (value === undefined) values.delete(key);
      else values.set(key, value);
    }
    const next = new ProgressState(values);
    if (sameKeys) next.#sortedKeys = this.#sortedKeys;
    return next;
  }

  #keys(): readonly string[] {
    // Keys are ASCII, so the default order, by code unit, is the byte order too.
    return (this.#sortedKeys ??= [...this.#values.keys()].sort());
  }
}

/** Index of the first key >= `key`. Binary search. */
function firstAtOrAfter(keys: readonly string[], key: string): number {
  let low = 0;
  let high = keys.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((keys[middle] as string) < key) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Equal values, or none in both. */
export function sameValue(a: Uint8Array | undefined, b: Uint8Array | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  return a === b || equalBytes(a, b);
}

/** The same keys with the same values. */
export function sameEntries(a: readonly ProgressEntry[], b: readonly ProgressEntry[]): boolean {
  return a.length === b.length && a.every((entry, i) => entry.key === b[i]?.key && sameValue(entry.value, b[i]?.value));
}
