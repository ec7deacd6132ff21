// What the demo makes of the words of RocksDB's tools.

import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { dumpRows, ingest, scanRows, type HexRow } from '../../../examples/br/rocksdb-tools.js';
import { pressFor, writeSst } from '../../format/sst/write-rows.js';
import { toolMissing } from '../../servers/judges.js';

const { signal } = new AbortController();
const isHere = toolMissing('sst_dump') === undefined && toolMissing('ldb') === undefined;

async function collect(rows: AsyncIterable<HexRow>): Promise<HexRow[]> {
  const all: HexRow[] = [];
  for await (const row of rows) all.push(row);
  return all;
}

async function folderWith(name: string, bytes: Uint8Array): Promise<{ folder: string; file: string }> {
  const folder = await mkdtemp(join(tmpdir(), 'tidemark-test-'));
  onTestFinished(() => rm(folder, { recursive: true }));
  await writeFile(join(folder, name), bytes);
  return { folder, file: join(folder, name) };
}

const rows = [['za', ''], ['zb', 'b'], ['zc', '\n => 0x']].map(([key, value]) => [Buffer.from(key!), Buffer.from(value!)] as const); // prettier-ignore
const inHex = rows.map(([key, value]) => [key.toString('hex'), value.toString('hex')]);

it.skipIf(!isHere)('reads rows out of a file, and out of a database that has taken it', async () => {
  const { bytes } = await writeSst(rows, { press: await pressFor('zlib') });
  const { folder, file } = await folderWith('a.sst', bytes);
  expect(await collect(dumpRows(file, signal))).toEqual(inHex);
  const database = join(folder, 'rocksdb');
  await ingest(database, [file], signal);
  expect(await collect(scanRows(database, signal))).toEqual(inHex);
});

it.skipIf(!isHere)('passes on what a tool has to complain of, which it does with a good exit status', async () => {
  const { bytes } = await writeSst(rows, { press: await pressFor('none') });
  bytes[5]! ^= 1;
  const { folder, file } = await folderWith('damaged.sst', bytes);
  await expect(collect(dumpRows(file, signal))).rejects.toThrow(/sst_dump .*damaged\.sst/);
  await writeFile(file, 'no table at all');
  await expect(ingest(join(folder, 'rocksdb'), [file], signal)).rejects.toThrow(/damaged\.sst/);
});
