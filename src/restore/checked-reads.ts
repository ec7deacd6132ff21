// The reads of a restore: so many at a time over all files, with the checksums that the container has, again with backoff where a failure may be a passing one.

import type { FileSums } from '../format/fdb/file-sums.js';
import type { BackupContainer } from '../ports/backup-container.js';
import type { BlockFile } from './log-file-blocks.js';
import { readRun } from './log-file-blocks.js';
import { SumsReader } from './log-sums.js';
import type { PatientReadsOptions } from './patient-reads.js';
import { PatientReads } from './patient-reads.js';

export interface CheckedReadsOptions extends PatientReadsOptions {
  /** Bytes read at a time, unless a block is larger. */
  readonly readBytes: number;
}

export class CheckedReads {
  readonly container: BackupContainer;
  readonly readBytes: number;
  readonly #reads: PatientReads;
  readonly #sums: SumsReader;

  constructor(container: BackupContainer, options: CheckedReadsOptions) {
    this.container = container;
    this.readBytes = options.readBytes;
    this.#reads = new PatientReads(options);
    this.#sums = new SumsReader(container, options.signal);
  }

  /** The run of blocks at `offset`. `sums`: the file's, where they are known already; else they are looked up. */
  run(file: BlockFile, offset: number, sums?: FileSums): Promise<Uint8Array> {
    return this.#reads.run(async () => {
      const known = sums ?? (await this.#sums.forFile(file.name));
      return readRun(this.container, file, offset, this.readBytes, known);
    });
  }
}
