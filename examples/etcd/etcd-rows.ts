// What etcd itself says of its rows at a revision: the demo's measure. It shares no code with the library or its adapters, and goes as far back as etcd has not been compacted.

import type { Etcd3 } from 'etcd3';
import type { Version } from 'tidemark';
import type { ModelRows } from '../level-host/history.js';

export interface RowRange {
  /** Inclusive; etcd has no empty key. */
  readonly begin: Uint8Array;
  /** Exclusive. */
  readonly end: Uint8Array;
}

/** What a backup of everything has: keys from 0xFF on are not part of it. */
export const ALL_KEYS: RowRange = { begin: Uint8Array.of(0), end: Uint8Array.of(0xff) };

const PAGE_ROWS = 1_000;

/** What a read gave, and the revision that it was made at. */
export interface RowsRead {
  readonly revision: Version;
  readonly rows: ModelRows;
}

/** Without a revision as they are now, all of them at one revision. */
export async function readRows(client: Etcd3, range: RowRange, at?: Version): Promise<RowsRead> {
  const rows: ModelRows = new Map();
  let revision = at;
  let begin = Buffer.from(range.begin);
  for (;;) {
    const page = await client.kv.range({
      key: begin,
      range_end: Buffer.from(range.end),
      limit: PAGE_ROWS,
      ...(revision !== undefined && { revision: String(revision) }),
    });
    revision ??= BigInt(page.header.revision);
    for (const { key, value } of page.kvs) rows.set(key.toString('hex'), value.toString('hex'));
    const last = page.kvs.at(-1);
    if (!page.more || last === undefined) return { revision, rows };
    begin = Buffer.concat([last.key, Buffer.of(0)]);
  }
}

export async function currentRevision(client: Etcd3): Promise<Version> {
  const { header } = await client.kv.range({ key: Buffer.of(0), count_only: true });
  return BigInt(header.revision);
}

/** "a/" to "a0" */
export function keysWith(prefix: string): RowRange {
  const begin = Buffer.from(prefix);
  const end = Buffer.from(begin);
  const last = end.length - 1;
  end[last] = (end[last] ?? 0) + 1; // the demo's prefixes end in a slash
  return { begin, end };
}

/** The rows with a key in the range. */
export function rowsWithin(rows: ModelRows, range: RowRange): ModelRows {
  const [begin, end] = [range.begin, range.end].map((key) => Buffer.from(key).toString('hex')) as [string, string];
  return new Map([...rows].filter(([key]) => key >= begin && key < end));
}

export function rowsOutside(rows: ModelRows, range: RowRange): ModelRows {
  const inside = rowsWithin(rows, range);
  return new Map([...rows].filter(([key]) => !inside.has(key)));
}
