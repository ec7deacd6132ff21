// Rows against rows, and etcd against its own word that it has forgotten some.

import type { Etcd3 } from 'etcd3';
import type { Version } from 'tidemark';
import { Differences } from '../level-host/differences.js';
import type { ModelRows } from '../level-host/history.js';
import { ALL_KEYS, readRows } from './etcd-rows.js';

/** Throws an error that names the first differences. */
export function compareRows(what: string, rows: ModelRows, expected: ModelRows): void {
  const differences = new Differences(what);
  for (const [key, value] of rows) {
    const wanted = expected.get(key);
    if (wanted === undefined) differences.add(`key ${key} should not be there`);
    else if (wanted !== value) differences.add(`key ${key} should be ${wanted}, is ${value}`);
  }
  for (const key of expected.keys()) if (!rows.has(key)) differences.add(`key ${key} should be there`);
  differences.throwIfAny();
}

/** etcd must refuse what it has forgotten: else the demo would show nothing that etcd cannot do by itself. */
export async function mustBeCompacted(client: Etcd3, version: Version): Promise<string> {
  try {
    await readRows(client, ALL_KEYS, version);
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    if (message.includes('compacted')) return message;
    throw error;
  }
  throw new Error(`etcd was compacted, and still reads revision ${version}`);
}
