// What verifyBackup finds: plain data, and the collector that it is gathered with.

import type { BackupErrorCode } from '../core/errors.js';
import type { VersionRange } from './description.js';

/** What is wrong with a file. Stable names; new ones may be added. docs/care.md says what each means and what its offset is. */
export type VerifyProblemKind =
  | 'property'
  | 'manifest'
  | 'sums'
  | 'missing-file'
  | 'wrong-size'
  | 'checksum'
  | 'corrupt'
  | 'content'
  | 'swapped'
  | 'duplicate'
  | 'disagreement'
  | 'log-gap';

export interface VerifyProblem {
  readonly kind: VerifyProblemKind;
  /** The code of the error that a restore would have met. */
  readonly code: BackupErrorCode;
  /** For people: which file, where, what. */
  readonly message: string;
  /** undefined for a gap, which is no file. */
  readonly file: string | undefined;
  /** Bytes into `file`: the block, record or row that is wrong. undefined where no place is meant. */
  readonly offset: number | undefined;
  /** The other file of a pair. */
  readonly other: string | undefined;
  /** For a gap: the versions that no file of the tag covers. */
  readonly versions: VersionRange | undefined;
  /** True: no restore is in doubt because of it. */
  readonly harmless: boolean;
}

export interface VerifyTotals {
  /** With and without content, partitioned or not. */
  readonly logFiles: number;
  readonly rangeFiles: number;
  /** Manifests. */
  readonly snapshots: number;
  /** Files of checksums, and sidecars. */
  readonly sums: number;
  /** Deep: bytes of data files that were read. */
  readonly bytes: number;
  /** Deep: log records. */
  readonly records: number;
  /** Deep: rows of range files. */
  readonly rows: number;
}

export interface VerifyReport {
  /** No problem puts a restore in doubt: those that there are are all harmless. Says nothing of files in `unchecked` but that no problem was seen. */
  readonly ok: boolean;
  readonly deep: boolean;
  /** By file, then offset. */
  readonly problems: readonly VerifyProblem[];
  /** Problems beyond the bound of 10,000, which are only counted. */
  readonly problemsOmitted: number;
  /** Data files without a recorded checksum, in name order. Files without content are not among them. */
  readonly unchecked: readonly string[];
  /** Files that nothing needs, in name order. */
  readonly leftovers: readonly string[];
  readonly checked: VerifyTotals;
}

export type FoundProblem = Pick<VerifyProblem, 'kind' | 'code' | 'message'> & Partial<VerifyProblem>;

const MAX_PROBLEMS = 10_000;
/** A file that is damaged all over is not described block by block. */
const MAX_PROBLEMS_PER_FILE = 8;

export class ProblemCollector {
  readonly #problems: VerifyProblem[] = [];
  readonly #perFile = new Map<string, number>();
  #omitted = 0;
  #ok = true;

  add(found: FoundProblem): void {
    const harmless = found.harmless ?? false;
    if (!harmless) this.#ok = false;
    const { file } = found;
    const before = file === undefined ? 0 : (this.#perFile.get(file) ?? 0);
    if (before >= MAX_PROBLEMS_PER_FILE || this.#problems.length >= MAX_PROBLEMS) {
      this.#omitted++;
      return;
    }
    if (file !== undefined) this.#perFile.set(file, before + 1);
    this.#problems.push({
      kind: found.kind,
      code: found.code,
      message: found.message,
      file,
      offset: found.offset,
      other: found.other,
      versions: found.versions,
      harmless,
    });
  }

  get ok(): boolean {
    return this.#ok;
  }

  get omitted(): number {
    return this.#omitted;
  }

  sorted(): VerifyProblem[] {
    return [...this.#problems].sort(
      (a, b) => compareText(a.file ?? '', b.file ?? '') || (a.offset ?? -1) - (b.offset ?? -1),
    );
  }
}

export function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
