// The log of the database, as its host offers it.

import type { MessageBatch } from '../core/message-batch.js';
import type { LogEpoch, Tag, Version } from '../core/version.js';

export interface PeekRequest {
  /** The log of this epoch: tag 1 of an epoch with 3 tags and tag 1 of one with 5 are different partitions. */
  readonly epoch: LogEpoch;
  readonly tag: Tag;
  /** Inclusive. */
  readonly begin: Version;
  /** Encoded bytes wanted at most. A version larger than this comes alone, whole. */
  readonly maxBytes: number;
  readonly signal: AbortSignal;
}

export interface PeekReply {
  /** Messages of the tag with begin <= version < end, in order, whole versions only. May be empty. */
  readonly batch: MessageBatch;
  /**
   * Exclusive: everything of this tag in [begin, end) is in `batch` or was never written. Greater than `begin` unless the call
   * was answered early (a log may answer early with end = begin to report `popped`). Moves on when nothing is written, so that an
   * idle log is not a stuck one. For an epoch that has ended it reaches the epoch's end without waiting, and never passes it:
   * a worker that has not been told of a recovery may ask from above the epoch's end, and is answered at once, empty, with end = begin.
   */
  readonly end: Version;
  /** As `minKnownCommittedVersion` for this epoch, at the time of the reply. */
  readonly minKnownCommittedVersion: Version;
  /**
   * The largest version of this tag that the log has discarded (inclusive), undefined when none. If it is at or above `begin`, the reply
   * holds only what is left above it.
   */
  readonly popped: Version | undefined;
}

export interface PopRequest {
  readonly epoch: LogEpoch;
  readonly tag: Tag;
  /** Inclusive. */
  readonly upTo: Version;
}

/** A generation of the log, as the log system knows it. */
export interface LogEpochInfo {
  readonly epoch: LogEpoch;
  /** Inclusive. Equals the end of the epoch before it. */
  readonly begin: Version;
  /** Exclusive; undefined while the epoch is the current one. */
  readonly end: Version | undefined;
  readonly totalTags: number;
}

/** The state of the log system (FoundationDB: part of ServerDBInfo). */
export interface LogSystemInfo {
  /** The number of the newest epoch. */
  readonly recoveryCount: LogEpoch;
  /** `recovering`: the newest epoch takes no commits yet. */
  readonly recoveryState: 'recovering' | 'accepting_commits' | 'fully_recovered';
  /**
   * The oldest epoch whose log is not drained by every tag, or the newest epoch when all older ones are; undefined: not known yet, and then no
   * worker pops. `oldestBackupEpoch()` computes it from the progress store.
   */
  readonly oldestBackupEpoch: LogEpoch | undefined;
  /** Every epoch whose log still exists, oldest first, the newest one last. */
  readonly epochs: readonly LogEpochInfo[];
}

/**
 * Where mutations come from. Errors with `retryable` (see BackupError) and errors that are no BackupError are retried with backoff, with
 * the same arguments; others end the worker.
 */
export interface LogSource {
  /**
   * Called with one request in flight per worker. Resolves once something is known beyond `begin`. Must not return uncommitted messages unless losing
   * them starts a new epoch (rule P16). Rejects with the signal's reason when it aborts.
   */
  peek(request: PeekRequest): Promise<PeekReply>;

  /** The log may discard this tag's data up to and including `upTo`. Idempotent; a lower version than before is ignored. */
  pop(request: PopRequest): Promise<void>;

  /**
   * Inclusive: everything of `epoch` at or below it is durable and will not be rolled back. Once the epoch has ended, from the moment of the recovery,
   * never above the epoch's end - 1 (rule P14).
   */
  minKnownCommittedVersion(request: { readonly epoch: LogEpoch; readonly signal: AbortSignal }): Promise<Version>;

  /** Inclusive: a committed version of the log as a whole, at or above every commit that was acknowledged before the call (rule P8). */
  committedVersion(signal: AbortSignal): Promise<Version>;

  /** The current state first, then every change. Ends when the signal aborts. A log that never changes hands leaves it out. */
  logSystem?(signal: AbortSignal): AsyncIterable<LogSystemInfo>;
}
