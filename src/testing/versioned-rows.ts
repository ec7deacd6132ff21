// Rows with their history: what a database held at every version of its life. The model behind MemoryRangeSource, and what tests compare with.

import { evaluateAtomic, isAtomicType } from '../core/atomic.js';
import { compareBytes } from '../core/bytes.js';
import { BackupError } from '../core/errors.js';
import type { KeyRange } from '../core/key-range.js';
import { MutationType } from '../core/mutation.js';
import type { Mutation } from '../core/mutation.js';
import type { Version } from '../core/version.js';

export type VersionedRow = readonly [key: Uint8Array, value: Uint8Array];

interface RowHistory {
  readonly key: Uint8Array;
  /** By version, ascending; an undefined value: cleared. */
  readonly changes: { readonly version: Version; value: Uint8Array | undefined }[];
}

export class VersionedRows {
  /** Every key that ever had a value, in order. */
  readonly #rows: RowHistory[] = [];

  /** Versions come in order; the mutations of one version take effect in order. Copies what it keeps. */
  apply(version: Version, { type, param1, param2 }: Mutation): void {
    if (type === MutationType.ClearRange) {
      for (let at = this.#lowerBound(param1); at < this.#lowerBound(param2); at++) {
        this.#change(this.#rows[at] as RowHistory, version, undefined);
      }
    } else if (type === MutationType.SetValue) this.#change(this.#row(param1), version, param2.slice());
    else if (isAtomicType(type)) {
      const row = this.#row(param1);
      this.#change(row, version, evaluateAtomic(type, row.changes.at(-1)?.value, param2)?.slice());
    } else throw new BackupError('INVALID_MUTATION', `rows do not know mutations of type ${type}`);
  }

  /** The rows of the range as they were right after this version, in key order, one by one: it sees what is written in between only if that is of an older version. */
  *at(version: Version, { begin, end }: KeyRange): IterableIterator<VersionedRow> {
    let at = this.#lowerBound(begin);
    for (let row = this.#rows[at]; row !== undefined && compareBytes(row.key, end) < 0; row = this.#rows[at]) {
      const value = row.changes.findLast((change) => change.version <= version)?.value;
      const { key } = row;
      if (value !== undefined) yield [key, value];
      // Keys may have been put in before it.
      at = this.#lowerBound(key);
      if (this.#rows[at]?.key === key) at++;
    }
  }

  #change(row: RowHistory, version: Version, value: Uint8Array | undefined): void {
    const last = row.changes.at(-1);
    if (last?.version === version) last.value = value;
    else if (last?.value !== undefined || value !== undefined) row.changes.push({ version, value });
  }

  #row(key: Uint8Array): RowHistory {
    const at = this.#lowerBound(key);
    const there = this.#rows[at];
    if (there !== undefined && compareBytes(there.key, key) === 0) return there;
    const row = { key: key.slice(), changes: [] };
    this.#rows.splice(at, 0, row);
    return row;
  }

  /** Index of the first key at or above `key`. */
  #lowerBound(key: Uint8Array): number {
    let low = 0;
    let high = this.#rows.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (compareBytes((this.#rows[middle] as RowHistory).key, key) < 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
