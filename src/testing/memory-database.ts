// What the databases in memory have in common: versions that are handed out, waited for and garbage-collected, regions that split, merge and move under a reader, faults. What a row is, and how it is
// kept, is theirs. Deterministic: nothing happens but by a call.

import { checkWholeNumber } from '../core/check-option.js';
import { checkVersion } from '../core/check-version.js';
import type { Clock } from '../core/clock.js';
import { systemClock } from '../core/clock.js';
import { BackupError } from '../core/errors.js';
import { equalRanges, formatRange, intersectRanges } from '../core/key-range.js';
import type { Version } from '../core/version.js';
import { maxVersion } from '../core/version.js';
import type { ReadVersionRequest, Region, RegionsRequest, ScanRequest } from '../ports/range-source.js';
import { CallFaults, type FailNextOptions } from './call-faults.js';
import { MemoryRegions } from './memory-regions.js';

/** The methods of a source that can be made to fail or to take time; `batch` is each batch of a scan. */
export type MemoryDatabaseCall = 'readVersion' | 'releaseVersion' | 'regions' | 'scan' | 'batch';

/** `Scan`: what the source is asked for. */
export interface MemoryDatabaseOptions<Scan> {
  /** Keys at which regions begin, beside the first one. Default: none, one region. */
  readonly borders?: readonly Uint8Array[];
  /** Rows of a batch. Default 100. */
  readonly batchRows?: number;
  /** What `delay` waits by. */
  readonly clock?: Clock;
  /** Called before each batch of a scan, the one that would be behind the last row included: a test may change regions, commit, collect garbage or throw. `index` counts from 0. */
  readonly beforeBatch?: (request: Scan, index: number) => void | Promise<void>;
}

/** The part of a source in memory that does not depend on what its rows are. A timestamp is a version. */
export abstract class MemoryDatabase<Scan extends Pick<ScanRequest, 'region' | 'range' | 'signal'>, Row, Batch> {
  readonly #regions = new MemoryRegions();
  readonly #faults: CallFaults<MemoryDatabaseCall>;
  readonly #batchRows: number;
  readonly #beforeBatch: MemoryDatabaseOptions<Scan>['beforeBatch'];
  #committed: Version;
  #oldest: Version = 0n;
  /** How often each version was handed out and not released. */
  readonly #held = new Map<Version, number>();
  readonly #scans: Scan[] = [];
  readonly #wakeups = new Set<() => void>();

  /** `version`: of the empty database. */
  constructor(version: Version, options: MemoryDatabaseOptions<Scan>) {
    const { borders = [], batchRows = 100, clock = systemClock } = options;
    checkVersion(version, 'version');
    this.#committed = version;
    this.#batchRows = checkWholeNumber('batchRows', batchRows, 1);
    this.#beforeBatch = options.beforeBatch;
    this.#faults = new CallFaults(clock);
    for (const border of borders) this.#regions.split(border);
  }

  /** The rows that the scan gives, in key order; taken one by one, as batches are asked for. */
  protected abstract rowsOf(request: Scan): Iterator<Row>;

  /** Copies: the receiver may do with them what it likes. */
  protected abstract batchOf(rows: readonly Row[]): Batch;

  /** Throws VERSION_TOO_OLD where the scan's versions cannot be read now. */
  protected abstract checkVersions(request: Scan): void;

  // The database's side

  /** The largest version: of a commit, or of `advance`. */
  get committed(): Version {
    return this.#committed;
  }

  /** The lowest version that can still be read. */
  get oldest(): Version {
    return this.#oldest;
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

  /** Versions that `readVersion` gave and that have not been released as often. */
  get heldVersions(): readonly Version[] {
    return [...this.#held.keys()];
  }

  /** Every scan that was begun, in order. */
  get scans(): readonly Scan[] {
    return this.#scans;
  }

  /** The next calls of this method fail with `error` (see FailNextOptions). */
  failNext(call: MemoryDatabaseCall, error: Error, options: FailNextOptions = {}): void {
    this.#faults.failNext(call, error, options);
  }

  /** Every call of this method takes `ms` of the clock's milliseconds from now on. */
  delay(call: MemoryDatabaseCall, ms: number): void {
    this.#faults.delay(call, ms);
  }

  // The source

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

  async *scan(request: Scan): AsyncIterable<Batch> {
    const { region, range, signal } = request;
    const inside = intersectRanges(region.range, range);
    if (inside === undefined || !equalRanges(inside, range)) {
      throw new BackupError('INVALID_OPTION', `${formatRange(range)} is not within ${formatRange(region.range)}`);
    }
    await this.#faults.around('scan', signal, () => this.#scans.push(request));
    const left = this.rowsOf(request);
    for (let index = 0; ; index++) {
      const rows = await this.#faults.around('batch', signal, async () => {
        await this.#beforeBatch?.(request, index);
        signal.throwIfAborted();
        this.#checkReadable(request);
        return upTo(this.#batchRows, left);
      });
      if (rows.length === 0) return;
      yield this.batchOf(rows);
    }
  }

  #checkReadable(request: Scan): void {
    const { region } = request;
    if (!this.#regions.isCurrent(region)) {
      throw new BackupError('REGION_CHANGED', `region ${region.id} of epoch ${region.epoch} is no more`);
    }
    this.checkVersions(request);
  }

  /** Resolves when the version has grown; rejects when the signal aborts. */
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

function upTo<Row>(count: number, left: Iterator<Row>): Row[] {
  const rows: Row[] = [];
  while (rows.length < count) {
    const next = left.next();
    if (next.done === true) break;
    rows.push(next.value);
  }
  return rows;
}
