// A fresh LevelDB that a restore fills. Rows and the restore's checkpoint change in one synced batch: after a crash the restore goes on from there.

import type { KeyRange, RestoreCheckpoint, RestoreOperation, RestoreTarget } from 'tidemark';
import { metaKey, oneKeyOf, rowKey, rowsWithin } from './keys.js';
import { RowChanges } from './row-changes.js';
import { addAll, openLevel, writeSynced, type Level } from './level.js';
import { rowsOf } from './level-database.js';

const CHECKPOINT = metaKey('restore-checkpoint');

export class LevelRestoreTarget implements RestoreTarget {
  readonly #level: Level;

  private constructor(level: Level) {
    this.#level = level;
  }

  static async open(location: string): Promise<LevelRestoreTarget> {
    return new LevelRestoreTarget(await openLevel(location));
  }

  async read(keys: readonly Uint8Array[]): Promise<readonly (Uint8Array | undefined)[]> {
    return this.#level.getMany(keys.map(rowKey));
  }

  apply(operations: readonly RestoreOperation[], checkpoint: RestoreCheckpoint): Promise<void> {
    if (operations.some(isRangeClear)) return this.#applyClears(operations, checkpoint);
    return writeSynced(this.#level, (batch) => {
      for (const operation of operations) {
        if (operation.type === 'set') batch.put(rowKey(operation.key), operation.value);
        else batch.del(rowKey(operation.begin));
      }
      batch.put(CHECKPOINT, encodeCheckpoint(checkpoint));
    });
  }

  async checkpoint(): Promise<RestoreCheckpoint | undefined> {
    const stored = await this.#level.get(CHECKPOINT);
    return stored && decodeCheckpoint(stored);
  }

  async isEmpty(range: KeyRange): Promise<boolean> {
    const first = await this.#level.keys({ ...rowsWithin(range), limit: 1 }).all();
    return first.length === 0;
  }

  /** LevelDB cannot delete a range: every key in it is deleted, those that are stored and those that the batch itself has set before. */
  async #applyClears(operations: readonly RestoreOperation[], checkpoint: RestoreCheckpoint): Promise<void> {
    const changes = new RowChanges(this.#level);
    for (const operation of operations) {
      if (operation.type === 'set') changes.set(operation.key, operation.value);
      else await changes.clear(operation.begin, operation.end);
    }
    await writeSynced(this.#level, (batch) => {
      addAll(batch, changes.operations());
      batch.put(CHECKPOINT, encodeCheckpoint(checkpoint));
    });
  }

  rows(): AsyncIterable<[key: Uint8Array, value: Uint8Array]> {
    return rowsOf(this.#level);
  }

  close(): Promise<void> {
    return this.#level.close();
  }
}

function isRangeClear(operation: RestoreOperation): boolean {
  return operation.type === 'clear' && oneKeyOf(operation) === undefined;
}

function encodeCheckpoint(checkpoint: RestoreCheckpoint): Uint8Array {
  return Buffer.from(JSON.stringify({ ...checkpoint, version: String(checkpoint.version) }));
}

function decodeCheckpoint(bytes: Uint8Array): RestoreCheckpoint {
  const stored = JSON.parse(Buffer.from(bytes).toString()) as Omit<RestoreCheckpoint, 'version'> & { version: string };
  return { ...stored, version: BigInt(stored.version) };
}
