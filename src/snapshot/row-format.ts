// The seam between the engine, which scans regions, and a backup's format, which makes files of their rows: FoundationDB's range files (range-file-format.ts), or those of TiKV's BR (src/br).
// The engine knows of a format nothing but this, and a format of the engine nothing but when it is called.

import type { Version } from '../core/version.js';
import type { Region, RegionsRequest, ScanRequest } from '../ports/range-source.js';
import type { TaskHandle } from '../schedule/task.js';

/** What the engine needs of a source: RangeSource without its versions, whatever its batches are made of. */
export interface RegionSource<Batch> {
  regions(request: RegionsRequest): AsyncIterable<Region>;
  scan(request: ScanRequest): AsyncIterable<Batch>;
}

/** Someone reads at this version, until `letGo`. */
export interface VersionHold {
  readonly version: Version;
}

/** At which version new scans read. SnapshotVersions is one. */
export interface ScanVersions {
  /** The current version, to be given back with `letGo`. */
  hold(): VersionHold;
  letGo(hold: VersionHold): Promise<void>;
  /** The source has said that this version is too old: afterwards `hold` gives another one. Left out where all files are to be of one version: then the range fails. */
  renew?(old: VersionHold, signal: AbortSignal): Promise<void>;
}

/** The files of one request. Made for it, and run once. */
export interface RowFormat<Batch> {
  /** For one batch of neighbouring regions, which one scan worker scans in key order. */
  newCutter(task: TaskHandle): RowCutter<Batch>;
  /**
   * Saves what the cutters give, `workers` files at a time, and answers for each piece, until `close` has been called and nothing is left. A file that cannot be stored is an answer; whatever else goes wrong ends everything: it rejects
   * with that, or with the signal's reason. Afterwards no file is unfinished, whatever came of it.
   */
  run(workers: number, signal: AbortSignal): Promise<void>;
  /** The scans are over: no cutter gives any more. */
  close(): void;
  /** Set when files fail for good, or too often in a row: it makes no sense to scan any further. */
  readonly givenUp: { readonly error: unknown } | undefined;
  /** Files that failed since the last one that was stored: the scans slow down. */
  readonly failuresInARow: number;
}

/**
 * Cuts the rows of neighbouring regions into files. It must never let a file claim keys that were not scanned, at the file's version, to their end; and each key that was scanned belongs to one piece that the format answers for.
 * What it throws fails the region; ADAPTER_CONTRACT says that the rows are not what they must be.
 */
export interface RowCutter<Batch> {
  /** Everything below it is scanned, or given up. */
  readonly at: Uint8Array;
  /** Of all files so far: how much has been done since the last look. */
  readonly encodedBytes: number;
  /** A region comes next, from its begin on: the first one, or the neighbour of the one before. */
  enter(region: Region): void;
  /** The rows that follow are of that version. Comes before each scan, also of the region in which the cutter is already. */
  useVersion(version: Version): Promise<void>;
  /** Rows of the region, from `at` on. ADAPTER_CONTRACT for any others. Waits when the saving is too far behind. */
  add(batch: Batch, region: Region): Promise<void>;
  /** There are no more rows below `end`. */
  coverTo(end: Uint8Array): void;
  /** What has been scanned and is in no file yet becomes a piece of its own, also without rows; nothing if nothing was scanned. */
  endFile(): Promise<void>;
  /** No file covers the keys up to this one: they were given up. Right after `endFile`. */
  skipTo(key: Uint8Array): void;
  /** What has been scanned and is in no finished file cannot be relied on: it must be answered with this error. */
  fail(error: unknown): void;
}
