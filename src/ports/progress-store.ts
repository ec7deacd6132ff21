// Where workers and operators coordinate: serializable transactions over a small key space, and watches.

/** Keys under it are written by leases alone: `set` and `clear` of one throw INVALID_OPTION. */
export const LEASE_PREFIX = 'lease/';

/** Keys are short strings of printable ASCII, ordered by code unit. Values are small (kilobytes). */
export interface ProgressTransaction {
  get(key: string): Promise<Uint8Array | undefined>;
  /** Keys with begin <= key < end, in key order; protected against phantoms. Sees the transaction's own writes. */
  getRange(begin: string, end: string): Promise<readonly ProgressEntry[]>;
  set(key: string, value: Uint8Array): void;
  clear(key: string): void;
}

export interface ProgressEntry {
  readonly key: string;
  readonly value: Uint8Array;
}

export interface LeaseRequest {
  /** Starts with LEASE_PREFIX. */
  readonly key: string;
  /** What transactions read at `key` while the lease lives; says who holds it. Unlike that of any other acquisition, now or ever: it is what a fenced transaction compares. */
  readonly value: Uint8Array;
  /** ms, a whole number from 1 on: the lease ends so long after it was acquired or last renewed, by the store's clock. It counts from within the call, so a holder counts from before it. */
  readonly ttl: number;
}

/**
 * A key that lives only as long as its holder keeps renewing it. Work that must have one doer at a time is done under a lease; since a holder may be frozen and go on after its lease has ended, every
 * transaction of that work also reads the key and compares the value: it then fails, or conflicts, once the lease is gone (a fence).
 */
export interface Lease {
  readonly key: string;
  /**
   * The lease ends `ttl` ms from now. LEASE_LOST when it has ended already, be it by the clock alone: it never comes back. After STORE_UNAVAILABLE or STORE_CONFLICT it may be renewed or not: ask again.
   */
  renew(): Promise<void>;
  /** Ends the lease now. Fine if it has ended already; another holder's lease on the key stays. */
  release(): Promise<void>;
}

/**
 * The guarantees of FoundationDB's own transactions, as far as the protocol needs them: strict serializability between all clients of the store, in whatever
 * process. When `transact` has resolved, its writes are durable and seen by every later transaction.
 */
export interface ProgressStore {
  /**
   * Runs `body` in a transaction and commits it; runs it again after a conflict. The body may run more than once, and an earlier run may have committed although its
   * answer was lost. An error thrown by the body rolls back and is passed on. Rejects with STORE_CONFLICT or STORE_UNAVAILABLE (both retryable) when it gives up.
   */
  transact<T>(body: (tx: ProgressTransaction) => Promise<T>): Promise<T>;
  /**
   * Resolves when the key's value is no longer `seen` (undefined: no value): a change between the read and the watch is not missed. It may resolve early or
   * without a change; callers read again. Rejects with the signal's reason when it aborts.
   */
  watch(key: string, seen: Uint8Array | undefined, signal: AbortSignal): Promise<void>;
  /**
   * Takes the lease if nobody holds it; undefined if somebody does, the caller itself included. While it lives, `key` has the value for every transaction and watch, ranges too; when it has ended, by its time or
   * by `release`, the key has none, and a transaction that has read it does not commit as if it still had: the end has a place in the order of all transactions, after which nobody finds or uses the value.
   * Time is the store's own: holders' clocks do not matter. A watch of the key resolves after the lease has ended by its time, too, soon but not at once. Leases outlive the process that took them: only time
   * or `release` ends them. After STORE_UNAVAILABLE or STORE_CONFLICT the lease may have been taken all the same, by nobody who knows of it: then it ends by its time. INVALID_OPTION for a key or ttl that is
   * none.
   */
  acquireLease(request: LeaseRequest): Promise<Lease | undefined>;
}
