// The programs of the guide to TiKV's backups are those that the compiler has seen; and they do what the guide says.

import { readdirSync, readFileSync } from 'node:fs';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { DirectoryContainer } from 'tidemark';
import { MemoryRestoreTarget } from 'tidemark/testing';
import { expect, it, onTestFinished, vi } from 'vitest';
import { Bank } from '../../../examples/br/bank.js';
import { backUp } from '../../../examples/br/guide/backup.js';
import { askCluster, serve } from '../../../examples/br/guide/cluster.js';
import { writeSst } from '../../../examples/br/guide/ingestible.js';
import { check, describe, records } from '../../../examples/br/guide/read.js';
import { restoreChain } from '../../../examples/br/guide/restore.js';
import { MvccRangeSource } from '../../../examples/br/mvcc-range-source.js';
import { run, toolMissing } from '../../servers/judges.js';

const repository = new URL('../../../', import.meta.url);
const text = (path: string) => readFileSync(new URL(path, repository), 'utf8');
const { signal } = new AbortController();

async function tempFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'tidemark-test-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

function rowsOf(target: MemoryRestoreTarget): Map<string, string> {
  const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');
  return new Map([...target.rows()].map(({ key, value }) => [hex(key), hex(value)]));
}

it('shows each of the programs as it is', () => {
  const shown = Array.from(text('docs/guides/br.md').matchAll(/^```ts\n([\s\S]*?)^```$/gm), (match) => match[1]);
  const programs = readdirSync(new URL('examples/br/guide', repository)).map((name) =>
    text(`examples/br/guide/${name}`),
  );
  expect(shown.sort()).toEqual(programs.sort());
});

it('backup, read and restore: a chain of a database of one’s own', async () => {
  vi.spyOn(console, 'log').mockReturnValue();
  onTestFinished(() => void vi.restoreAllMocks());
  const folder = await tempFolder();
  const bank = new Bank(3);
  const source = new MvccRangeSource(bank.store, bank.splitKeys);
  const urlOf = (name: string) => pathToFileURL(join(folder, name)).href;
  const cipher = { method: 'aes128-ctr', key: new Uint8Array(16).fill(7) } as const;
  await bank.run(100, signal);
  const full = await backUp(source, urlOf('full'), { cipher, numThreads: 0 });
  const plain = await backUp(source, urlOf('plain'), { numThreads: 0 });
  await bank.run(100, signal);
  const next = await backUp(source, urlOf('next'), { after: full, cipher, numThreads: 0 });

  const container = new DirectoryContainer(join(folder, 'plain'));
  await check(container);
  const lines = await describe(container);
  expect(lines[0]).toBe(`transactions of , (0, ${plain.endTs}]`);
  const keys: string[] = [];
  for (const line of lines.slice(1)) {
    const name = line.split(':')[0]!;
    if (!name.endsWith('_write.sst')) continue;
    const size = (await container.readFile(name, 0, 1 << 30)).length;
    for await (const { key, isDelete } of records(container, name, size)) if (!isDelete) keys.push(Buffer.from(key).toString('hex')); // prettier-ignore
  }
  expect(keys.sort()).toEqual([...bank.rowsAt(plain.endTs).keys()].sort());

  const target = new MemoryRestoreTarget();
  expect((await restoreChain([full.url, next.url], target, { cipher })).version).toBe(next.endTs);
  expect(rowsOf(target)).toEqual(bank.rowsAt(next.endTs));
  const earlier = new MemoryRestoreTarget();
  await restoreChain([full.url, next.url], earlier, { cipher, version: full.endTs });
  expect(rowsOf(earlier)).toEqual(bank.rowsAt(full.endTs));
});

it('cluster: one side asks the other', async () => {
  const folder = await tempFolder();
  const bank = new Bank(4);
  await using server = await serve(new MvccRangeSource(bank.store, bank.splitKeys), 42n, folder);
  const backup = await askCluster({
    stores: [server.address!],
    id: 42n,
    tableId: 7n,
    timestamp: bank.store.currentTs,
    storage: pathToFileURL(join(folder, 'asked')).href,
  });
  // The bank has no tables: an empty one is backed up.
  expect(backup.files).toEqual([]);
  expect(await readdir(join(folder, 'asked'))).toContain('backupmeta');
});

it.skipIf(toolMissing('ldb') !== undefined)('ingestible: RocksDB takes the file', async () => {
  const folder = await tempFolder();
  async function* rows() {
    for (let i = 0; i < 5_000; i++) yield [Buffer.from(`key ${String(i).padStart(5, '0')}`), Buffer.from(`value ${i}`)] as const; // prettier-ignore
  }
  const summary = await writeSst(join(folder, 'rows.sst'), rows(), 0);
  expect(summary.entries).toBe(5_000);
  const database = `--db=${join(folder, 'db')}`;
  await run('ldb', [database, '--create_if_missing', 'ingest_extern_sst', join(folder, 'rows.sst')]);
  const scanned = (await run('ldb', [database, 'scan'])).toString().trim().split('\n');
  expect([scanned.length, scanned[1]]).toEqual([5_000, 'key 00001 : value 1']);
});
