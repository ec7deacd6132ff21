// The database that a restore fills.

import type { KeyRange } from '../core/key-range.js';
import type { Version } from '../core/version.js';

/**
 * What a restore writes. Atomic operations are already evaluated: a target sees only sets and clears. The arrays are views into larger buffers: a target
 * that keeps them beyond `apply` copies them.
 */
export type RestoreOperation =
  | { readonly type: 'set'; readonly key: Uint8Array; readonly value: Uint8Array }
  /** begin inclusive, end exclusive */
  | { readonly type: 'clear'; readonly begin: Uint8Array; readonly end: Uint8Array };

/** How far a restore has come: opaque to the target, stored with the batch that it belongs to, whole. */
export interface RestoreCheckpoint {
  /** Identifies the restore (backup, target version, ranges): another restore's checkpoint is not continued. */
  readonly restoreId: string;
  /** `clearing`: target ranges are being cleared; `rows`: a snapshot is being loaded; `log`: mutations are being applied; `done`. */
  readonly phase: 'clearing' | 'rows' | 'log' | 'done';
  /** In the phases `log` and `done`: everything at or below it is applied (-1: nothing yet). Before that it means nothing, and is 0. */
  readonly version: Version;
  /** Where within the phase to go on, if `version` does not say it all: a version too large for one batch is applied in several. */
  readonly cursor?: string | undefined;
}

/** What one `apply` takes at most. */
export interface RestoreLimits {
  /** Sets and clears, each one. At least 1. */
  readonly operations: number;
  /**
   * Bytes of keys and values: of each set its key and its value, of each clear its begin and its end, as `apply` is given them (with the restore's prefixes). The checkpoint does not count (its
   * cursor may be twice as long as a key, and some bytes more), nor does what the target needs around each operation: a target whose requests are limited leaves room for both. At least 1.
   */
  readonly bytes: number;
}

/** A part of a target: see `RestoreTarget.shard`. */
export type RestoreShard = Pick<RestoreTarget, 'read' | 'apply' | 'checkpoint'>;

/** Nobody else may write to the restored ranges while a restore runs. Calls come one at a time. */
export interface RestoreTarget {
  /**
   * Optional: no `apply`, of the target or of a shard, is given more than this. A restore reads it once, at its beginning. Left out: as much as `applyBytes` and the versions make. A single operation
   * of more bytes than this ends the restore with OPERATION_TOO_LARGE.
   */
  readonly limits?: RestoreLimits | undefined;
  /** Values of these keys, in the same order; undefined where there is none. Sees everything that was applied. Needed to evaluate atomic operations. */
  read(keys: readonly Uint8Array[]): Promise<readonly (Uint8Array | undefined)[]>;
  /** Applies the operations in order, and stores the checkpoint, in one atomic and durable step. `operations` may be empty. */
  apply(operations: readonly RestoreOperation[], checkpoint: RestoreCheckpoint): Promise<void>;
  /** The checkpoint of the last `apply`, undefined if there is none. */
  checkpoint(): Promise<RestoreCheckpoint | undefined>;
  /** Whether no key of the range has a value. What the target keeps for itself (its checkpoint) does not count. */
  isEmpty(range: KeyRange): Promise<boolean>;
  /**
   * Optional: lets a restore work on several key ranges at once. Gives a view of this target with a checkpoint of its own, kept under `name` (a short word) beside the target's:
   * the same name gives the same checkpoint, after a restart too. Calls on one view come one at a time; those on different views overlap, and their keys are disjoint.
   */
  shard?(name: string): RestoreShard;
}
