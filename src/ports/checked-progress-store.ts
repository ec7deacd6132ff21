// A ProgressStore that is held to its contract where a client can see it: what transactions read and write, and how often watches fire.

import { abortable } from '../core/abort.js';
import { equalBytes, isBytes } from '../core/bytes.js';
import type { Clock } from '../core/clock.js';
import { BackupError } from '../core/errors.js';
import { Pace } from '../core/pace.js';
import { answerOf, asError, brokenContract, lacksFunction, show } from './broken-contract.js';
import type { Lease, LeaseRequest, ProgressEntry, ProgressStore, ProgressTransaction } from './progress-store.js';

const TRANSACT = 'ProgressStore.transact';
const checked = new WeakSet<ProgressStore>();

/** INVALID_OPTION for what is no ProgressStore. Wraps once. */
export function checkedStore(store: ProgressStore, clock: Clock): ProgressStore {
  if (checked.has(store)) return store;
  const missing = lacksFunction(store, ['transact', 'watch', 'acquireLease']);
  if (missing !== undefined) {
    throw new BackupError('INVALID_OPTION', `progressStore.${missing} must be a function: pass a ProgressStore`);
  }
  const paces = new WatchPaces(clock);
  const checkedStore: ProgressStore = {
    transact: (body) => transact(store, body),
    watch: (key, seen, signal) =>
      // Whoever waits must be able to stop, even if the store does not heed its signal.
      paces.paced(key, signal, () =>
        abortable(
          answerOf('ProgressStore.watch', () => store.watch(key, seen, signal), signal),
          signal,
        ),
      ),
    acquireLease: async (request) =>
      checkLease(request, await answerOf('ProgressStore.acquireLease', () => store.acquireLease(request))),
  };
  checked.add(checkedStore);
  return checkedStore;
}

/** Keys with a pace, above which those are dropped that nobody waits for. */
const KEYS_WITH_PACE = 4_096;

/**
 * A watch may fire early, late or without a change, and whoever waits reads again: one that always fires must not make that a loop without a pause. Each of those who watch a key at once has a pace of
 * its own: a change wakes all of them, be they hundreds of workers, and none is held up by the others.
 */
class WatchPaces {
  readonly #clock: Clock;
  /** By key: those that no watch under way has, the one that was used last at the end. */
  readonly #free = new Map<string, Pace[]>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  async paced(key: string, signal: AbortSignal, watch: () => Promise<void>): Promise<void> {
    const pace = this.#free.get(key)?.pop() ?? new Pace(this.#clock);
    try {
      await watch();
      await pace.next(signal);
    } finally {
      this.#giveBack(key, pace);
    }
  }

  #giveBack(key: string, pace: Pace): void {
    const free = this.#free.get(key) ?? [];
    free.push(pace);
    // As in order of use: jobs come and go, and each has its key.
    this.#free.delete(key);
    this.#free.set(key, free);
    const [oldest] = this.#free.keys();
    if (this.#free.size > KEYS_WITH_PACE && oldest !== undefined) this.#free.delete(oldest);
  }
}

async function transact<T>(store: ProgressStore, body: (tx: ProgressTransaction) => Promise<T>): Promise<T> {
  const runs = new BodyRuns(body);
  try {
    const result = await store.transact((tx) => runs.run(tx));
    runs.check(result);
    return result;
  } catch (error) {
    // The store may have made something else of it.
    throw runs.broken ?? (runs.threw(error) ? error : asError(TRANSACT, error));
  } finally {
    runs.end();
  }
}

/** The runs of one transaction's body. */
class BodyRuns<T> {
  /** What the store did wrong while the body ran. */
  broken: BackupError | undefined;
  readonly #body: (tx: ProgressTransaction) => Promise<T>;
  #isRunning = false;
  #isOver = false;
  #last: { readonly result: T } | { readonly error: unknown } | undefined;

  constructor(body: (tx: ProgressTransaction) => Promise<T>) {
    this.#body = body;
  }

