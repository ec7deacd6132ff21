// The rows of the database, as its host offers them to a snapshot.

import type { KeyRange } from '../core/key-range.js';
import type { Version } from '../core/version.js';

/** A part of the key space that the database keeps together (TiKV: a region; FoundationDB: a shard). */
export interface Region {
  /** Names the region among all that exist at one time. */
  readonly id: string;
  /** Changes whenever the region's range changes or it is made anew: a scan of an older one is refused. */
  readonly epoch: string;
  /** Half-open. */
  readonly range: KeyRange;
}

/** Rows in key order: what a LevelDB iterator's `nextv` returns, for one. The memory belongs to the receiver: the source does not write to it again. */
export type KeyValueBatch = readonly (readonly [key: Uint8Array, value: Uint8Array])[];

export interface ReadVersionRequest {
  /** Inclusive: the answer is at or above it; the source waits until it can be. */
  readonly atLeast: Version;
  readonly signal: AbortSignal;
}

export interface RegionsRequest {
  /** Half-open. */
  readonly range: KeyRange;
  readonly signal: AbortSignal;
}

export interface ScanRequest {
  /** As `regions` listed it. */
  readonly region: Region;
  /** Half-open, within the region's range. */
  readonly range: KeyRange;
  readonly version: Version;
  readonly signal: AbortSignal;
}

/**
 * Where rows come from. Errors with `retryable` (see BackupError) and errors that are no BackupError are retried with backoff; REGION_CHANGED and VERSION_TOO_OLD are answered as they say; others fail the range.
 */
export interface RangeSource {
  /**
   * A committed version at which everything can be scanned from now on, for as long as the source keeps it. Everything that was acknowledged as committed before the
   * call is in it, and nothing at or below it can still be rolled back.
   */
  readVersion(request: ReadVersionRequest): Promise<Version>;

  /** The snapshot needs this version no more. A source that keeps something open for it lets it go; others leave this out. Idempotent; an unknown version is ignored. */
  releaseVersion?(version: Version): Promise<void>;

  /** The regions that cover the range now: in key order, not overlapping, without a hole, their ranges clipped to it. */
  regions(request: RegionsRequest): AsyncIterable<Region>;

  /**
   * The rows of the range exactly as they were at the version: in key order, each key once, batch after batch; batches may be of any size but are best some 100 KiB. A source that
   * cannot give exactly that throws instead, also in the middle: REGION_CHANGED (the region has split, merged, moved or vanished), VERSION_TOO_OLD (the version has been
   * garbage-collected, or is one that this process cannot read). The rows before the throw are valid rows of that version, and whole up to the last key. Rejects with the signal's reason when it aborts.
   */
  scan(request: ScanRequest): AsyncIterable<KeyValueBatch>;
}
