// The committed rows of a transactional database, with the timestamps that a TiKV backup (BR) stores beside them. As RangeSource, which has rows of one version alone.

import type { KeyRange } from '../core/key-range.js';
import type { Version } from '../core/version.js';
import type { ReadVersionRequest, Region, RegionsRequest } from './range-source.js';

/**
 * Rows in columns, in key order, each user key once: four arrays of one length, the same index in each is one row. The memory belongs to the receiver: the source does not write to it again.
 */
export interface TxnBatch {
  /** User keys, as the database's own users know them: not encoded, without a timestamp. */
  readonly keys: readonly Uint8Array[];
  /** undefined: the row was deleted. Only where changes are asked for, see TxnScanRequest.startTs. */
  readonly values: readonly (Uint8Array | undefined)[];
  /** When the transaction that wrote the row began: TiKV keeps long values under it. */
  readonly startTs: BigUint64Array;
  /** When it was committed. Above the start ts. */
  readonly commitTs: BigUint64Array;
}

export interface TxnScanRequest {
  /** As `regions` listed it. */
  readonly region: Region;
  /** Half-open, within the region's range. */
  readonly range: KeyRange;
  /** Exclusive. 0: every row as of `endTs`, and no deleted one. Above 0: only the keys that were written in (startTs, endTs], each with its newest change in there, be it a delete. */
  readonly startTs: Version;
  /** Inclusive: what was committed later is not seen. */
  readonly endTs: Version;
  readonly signal: AbortSignal;
}

/**
 * Where the rows of a transactional backup come from. Errors are answered as those of a RangeSource, except that nothing is read at another timestamp when one has become too old: a BR backup is of one moment.
 */
export interface TxnRangeSource {
  /**
   * A timestamp at which everything can be scanned from now on, for as long as the source keeps it. Everything that was acknowledged as committed before the call has a commit ts at or below it, and nothing
   * will ever be committed at or below it that a scan has not shown: as a timestamp of TiKV's placement driver, once locks below it are resolved. Asked for only where the backup was given no `endTs`.
   */
  readVersion(request: ReadVersionRequest): Promise<Version>;

  /** The backup needs this timestamp no more. As RangeSource.releaseVersion. */
  releaseVersion?(version: Version): Promise<void>;

  /** The regions that cover the range now, as RangeSource.regions: in key order, not overlapping, without a hole, their ranges clipped to it. A region's id and epoch become part of the names of its files. */
  regions(request: RegionsRequest): AsyncIterable<Region>;

  /**
   * Of each user key of the range its newest committed write in (startTs, endTs], in key order, batch after batch; batches may be of any size but are best some 100 KiB. Locks and rollbacks are no writes. A write that has been overwritten
   * at or below `endTs` is not shown. A source that cannot give exactly that throws instead, also in the middle: REGION_CHANGED (the region has split, merged, moved or vanished), VERSION_TOO_OLD (garbage collection has
   * passed `endTs`, or has passed `startTs`: then deletes may be gone, and an incremental backup would bring rows back to life). A lock that hides whether something was committed is resolved by the source, or is
   * an error that is worth a retry. The rows before the throw are valid, and whole up to the last key. Rejects with the signal's reason when it aborts.
   */
  scan(request: TxnScanRequest): AsyncIterable<TxnBatch>;
}
