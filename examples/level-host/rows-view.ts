// The rows as they were at one version, while the database goes on. LevelDB keeps a snapshot for that; and since the database writes its version in the same batch as the rows,
// the snapshot itself says which version it is: nobody has to stop the writer to know.

import type { KeyRange, KeyValueBatch, Version } from 'tidemark';
import { decodeVersion, metaKey, rowsWithin } from './keys.js';
import type { Level } from './level.js';

/** The version of the last commit: written with the commit. */
export const DURABLE_VERSION: Uint8Array = metaKey('durable-version');

/** Bytes after which LevelDB ends a batch, and rows that a batch has at most: turning a row into JavaScript takes the event loop about a microsecond. */
export const BATCH_BYTES = 100 * 1024;
export const BATCH_ROWS = 2_000;

export class RowsView {
  readonly version: Version;
  readonly #level: Level;
  readonly #snapshot: ReturnType<Level['snapshot']>;

  private constructor(level: Level, snapshot: ReturnType<Level['snapshot']>, version: Version) {
    this.#level = level;
    this.#snapshot = snapshot;
    this.version = version;
  }

  static async open(level: Level): Promise<RowsView> {
    const snapshot = level.snapshot();
    try {
      const stored = await level.get(DURABLE_VERSION, { snapshot });
      return new RowsView(level, snapshot, stored === undefined ? 0n : decodeVersion(stored));
    } catch (error) {
      await snapshot.close();
      throw error;
    }
  }

  /** In key order. While a batch is used, LevelDB reads the next. Throws when the view is closed meanwhile. */
  async *batches(range: KeyRange): AsyncGenerator<KeyValueBatch, void, undefined> {
    const iterator = this.#level.iterator({
      ...rowsWithin(range),
      snapshot: this.#snapshot,
      highWaterMarkBytes: BATCH_BYTES,
    });
    try {
      let reading = iterator.nextv(BATCH_ROWS);
      for (;;) {
        const batch = await reading;
        if (batch.length === 0) return;
        reading = iterator.nextv(BATCH_ROWS);
        reading.catch(() => undefined); // told when it is awaited; nobody asks any more when the reader has gone
        yield batch;
      }
    } finally {
      await iterator.close();
    }
  }

  /** LevelDB may forget what only this view could still see. */
  close(): Promise<void> {
    return this.#snapshot.close();
  }
}
