// What all parts of one verification share: the options, what was found so far, how far it has come.

import type { Clock } from '../core/clock.js';
import type { BackupErrorCode } from '../core/errors.js';
import { BackupError } from '../core/errors.js';
import type { FileSums } from '../format/fdb/file-sums.js';
import type { BackupContainer } from '../ports/backup-container.js';
import type { TimeSlices } from './time-slices.js';
import { ContentIndex } from './verify-content-index.js';
import type { ScannedFile } from './verify-data-file.js';
import type { Inventory } from './verify-inventory.js';
import type { FoundProblem, VerifyTotals } from './verify-report.js';
import { ProblemCollector } from './verify-report.js';

export interface VerifyProgress {
  /** Data files that are done, of all. */
  readonly files: number;
  readonly filesTotal: number;
  /** Deep: bytes read so far. */
  readonly bytes: number;
  readonly bytesTotal: number;
}

export interface VerifyContextOptions {
  readonly container: BackupContainer;
  readonly deep: boolean;
  readonly concurrency: number;
  readonly signal: AbortSignal | undefined;
  readonly slices: TimeSlices;
  /** ms. */
  readonly listingLag: number;
  readonly clock: Clock;
  readonly onProgress: ((progress: VerifyProgress) => void) | undefined;
}

type Counts = { -readonly [K in keyof VerifyTotals]: number };

export class VerifyContext {
  readonly options: VerifyContextOptions;
  readonly inventory: Inventory;
  /** When the inventory had been taken, by the clock's `now()`. */
  readonly listedAt: number;
  readonly problems = new ProblemCollector();
  readonly contents = new ContentIndex();
  readonly unchecked = new Set<string>();
  readonly leftovers: string[] = [];
  readonly counts: Counts = { logFiles: 0, rangeFiles: 0, snapshots: 0, sums: 0, bytes: 0, records: 0, rows: 0 };
  /** Listed, and gone when they were to be read. */
  readonly vanished = new Set<string>();
  /** Problems of the content of files: held back until it is known whether files were swapped. */
  readonly #suspects = new Map<string, FoundProblem[]>();
  #logSizes: ReadonlyMap<string, number> | undefined;
  #files = 0;
  readonly #filesTotal: number;
  readonly #bytesTotal: number;

  constructor(options: VerifyContextOptions, inventory: Inventory) {
    this.options = options;
    this.inventory = inventory;
    this.listedAt = options.clock.now();
    const { logFiles, rangeFiles } = inventory;
    this.#filesTotal = logFiles.length + rangeFiles.size;
    this.#bytesTotal =
      logFiles.reduce((sum, { size }) => sum + size, 0) + [...rangeFiles.values()].reduce((sum, size) => sum + size, 0);
  }

  /** A file is there in another size than was recorded. */
  wrongSize(file: string, recorded: number, size: number): void {
    const offset = Math.min(recorded, size);
    const message = `${file} has ${size} bytes, ${recorded} were written`;
    this.suspect(file, { kind: 'wrong-size', code: 'CORRUPT_FILE', message, file, offset });
  }

  missing(file: string, message: string): void {
    this.problems.add({ kind: 'missing-file', code: 'FILE_NOT_FOUND', message, file });
  }

  damagedSums(error: { readonly code: BackupErrorCode; readonly message: string }, file: string): void {
    this.problems.add({ kind: 'sums', code: error.code, message: error.message, file, offset: 0 });
  }

  suspect(file: string, problem: FoundProblem): void {
    const found = this.#suspects.get(file);
    if (found === undefined) this.#suspects.set(file, [problem]);
    else found.push(problem);
  }

  /** What a scan has shown of a file. */
  scanned(file: string, { sums, crc, problems }: ScannedFile): void {
    this.contents.see(file, sums.size, crc);
    for (const problem of problems) this.suspect(file, problem);
  }

  record(file: string, sums: FileSums): void {
    if (this.options.deep) this.contents.record(file, sums);
  }

  /** True, and the file is noted, if `error` says that it is gone: others may delete while a verification runs. */
  hasVanished(file: string, error: unknown): boolean {
    if (!BackupError.is(error, 'FILE_NOT_FOUND')) return false;
    this.vanished.add(error.file ?? file);
    return true;
  }

  /** Bytes of a data file as it was listed. */
  sizeOf(file: string): number | undefined {
    this.#logSizes ??= new Map(this.inventory.logFiles.map(({ name, size }) => [name, size]));
    return this.inventory.rangeFiles.get(file) ?? this.#logSizes.get(file);
  }

  isSuspect(file: string): boolean {
    return this.#suspects.has(file);
  }

  readBytes = (bytes: number): void => {
    this.counts.bytes += bytes;
    this.#report();
  };

  fileDone(): void {
    this.#files++;
    this.#report();
  }

  /** A damaged file that holds what was written as another one is a swapped file, and that is all that is wrong with it. */
  settleSuspects(): void {
    for (const [file, problems] of this.#suspects) {
      const other = this.contents.ownerOfContent(file);
      if (other === undefined) {
        for (const problem of problems) this.problems.add(problem);
      } else {
        const message = `${file} holds what was written as ${other}`;
        this.problems.add({ kind: 'swapped', code: 'CHECKSUM_MISMATCH', message, file, offset: 0, other });
      }
    }
  }

  #report(): void {
    this.options.onProgress?.({
      files: this.#files,
      filesTotal: this.#filesTotal,
      bytes: this.counts.bytes,
      bytesTotal: this.options.deep ? this.#bytesTotal : 0,
    });
  }
}
