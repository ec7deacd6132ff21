// SstReader on files that RocksDB itself wrote: by flush, by compaction, by SstFileWriter and as ingested, in all forms. `sst_dump` says what is in them, and a reader of the database which rows there are.

import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, expect, it } from 'vitest';

import { BackupError } from '../../../src/core/errors.js';
import type { SstReaderOptions } from '../../../src/format/sst/sst-table.js';
import { run, toolMissing } from '../../servers/judges.js';
import {
  comparable,
  hexOf,
  missingRocksDb,
  openBytes,
  readEntries,
  readRows,
  writeWithRocksDb,
} from './rocksdb-file.js';

const TIMEOUT_MS = 120_000;

type Args = Readonly<Record<string, string | number>>;

/** Every value of every option at least once; which ones meet changes from case to case. */
function spread(): Args[] {
  const options: Readonly<Record<string, readonly (string | number)[]>> = {
    compression: ['none', 'snappy', 'zlib', 'lz4', 'lz4hc', 'zstd'],
    format: [2, 3, 4, 5],
    checksum: [0, 1, 2, 3, 4],
    index: ['binary', 'twolevel', 'firstkey', 'binary', 'hash'],
    block: [128, 1024, 4096, 65_536],
    restart: [16, 1, 4, 16, 64, 1_000_000],
    indexrestart: [1, 1, 4],
    filter: ['none', 'bloom', 'ribbon'],
    partitionfilters: [0, 0, 0, 1],
    hashdata: [0, 1],
    delta: [1, 1, 1, 1, 0],
    shortening: ['separators', 'none', 'successor'],
    indexcompression: [1, 0],
    mode: ['flush', 'compact', 'external'],
    ops: ['p', 'pppd', 'ppdr', 'pps'],
    snapshots: [0, 1, 1],
    parallel: [1, 1, 1, 1, 1, 1, 2],
    keylen: [12, 3, 80],
    vallen: [60, 0, 2000],
  };
  return Array.from({ length: 40 }, (_, i) => {
    const args: Record<string, string | number> = { seed: i + 1, n: i % 8 === 0 ? 3 : 1500, keys: 900, metablock: 200 };
    // Each option in its own rhythm, so that all pairs of small lists meet.
    for (const [name, values] of Object.entries(options)) {
      const round = Math.floor(i / values.length);
      args[name] = values[(i + round * (name.length % 3)) % values.length] as string | number;
    }
    // RocksDB refuses partitioned filters with any other index.
    if (args['partitionfilters'] === 1) args['index'] = 'twolevel';
    return args;
  });
}

const title = missingRocksDb === undefined ? '' : `: ${missingRocksDb}`;

async function codeOf(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
  } catch (error) {
    if (BackupError.is(error)) return error.code;
    throw error;
  }
  return 'none';
}

