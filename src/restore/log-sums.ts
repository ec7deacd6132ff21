// Checksums that a container has of its data files, for whoever reads those. A file without recorded checksums is read without: containers that others wrote have none.

import { abortable } from '../core/abort.js';
import type { FileSums } from '../format/fdb/file-sums.js';
import { MAX_FILE_SUMS_BYTES, parseFileSums, sumsFileName } from '../format/fdb/file-sums.js';
import type { SnapshotFileDescriptor } from '../format/fdb/names.js';
import type { SnapshotSums } from '../format/fdb/snapshot-sums.js';
import { MAX_SNAPSHOT_SUMS_BYTES, parseSnapshotSums, snapshotSumsName } from '../format/fdb/snapshot-sums.js';
import type { BackupContainer } from '../ports/backup-container.js';
import { readSmallFile } from './catalog.js';

/** Bytes of checksums that are kept, and what one file costs beside them. The files that are read just now are few: one per tag. */
const MAX_CACHED_BYTES = 16 << 20;
const ENTRY_BYTES = 256;

type Lookup = Promise<FileSums | undefined>;

/**
 * Looks checksums up, each file's once as long as it is in use. Throws CORRUPT_FILE, naming the file that holds the checksums, when that is damaged: the data may be sound, and
 * can be read unchecked once that file is deleted.
 */
export class SumsReader {
  readonly #container: BackupContainer;
  readonly #signal: AbortSignal | undefined;
  /** By name of the data file, the least recently used first. */
  readonly #lookups = new Map<string, { readonly lookup: Lookup; bytes: number }>();
  #cachedBytes = 0;

  constructor(container: BackupContainer, signal?: AbortSignal) {
    this.#container = container;
    this.#signal = signal;
  }

  /** undefined: none are recorded. `name`: a log or range file. */
  async forFile(name: string): Lookup {
    const known = this.#lookups.get(name);
    if (known !== undefined) {
      this.#lookups.delete(name);
      this.#lookups.set(name, known);
      return known.lookup;
    }
    const entry = { lookup: this.#look(name), bytes: ENTRY_BYTES };
    this.#lookups.set(name, entry);
    this.#cachedBytes += entry.bytes;
    try {
      const sums = await entry.lookup;
      if (sums !== undefined && this.#lookups.get(name) === entry) {
        entry.bytes += sums.crc32.byteLength;
        this.#cachedBytes += sums.crc32.byteLength;
      }
      this.#evict();
      return sums;
    } catch (error) {
      // A failure may be a passing one: it is not kept.
      this.#forget(name, entry);
      throw error;
    }
  }

  /** What was recorded of the snapshot's range files when it was taken; undefined: nothing was. Not kept: it may be large. */
  async forSnapshot(snapshot: SnapshotFileDescriptor): Promise<SnapshotSums | undefined> {
    const file = snapshotSumsName(snapshot);
    const bytes = await this.#read(file, MAX_SNAPSHOT_SUMS_BYTES);
    return bytes === undefined ? undefined : parseSnapshotSums(bytes, file);
  }

  async #look(name: string): Lookup {
    const file = sumsFileName(name);
    const bytes = await this.#read(file, MAX_FILE_SUMS_BYTES);
    return bytes === undefined ? undefined : parseFileSums(bytes, file);
  }

  #read(file: string, limit: number): Promise<Uint8Array | undefined> {
    const read = readSmallFile(this.#container, file, limit);
    return this.#signal === undefined ? read : abortable(read, this.#signal);
  }

  #evict(): void {
    for (const [name, entry] of this.#lookups) {
      if (this.#cachedBytes <= MAX_CACHED_BYTES) return;
      this.#forget(name, entry);
    }
  }

  #forget(name: string, entry: { readonly bytes: number }): void {
    if (this.#lookups.get(name) !== entry) return;
    this.#lookups.delete(name);
    this.#cachedBytes -= entry.bytes;
  }
}