  async run(tx: ProgressTransaction): Promise<T> {
    if (this.#isOver) throw brokenContract(TRANSACT, 'it ran its body after it had answered');
    if (this.#isRunning) throw this.#refuse('it ran its body while an earlier run had not ended');
    this.#isRunning = true;
    try {
      const result = await this.#body(new CheckedTransaction(tx, (what) => this.#refuse(what)));
      this.#last = { result };
      return result;
    } catch (error) {
      this.#last = { error };
      throw error;
    } finally {
      this.#isRunning = false;
    }
  }

  /** Of a transaction that has resolved. */
  check(result: T): void {
    if (this.broken !== undefined) throw this.broken;
    if (this.#last === undefined) throw brokenContract(TRANSACT, 'it answered without having run its body');
    if ('error' in this.#last)
      throw brokenContract(TRANSACT, 'it answered although its body had failed', { cause: this.#last.error });
    if (!Object.is(this.#last.result, result))
      throw brokenContract(TRANSACT, 'it answered something else than its body');
  }

  threw(error: unknown): boolean {
    return this.#last !== undefined && 'error' in this.#last && this.#last.error === error;
  }

  end(): void {
    this.#isOver = true;
  }

  #refuse(what: string): BackupError {
    return (this.broken ??= brokenContract(TRANSACT, what));
  }
}

class CheckedTransaction implements ProgressTransaction {
  readonly #tx: ProgressTransaction;
  readonly #refuse: (what: string) => BackupError;
  /** undefined: cleared. */
  readonly #written = new Map<string, Uint8Array | undefined>();
  /** A read that was overtaken by one may see it or not. */
  #writes = 0;

  constructor(tx: ProgressTransaction, refuse: (what: string) => BackupError) {
    this.#tx = tx;
    this.#refuse = refuse;
  }

  async get(key: string): Promise<Uint8Array | undefined> {
    const writes = this.#writes;
    const value = await answerOf(TRANSACT, () => this.#tx.get(key));
    if (value !== undefined && !isBytes(value))
      throw this.#refuse(`get of "${key}" gave ${show(value)}, neither bytes nor undefined`);
    if (writes === this.#writes && this.#written.has(key) && !isSame(value, this.#written.get(key)))
      throw this.#refuse(`get of "${key}" does not see what the transaction itself has written`);
    return value === undefined ? undefined : new Uint8Array(value);
  }

  async getRange(begin: string, end: string): Promise<readonly ProgressEntry[]> {
    const what = `getRange from "${begin}" to "${end}"`;
    const writes = this.#writes;
    const entries = await answerOf(TRANSACT, () => this.#tx.getRange(begin, end));
    if (!Array.isArray(entries)) throw this.#refuse(`${what} gave ${show(entries)}, not an array`);
    const found = new Map<string, Uint8Array>();
    let before: string | undefined;
    for (const entry of entries as readonly (ProgressEntry | undefined)[]) {
      if (typeof entry?.key !== 'string' || !isBytes(entry.value))
        throw this.#refuse(`${what} gave an entry without a key or a value`);
      const { key, value } = entry;
      if (key < begin || key >= end) throw this.#refuse(`${what} gave "${key}"`);
      if (before !== undefined && key <= before) throw this.#refuse(`${what} gave "${key}" after "${before}"`);
      before = key;
      found.set(key, new Uint8Array(value));
    }
    for (const [key, value] of writes === this.#writes ? this.#written : []) {
      if (key >= begin && key < end && !isSame(found.get(key), value))
        throw this.#refuse(`${what} does not see what the transaction itself has written to "${key}"`);
    }
    return [...found].map(([key, value]) => ({ key, value }));
  }

  set(key: string, value: Uint8Array): void {
    this.#tx.set(key, value);
    this.#writes++;
    this.#written.set(key, new Uint8Array(value));
  }

  clear(key: string): void {
    this.#tx.clear(key);
    this.#writes++;
    this.#written.set(key, undefined);
  }
}

function isSame(a: Uint8Array | undefined, b: Uint8Array | undefined): boolean {
  return a === undefined || b === undefined ? a === b : equalBytes(a, b);
}

function checkLease({ key }: LeaseRequest, lease: Lease | undefined): Lease | undefined {
  const call = 'ProgressStore.acquireLease';
  if (lease === undefined) return undefined;
  const missing = lacksFunction(lease, ['renew', 'release']);
  if (missing !== undefined) throw brokenContract(call, `it gave ${show(lease)}, which has no function ${missing}`);
  if (lease.key !== key) throw brokenContract(call, `it was asked for "${key}" and gave a lease on ${show(lease.key)}`);
  return {
    key,
    renew: () => answerOf('Lease.renew', () => lease.renew()),
    release: () => answerOf('Lease.release', () => lease.release()),
  };
}
