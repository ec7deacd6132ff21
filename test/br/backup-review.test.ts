// takeBrBackup where it is resumed with other options, and where its ranges touch: what it says is done must be what a restore reads.

import { describe, expect, it } from 'vitest';
import { readBackupMeta } from '../../src/br/meta/backup-meta.js';
import { discardBrBackup } from '../../src/br/backup/discard-br-backup.js';
import { restoreBrBackup } from '../../src/br/restore/restore-br.js';
import { verifyBrBackup } from '../../src/br/restore/verify.js';
import { takeBrBackup } from '../../src/br/backup/take-br-backup.js';
import { MemoryContainer } from '../../src/container/memory-container.js';
import { equalBytes, utf8 } from '../../src/core/bytes.js';
import { BackupError } from '../../src/core/errors.js';
import { loadBrMessages } from '../../src/format/br/proto/load.js';
import { tableIdOf, tableRange, tableRowKey } from '../../src/format/br/table-key.js';
import { MemoryRangeSource } from '../../src/testing/memory-range-source.js';
import { MemoryRestoreTarget } from '../../src/testing/memory-restore-target.js';
import { MemoryTxnSource } from '../../src/testing/memory-txn-source.js';
import { fileNames, hexRows, manyRows, readAll } from '../snapshot/world.js';
import { HookedContainer, key, txnRows } from './backup-world.js';

const denied = () => new BackupError('CONTAINER_ACCESS_DENIED', 'no');

function table(id: bigint): { db: Uint8Array; table: Uint8Array } {
  return {
    db: utf8('{"id":1,"db_name":{"O":"shop","L":"shop"}}'),
    table: utf8(`{"id":${id},"name":{"O":"t${id}","L":"t${id}"},"cols":[],"index_info":[]}`),
  };
}

describe('a backup that is gone on with', () => {
  const later = [
    { metaVersion: 0, schemas: [table(7n)] },
    { metaVersion: 1, schemas: [] },
  ] as const;
  for (const options of later) {
    it(`can be read where its meta data is written in another way (version ${options.metaVersion})`, async () => {
      const source = new MemoryTxnSource({ borders: [key('k0010')] });
      source.commit(txnRows(20));
      const inner = new MemoryContainer();
      const container = new HookedContainer(inner, {
        before: (call, name) => {
          if (call === 'writeFile' && name === 'backupmeta') throw denied();
        },
      });
      const asked = { kind: 'txn', source, ranges: [] } as const;
      const cutOff = takeBrBackup({ ...asked, container, schemas: [table(7n)] });
      await expect(cutOff).rejects.toMatchObject({ code: 'CONTAINER_ACCESS_DENIED' });
      expect(await fileNames(inner, 'backupmeta.')).toHaveLength(2);
      const { endTs } = await takeBrBackup({ ...asked, ...options, container: inner, resume: true });
      expect(await verifyBrBackup({ container: inner })).toMatchObject({ ok: true });
      const target = new MemoryRestoreTarget();
      await restoreBrBackup({ chain: [{ container: inner }], target });
      const rows = source.rowsAt(endTs).map((row) => [row.key, row.value!] as const);
      expect(hexRows([...target.rows()].map((row) => [row.key, row.value]))).toEqual(hexRows(rows));
    });
  }

  it('is left as it is where another run has completed it meanwhile', async () => {
    const source = new MemoryTxnSource();
    source.commit(txnRows(20));
    const inner = new MemoryContainer();
    const cut = new HookedContainer(inner, {
      before: (call, name) => {
        if (call === 'writeFile' && name === 'backupmeta') throw denied();
      },
    });
    const asked = { kind: 'txn', source, ranges: [] } as const;
    await expect(takeBrBackup({ ...asked, container: cut })).rejects.toMatchObject({ code: 'CONTAINER_ACCESS_DENIED' });
    let isFirst = true;
    const slow = new HookedContainer(inner, {
      before: async (call, name) => {
        if (call !== 'writeFile' || name !== 'backup.lock' || !isFirst) return;
        isFirst = false;
        await takeBrBackup({ ...asked, container: inner, resume: true });
      },
    });
    await expect(takeBrBackup({ ...asked, container: slow, resume: true })).rejects.toMatchObject({
      code: 'FILE_EXISTS',
    });
    expect(await verifyBrBackup({ container: inner })).toMatchObject({ ok: true });
    await expect(discardBrBackup(inner)).rejects.toMatchObject({ code: 'FILE_EXISTS' });
  });
});

