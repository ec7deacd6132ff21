// Restores of backups as real clusters have them: taken by old releases, of a part of the tables, of keyspaces.

import { describe, expect, it } from 'vitest';
import { restoreBrBackup } from '../../src/br/restore/restore-br.js';
import { verifyBrBackup } from '../../src/br/restore/verify.js';
import { MemoryRestoreTarget } from '../../src/testing/memory-restore-target.js';
import { bytes, newContainer, putTxnBackup, schema, tableKey } from './restore-backups.js';
import { FULL, LONG, errorOf, rowsOf, text, txnBackup } from './restore-tools.js';

const tables = (...ids: bigint[]) => ids.map((id) => schema('shop', `t${id}`, id));
const row = (id: bigint, commitTs: bigint) => ({
  key: tableKey(id, '_r1'),
  value: bytes(`${id}@${commitTs}`),
  commitTs,
});

describe('an incremental backup that lists fewer tables than the one before it', () => {
  const full = { endTs: 100n, rows: [row(10n, 1n), row(20n, 2n)], schemas: tables(10n, 20n) };
  const second = { startTs: 100n, endTs: 200n, rows: [row(10n, 150n)], schemas: tables(10n) };

  it('is refused where nothing says that they were dropped: what became of them is not known', async () => {
    for (const ddls of ['', '[]', 'null']) {
      const chain = [
        { container: await txnBackup(full) },
        { container: await txnBackup({ ...second, meta: { ddls: bytes(ddls) } }) },
      ];
      const target = new MemoryRestoreTarget();
      const error = await errorOf(restoreBrBackup({ chain, target }));
      expect(error).toMatchObject({ code: 'NOT_RESTORABLE' });
      expect(error.message).toContain('shop.t20 (20)');
      expect(target.size).toBe(0);
      await restoreBrBackup({ chain, target, tables: ['shop.t10'] });
      expect(Object.values(rowsOf(target))).toEqual(['10@150']);
      const ranges = [{ begin: tableKey(10n, ''), end: tableKey(11n, '') }];
      const other = new MemoryRestoreTarget();
      await restoreBrBackup({ chain, target: other, ranges });
      expect(Object.values(rowsOf(other))).toEqual(['10@150']);
    }
  });

  it('is refused the other way round: what was in a table that the full backup left out is in none of them', async () => {
    const chain = [
      { container: await txnBackup({ ...full, rows: [row(10n, 1n)], schemas: tables(10n) }) },
      { container: await txnBackup({ ...second, rows: [row(20n, 150n)], schemas: tables(10n, 20n) }) },
    ];
    expect(await errorOf(restoreBrBackup({ chain, target: new MemoryRestoreTarget() }))).toMatchObject({
      code: 'NOT_RESTORABLE',
      message: expect.stringContaining('lists shop.t20 (20)') as string,
    });
  });

  it('is refused where the one after it lists them again, unless they are not wanted', async () => {
    const third = { startTs: 200n, endTs: 300n, rows: [row(20n, 250n)], schemas: tables(10n, 20n) };
    const chain = [
      { container: await txnBackup(full) },
      { container: await txnBackup(second) },
      { container: await txnBackup(third) },
    ];
    for (const wanted of [undefined, ['shop.t20']]) {
      const target = new MemoryRestoreTarget();
      const error = await errorOf(restoreBrBackup({ chain, target, tables: wanted }));
      expect(error).toMatchObject({ code: 'NOT_RESTORABLE' });
      expect(target.size).toBe(0);
    }
    await restoreBrBackup({ chain, target: new MemoryRestoreTarget(), tables: ['shop.t10'] });
  });

  it('is believed where it has DDL jobs, or says itself what it covers', async () => {
    const rawRanges = [{ startKey: bytes(''), endKey: bytes(''), cf: '' }];
    for (const meta of [{ ddls: bytes('[{"id":7,"type":4}]') }, { rawRanges }]) {
      const chain = [
        { container: await txnBackup({ ...full, meta }) },
        { container: await txnBackup({ ...second, meta }) },
      ];
      const target = new MemoryRestoreTarget();
      expect((await restoreBrBackup({ chain, target })).droppedTables).toEqual([20n]);
      expect(Object.values(rowsOf(target))).toEqual(['10@150']);
    }
  });
});

describe('backups of old releases', () => {
  it('have files whose column family is told by their names alone, as BR takes it', async () => {
    const container = await newContainer();
    await putTxnBackup({ container, ...FULL, changeFile: (file) => ({ ...file, cf: '', size: 0n }) });
    expect(await verifyBrBackup({ container })).toMatchObject({ ok: true });
    const target = new MemoryRestoreTarget();
    await restoreBrBackup({ chain: [{ container }], target });
    expect(rowsOf(target)).toEqual({ a: '1', b: LONG, c: '3' });
  });
});

describe('a backup of a keyspace', () => {
  it('has its tables behind a prefix: their sums are not looked for at the usual place', async () => {
    const key = new Uint8Array(Buffer.concat([bytes('x\0\0\u0001'), tableKey(10n, '_r1')]));
    const container = await txnBackup({
      endTs: 100n,
      rows: [{ key, value: bytes('1'), commitTs: 5n }],
      splits: [bytes('x'), bytes('y')],
      schemas: [{ ...schema('shop', 'orders', 10n), totalKvs: 1n, totalBytes: 17n, crc64xor: 5n }],
      meta: { apiVersion: 'v2' },
    });
    expect(await verifyBrBackup({ container })).toMatchObject({ ok: true, problems: [] });
    const target = new MemoryRestoreTarget();
    await restoreBrBackup({ chain: [{ container }], target });
    expect([...target.rows()].map((each) => text(each.key))).toEqual([text(key)]);
  });
});

describe('files of one backup', () => {
  it('that overlap are found by verify: each key is in the files of one range', async () => {
    for (const change of [{ startKey: bytes('B') }, { endKey: bytes('zz') }, { endKey: bytes('') }]) {
      const container = await newContainer();
      let at = 0;
      const splits = [bytes('b'), bytes('c'), bytes('d')];
      await putTxnBackup({
        container,
        ...FULL,
        splits,
        changeFile: (file) => (at++ === 1 ? { ...file, ...change } : file),
      });
      // The rows are compared by themselves: no restore is in doubt.
      const { ok, problems } = await verifyBrBackup({ container });
      expect(ok).toBe(true);
      expect(problems[0]).toMatchObject({ kind: 'disagreement', code: 'CORRUPT_FILE', harmless: true });
    }
  });
});
