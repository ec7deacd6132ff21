// What verifyBrBackup finds: plain data.

import type { VerifyProblem } from '../../restore/verify-report.js';

/** Of VerifyProblem's kinds there are here: `manifest` (meta data), `missing-file`, `wrong-size`, `checksum`, `corrupt`, `content`, `duplicate`, `disagreement`. docs/restore.md says what each means. */
export type BrVerifyProblem = VerifyProblem;

export interface BrVerifyTotals {
  /** SST files that the backup names. */
  readonly files: number;
  /** Bytes of files that were read: each is read three times. */
  readonly bytes: number;
  /** Keys that have a value or were deleted, of those whose files are sound. */
  readonly keys: number;
  /** Tables that the schemas list. */
  readonly tables: number;
}

export interface BrVerifyReport {
  /** No problem puts a restore in doubt: those that there are are all harmless. */
  readonly ok: boolean;
  /** By file, then offset. */
  readonly problems: readonly BrVerifyProblem[];
  /** Problems beyond 10,000, or beyond eight of a file, which are only counted. */
  readonly problemsOmitted: number;
  /** Files whose meta data has no checksum of their rows, in name order. Their sha256 was compared all the same. */
  readonly unchecked: readonly string[];
  /** SST files in the container that the backup does not name, in name order: attempts that were given up leave such files. */
  readonly leftovers: readonly string[];
  readonly checked: BrVerifyTotals;
}

export interface BrVerifyProgress {
  readonly phase: 'files' | 'rows';
  readonly bytesRead: number;
  readonly bytesTotal: number;
}
