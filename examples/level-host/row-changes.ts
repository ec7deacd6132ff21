// Changes to the rows that are not written yet, on top of what LevelDB holds: a later change sees the earlier ones, and all of them are written
// in one atomic batch. The database commits with it, the restore target applies with it.

import { oneKeyOf, rowKey, rowsWithin } from './keys.js';
import type { Level, LevelOperation } from './level.js';

interface Row {
  readonly key: Uint8Array;
  value: Uint8Array | undefined;
  changed: boolean;
}

export class RowChanges {
  readonly #level: Level;
  /** By the key's bytes as a latin1 string: it compares just as the bytes do. */
  readonly #rows = new Map<string, Row>();

  constructor(level: Level) {
    this.#level = level;
  }

  /** Reads the stored values of keys that `get` will ask for. Call it before the first change. */
  async load(keys: readonly Uint8Array[]): Promise<void> {
    const values = await this.#level.getMany(keys.map(rowKey));
    keys.forEach((key, i) => this.#rows.set(nameOf(key), { key, value: values[i], changed: false }));
  }

  /** The value of a loaded key, with all changes up to now. */
  get(key: Uint8Array): Uint8Array | undefined {
    return this.#rows.get(nameOf(key))?.value;
  }

  set(key: Uint8Array, value: Uint8Array): void {
    this.#rows.set(nameOf(key), { key, value, changed: true });
  }

  /** begin inclusive, end exclusive. LevelDB cannot delete a range: every key in it is deleted. */
  async clear(begin: Uint8Array, end: Uint8Array): Promise<void> {
    const oneKey = oneKeyOf({ begin, end });
    if (oneKey !== undefined) {
      this.#rows.set(nameOf(oneKey), { key: oneKey, value: undefined, changed: true });
      return;
    }
    for (const key of await this.#level.keys(rowsWithin({ begin, end })).all()) {
      this.#rows.set(nameOf(key), { key, value: undefined, changed: true });
    }
    const first = nameOf(begin);
    const last = nameOf(end);
    for (const [name, row] of this.#rows) {
      if (name < first || name >= last) continue;
      row.value = undefined;
      row.changed = true;
    }
  }

  operations(): LevelOperation[] {
    const operations: LevelOperation[] = [];
    for (const { key, value, changed } of this.#rows.values()) {
      if (!changed) continue;
      operations.push(
        value === undefined ? { type: 'del', key: rowKey(key) } : { type: 'put', key: rowKey(key), value },
      );
    }
    return operations;
  }
}

function nameOf(key: Uint8Array): string {
  return Buffer.from(key.buffer, key.byteOffset, key.byteLength).toString('latin1');
}
