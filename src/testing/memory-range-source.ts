// A database in memory for snapshots to read, with everything that is awkward about real ones: rows with history, regions that split, merge and move under a reader, versions
// that are garbage-collected, faults. Deterministic: nothing happens but by a call. Give a MemoryLog the same commits, and a restore can be checked against `rowsAt`.

import { BackupError } from '../core/errors.js';
import type { KeyRange } from '../core/key-range.js';
import { NORMAL_KEYS } from '../core/key-range.js';
import type { Mutation } from '../core/mutation.js';
import type { Version } from '../core/version.js';
import type { KeyValueBatch, RangeSource, ScanRequest } from '../ports/range-source.js';
import { MemoryDatabase, type MemoryDatabaseCall, type MemoryDatabaseOptions } from './memory-database.js';
import { VersionedRows, type VersionedRow } from './versioned-rows.js';

/** The methods of RangeSource that can be made to fail or to take time; `batch` is each batch of a scan. */
export type MemoryRangeSourceCall = MemoryDatabaseCall;

export interface MemoryRangeSourceOptions extends MemoryDatabaseOptions<ScanRequest> {
  /** Version of the empty database. Default 0n. */
  readonly version?: Version;
}

/** A database in memory that keeps its history. Give a MemoryLog the same commits, and what a restore gives can be compared with `rowsAt`. */
export class MemoryRangeSource extends MemoryDatabase<ScanRequest, VersionedRow, KeyValueBatch> implements RangeSource {
  readonly #rows = new VersionedRows();

  constructor(options: MemoryRangeSourceOptions = {}) {
    super(options.version ?? 0n, options);
  }

  /** Applies the mutations in order; messages for a MemoryLog will do. Returns the version, by default the one after the last. */
  commit(messages: readonly { readonly mutation: Mutation }[], options: { readonly version?: Version } = {}): Version {
    const version = options.version ?? this.committed + 1n;
    this.advance(version);
    for (const { mutation } of messages) this.#rows.apply(version, mutation);
    return version;
  }

  /** What the database held at that version, garbage-collected or not. */
  rowsAt(version: Version, range: KeyRange = NORMAL_KEYS): VersionedRow[] {
    return [...this.#rows.at(version, range)];
  }

  protected override rowsOf({ version, range }: ScanRequest): Iterator<VersionedRow> {
    return this.#rows.at(version, range);
  }

  protected override batchOf(rows: readonly VersionedRow[]): KeyValueBatch {
    return rows.map(([key, value]) => [key.slice(), value.slice()]);
  }

  protected override checkVersions({ version }: ScanRequest): void {
    if (version >= this.oldest && version <= this.committed) return;
    const readable = `${this.oldest} to ${this.committed}`;
    throw new BackupError('VERSION_TOO_OLD', `versions ${readable} can be read, not ${version}`, { version });
  }
}
