// takeBrBackup: whole backups, and what is in their files.

import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { readBackupMeta } from '../../src/br/meta/backup-meta.js';
import { discardBrBackup } from '../../src/br/backup/discard-br-backup.js';
import { restoreBrBackup } from '../../src/br/restore/restore-br.js';
import type { TakeBrBackupOptions } from '../../src/br/backup/br-backup-options.js';
import { takeBrBackup } from '../../src/br/backup/take-br-backup.js';
import { BlockPool } from '../../src/br/threads/block-pool.js';
import { MemoryContainer } from '../../src/container/memory-container.js';
import { utf8 } from '../../src/core/bytes.js';
import { BackupError } from '../../src/core/errors.js';
import { NORMAL_KEYS } from '../../src/core/key-range.js';
import type { BrFile } from '../../src/format/br/messages.js';
import { tableRange, tableRowKey } from '../../src/format/br/table-key.js';
import { seededRandom } from '../../src/testing/conformance.js';
import type { TxnScanRequest } from '../../src/ports/txn-range-source.js';
import { ManualClock } from '../../src/testing/manual-clock.js';
import { MemoryRangeSource } from '../../src/testing/memory-range-source.js';
import { MemoryRestoreTarget } from '../../src/testing/memory-restore-target.js';
import { MemoryTxnSource } from '../../src/testing/memory-txn-source.js';
import { HastyClock } from '../snapshot/faulty.js';
import { runAnyhow, toolMissing } from '../servers/judges.js';
import { fileNames, hexRows, manyRows, readAll } from '../snapshot/world.js';
import { HookedContainer, key, shown, txnRows } from './backup-world.js';
import { sourceThreads } from './source-threads.js';
import { metaFiles, rawRowsOf, txnRowsOf } from './read-br-backup.js';

const cipher = { method: 'aes256-ctr', key: new Uint8Array(32).fill(7) } as const;
const unavailable = () => new BackupError('CONTAINER_UNAVAILABLE', 'a fault', { retryable: true });

function database(borders = ['k0050', 'k0100', 'k0150', 'x']): MemoryTxnSource {
  const source = new MemoryTxnSource({ borders: borders.map(key), batchRows: 7 });
  source.commit(txnRows(200));
  source.commit(txnRows(20, 1));
  source.commit([{ key: key('k0003') }]);
  return source;
}

