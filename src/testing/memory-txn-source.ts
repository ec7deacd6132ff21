// A transactional database in memory for BR backups to read: rows with their whole history, regions that split, merge and move under a reader, timestamps that are garbage-collected, faults.
// Deterministic: nothing happens but by a call.

import { compareBytes } from '../core/bytes.js';
import { checkWholeNumber } from '../core/check-option.js';
import { checkVersion } from '../core/check-version.js';
import type { Clock } from '../core/clock.js';
import { systemClock } from '../core/clock.js';
import { BackupError } from '../core/errors.js';
import type { KeyRange } from '../core/key-range.js';
import { NORMAL_KEYS, equalRanges, formatRange, intersectRanges, rangeContains } from '../core/key-range.js';
import type { Version } from '../core/version.js';
import { maxVersion } from '../core/version.js';
import type { ReadVersionRequest, Region, RegionsRequest } from '../ports/range-source.js';
import type { TxnBatch, TxnRangeSource, TxnScanRequest } from '../ports/txn-range-source.js';
import { CallFaults, type FailNextOptions } from './call-faults.js';
import { MemoryRegions } from './memory-regions.js';

/** The methods of TxnRangeSource that can be made to fail or to take time; `batch` is each batch of a scan. */
export type MemoryTxnSourceCall = 'readVersion' | 'releaseVersion' | 'regions' | 'scan' | 'batch';

export interface MemoryTxnSourceOptions {
  /** Keys at which regions begin, beside the first one. Default: none, one region. */
  readonly borders?: readonly Uint8Array[];
  /** Rows of a batch. Default 100. */
  readonly batchRows?: number;
  /** What `delay` waits by. */
  readonly clock?: Clock;
  /** Called before each batch of a scan, the one that would be behind the last row included: a test may change regions, commit, collect garbage or throw. `index` counts from 0. */
  readonly beforeBatch?: (request: TxnScanRequest, index: number) => void | Promise<void>;
}

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

/** A TxnRangeSource that keeps its history. What a restore of its backups gives can be compared with `rowsAt`. */
export class MemoryTxnSource implements TxnRangeSource {
  /** In key order. */
  readonly #keys: KeyHistory[] = [];
  readonly #regions = new MemoryRegions();
  readonly #faults: CallFaults<MemoryTxnSourceCall>;
  readonly #batchRows: number;
  readonly #beforeBatch: MemoryTxnSourceOptions['beforeBatch'];
  #committed: Version = 0n;
  #safePoint: Version = 0n;
  readonly #held = new Map<Version, number>();
  readonly #scans: TxnScanRequest[] = [];
  readonly #wakeups = new Set<() => void>();

  constructor(options: MemoryTxnSourceOptions = {}) {
    const { borders = [], batchRows = 100, clock = systemClock } = options;
    this.#batchRows = checkWholeNumber('batchRows', batchRows, 1);
    this.#beforeBatch = options.beforeBatch;
    this.#faults = new CallFaults(clock);
    for (const border of borders) this.#regions.split(border);
  }

  // The database's side

  /** The largest timestamp: of a commit, or of `advance`. */
  get committed(): Version {
    return this.#committed;
  }

