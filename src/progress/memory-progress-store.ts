// A progress store in memory, shared by all who hold the object: for tests, simulations and hosts of one process that keep
// their own record of where a backup was.

import { BackupError } from '../core/errors.js';
import type { ProgressEntry, ProgressStore, ProgressTransaction } from '../ports/progress-store.js';
import { ProgressState, sameValue } from './progress-state.js';
import { checkProgressKey, SnapshotTransaction } from './snapshot-transaction.js';
import { Watchers } from './watchers.js';

export interface MemoryProgressStoreOptions {
  /** How often a body runs in one `transact` before it rejects with STORE_CONFLICT. At least 1, default 100. */
  readonly maxAttempts?: number;
}

/** The real thing, with real conflicts: transactions that overlap are validated as in any other store, and run again. */
export class MemoryProgressStore implements ProgressStore {
  readonly #maxAttempts: number;
  readonly #watchers = new Watchers();
  #state = ProgressState.empty;
  #conflicts = 0;

  constructor(options: MemoryProgressStoreOptions = {}) {
    this.#maxAttempts = options.maxAttempts ?? 100;
    if (!Number.isSafeInteger(this.#maxAttempts) || this.#maxAttempts < 1) {
      throw new BackupError('INVALID_OPTION', `maxAttempts must be a whole number from 1 on, got ${this.#maxAttempts}`);
    }
  }

  /** How often a body had to run again. */
  get conflicts(): number {
    return this.#conflicts;
  }

  /** Watches that wait now. */
  get watches(): number {
    return this.#watchers.size;
  }

  /** All keys and values, in key order: for tests and for looking at. */
  entries(): ProgressEntry[] {
    return this.#state.entries().map(({ key, value }) => ({ key, value: value.slice() }));
  }

  async transact<T>(body: (tx: ProgressTransaction) => Promise<T>): Promise<T> {
    for (let attempt = 1; attempt <= this.#maxAttempts; attempt++) {
      const tx = new SnapshotTransaction(this.#state);
      let result: T;
      try {
        result = await body(tx);
      } finally {
        tx.end();
      }
      if (tx.writes.size === 0) return result; // It read one state, which is a place in the order.
      // From here to the new state nothing is awaited: that is what makes the commit atomic.
      if (tx.stillValid(this.#state)) {
        this.#state = this.#state.with(tx.writes);
        this.#watchers.notify(this.#state);
        return result;
      }
      this.#conflicts++;
    }
    throw new BackupError('STORE_CONFLICT', `a transaction met a conflict ${this.#maxAttempts} times in a row`, {
      retryable: true,
    });
  }

  async watch(key: string, seen: Uint8Array | undefined, signal: AbortSignal): Promise<void> {
    checkProgressKey(key);
    signal.throwIfAborted();
    if (!sameValue(seen, this.#state.get(key))) return;
    await this.#watchers.wait(key, seen, signal);
  }
}
