// A ProgressStore that is held to its contract where a client can see it: what transactions read and write, and how often watches fire.

import { abortable } from '../core/abort.js';
import { equalBytes } from '../core/bytes.js';
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
  // A watch may fire early, late or without a change, and whoever waits reads again: one that always fires must not make that a loop without a pause.
  const paces = new Map<string, Pace>();
  const checkedStore: ProgressStore = {
    transact: (body) => transact(store, body),
    watch: async (key, seen, signal) => {
      // Whoever waits must be able to stop, even if the store does not heed its signal.
      await abortable(
        answerOf('ProgressStore.watch', () => store.watch(key, seen, signal), signal),
        signal,
      );
      const pace = paces.get(key) ?? new Pace(clock);
      paces.set(key, pace);
      await pace.next(signal);
    },
    acquireLease: async (request) =>
      checkLease(request, await answerOf('ProgressStore.acquireLease', () => store.acquireLease(request))),
  };
  checked.add(checkedStore);
  return checkedStore;
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

  constructor(tx: ProgressTransaction, refuse: (what: string) => BackupError) {
    this.#tx = tx;
    this.#refuse = refuse;
  }

  async get(key: string): Promise<Uint8Array | undefined> {
    const value = await answerOf(TRANSACT, () => this.#tx.get(key));
    if (value !== undefined && !(value instanceof Uint8Array))
      throw this.#refuse(`get of "${key}" gave ${show(value)}, neither bytes nor undefined`);
    if (this.#written.has(key) && !isSame(value, this.#written.get(key)))
      throw this.#refuse(`get of "${key}" does not see what the transaction itself has written`);
    return value?.slice();
  }

  async getRange(begin: string, end: string): Promise<readonly ProgressEntry[]> {
    const what = `getRange from "${begin}" to "${end}"`;
    const entries = await answerOf(TRANSACT, () => this.#tx.getRange(begin, end));
    if (!Array.isArray(entries)) throw this.#refuse(`${what} gave ${show(entries)}, not an array`);
    const found = new Map<string, Uint8Array>();
    let before: string | undefined;
    for (const entry of entries as readonly (ProgressEntry | undefined)[]) {
      if (typeof entry?.key !== 'string' || !(entry.value instanceof Uint8Array))
        throw this.#refuse(`${what} gave an entry without a key or a value`);
      const { key, value } = entry;
      if (key < begin || key >= end) throw this.#refuse(`${what} gave "${key}"`);
      if (before !== undefined && key <= before) throw this.#refuse(`${what} gave "${key}" after "${before}"`);
      before = key;
      found.set(key, value.slice());
    }
    for (const [key, value] of this.#written) {
      if (key >= begin && key < end && !isSame(found.get(key), value))
        throw this.#refuse(`${what} does not see what the transaction itself has written to "${key}"`);
    }
    return [...found].map(([key, value]) => ({ key, value }));
  }

  set(key: string, value: Uint8Array): void {
    this.#tx.set(key, value);
    this.#written.set(key, value.slice());
  }

  clear(key: string): void {
    this.#tx.clear(key);
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
