// The contents of a progress store at one moment. Immutable: a transaction reads from one of these while others commit. Leases are in it like other keys; that one has run out, the
// state does not know: the store removes it (leases.ts).

import { equalBytes } from '../core/bytes.js';
import type { ProgressEntry } from '../ports/progress-store.js';
import type { LeaseRecord } from './lease-record.js';
import { decodeLease, hasEnded, isLeaseKey, leaseValue } from './lease-record.js';

/** What a transaction leaves behind: a new value for a key, or undefined where the key is cleared. A lease's value is encoded (lease-record.ts). */
export type ProgressWrites = ReadonlyMap<string, Uint8Array | undefined>;

/** Small on purpose: a commit copies the map of keys (hundreds of them), never the values. */
export class ProgressState {
  static readonly empty = new ProgressState(new Map());

  readonly #values: ReadonlyMap<string, Uint8Array>;
  #sortedKeys: readonly string[] | undefined;
  #leases: ReadonlyMap<string, LeaseRecord> | undefined;

  constructor(values: ReadonlyMap<string, Uint8Array>) {
    this.#values = values;
  }

  /** Of a lease: what transactions see of it. */
  get(key: string): Uint8Array | undefined {
    const value = this.#values.get(key);
    return value !== undefined && isLeaseKey(key) ? leaseValue(value) : value;
  }

  lease(key: string): LeaseRecord | undefined {
    return this.#leaseMap().get(key);
  }

  /** When the first of all leases ends; undefined: there is none. */
  get firstLeaseEnd(): number | undefined {
    let first: number | undefined;
    for (const { endsAt } of this.#leaseMap().values()) first = Math.min(first ?? endsAt, endsAt);
    return first;
  }

  /** What removes the leases that have ended by `now`; undefined: none has. */
  endedLeases(now: number): ProgressWrites | undefined {
    let ended: Map<string, undefined> | undefined;
    for (const [key, lease] of this.#leaseMap()) {
      if (hasEnded(lease, now)) (ended ??= new Map()).set(key, undefined);
    }
    return ended;
  }

  /** Keys with begin <= key < end, in order. */
  range(begin: string, end: string): ProgressEntry[] {
    const keys = this.#keys();
    const entries: ProgressEntry[] = [];
    for (let i = firstAtOrAfter(keys, begin); i < keys.length; i++) {
      const key = keys[i] as string;
      if (key >= end) break;
      entries.push({ key, value: this.get(key) as Uint8Array });
    }
    return entries;
  }

  /** Every key, in order. */
  entries(): ProgressEntry[] {
    return this.#keys().map((key) => ({ key, value: this.get(key) as Uint8Array }));
  }

  /** Every key, in order, with leases as they were written: what `with` makes the same state of. */
  writes(): [key: string, value: Uint8Array][] {
    return this.#keys().map((key) => [key, this.#values.get(key) as Uint8Array]);
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

  #leaseMap(): ReadonlyMap<string, LeaseRecord> {
    if (this.#leases !== undefined) return this.#leases;
    const leases = new Map<string, LeaseRecord>();
    for (const [key, value] of this.#values) if (isLeaseKey(key)) leases.set(key, decodeLease(value));
    return (this.#leases = leases);
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