describe.skipIf(missingRocksDb !== undefined)(`files that RocksDB wrote${title}`, () => {
  async function check(args: Args): Promise<void> {
    const { bytes, entries, rows } = await writeWithRocksDb(args);
    const reader = await openBytes(bytes, { readAheadBytes: 10_000 });
    expect(await readEntries(reader)).toEqual(entries);
    expect(await readEntries(reader, { reuse: true })).toEqual(entries);
    expect(await readEntries(reader, { reverse: true })).toEqual(entries.toReversed());
    expect(await readRows(reader)).toEqual(rows);
    expect(await readRows(reader, { reuse: true })).toEqual(rows);
    expect(await readRows(reader, { reverse: true, reuse: true })).toEqual(rows.toReversed());
    const verified = await reader.verify();
    expect(verified.entries).toBe(entries.length + reader.rangeDeletions.length);
    for (const [key, value] of rows.filter((_, i) => i % 50 === 0)) {
      const found = await reader.get(Buffer.from(key, 'hex'));
      expect(found && comparable(hexOf(found))).toBe(value);
    }
  }

  it.each(spread().map((args) => [Object.values(args).join(' '), args] as const))(
    'read back exactly: %s',
    (_, args) => check(args),
    TIMEOUT_MS,
  );

  it(
    'aligned blocks: the padding between them is none of the rows',
    async () => {
      await check({ align: 1, n: 2000, keys: 2000, format: 5, index: 'twolevel' });
      await check({ align: 1, n: 2000, keys: 2000, format: 3, checksum: 1 });
    },
    TIMEOUT_MS,
  );

  it(
    'keys of 10 KB and values of 8 MB',
    async () => {
      for (const compression of ['none', 'zstd']) await check({ n: 50, keys: 3, big: 1, compression, snapshots: 1 });
      await check({ n: 4, keys: 3, big: 1, mode: 'external', format: 2, compression: 'lz4' });
    },
    TIMEOUT_MS,
  );

  it(
    'one key in thousands of versions, over many blocks',
    async () => {
      await check({ n: 3000, keys: 2, block: 256, snapshots: 1, ops: 'pppd', index: 'twolevel' });
      await check({ n: 3000, keys: 2, block: 256, snapshots: 1, ops: 'pppr', format: 2 });
    },
    TIMEOUT_MS,
  );

  it(
    'range deletions that overlap, and nothing else',
    async () => {
      for (const mode of ['flush', 'compact']) {
        await check({ n: 1500, keys: 60, ops: 'ppprr', snapshots: 1, mode, block: 512 });
      }
      await check({ n: 30, keys: 20, ops: 'r', snapshots: 1 });
    },
    TIMEOUT_MS,
  );

  it(
    'an ingested file: its global sequence number is that of all entries, and its checksum is that from before',
    async () => {
      for (const format of [2, 5]) {
        const { bytes, entries } = await writeWithRocksDb({
          mode: 'ingested',
          n: 300,
          ops: 'pdr',
          format,
          checksum: 1,
        });
        const reader = await openBytes(bytes);
        expect(reader.properties.globalSeqno).toBeGreaterThan(0n);
        expect(await readEntries(reader)).toEqual(entries);
        expect(new Set(entries.map(({ seqno }) => seqno))).toEqual(new Set([reader.properties.globalSeqno]));
        // Range deletions of the file have the same number: they hide none of its rows.
        expect(reader.rangeDeletions.length).toBeGreaterThan(0);
        const rows = entries.filter(({ type }) => type === 'value').map(({ key, value }) => [key, value]);
        expect(await readRows(reader)).toEqual(rows);
        await reader.verify();
      }
    },
    TIMEOUT_MS,
  );

  it(
    'merge operands are entries; a row whose newest entry is one is refused, one that is deleted is not',
    async () => {
      const { bytes, entries, rows } = await writeWithRocksDb({ n: 400, keys: 50, ops: 'pmmd', snapshots: 1 });
      const reader = await openBytes(bytes);
      expect(await readEntries(reader)).toEqual(entries);
      const { merges } = await reader.verify();
      expect(merges).toBe(entries.filter(({ type }) => type === 'merge').length);
      expect(merges).toBeGreaterThan(20);
      expect(await codeOf(readRows(reader))).toBe('UNSUPPORTED_FORMAT');
      expect(await codeOf(readRows(reader, { reverse: true }))).toBe('UNSUPPORTED_FORMAT');
      const newest = new Map(entries.toReversed().map((entry) => [entry.key, entry]));
      const values = new Map(rows);
      for (const [key, { type }] of newest) {
        const got = reader.get(Buffer.from(key, 'hex'));
        if (type === 'merge') expect(await codeOf(got)).toBe('UNSUPPORTED_FORMAT');
        else expect(await got.then((value) => value && hexOf(value))).toBe(values.get(key));
      }
    },
    TIMEOUT_MS,
  );

  it(
    'what is not read is refused by name',
    async () => {
      const refused = async (args: Args, message: RegExp): Promise<void> => {
        const { bytes } = await writeWithRocksDb({ n: 2000, vallen: 200, ...args });
        const reading = openBytes(bytes).then((reader) => reader.verify());
        expect(await codeOf(reading)).toBe('UNSUPPORTED_FORMAT');
        await expect(reading).rejects.toThrow(message);
      };
      await refused({ comparator: 'reverse' }, /rocksdb.ReverseBytewiseComparator/);
      await refused({ compression: 'bzip2' }, /bzip2/);
      await refused({ compression: 'zstd', dict: 16_384, mode: 'compact' }, /dictionary/);
      await refused({ format: 1 }, /format version 1/);
      await refused({ format: 0, checksum: 1 }, /format version 0/);
    },
    TIMEOUT_MS,
  );

  it(
    'a block above maxBlockBytes is refused before memory is taken for it',
    async () => {
      const { bytes } = await writeWithRocksDb({ n: 50, keys: 3, big: 1, snapshots: 1, compression: 'zstd' });
      const options: Partial<SstReaderOptions> = { maxBlockBytes: 1 << 20 };
      const reading = openBytes(bytes, options).then((reader) => readEntries(reader));
      expect(await codeOf(reading)).toBe('UNSUPPORTED_FORMAT');
      await expect(reading).rejects.toThrow(/maxBlockBytes/);
    },
    TIMEOUT_MS,
  );

  it(
    'a codec is loaded when a block needs it, and its package is named when it is missing',
    async () => {
      const { bytes, entries } = await writeWithRocksDb({ n: 2000, compression: 'snappy' });
      const missing = new BackupError('PACKAGE_MISSING', 'npm install snappy');
      const asked: string[] = [];
      const loadCodec = (name: string): Promise<never> => (asked.push(name), Promise.reject(missing));
      const reader = await openBytes(bytes, { loadCodec });
      expect(await codeOf(readEntries(reader))).toBe('PACKAGE_MISSING');
      expect(new Set(asked)).toEqual(new Set(['snappy']));
      expect(await readEntries(await openBytes(bytes))).toEqual(entries);
    },
    TIMEOUT_MS,
  );
});

const missingLdb = toolMissing('ldb') ?? toolMissing('sst_dump');

describe.skipIf(missingLdb !== undefined)(`files that ldb wrote${missingLdb ?? ''}`, () => {
  it(
    'put, batchput, delete, deleterange, then compacted',
    async () => {
      const dir = await mkdtemp(path.join(tmpdir(), 'tidemark-ldb-'));
      try {
        const ldb = (...args: string[]) => run('ldb', [`--db=${dir}/db`, ...args]);
        await ldb('--create_if_missing', 'put', 'a', '1');
        await ldb('batchput', 'b', '2', 'c', '3', 'd', '4', 'e', '5', 'f', '6');
        await ldb('delete', 'b');
        await ldb('deleterange', 'd', 'f');
        await ldb('put', 'e', 'again');
        await ldb('compact');
        const rows: string[] = [];
        for (const name of (await readdir(`${dir}/db`)).filter((name) => name.endsWith('.sst'))) {
          const reader = await openBytes(new Uint8Array(await readFile(`${dir}/db/${name}`)));
          await reader.verify();
          for (const [key, value] of await readRows(reader)) {
            rows.push(`${Buffer.from(key, 'hex').toString()} : ${Buffer.from(value, 'hex').toString()}`);
          }
        }
        expect(rows.sort()).toEqual(['a : 1', 'c : 3', 'e : again', 'f : 6']);
        expect((await ldb('scan')).toString().trim().split('\n')).toEqual(rows);
      } finally {
        await rm(dir, { recursive: true, force: true });
      }
    },
    TIMEOUT_MS,
  );
});
