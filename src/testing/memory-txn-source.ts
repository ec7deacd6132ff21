// A transactional database in memory for BR backups to read: rows with their whole history, regions that split, merge and move under a reader, timestamps that are garbage-collected, faults.
// Deterministic: nothing happens but by a call.

import { compareBytes } from '../core/bytes.js';
import { checkVersion } from '../core/check-version.js';
import { BackupError } from '../core/errors.js';
import type { KeyRange } from '../core/key-range.js';
import { NORMAL_KEYS, rangeContains } from '../core/key-range.js';
import type { Version } from '../core/version.js';
import type { TxnBatch, TxnRangeSource, TxnScanRequest } from '../ports/txn-range-source.js';
import { MemoryDatabase, type MemoryDatabaseCall, type MemoryDatabaseOptions } from './memory-database.js';

/** The methods of TxnRangeSource that can be made to fail or to take time; `batch` is each batch of a scan. */
export type MemoryTxnSourceCall = MemoryDatabaseCall;

export type MemoryTxnSourceOptions = MemoryDatabaseOptions<TxnScanRequest>;

/** A write of a user key; without a value: a delete. */
export interface TxnChange {
  readonly key: Uint8Array;
  readonly value?: Uint8Array | undefined;
}

/** The newest write of a key within a scan's bounds. */
export interface TxnRow extends TxnChange {
  readonly startTs: Version;
  readonly commitTs: Version;
}

interface KeyHistory {
  readonly key: Uint8Array;
  /** Oldest first. */
  readonly writes: TxnRow[];
}

/**
 * A TxnRangeSource that keeps its history. What a restore of its backups gives can be compared with `rowsAt`. `collectGarbage` sets the safe point: timestamps below it can be read no more,
 * nor changes since one that is below it.
 */
export class MemoryTxnSource extends MemoryDatabase<TxnScanRequest, TxnRow, TxnBatch> implements TxnRangeSource {
  /** In key order. */
  readonly #keys: KeyHistory[] = [];

  constructor(options: MemoryTxnSourceOptions = {}) {
    super(0n, options);
  }

  /** One transaction. Returns its commit ts: by default two after the last one, and its start ts one before that. */
  commit(
    changes: readonly TxnChange[],
    options: { readonly startTs?: Version; readonly commitTs?: Version } = {},
  ): Version {
    const commitTs = options.commitTs ?? this.committed + 2n;
    const startTs = options.startTs ?? commitTs - 1n;
    checkVersion(startTs, 'startTs');
    if (commitTs <= this.committed || startTs >= commitTs) {
      const last = this.committed;
      throw new BackupError('INVALID_OPTION', `timestamps only grow: ${startTs} to ${commitTs} after ${last}`);
    }
    this.advance(commitTs);
    for (const { key, value } of changes) {
      const own = this.#history(key);
      // Of one transaction the last write of a key counts.
      if (own.writes.at(-1)?.commitTs === commitTs) own.writes.pop();
      own.writes.push({ key: own.key, value: value?.slice(), startTs, commitTs });
    }
    return commitTs;
  }

  /** What a scan of the range gives: with `startTs` 0 the rows that there are, otherwise the newest changes in (startTs, endTs]. Garbage-collected or not. */
  rowsAt(endTs: Version, startTs: Version = 0n, range: KeyRange = NORMAL_KEYS): TxnRow[] {
    const rows: TxnRow[] = [];
    for (const { key, writes } of this.#keys) {
      if (!rangeContains(range, key)) continue;
      const newest = writes.findLast(({ commitTs }) => commitTs <= endTs);
      if (newest === undefined || newest.commitTs <= startTs) continue;
      if (startTs > 0n || newest.value !== undefined) rows.push(newest);
    }
    return rows;
  }

  protected override rowsOf({ startTs, endTs, range }: TxnScanRequest): Iterator<TxnRow> {
    return this.rowsAt(endTs, startTs, range).values();
  }

  protected override batchOf(rows: readonly TxnRow[]): TxnBatch {
    return {
      keys: rows.map(({ key }) => key.slice()),
      values: rows.map(({ value }) => value?.slice()),
      startTs: BigUint64Array.from(rows, ({ startTs }) => startTs),
      commitTs: BigUint64Array.from(rows, ({ commitTs }) => commitTs),
    };
  }

  protected override checkVersions({ startTs, endTs }: TxnScanRequest): void {
    const version = [endTs, startTs].find((ts) => ts > 0n && ts < this.oldest);
    if (version === undefined) return;
    throw new BackupError('VERSION_TOO_OLD', `the safe point is ${this.oldest}, and ${version} is below it`, {
      version,
    });
  }

  #history(key: Uint8Array): KeyHistory {
    let low = 0;
    let high = this.#keys.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (compareBytes((this.#keys[middle] as KeyHistory).key, key) < 0) low = middle + 1;
      else high = middle;
    }
    const there = this.#keys[low];
    if (there !== undefined && compareBytes(there.key, key) === 0) return there;
    const own = { key: key.slice(), writes: [] };
    this.#keys.splice(low, 0, own);
    return own;
  }
}