  /** One transaction. Returns its commit ts: by default two after the last one, and its start ts one before that. */
  commit(
    changes: readonly TxnChange[],
    options: { readonly startTs?: Version; readonly commitTs?: Version } = {},
  ): Version {
    const commitTs = options.commitTs ?? this.#committed + 2n;
    const startTs = options.startTs ?? commitTs - 1n;
    checkVersion(startTs, 'startTs');
    if (commitTs <= this.#committed || startTs >= commitTs) {
      const last = this.#committed;
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

  /** Time goes on to this timestamp, and nothing was committed up to it. */
  advance(ts: Version): void {
    checkVersion(ts, 'ts');
    if (ts <= this.#committed)
      throw new BackupError('INVALID_OPTION', `timestamps only grow: ${ts} after ${this.#committed}`);
    this.#committed = ts;
    for (const wake of [...this.#wakeups]) wake();
  }

  /** Timestamps below this one can be read no more, also by scans that are under way; nor changes since one that is below it. */
  collectGarbage(safePoint: Version): void {
    this.#safePoint = maxVersion(this.#safePoint, safePoint);
  }

  /** The region of the key ends there, and a new one begins. */
  split(key: Uint8Array): void {
    this.#regions.split(key);
  }

  /** The region that begins at this key vanishes into the one before it. */
  merge(border: Uint8Array): void {
    this.#regions.merge(border);
  }

  /** The region of the key is made anew, with the same range. */
  move(key: Uint8Array): void {
    this.#regions.move(key);
  }

  // What a test looks at

  /** The keys at which regions begin, beside the first one. */
  get borders(): readonly Uint8Array[] {
    return this.#regions.borders;
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

  /** Timestamps that `readVersion` gave and that have not been released as often. */
  get heldVersions(): readonly Version[] {
    return [...this.#held.keys()];
  }

  /** Every scan that was begun, in order. */
  get scans(): readonly TxnScanRequest[] {
    return this.#scans;
  }

  /** The next calls of this method fail with `error` (see FailNextOptions). */
  failNext(call: MemoryTxnSourceCall, error: Error, options: FailNextOptions = {}): void {
    this.#faults.failNext(call, error, options);
  }

  /** Every call of this method takes `ms` of the clock's milliseconds from now on. */
  delay(call: MemoryTxnSourceCall, ms: number): void {
    this.#faults.delay(call, ms);
  }

  // TxnRangeSource

  async readVersion({ atLeast, signal }: ReadVersionRequest): Promise<Version> {
    return this.#faults.around('readVersion', signal, async () => {
      while (this.#committed < atLeast) await this.#change(signal);
      this.#held.set(this.#committed, (this.#held.get(this.#committed) ?? 0) + 1);
      return this.#committed;
    });
  }

  async releaseVersion(version: Version): Promise<void> {
    await this.#faults.around('releaseVersion', undefined, () => {
      const times = this.#held.get(version) ?? 0;
      if (times > 1) this.#held.set(version, times - 1);
      else this.#held.delete(version);
    });
  }

  async *regions({ range, signal }: RegionsRequest): AsyncIterable<Region> {
    yield* await this.#faults.around('regions', signal, () => this.#regions.list(range));
  }

  async *scan(request: TxnScanRequest): AsyncIterable<TxnBatch> {
    const { region, range, startTs, endTs, signal } = request;
    const inside = intersectRanges(region.range, range);
    if (inside === undefined || !equalRanges(inside, range)) {
      throw new BackupError('INVALID_OPTION', `${formatRange(range)} is not within ${formatRange(region.range)}`);
    }
    await this.#faults.around('scan', signal, () => this.#scans.push(request));
    const rows = this.rowsAt(endTs, startTs, range);
    for (let index = 0; ; index++) {
      const from = index * this.#batchRows;
      const batch = await this.#faults.around('batch', signal, async () => {
        await this.#beforeBatch?.(request, index);
        signal.throwIfAborted();
        this.#checkReadable(request);
        return batchOf(rows.slice(from, from + this.#batchRows));
      });
      if (batch.keys.length === 0) return;
      yield batch;
    }
  }

  #checkReadable({ region, startTs, endTs }: TxnScanRequest): void {
    if (!this.#regions.isCurrent(region)) {
      throw new BackupError('REGION_CHANGED', `region ${region.id} of epoch ${region.epoch} is no more`);
    }
    const tooOld = [endTs, startTs].find((ts) => ts > 0n && ts < this.#safePoint);
    if (tooOld !== undefined) {
      throw new BackupError('VERSION_TOO_OLD', `the safe point is ${this.#safePoint}, and ${tooOld} is below it`, {
        version: tooOld,
      });
    }
  }

  /** Resolves when time has gone on; rejects when the signal aborts. */
  async #change(signal: AbortSignal): Promise<void> {
    await new Promise<void>((resolve) => {
      const wake = () => {
        signal.removeEventListener('abort', wake);
        this.#wakeups.delete(wake);
        resolve();
      };
      signal.addEventListener('abort', wake, { once: true });
      this.#wakeups.add(wake);
    });
    signal.throwIfAborted();
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

/** Copies: the receiver may do with them what it likes. */
function batchOf(rows: readonly TxnRow[]): TxnBatch {
  return {
    keys: rows.map(({ key }) => key.slice()),
    values: rows.map(({ value }) => value?.slice()),
    startTs: BigUint64Array.from(rows, ({ startTs }) => startTs),
    commitTs: BigUint64Array.from(rows, ({ commitTs }) => commitTs),
  };
}
