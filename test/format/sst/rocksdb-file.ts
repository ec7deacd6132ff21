// Files that RocksDB itself wrote, and what RocksDB says is in them.

import { createHash } from 'node:crypto';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

import type { SstEntryType } from '../../../src/format/sst/entry-types.js';
import { SstReader } from '../../../src/format/sst/sst-reader.js';
import type { SstReaderOptions } from '../../../src/format/sst/sst-table.js';
import { compileCpp, run, toolMissing } from '../../servers/judges.js';

/** Why these tests cannot run here. */
export const missingRocksDb = toolMissing('g++ with librocksdb-dev') ?? toolMissing('sst_dump');

export interface DumpedEntry {
  readonly key: string;
  readonly seqno: bigint;
  readonly type: SstEntryType;
  readonly value: string;
}

export interface RocksDbFile {
  readonly bytes: Uint8Array;
  /** As `sst_dump` scans it, all in hex. */
  readonly entries: readonly DumpedEntry[];
  /** As a reader of the database sees it, key and value in hex. */
  readonly rows: readonly (readonly [key: string, value: string])[];
}

const TYPES: Readonly<Record<string, SstEntryType>> = {
  0: 'deletion',
  1: 'value',
  2: 'merge',
  7: 'single-deletion',
  17: 'blob-index',
  22: 'wide-columns',
};

/** The arguments are those of rocksdb-file.cc. */
export async function writeWithRocksDb(args: Readonly<Record<string, string | number>>): Promise<RocksDbFile> {
  const program = await compileCpp(await readFile(new URL('rocksdb-file.cc', import.meta.url), 'utf8'));
  const dir = await mkdtemp(path.join(tmpdir(), 'tidemark-rocksdb-'));
  try {
    const output = await run(program, [
      `dir=${dir}`,
      ...Object.entries(args).map(([name, value]) => `${name}=${value}`),
    ]);
    const lines = output.toString('latin1').split('\n');
    // The newest file, where a database has several.
    const files = lines.filter((line) => line.startsWith('file ')).sort();
    const file = files.at(-1)?.slice(5) ?? '';
    const rows = lines.filter((line) => line.startsWith('row ')).map((line) => line.slice(4).split(' ').map(unhex));
    return {
      bytes: new Uint8Array(await readFile(file)),
      entries: await dumpEntries(file),
      rows: rows.map(([key = '', value = '']) => [key, comparable(value)] as const),
    };
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}

function unhex(text: string): string {
  return text === '-' ? '' : text;
}

async function dumpEntries(file: string): Promise<DumpedEntry[]> {
  const args = [`--file=${file}`, '--command=scan', '--output_hex', '--verify_checksum'];
  const entries: DumpedEntry[] = [];
  for (const line of (await run('sst_dump', args)).toString('latin1').split('\n')) {
    const parts = /^'([0-9A-F]*)' seq:(\d+), type:(\d+) => ([0-9A-F]*)$/.exec(line);
    if (parts === null) continue;
    const [, key = '', seqno = '', type = '', value = ''] = parts;
    entries.push({
      key: key.toLowerCase(),
      seqno: BigInt(seqno),
      type: TYPES[type] as SstEntryType,
      value: comparable(value.toLowerCase()),
    });
  }
  return entries;
}

export function openBytes(bytes: Uint8Array, options: Partial<SstReaderOptions> = {}): Promise<SstReader> {
  return SstReader.open({
    name: 'test.sst',
    size: bytes.length,
    read: (offset, length) => Promise.resolve(bytes.slice(offset, offset + length)),
    ...options,
  });
}

export function hexOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('hex');
}

const MAX_COMPARED = 100_000;

/** Of a long text its length and hash: a test runner shows the difference of two texts of megabytes for minutes. */
export function comparable(hex: string): string {
  if (hex.length <= MAX_COMPARED) return hex;
  return `${hex.length / 2} bytes ${createHash('sha256').update(hex).digest('hex')}`;
}

export async function readEntries(
  reader: SstReader,
  options: Parameters<SstReader['entries']>[0] = {},
): Promise<DumpedEntry[]> {
  const entries: DumpedEntry[] = [];
  for await (const batch of reader.entries(options)) {
    for (let i = 0; i < batch.count; i++) {
      const [key, value] = [hexOf(batch.key(i)), comparable(hexOf(batch.value(i)))];
      entries.push({ key, seqno: batch.seqno(i), type: batch.type(i), value });
    }
  }
  return entries;
}

export async function readRows(
  reader: SstReader,
  options: Parameters<SstReader['rows']>[0] = {},
): Promise<(readonly [key: string, value: string])[]> {
  const rows: (readonly [string, string])[] = [];
  for await (const batch of reader.rows(options)) {
    const values = batch.values();
    batch.keys().forEach((key, i) => rows.push([hexOf(key), comparable(hexOf(values[i] as Uint8Array))]));
  }
  return rows;
}
