// A small transactional store as TiKV is one: every transaction has a start and a commit timestamp, every key its history of writes, and a reader at a timestamp sees what was committed at or below it.
// In memory, in one process: what matters here is the shape of what a backup asks of such a database.

/** A write of a key. The value is undefined where it was deleted. */
export interface StoredWrite {
  readonly startTs: bigint;
  readonly commitTs: bigint;
  readonly value: Uint8Array | undefined;
}

export class WriteConflict extends Error {}

export class MvccStore {
  /** Each key's writes, the oldest first. */
  readonly #writes = new Map<string, StoredWrite[]>();
  #sortedKeys: readonly string[] | undefined;
  #ts = 1_000n;
  #safePoint = 0n;

  /** The newest timestamp that was given out. Whatever commits from now on commits above it. */
  get currentTs(): bigint {
    return this.#ts;
  }

  /** What was overwritten before it may be gone. */
  get safePoint(): bigint {
    return this.#safePoint;
  }

  begin(): MvccTransaction {
    return new MvccTransaction(this, this.nextTs());
  }

  nextTs(): bigint {
    return ++this.#ts;
  }

  /** The newest write of the key that was committed in (after, upTo]. */
  newestWrite(key: string, after: bigint, upTo: bigint): StoredWrite | undefined {
    return this.#writes.get(key)?.findLast(({ commitTs }) => commitTs > after && commitTs <= upTo);
  }

  /** All keys that were ever written and are not forgotten, from `begin` to below `end`, in order. Keys are ASCII. */
  keysWithin(begin: string, end: string): readonly string[] {
    this.#sortedKeys ??= [...this.#writes.keys()].sort();
    return this.#sortedKeys.filter((key) => key >= begin && key < end);
  }

  /** All at once: no reader sees a part of it. */
  store(startTs: bigint, changes: ReadonlyMap<string, Uint8Array | undefined>): bigint {
    for (const key of changes.keys()) {
      const newest = this.#writes.get(key)?.at(-1);
      if (newest !== undefined && newest.commitTs > startTs) throw new WriteConflict(`${key} was written meanwhile`);
    }
    const commitTs = this.nextTs();
    for (const [key, value] of changes) {
      const writes = this.#writes.get(key);
      if (writes !== undefined) writes.push({ startTs, commitTs, value });
      else {
        this.#writes.set(key, [{ startTs, commitTs, value }]);
        this.#sortedKeys = undefined;
      }
    }
    return commitTs;
  }

  /** Forgets what no reader at or above the timestamp can see: overwritten writes, and deletes with all that they deleted. */
  collectGarbage(safePoint: bigint): void {
    this.#safePoint = safePoint;
    for (const [key, writes] of this.#writes) {
      const seen = writes.findLastIndex(({ commitTs }) => commitTs <= safePoint);
      const first = writes[seen]?.value === undefined ? seen + 1 : seen;
      if (first > 0) writes.splice(0, first);
      if (writes.length === 0) this.#writes.delete(key);
    }
    this.#sortedKeys = undefined;
  }
}

/** Reads what was there when it began, and its own writes; commits all of them or throws WriteConflict. */
export class MvccTransaction {
  readonly startTs: bigint;
  readonly changes = new Map<string, Uint8Array | undefined>();
  readonly #store: MvccStore;

  constructor(store: MvccStore, startTs: bigint) {
    this.#store = store;
    this.startTs = startTs;
  }

  get(key: string): Uint8Array | undefined {
    if (this.changes.has(key)) return this.changes.get(key);
    return this.#store.newestWrite(key, 0n, this.startTs)?.value;
  }

  set(key: string, value: Uint8Array): void {
    this.changes.set(key, value);
  }

  delete(key: string): void {
    this.changes.set(key, undefined);
  }

  /** The commit timestamp. */
  commit(): bigint {
    return this.#store.store(this.startTs, this.changes);
  }
}