describe('raw rows from the beginning of all keys on, whose file has the same name each time', () => {
  it('are scanned again where two runs have recorded that file: only one of them is there', async () => {
    const source = new MemoryRangeSource();
    source.commit(manyRows(3, 9));
    const cipher = { method: 'aes256-ctr', key: new Uint8Array(32).fill(7) } as const;
    const inner = new MemoryContainer();
    const container = new HookedContainer(inner, {
      before: (call, name) => {
        if (call === 'writeFile' && name === 'backupmeta') throw denied();
      },
    });
    const asked = { kind: 'raw', source, ranges: [], cipher } as const;
    const cutOff = () =>
      expect(takeBrBackup({ ...asked, container, resume: true })).rejects.toMatchObject({
        code: 'CONTAINER_ACCESS_DENIED',
      });
    await cutOff();
    const [entry] = await fileNames(inner, 'checkpoints/');
    const first = await readAll(inner, entry!);
    const [sst] = (await fileNames(inner)).filter((name) => name.endsWith('.sst'));
    await inner.deleteFile(sst!);
    await cutOff();
    expect((await fileNames(inner)).filter((name) => name.endsWith('.sst'))).toEqual([sst]);
    // Whichever of the two entries is read first.
    await inner.deleteFile(entry!);
    const earliest = await inner.writeFile(entry!.replace(/[^/]*$/, '0'.repeat(32)));
    await earliest.append([first]);
    await earliest.finish();
    await takeBrBackup({ ...asked, container: inner, resume: true });
    expect(await verifyBrBackup({ container: inner, cipher })).toMatchObject({ ok: true, problems: [] });
  });
});

describe('what BR itself restores', () => {
  it('of rows without tables is what lies in backupmeta: it looks nowhere else, and takes none for nothing to do', async () => {
    const txn = new MemoryTxnSource();
    txn.commit(txnRows(3));
    const raw = new MemoryRangeSource();
    raw.commit(manyRows(3, 9));
    const range = (begin: string, end: string) => ({ begin: key(begin), end: key(end) });
    const ranges = [range('k', 'k1'), range('k1', 'm'), range('o', 'p')];
    for (const source of [{ kind: 'txn', source: txn } as const, { kind: 'raw', source: raw } as const]) {
      const container = new MemoryContainer();
      const { files } = await takeBrBackup({ ...source, container, ranges });
      expect(await fileNames(container, 'backupmeta')).toEqual(['backupmeta']);
      const meta = (await loadBrMessages()).decode('BackupMeta', await readAll(container, 'backupmeta'));
      expect(meta).toMatchObject({ version: 0, fileIndex: undefined });
      expect(meta.files.map(({ name }) => name)).toEqual(files.map(({ name }) => name));
      // It restores no range that lies in two of these.
      const shown = meta.rawRanges.map(({ startKey, endKey }) =>
        [startKey, endKey].map((each) => Buffer.from(each).toString()),
      );
      expect(shown).toEqual([
        ['k', 'm'],
        ['o', 'p'],
      ]);
    }
  });

  it('of tables may lie beside it', async () => {
    const source = new MemoryTxnSource();
    source.commit([{ key: tableRowKey(7n, 1n), value: key('1') }]);
    const container = new MemoryContainer();
    await takeBrBackup({ kind: 'txn', source, container, ranges: [], schemas: [table(7n)] });
    expect((await readBackupMeta(container)).meta).toMatchObject({ version: 1, isTxnKv: false });
  });
});

describe('ranges that touch', () => {
  it('share no file: a table has its sums, and BR finds its rows, although a region holds several tables', async () => {
    const source = new MemoryTxnSource();
    const ids = [7n, 8n, 9n];
    source.commit(ids.map((id) => ({ key: tableRowKey(id, 1n), value: utf8(`row of ${id}`) })));
    const container = new MemoryContainer();
    const ranges = ids.map(tableRange).map(({ startKey, endKey }) => ({ begin: startKey, end: endKey }));
    const result = await takeBrBackup({ kind: 'txn', source, container, ranges, schemas: ids.map(table) });
    expect(result.files.map(({ startKey }) => tableIdOf(startKey))).toEqual(ids);
    const sums = [];
    for await (const { totalKvs } of (await readBackupMeta(container)).tables()) sums.push(totalKvs);
    expect(sums).toEqual([1n, 1n, 1n]);
    const target = new MemoryRestoreTarget();
    await restoreBrBackup({ chain: [{ container }], target });
    expect(target.size).toBe(3);
  });

  it('may overlap and come in any order: each key is stored once', async () => {
    const source = new MemoryTxnSource({ borders: [key('k0005')] });
    source.commit(txnRows(20));
    const container = new MemoryContainer();
    const range = (begin: string, end: string) => ({ begin: key(begin), end: key(end) });
    const ranges = [range('k0008', 'z'), range('a', 'k0010'), range('k0002', 'k0003'), range('a', 'k0010')];
    const result = await takeBrBackup({ kind: 'txn', source, container, ranges });
    expect(result.rows).toBe(20);
    expect(result.ranges.map(({ begin }) => Buffer.from(begin).toString())).toEqual(['a', 'k0010']);
    expect(equalBytes(result.ranges[0]!.end, result.ranges[1]!.begin)).toBe(true);
  });
});