describe('takeBrBackup', () => {
  for (const metaVersion of [0, 1] as const) {
    it(`stores a full backup and then the changes since, meta data of version ${metaVersion}`, async () => {
      const source = database();
      const options = { kind: 'txn', source, ranges: [], metaVersion } as const;
      const full = new MemoryContainer();
      const first = await takeBrBackup({ ...options, container: full, clusterId: 42n, clusterVersion: '"8.5.0"' });
      expect(shown(await txnRowsOf(full))).toEqual(shown(source.rowsAt(first.endTs)));
      expect(await metaFiles(full)).toEqual(first.files);
      expect(first).toMatchObject({ startTs: 0n, endTs: source.committed, rows: 199, resumedFiles: 0 });
      const reader = await readBackupMeta(full);
      expect(reader.meta).toMatchObject({
        ...{ clusterId: 42n, clusterVersion: '"8.5.0"', brVersion: 'tidemark', isRawKv: false, isTxnKv: true },
        ...{ startVersion: 0n, endVersion: first.endTs, version: metaVersion },
      });
      expect(reader.sha256).toBe(first.metaSha256);

      source.commit(txnRows(5, 2));
      source.commit([{ key: key('k0180') }, { key: key('k0003'), value: key('back') }]);
      const since = new MemoryContainer();
      const second = await takeBrBackup({ ...options, container: since, startTs: first.endTs });
      const changes = source.rowsAt(second.endTs, first.endTs);
      expect(changes).toHaveLength(6);
      expect(shown(await txnRowsOf(since))).toEqual(shown(changes));
      for (const container of [full, since])
        expect((await fileNames(container)).filter((name) => !/\.sst$|^backupmeta/.test(name))).toEqual([]);
      expect(source.heldVersions).toEqual([]);
    });
  }

  it('stores raw rows as they were at one version', async () => {
    const source: MemoryRangeSource = new MemoryRangeSource({
      borders: [key('k000050'), key('k000150')],
      batchRows: 10,
      beforeBatch: (_, index) => {
        if (index === 2) source.commit(manyRows(200, 9));
      },
    });
    source.commit(manyRows(200, 50));
    const container = new MemoryContainer();
    const result = await takeBrBackup({ kind: 'raw', source, container, ranges: [], compression: 'none' });
    expect(hexRows(await rawRowsOf(container))).toEqual(hexRows(source.rowsAt(result.endTs)));
    const reader = await readBackupMeta(container);
    expect(reader.meta).toMatchObject({ isRawKv: true, startVersion: 0n, endVersion: 0n });
    const ranges = [];
    for await (const range of reader.rawRanges()) ranges.push(range);
    expect(ranges).toMatchObject([{ startKey: NORMAL_KEYS.begin, endKey: NORMAL_KEYS.end, cf: 'default' }]);
    expect(source.heldVersions).toEqual([]);
  });

  it('encrypts files and meta data, and its lock does not tell the key', async () => {
    const source = database();
    const inner = new MemoryContainer();
    let lock = '';
    const container = new HookedContainer(inner, {
      before: async (call, name) => {
        if (call === 'finish' && name.startsWith('backupmeta'))
          lock = Buffer.from(await inner.readFile('backup.lock', 0, 10_000)).toString();
      },
    });
    const result = await takeBrBackup({ kind: 'txn', source, container, ranges: [], cipher });
    expect(shown(await txnRowsOf(inner, cipher))).toEqual(shown(source.rowsAt(result.endTs)));
    expect(new Set(result.files.map(({ cipherIv }) => Buffer.from(cipherIv).toString('hex'))).size).toBe(
      result.files.length,
    );
    expect(lock).toContain('aes256-ctr');
    expect(lock).not.toContain('0707');
  });

  it('gives tables their sums where their files hold nothing else', async () => {
    const source = new MemoryTxnSource({ borders: [7n, 8n, 9n].map((id) => tableRange(id).startKey) });
    const rows = [7n, 7n, 8n].map((id, i) => ({ key: tableRowKey(id, BigInt(i)), value: utf8(`row ${i}`) }));
    source.commit(rows);
    const schemas = [7n, 8n].map((id) => ({
      db: utf8('{"id":1,"db_name":{"O":"shop","L":"shop"}}'),
      table: utf8(`{"id":${id},"name":{"O":"t${id}","L":"t${id}"},"cols":[],"index_info":[]}`),
    }));
    const container = new MemoryContainer();
    const ranges = [tableRange(7n), tableRange(8n)].map(({ startKey, endKey }) => ({ begin: startKey, end: endKey }));
    const result = await takeBrBackup({ kind: 'txn', source, container, ranges, schemas });
    const tables = [];
    for await (const table of (await readBackupMeta(container)).tables()) tables.push(table);
    const sumsOf = ({ crc64xor, totalKvs, totalBytes }: Pick<BrFile, 'crc64xor' | 'totalKvs' | 'totalBytes'>) => ({
      crc64xor,
      totalKvs,
      totalBytes,
    });
    expect(tables).toMatchObject([
      { table: { name: 't7' }, ...sumsOf(result.files[0]!) },
      { table: { name: 't8' }, ...sumsOf(result.files[1]!) },
    ]);
    expect(tables[0]!.totalKvs).toBe(2n);
  });

  it('asks again for what failed, region by region, until all is stored', async () => {
    let splits = 0;
    const source: MemoryTxnSource = new MemoryTxnSource({
      batchRows: 10,
      beforeBatch: (_, index) => {
        if (index > 0 && index % 3 === 0 && splits < 12)
          source.split(key(`k0${String(++splits * 15).padStart(3, '0')}`));
      },
    });
    source.commit(txnRows(200));
    source.failNext('regions', new Error('a broken connection'), { count: 2 });
    const inner = new MemoryContainer();
    const random = seededRandom(5);
    const container = new HookedContainer(inner, {
      before: (call) => {
        if ((call === 'append' || call === 'finish') && random() < 0.08) throw unavailable();
      },
    });
    const result = await takeBrBackup({
      kind: 'txn',
      source,
      container,
      ranges: [],
      clock: new HastyClock(),
      compression: 'none',
      sstMaxSize: 3_000,
    });
    expect(shown(await txnRowsOf(inner))).toEqual(shown(source.rowsAt(result.endTs)));
    expect(container.open.size).toBe(0);
    // Nothing lies about that the meta data does not name.
    const names = (await fileNames(inner)).filter((name) => name.endsWith('.sst'));
    expect(names).toEqual(result.files.map(({ name }) => name).sort());
  });

  it('fails when the source can no longer read at the timestamp, and keeps nothing that claims to be a backup', async () => {
    const source: MemoryTxnSource = new MemoryTxnSource({
      borders: [key('k0100')],
      batchRows: 10,
      beforeBatch: ({ region }, index) => {
        if (region.id === '2' && index === 2 && source.committed < 3n) {
          source.commit(txnRows(1, 3));
          source.collectGarbage(source.committed);
        }
      },
    });
    source.commit(txnRows(200));
    const container = new MemoryContainer();
    const taking = takeBrBackup({ kind: 'txn', source, container, ranges: [], numThreads: 1, clock: new HastyClock() });
    await expect(taking).rejects.toMatchObject({
      code: 'VERSION_TOO_OLD',
      retryable: false,
      message: expect.stringContaining('one timestamp') as string,
    });
    expect(await fileNames(container, 'backupmeta')).toEqual([]);
    await discardBrBackup(container);
    expect(await fileNames(container)).toEqual([]);
    await takeBrBackup({ kind: 'txn', source, container, ranges: [] });
  });

  it('goes on with what was stored before the container failed for too long', async () => {
    const source = database();
    const inner = new MemoryContainer();
    let isDown = false;
    const container = new HookedContainer(inner, {
      before: (call, name) => {
        if (isDown && (call === 'writeFile' || call === 'append') && name.endsWith('.sst')) throw unavailable();
      },
    });
    let answers = 0;
    const options = {
      kind: 'txn',
      source,
      container,
      ranges: [],
      numThreads: 1,
      ioThreadSize: 1,
      cipher,
      clock: new HastyClock(),
    } as const;
    const endTs = source.committed;
    const taking = takeBrBackup({ ...options, endTs, onResponse: () => void (isDown = ++answers >= 2) });
    await expect(taking).rejects.toMatchObject({ code: 'SNAPSHOT_INCOMPLETE', retryable: true });
    isDown = false;
    await expect(takeBrBackup(options)).rejects.toMatchObject({ code: 'CONTAINER_IN_USE' });
    const resume = { ...options, resume: true };
    await expect(takeBrBackup({ ...resume, ranges: [{ begin: key('a'), end: key('z') }] })).rejects.toMatchObject({
      code: 'INVALID_OPTION',
    });
    await expect(takeBrBackup({ ...resume, endTs: endTs - 1n })).rejects.toMatchObject({ code: 'INVALID_OPTION' });
    await expect(takeBrBackup({ ...resume, cipher: { ...cipher, key: new Uint8Array(32) } })).rejects.toMatchObject({
      code: 'ENCRYPTION_KEY_WRONG',
    });
    source.commit(txnRows(50, 9));
    const result = await takeBrBackup(resume);
    expect(result.endTs).toBe(endTs);
    expect(result.resumedFiles).toBeGreaterThan(0);
    expect(shown(await txnRowsOf(inner, cipher))).toEqual(shown(source.rowsAt(endTs)));
    expect((await fileNames(inner)).filter((name) => !/\.sst$|^backupmeta/.test(name))).toEqual([]);
  });

  it('does not go on with what a source has said that breaks its contract', async () => {
    const source = database();
    const container = new MemoryContainer();
    let isBroken = true;
    const odd = {
      readVersion: source.readVersion.bind(source),
      regions: source.regions.bind(source),
      scan: async function* (request: TxnScanRequest) {
        for await (const batch of source.scan(request))
          yield isBroken && request.region.id === '3' ? { ...batch, keys: batch.keys.toReversed() } : batch;
      },
    };
    const options = { kind: 'txn', source: odd, container, ranges: [], numThreads: 1 } as const;
    await expect(takeBrBackup(options)).rejects.toMatchObject({
      code: 'SNAPSHOT_INCOMPLETE',
      retryable: false,
      message: expect.stringContaining('nothing of it is used') as string,
    });
    expect(await fileNames(container, 'checkpoints/')).toEqual([]);
    isBroken = false;
    const result = await takeBrBackup({ ...options, resume: true });
    expect(result.resumedFiles).toBe(0);
    expect(shown(await txnRowsOf(container))).toEqual(shown(source.rowsAt(result.endTs)));
  });

  it('scans again what has gone of a backup that was cut off, and passes over entries that are damaged', async () => {
    const source = database();
    const inner = new MemoryContainer();
    const container = new HookedContainer(inner, {
      before: (call, name) => {
        if (call === 'writeFile' && name.startsWith('backupmeta'))
          throw new BackupError('CONTAINER_ACCESS_DENIED', 'no');
      },
    });
    const options = { kind: 'txn', source, ranges: [], numThreads: 1, ioThreadSize: 1 } as const;
    await expect(takeBrBackup({ ...options, container })).rejects.toMatchObject({ code: 'CONTAINER_ACCESS_DENIED' });
    const files = (await fileNames(inner)).filter((name) => name.endsWith('.sst'));
    await inner.deleteFile(files[0]!);
    const [entry] = await fileNames(inner, 'checkpoints/');
    const damaged = await inner.writeFile(entry!);
    await damaged.append([utf8('\xff\xff\xff')]);
    await damaged.finish();
    const result = await takeBrBackup({ ...options, container: inner, resume: true });
    expect(result.resumedFiles).toBeLessThan(files.length);
    expect(shown(await txnRowsOf(inner))).toEqual(shown(source.rowsAt(result.endTs)));
  });

  it('does not touch a backup whose lock is not of this library', async () => {
    const container = new MemoryContainer();
    const lock = await container.writeFile('backup.lock');
    await lock.append([utf8('DO NOT DELETE')]);
    await lock.finish();
    const options = { kind: 'txn', source: database(), container, ranges: [] } as const;
    for (const resume of [false, true])
      await expect(takeBrBackup({ ...options, resume })).rejects.toMatchObject({ code: 'CONTAINER_IN_USE' });
    expect(await fileNames(container)).toEqual(['backup.lock']);
  });

  it('names the option that is wrong', async () => {
    const container = new MemoryContainer();
    const good = { kind: 'txn', source: database(), container, ranges: [] } as const;
    const bad: [Partial<Record<keyof TakeBrBackupOptions, unknown>>, string][] = [
      [{ kind: 'both' }, 'kind must be'],
      [{ source: {} }, 'TxnRangeSource'],
      [{ container: {} }, 'container must be'],
      [{ ranges: [{ begin: key('b'), end: key('a') }] }, 'ranges[0]'],
      [{ startTs: 5n, endTs: 5n }, 'endTs must be above startTs'],
      [{ startTs: -1n }, 'startTs must be'],
      [{ kind: 'raw', source: new MemoryRangeSource(), startTs: 1n }, 'startTs must be 0 for raw'],
      [{ cipher: { method: 'aes128-ctr', key: new Uint8Array(3) } }, 'cipher.key'],
      [{ metaVersion: 2 }, 'metaVersion must be'],
      [{ schemas: [{ db: utf8('{') }] }, 'schemas[0]'],
      [{ storeId: -1n }, 'storeId must be'],
      [{ sstMaxSize: 0 }, 'sstMaxSize must be'],
      [{ resume: 'false' }, 'resume must be'],
      [{ compression: 'brotli' }, 'compression must be'],
      [{ storage: 'tape' }, 'storage must be'],
      [{ apiVersion: 'v9' }, 'apiVersion must be'],
      [{ cf: 'a/b' }, 'cf must be'],
    ];
    for (const [wrong, message] of bad) {
      const options = { ...good, ...wrong } as TakeBrBackupOptions;
      await expect(takeBrBackup(options), message).rejects.toMatchObject({
        code: 'INVALID_OPTION',
        message: expect.stringContaining(message) as string,
      });
    }
    expect(await fileNames(container)).toEqual([]);
  });

  it('refuses a container in which a backup is being taken, or that holds one', async () => {
    const source = database();
    const container = new MemoryContainer();
    const options = { kind: 'txn', source, container, ranges: [] } as const;
    const both = await Promise.allSettled([takeBrBackup(options), takeBrBackup(options)]);
    expect(both.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
    expect(both.find(({ status }) => status === 'rejected')).toMatchObject({ reason: { code: 'CONTAINER_IN_USE' } });
    expect(shown(await txnRowsOf(container))).toEqual(shown(source.rowsAt(source.committed)));
    await expect(takeBrBackup(options)).rejects.toMatchObject({ code: 'FILE_EXISTS' });
    await expect(takeBrBackup({ ...options, resume: true })).rejects.toMatchObject({ code: 'FILE_EXISTS' });
    await expect(discardBrBackup(container)).rejects.toMatchObject({ code: 'FILE_EXISTS' });
    expect(source.heldVersions).toEqual([]);
  });

  it('is not completed by a run whose lock another one has taken over', async () => {
    const source = database();
    const inner = new MemoryContainer();
    let second: Promise<unknown> | undefined;
    const container = new HookedContainer(inner, {
      before: async (call, name) => {
        if (call !== 'writeFile' || !name.startsWith('backupmeta.') || second !== undefined) return;
        second = takeBrBackup({ kind: 'txn', source, container: inner, ranges: [], resume: true });
        await second;
      },
    });
    const taking = takeBrBackup({ kind: 'txn', source, container, ranges: [], metaVersion: 1 });
    await expect(taking).rejects.toMatchObject({ code: 'FILE_EXISTS' });
    await second;
    expect(shown(await txnRowsOf(inner))).toEqual(shown(source.rowsAt(source.committed)));
  });

  it('leaves an empty container as it was when nothing can be stored', async () => {
    const source = database();
    source.collectGarbage(1_000n);
    const container = new MemoryContainer();
    await expect(takeBrBackup({ kind: 'txn', source, container, ranges: [] })).rejects.toMatchObject({
      code: 'VERSION_TOO_OLD',
    });
    expect(await fileNames(container)).toEqual([]);
  });

  it('stores a database without rows', async () => {
    const container = new MemoryContainer();
    const source = new MemoryTxnSource();
    source.advance(5n);
    const result = await takeBrBackup({ kind: 'txn', source, container, ranges: [] });
    expect(result).toMatchObject({ files: [], rows: 0, endTs: 5n });
    expect(await txnRowsOf(container)).toEqual([]);
  });
});

describe('the files of takeBrBackup', () => {
  it.skipIf(toolMissing('sst_dump') !== undefined)('are what RocksDB takes for whole', async () => {
    const source = database();
    const container = new MemoryContainer();
    const result = await takeBrBackup({ kind: 'txn', source, container, ranges: [], sstMaxSize: 2_000 });
    expect(result.files.length).toBeGreaterThan(10);
    const folder = await mkdtemp(path.join(tmpdir(), 'tidemark-br-'));
    try {
      for (const [index, { name }] of result.files.entries())
        await writeFile(path.join(folder, `${index}.sst`), await readAll(container, name));
      const said = await runAnyhow('sst_dump', [`--file=${folder}`, '--command=verify', '--verify_checksum']);
      const whole = said.stdout.toString().match(/The file is ok/g) ?? [];
      expect(whole.length).toBe(result.files.length);
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  it('are the same with threads that compress', async () => {
    const source = database();
    await using threads = await BlockPool.open({ numThreads: 2, ...sourceThreads });
    const [plain, threaded] = [new MemoryContainer(), new MemoryContainer()];
    const options = { kind: 'txn', source, ranges: [], clock: new ManualClock() } as const;
    const [one, other] = [
      await takeBrBackup({ ...options, container: plain }),
      await takeBrBackup({ ...options, container: threaded, threads }),
    ];
    expect(other.files.map(({ sha256 }) => sha256)).toEqual(one.files.map(({ sha256 }) => sha256));
  });

  it('keep to the rate that they are given', async () => {
    const source = database();
    const container = new MemoryContainer();
    const clock = new HastyClock();
    const result = await takeBrBackup({
      ...{ kind: 'txn', source, container, ranges: [], clock, rateLimit: 1_000 },
      ...{ compression: 'none', numThreads: 1, ioThreadSize: 1 },
    });
    // Each append waits for those before it.
    const largest = Math.max(...result.files.map(({ size }) => Number(size)));
    expect(clock.now()).toBeGreaterThanOrEqual(result.bytes - largest);
  });

  it('are restored to the rows that there were, from a full backup and the changes since', async () => {
    const source = database();
    const containers = [new MemoryContainer(), new MemoryContainer()];
    const full = await takeBrBackup({ kind: 'txn', source, container: containers[0]!, ranges: [] });
    source.commit([{ key: key('k0010') }, { key: key('k0011'), value: key('changed') }]);
    const since = await takeBrBackup({
      kind: 'txn',
      source,
      container: containers[1]!,
      ranges: [],
      startTs: full.endTs,
    });
    for (const { endTs } of [full, since]) {
      const target = new MemoryRestoreTarget();
      await restoreBrBackup({ chain: containers.map((container) => ({ container })), target, version: endTs });
      const rows = source.rowsAt(endTs).map(({ key: rowKey, value }) => [rowKey, value!] as const);
      expect(hexRows([...target.rows()].map((row) => [row.key, row.value]))).toEqual(hexRows(rows));
    }
  });
});
