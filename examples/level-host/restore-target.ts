// A fresh LevelDB that a restore fills. Rows and the restore's checkpoint change in one synced batch: after a crash the restore goes on from there.

import type { KeyRange, RestoreCheckpoint, RestoreOperation, RestoreTarget } from 'tidemark';
import { metaKey, openLevel, rowKey, rowsWithin, type Level } from './keys.js';
import { rowsOf } from './level-database.js';
import { RowChanges } from './row-changes.js';

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

  async apply(operations: readonly RestoreOperation[], checkpoint: RestoreCheckpoint): Promise<void> {
    const changes = new RowChanges(this.#level);
    for (const operation of operations) {
      if (operation.type === 'set') changes.set(operation.key, operation.value);
      else await changes.clear(operation.begin, operation.end);
    }
    const progress = { type: 'put', key: CHECKPOINT, value: encodeCheckpoint(checkpoint) } as const;
    await this.#level.batch([...changes.operations(), progress], { sync: true });
  }

  async checkpoint(): Promise<RestoreCheckpoint | undefined> {
    const stored = await this.#level.get(CHECKPOINT);
    return stored && decodeCheckpoint(stored);
  }

  async isEmpty(range: KeyRange): Promise<boolean> {
    const first = await this.#level.keys({ ...rowsWithin(range), limit: 1 }).all();
    return first.length === 0;
  }

  rows(): AsyncIterable<[key: Uint8Array, value: Uint8Array]> {
    return rowsOf(this.#level);
  }

  close(): Promise<void> {
    return this.#level.close();
  }
}

function encodeCheckpoint(checkpoint: RestoreCheckpoint): Uint8Array {
  return Buffer.from(JSON.stringify({ ...checkpoint, version: String(checkpoint.version) }));
}

function decodeCheckpoint(bytes: Uint8Array): RestoreCheckpoint {
  const stored = JSON.parse(Buffer.from(bytes).toString()) as Omit<RestoreCheckpoint, 'version'> & { version: string };
  return { ...stored, version: BigInt(stored.version) };
}
