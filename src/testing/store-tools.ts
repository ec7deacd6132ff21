// What the cases of the progress store suite share.

import { utf8 } from '../core/bytes.js';
import { systemClock } from '../core/clock.js';
import type { ProgressStore, ProgressTransaction } from '../ports/progress-store.js';

export interface StoreSuiteSize {
  readonly clients: number;
  readonly increments: number;
}

/** The time by which leases end. */
export interface StoreTime {
  /** ms: a lease of this length lives for some calls, and ends soon. */
  readonly ttl: number;
  /** The time is the machine's: it passes while a case runs. */
  readonly isReal: boolean;
  pass(ms: number): Promise<void>;
}

export type StoreCheck = (client: () => Promise<ProgressStore>, size: StoreSuiteSize, time: StoreTime) => Promise<void>;

export type StoreCase = readonly [name: string, check: StoreCheck];

export function write(store: ProgressStore, entries: Readonly<Record<string, string | undefined>>): Promise<void> {
  return store.transact(async (tx) => {
    for (const [key, value] of Object.entries(entries)) {
      if (value === undefined) tx.clear(key);
      else tx.set(key, utf8(value));
    }
  });
}

export function read(store: ProgressStore, key: string): Promise<string | undefined> {
  return store.transact((tx) => readIn(tx, key));
}

export async function readIn(tx: ProgressTransaction, key: string): Promise<string | undefined> {
  const value = await tx.get(key);
  return value === undefined ? undefined : new TextDecoder().decode(value);
}

/** `key=value` of each entry, in the order in which the store gave them. */
export async function rangeIn(tx: ProgressTransaction, begin: string, end: string): Promise<string[]> {
  return (await tx.getRange(begin, end)).map(({ key, value }) => `${key}=${new TextDecoder().decode(value)}`);
}

export function increment(store: ProgressStore, key: string): Promise<void> {
  return store.transact(async (tx) => {
    tx.set(key, utf8(String(Number((await readIn(tx, key)) ?? '0') + 1)));
  });
}

/** Some turns of the event loop later, so that other transactions get in between. */
export async function later<T>(value: T): Promise<T> {
  for (let i = 0; i < 10; i++) await systemClock.yieldToHost();
  return value;
}
