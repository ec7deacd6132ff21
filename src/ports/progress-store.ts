// Where workers and operators coordinate: serializable transactions over a small key space, and watches.

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
}
