// The store's rows for BR backups: a TxnRangeSource. Full backups ask for the newest write of each key, incremental ones for the newest since a timestamp, deletes too.

import { BackupError, type KeyRange, type Region } from 'tidemark';
import type { TxnBatch, TxnRangeSource, TxnScanRequest } from 'tidemark/br';
import type { MvccStore, StoredWrite } from './mvcc-store.js';

const BATCH_ROWS = 200;

export class MvccRangeSource implements TxnRangeSource {
  readonly #store: MvccStore;
  readonly #splitKeys: readonly string[];

  /** Regions begin at the split keys, which are in order. */
  constructor(store: MvccStore, splitKeys: readonly string[] = []) {
    this.#store = store;
    this.#splitKeys = splitKeys;
  }

  readVersion({ atLeast, signal }: { atLeast: bigint; signal: AbortSignal }): Promise<bigint> {
    signal.throwIfAborted();
    while (this.#store.currentTs < atLeast) this.#store.nextTs();
    return Promise.resolve(this.#store.currentTs);
  }

  async *regions({ range, signal }: { range: KeyRange; signal: AbortSignal }): AsyncGenerator<Region> {
    const cuts = this.#splitKeys.map((key) => Buffer.from(key));
    const begins = [range.begin, ...cuts.filter((cut) => compare(cut, range.begin) > 0 && compare(cut, range.end) < 0)];
    for (const [i, begin] of begins.entries()) {
      signal.throwIfAborted();
      const id = String(1 + cuts.filter((cut) => compare(cut, begin) <= 0).length);
      yield { id, epoch: '1', range: { begin, end: begins[i + 1] ?? range.end } };
    }
  }

  async *scan({ range, startTs, endTs, signal }: TxnScanRequest): AsyncGenerator<TxnBatch> {
    const keys = this.#store.keysWithin(text(range.begin), text(range.end));
    for (let from = 0; from < keys.length; from += BATCH_ROWS) {
      signal.throwIfAborted();
      // Looked at again and again: the store collects garbage whenever it likes.
      this.#checkSafePoint(startTs, endTs);
      const found: [key: string, write: StoredWrite][] = [];
      for (const key of keys.slice(from, from + BATCH_ROWS)) {
        const write = this.#store.newestWrite(key, startTs, endTs);
        // A full backup has no use for what is deleted; for an incremental one it is a change like any other.
        if (write !== undefined && (write.value !== undefined || startTs > 0n)) found.push([key, write]);
      }
      if (found.length > 0) yield batchOf(found);
    }
  }

  /** Below the safe point old values may be gone; and so may deletes, without which an incremental backup would bring rows back to life. */
  #checkSafePoint(startTs: bigint, endTs: bigint): void {
    const { safePoint } = this.#store;
    if (endTs >= safePoint && (startTs === 0n || startTs >= safePoint)) return;
    throw new BackupError('VERSION_TOO_OLD', `What was committed before ${safePoint} may be gone`);
  }
}

function batchOf(found: readonly (readonly [key: string, write: StoredWrite])[]): TxnBatch {
  return {
    keys: found.map(([key]) => Buffer.from(key)),
    values: found.map(([, { value }]) => value),
    startTs: BigUint64Array.from(found, ([, { startTs }]) => startTs),
    commitTs: BigUint64Array.from(found, ([, { commitTs }]) => commitTs),
  };
}

/** Keys are ASCII. */
function text(key: Uint8Array): string {
  return Buffer.from(key).toString('latin1');
}

function compare(a: Uint8Array, b: Uint8Array): number {
  return Buffer.compare(a, b);
}
