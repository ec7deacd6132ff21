// A progress store in memory, shared by all who hold the object: for tests, simulations and hosts of one process that keep
// their own record of where a backup was.

import type { Clock } from '../core/clock.js';
import { systemClock } from '../core/clock.js';
import { BackupError } from '../core/errors.js';
import type {
  Lease,
  LeaseRequest,
  ProgressEntry,
  ProgressStore,
  ProgressTransaction,
} from '../ports/progress-store.js';
import type { LeaseTable } from './leases.js';
import { acquireLease } from './leases.js';
import type { ProgressWrites } from './progress-state.js';
import { ProgressState, sameValue } from './progress-state.js';
import { SnapshotTransaction } from './snapshot-transaction.js';
import { checkProgressKey } from './progress-key.js';
import { Watchers } from './watchers.js';

export interface MemoryProgressStoreOptions {
  /** How often a body runs in one `transact` before it rejects with STORE_CONFLICT. At least 1, default 100. */
  readonly maxAttempts?: number;
  /** By which leases end. */
  readonly clock?: Clock;
}

/** The real thing, with real conflicts: transactions that overlap are validated as in any other store, and run again. */
export class MemoryProgressStore implements ProgressStore {
  readonly #maxAttempts: number;
  readonly #clock: Clock;
  readonly #watchers = new Watchers(() => this.#setAlarm());
  readonly #leases: LeaseTable = {
    leaseNow: () => this.#clock.now(),
    decide: async (decision) => {
      const now = this.#clock.now();
      const { result, writes } = decision(this.#settled(now), now);
      if (writes !== undefined) this.#commit(writes);
      return result;
    },
  };
  /** Ends the wait for the first lease that ends, of which watchers have to hear. */
  #alarm: AbortController | undefined;
  #alarmAt: number | undefined;
  #leaseCount = 0;
  #state = ProgressState.empty;
  #conflicts = 0;

  constructor(options: MemoryProgressStoreOptions = {}) {
    this.#clock = options.clock ?? systemClock;
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
    return this.#settled()
      .entries()
      .map(({ key, value }) => ({ key, value: value.slice() }));
  }

  async transact<T>(body: (tx: ProgressTransaction) => Promise<T>): Promise<T> {
    for (let attempt = 1; attempt <= this.#maxAttempts; attempt++) {
      const tx = new SnapshotTransaction(this.#settled());
      let result: T;
      try {
        result = await body(tx);
      } finally {
        tx.end();
      }
      if (tx.writes.size === 0) return result; // It read one state, which is a place in the order.
      // From here to the new state nothing is awaited: that is what makes the commit atomic.
      if (tx.stillValid(this.#settled())) {
        this.#commit(tx.writes);
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
    if (!sameValue(seen, this.#settled().get(key))) return;
    const waiting = this.#watchers.wait(key, seen, signal);
    this.#setAlarm();
    await waiting;
  }

  acquireLease(request: LeaseRequest): Promise<Lease | undefined> {
    this.#leaseCount++;
    return acquireLease(this.#leases, request, this.#leaseCount.toString(16).padStart(32, '0'));
  }

  #commit(writes: ProgressWrites): void {
    this.#state = this.#state.with(writes);
    this.#watchers.notify(this.#state);
    this.#setAlarm();
  }

  /** The newest state, without leases that have run out. */
  #settled(now = this.#clock.now()): ProgressState {
    const ended = this.#state.endedLeases(now);
    if (ended !== undefined) this.#commit(ended);
    return this.#state;
  }

  /** Sleeps until the next lease ends, as long as anybody watches. */
  #setAlarm(): void {
    const at = this.#watchers.size === 0 ? undefined : this.#state.firstLeaseEnd;
    if (at === this.#alarmAt) return;
    this.#alarm?.abort();
    this.#alarm = undefined;
    this.#alarmAt = at;
    if (at === undefined) return;
    const alarm = new AbortController();
    this.#alarm = alarm;
    const ring = () => {
      this.#alarmAt = undefined;
      this.#settled();
      this.#setAlarm();
    };
    // The only thing that a sleep rejects with is our own abort: another alarm has taken its place, or none is needed.
    void this.#clock.sleep(Math.max(1, at - this.#clock.now()), alarm.signal).then(ring, () => undefined);
  }
}
