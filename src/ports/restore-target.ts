// The database that a restore fills.

import type { KeyRange } from '../core/key-range.js';
import type { Version } from '../core/version.js';

/** What a restore writes. Atomic operations are already evaluated: a target sees only sets and clears. */
export type RestoreOperation =
  | { readonly type: 'set'; readonly key: Uint8Array; readonly value: Uint8Array }
  /** begin inclusive, end exclusive */
  | { readonly type: 'clear'; readonly begin: Uint8Array; readonly end: Uint8Array };

/** How far a restore has come: opaque to the target, stored with the batch that it belongs to. */
export interface RestoreCheckpoint {
  /** Identifies the restore (container, target version, ranges): another restore's checkpoint is not continued. */
  readonly restoreId: string;
  /** Everything at or below it is applied. */
  readonly version: Version;
  /** `clearing`: target ranges are being cleared; `rows`: a snapshot is being loaded; `log`: mutations are being applied; `done`. */
  readonly phase: 'clearing' | 'rows' | 'log' | 'done';
  /** For the phases before `log`: where to go on. */
  readonly cursor?: string | undefined;
}

export interface RestoreTarget {
  /** Values of these keys, in the same order; undefined where there is none. Needed to evaluate atomic operations. */
  read(keys: readonly Uint8Array[]): Promise<readonly (Uint8Array | undefined)[]>;
  /** Applies the operations in order, and stores the checkpoint, in one atomic and durable step. */
  apply(operations: readonly RestoreOperation[], checkpoint: RestoreCheckpoint): Promise<void>;
  /** The checkpoint of the last `apply`, undefined if there is none. */
  checkpoint(): Promise<RestoreCheckpoint | undefined>;
  /** Whether any key of the range has a value. */
  isEmpty(range: KeyRange): Promise<boolean>;
}
