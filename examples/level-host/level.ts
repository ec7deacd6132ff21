// LevelDB as this host uses it: bytes for bytes, and durable writes of many operations at once.

import { ClassicLevel, type ChainedBatch } from 'classic-level';

export type Level = ClassicLevel<Uint8Array, Uint8Array>;

/** Being put together. */
export type LevelBatch = ChainedBatch<Level, Uint8Array, Uint8Array>;

export type LevelOperation =
  | { readonly type: 'put'; readonly key: Uint8Array; readonly value: Uint8Array }
  | { readonly type: 'del'; readonly key: Uint8Array };

export async function openLevel(location: string): Promise<Level> {
  const level = new ClassicLevel<Uint8Array, Uint8Array>(location, { keyEncoding: 'view', valueEncoding: 'view' });
  await level.open();
  return level;
}

/**
 * What `fill` puts into the batch, in one atomic step, in order, durable when it resolves. A chained batch takes classic-level a sixth of the time that an array of operations does. LevelDB has
 * copies by the time of the write: no frame holds on to what `fill` refers to, which the garbage collector would move about meanwhile.
 */
export function writeSynced(level: Level, fill: (batch: LevelBatch) => void): Promise<void> {
  const batch = level.batch();
  try {
    fill(batch);
  } catch (error) {
    return batch.close().then(() => {
      throw error;
    });
  }
  return batch.write({ sync: true });
}

export function addAll(batch: LevelBatch, operations: readonly LevelOperation[]): void {
  for (const operation of operations) {
    if (operation.type === 'put') batch.put(operation.key, operation.value);
    else batch.del(operation.key);
  }
}
