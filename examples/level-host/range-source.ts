// The database's rows for snapshots: a RangeSource. It lives in the database's own process, because LevelDB can be opened by one process only; it needs no lock and stops no commit.

import { BackupError, type KeyRange, type KeyValueBatch, type RangeSource, type Region, type Version } from 'tidemark';
import type { LevelDatabase } from './level-database.js';
import { Regions } from './regions.js';
import type { RowsView } from './rows-view.js';

export interface LevelRangeSourceOptions {
  /** How large a region should be. Bytes of LevelDB's files, default 64 MiB. */
  readonly regionBytes?: number;
  /** Versions that are kept open at a time: each makes LevelDB keep what was overwritten since. Default 4. */
  readonly maxVersions?: number;
}

interface OpenVersion {
  readonly view: RowsView;
  /** Given out by readVersion and not released yet. */
  holders: number;
  scans: number;
}

export class LevelRangeSource implements RangeSource {
  readonly #database: LevelDatabase;
  readonly #regions: Regions;
  readonly #maxVersions: number;
  /** The oldest first. */
  readonly #open = new Map<Version, OpenVersion>();

  constructor(database: LevelDatabase, { regionBytes = 64 << 20, maxVersions = 4 }: LevelRangeSourceOptions = {}) {
    this.#database = database;
    this.#regions = new Regions(database, regionBytes);
    this.#maxVersions = maxVersions;
  }

  async readVersion({ atLeast, signal }: { atLeast: Version; signal: AbortSignal }): Promise<Version> {
    const view = await this.#database.viewRows(atLeast, signal);
    const open = this.#open.get(view.version);
    if (open === undefined) {
      this.#open.set(view.version, { view, holders: 1, scans: 0 });
      await this.#closeOldest();
    } else {
      open.holders++; // nothing was committed since
      await view.close();
    }
    return view.version;
  }

  async releaseVersion(version: Version): Promise<void> {
    const open = this.#open.get(version);
    if (open === undefined || --open.holders > 0) return;
    await this.#close(version, open);
  }

  async *regions({ range, signal }: { range: KeyRange; signal: AbortSignal }): AsyncGenerator<Region> {
    signal.throwIfAborted();
    const regions = await this.#regions.within(range);
    signal.throwIfAborted();
    yield* regions;
  }

  async *scan(request: {
    region: Region;
    range: KeyRange;
    version: Version;
    signal: AbortSignal;
  }): AsyncGenerator<KeyValueBatch, void, undefined> {
    const { region, range, version, signal } = request;
    signal.throwIfAborted();
    if (!this.#regions.has(region, range))
      throw new BackupError('REGION_CHANGED', `The region ${region.id} is not as it was in epoch ${region.epoch}`);
    const open = this.#open.get(version);
    if (open === undefined) throw tooOld(version);
    open.scans++;
    try {
      for await (const batch of open.view.batches(range)) {
        signal.throwIfAborted();
        yield batch;
      }
      signal.throwIfAborted(); // while the last batch was used
    } catch (error) {
      throw this.#open.get(version) === open ? error : tooOld(version, error);
    } finally {
      open.scans--;
    }
  }

  /** Where the operator knows better than LevelDB's estimate: the key begins a region of its own. */
  splitAt(key: Uint8Array): void {
    this.#regions.splitAt(key);
  }

  /** Closes what is still open. Scans that go on fail. */
  async close(): Promise<void> {
    await Promise.all([...this.#open].map(([version, open]) => this.#close(version, open)));
  }

  /** A reader that was cut off and never released its version must not make LevelDB keep old rows for ever. What is not being scanned goes first. */
  async #closeOldest(): Promise<void> {
    while (this.#open.size > this.#maxVersions) {
      const older = [...this.#open].slice(0, -1);
      const [version, open] = older.find(([, { scans }]) => scans === 0) ?? older[0] ?? [];
      if (version === undefined || open === undefined) return;
      await this.#close(version, open);
    }
  }

  async #close(version: Version, open: OpenVersion): Promise<void> {
    this.#open.delete(version);
    await open.view.close();
  }
}

function tooOld(version: Version, cause?: unknown): BackupError {
  return new BackupError('VERSION_TOO_OLD', `Version ${version} is no longer open`, { version, cause });
}
