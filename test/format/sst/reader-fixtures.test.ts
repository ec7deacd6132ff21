// SstReader on small files of RocksDB that are kept here, so that it is tested where RocksDB is not installed.

import { readFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';

import { openBytes, readEntries, readRows } from './rocksdb-file.js';

const folder = new URL('../../fixtures/sst/', import.meta.url);
const TYPES = { value: 1, deletion: 0, 'single-deletion': 7, merge: 2, 'blob-index': 17, 'wide-columns': 22 };
const expected = JSON.parse(await readFile(new URL('expected.json', folder), 'utf8')) as Record<string, string[]>;

describe('files of RocksDB that are kept', () => {
  it.each(Object.entries(expected))('%s', async (name, lines) => {
    const reader = await openBytes(new Uint8Array(await readFile(new URL(name, folder))));
    const entries = (await readEntries(reader)).map(
      ({ key, seqno, type, value }) => `${key.toUpperCase()} ${seqno} ${TYPES[type]} ${value.toUpperCase()}`,
    );
    expect(entries).toEqual(lines);
    const verified = await reader.verify();
    expect(verified.entries).toBe(lines.length + reader.rangeDeletions.length);
    if (verified.merges === 0) expect((await readRows(reader)).length).toBeLessThanOrEqual(lines.length);
  });
});
