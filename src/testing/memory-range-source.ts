// A database in memory for snapshots to read, with everything that is awkward about real ones: rows with history, regions that split, merge and move under a reader, versions
// that are garbage-collected, faults. Deterministic: nothing happens but by a call. Give a MemoryLog the same commits, and a restore can be checked against `rowsAt`.

import type { Clock } from '../core/clock.js';
import { systemClock } from '../core/clock.js';
import { checkVersion } from '../core/check-version.js';
import { BackupError } from '../core/errors.js';
import type { KeyRange } from '../core/key-range.js';
import { NORMAL_KEYS, formatRange, intersectRanges, equalRanges } from '../core/key-range.js';
import type { Mutation } from '../core/mutation.js';
import type { Version } from '../core/version.js';
import { maxVersion } from '../core/version.js';
import type {
  KeyValueBatch,
  RangeSource,
  ReadVersionRequest,
  Region,
  RegionsRequest,
  ScanRequest,
} from '../ports/range-source.js';
import { CallFaults, type FailNextOptions } from './call-faults.js';
import { MemoryRegions } from './memory-regions.js';
import { VersionedRows, type VersionedRow } from './versioned-rows.js';

/** The methods of RangeSource that can be made to fail or to take time; `batch` is each batch of a scan. */
export type MemoryRangeSourceCall = 'readVersion' | 'releaseVersion' | 'regions' | 'scan' | 'batch';

export interface MemoryRangeSourceOptions {
  /** Version of the empty database. Default 0n. */
  readonly version?: Version;
  /** Keys at which regions begin, beside the first one. Default: none, one region. */
  readonly borders?: readonly Uint8Array[];
  /** Rows of a batch. Default 100. */
  readonly batchRows?: number;
  /** What `delay` waits by. */
  readonly clock?: Clock;
  /** Called before each batch of a scan, the one that would be behind the last row included: a test may change regions, commit, collect garbage or throw. `index` counts from 0. */
  readonly beforeBatch?: (request: ScanRequest, index: number) => void | Promise<void>;
}

/** A database in memory that keeps its history. Give a MemoryLog the same commits, and what a restore gives can be compared with `rowsAt`. */
export class MemoryRangeSource implements RangeSource {
  readonly #rows = new VersionedRows();
  readonly #regions = new MemoryRegions();
  readonly #faults: CallFaults<MemoryRangeSourceCall>;
  readonly #batchRows: number;
  readonly #beforeBatch: MemoryRangeSourceOptions['beforeBatch'];
  #committed: Version;
  /** The lowest version that can still be read. */
  #oldest: Version = 0n;
  /** How often each version was handed out and not released. */
  readonly #held = new Map<Version, number>();
  readonly #scans: ScanRequest[] = [];
  readonly #wakeups = new Set<() => void>();

  constructor(options: MemoryRangeSourceOptions = {}) {
    const { version = 0n, borders = [], batchRows = 100, clock = systemClock } = options;
    checkVersion(version, 'version');
    if (!Number.isSafeInteger(batchRows) || batchRows < 1) {
      throw new BackupError('INVALID_OPTION', `batchRows must be a whole number from 1 on, got ${batchRows}`);
    }
    this.#committed = version;
    this.#batchRows = batchRows;
    this.#beforeBatch = options.beforeBatch;
    this.#faults = new CallFaults(clock);
    for (const border of borders) this.#regions.split(border);
  }

  // The database's side

  /** The largest committed version. */
  get committed(): Version {
    return this.#committed;
  }

  /** The lowest version that can still be read. */
  get oldest(): Version {
    return this.#oldest;
  }

  /** Applies the mutations in order; messages for a MemoryLog will do. Returns the version, by default the one after the last. */
  commit(messages: readonly { readonly mutation: Mutation }[], options: { readonly version?: Version } = {}): Version {
    const version = options.version ?? this.#committed + 1n;
    this.advance(version);
    for (const { mutation } of messages) this.#rows.apply(version, mutation);
    return version;
  }

  /** Nothing is written from the last version up to and including this one. */
  advance(version: Version): void {
    checkVersion(version, 'version');
    if (version <= this.#committed) {
      throw new BackupError('INVALID_OPTION', `versions only grow: ${version} after ${this.#committed}`, { version });
    }
    this.#committed = version;
    for (const wake of [...this.#wakeups]) wake();
  }

  /** Versions below this one can be read no more, held or not, also by scans that are under way. */
  collectGarbage(below: Version): void {
    this.#oldest = maxVersion(this.#oldest, below);
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

  /** What the database held at that version, garbage-collected or not. */
  rowsAt(version: Version, range: KeyRange = NORMAL_KEYS): VersionedRow[] {
    return [...this.#rows.at(version, range)];
  }

  /** Versions that `readVersion` gave and that have not been released as often. */
  get heldVersions(): readonly Version[] {
    return [...this.#held.keys()];
  }

  /** Every scan that was begun, in order. */
  get scans(): readonly ScanRequest[] {
    return this.#scans;
  }

  /** The next calls of this method fail with `error` (see FailNextOptions). */
  failNext(call: MemoryRangeSourceCall, error: Error, options: FailNextOptions = {}): void {
    this.#faults.failNext(call, error, options);
  }

  /** Every call of this method takes `ms` of the clock's milliseconds from now on. */
  delay(call: MemoryRangeSourceCall, ms: number): void {
    this.#faults.delay(call, ms);
  }

  // RangeSource

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

  async *scan(request: ScanRequest): AsyncIterable<KeyValueBatch> {
    const { region, range, version, signal } = request;
    const inside = intersectRanges(region.range, range);
    if (inside === undefined || !equalRanges(inside, range)) {
      throw new BackupError('INVALID_OPTION', `${formatRange(range)} is not within ${formatRange(region.range)}`);
    }
    await this.#faults.around('scan', signal, () => this.#scans.push(request));
    const rows = this.#rows.at(version, range);
    for (let index = 0; ; index++) {
      const batch = await this.#faults.around('batch', signal, async () => {
        await this.#beforeBatch?.(request, index);
        signal.throwIfAborted();
        this.#checkReadable(request);
        return copies(rows, this.#batchRows);
      });
      if (batch.length === 0) return;
      yield batch;
    }
  }

  #checkReadable({ region, version }: ScanRequest): void {
    if (!this.#regions.isCurrent(region)) {
      throw new BackupError('REGION_CHANGED', `region ${region.id} of epoch ${region.epoch} is no more`);
    }
    if (version < this.#oldest || version > this.#committed) {
      const readable = `${this.#oldest} to ${this.#committed}`;
      throw new BackupError('VERSION_TOO_OLD', `versions ${readable} can be read, not ${version}`, { version });
    }
  }

  /** Resolves at the next commit; rejects when the signal aborts. */
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
}

/** Up to so many rows; the receiver may do with them what it likes. */
function copies(rows: IterableIterator<VersionedRow>, count: number): VersionedRow[] {
  const batch: VersionedRow[] = [];
  for (let left = count; left > 0; left--) {
    const next = rows.next();
    if (next.done === true) break;
    batch.push([next.value[0].slice(), next.value[1].slice()]);
  }
  return batch;
}
