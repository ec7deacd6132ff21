// Restores of some tables, and of tables that become others.

import { describe, expect, it } from 'vitest';
import { restoreBrBackup } from '../../src/br/restore/restore-br.js';
import type { RestoreBrOptions, RestoreBrResult } from '../../src/br/restore/options.js';
import { matchesName } from '../../src/br/restore/tables.js';
import { MemoryRestoreTarget } from '../../src/testing/memory-restore-target.js';
import type { TxnRow } from './restore-backups.js';
import { bytes, schema, tableKey } from './restore-backups.js';
import { errorOf, txnBackup } from './restore-tools.js';

/** A row and an index entry of each. */
function rowsOfTables(ids: readonly bigint[], commitTs = 10n): TxnRow[] {
  return ids.flatMap((id) =>
    ['_r12345678', '_i00000001'].map((rest) => ({ key: tableKey(id, rest), value: bytes(`${id}${rest}`), commitTs })),
  );
}

const SCHEMAS = [
  schema('Shop', 'Orders', 10n),
  schema('Shop', 'items', 20n, [21n, 22n]),
  schema('other', 'orders', 30n),
  schema('other', 'neg', -5n),
];
const IDS = [10n, 20n, 21n, 22n, 30n, -5n];

/** What the target holds, as `id:rest=value`. */
function held(target: MemoryRestoreTarget): string[] {
  return [...target.rows()].map(({ key, value }) => {
    const id = Buffer.from(key.subarray(1, 9)).readBigUInt64BE() ^ (1n << 63n);
    const rest = Buffer.from(key.subarray(9)).toString('latin1');
    return `${BigInt.asIntN(64, id)}${rest}=${Buffer.from(value).toString('latin1')}`;
  });
}

function both(...ids: readonly (readonly [id: bigint, was: bigint])[]): string[] {
  return ids.flatMap(([id, was]) => ['_i00000001', '_r12345678'].map((rest) => `${id}${rest}=${was}${rest}`));
}

const same = (...ids: bigint[]): string[] => both(...ids.map((id) => [id, id] as const));

async function restored(
  options: Partial<RestoreBrOptions>,
): Promise<{ readonly target: MemoryRestoreTarget; readonly result: RestoreBrResult }> {
  const container = await txnBackup({ endTs: 100n, rows: rowsOfTables(IDS), schemas: SCHEMAS });
  const target = new MemoryRestoreTarget();
  const result = await restoreBrBackup({ chain: [{ container }], target, ...options });
  return { target, result };
}

describe('a restore of some tables', () => {
  it('finds them by name, whatever the case, and by patterns; partitions belong to their table', async () => {
    expect(held((await restored({ tables: ['shop.orders'] })).target)).toEqual(same(10n));
    expect(held((await restored({ tables: ['SHOP.*'] })).target)).toEqual(same(10n, 20n, 21n, 22n));
    expect(held((await restored({ tables: ['*.order?', 'other.neg'] })).target)).toEqual(same(-5n, 10n, 30n));
  });

  it('finds them by id, and partitions by theirs', async () => {
    const { target, result } = await restored({ tables: [22n, 30n] });
    expect(held(target)).toEqual(same(22n, 30n));
    expect(result.tables).toEqual([
      { database: 'Shop', name: 'items', id: 20n, physicalIds: [22n] },
      { database: 'other', name: 'orders', id: 30n, physicalIds: [30n] },
    ]);
    expect(held((await restored({ tables: [20n] })).target)).toEqual(same(20n, 21n, 22n));
  });

  it('restores no more of them than the ranges', async () => {
    const { target } = await restored({
      tables: ['shop.*'],
      ranges: [{ begin: tableKey(10n, '_r'), end: tableKey(21n, '_j') }],
    });
    expect(held(target)).toEqual(['10_r12345678=10_r12345678', ...same(20n), '21_i00000001=21_i00000001']);
  });

  it('says which tables there are, when one is not found', async () => {
    for (const tables of [['shop.nothing'], [99n]]) {
      const error = await errorOf(restored({ tables }));
      expect(error.code).toBe('INVALID_OPTION');
      expect(error.message).toMatch(
        /nothing in the backup is (shop\.nothing|99); it has Shop\.Orders \(10\), Shop\.items \(20\)/,
      );
    }
  });

  it('is refused where tables are in a keyspace, whose keys have another form', async () => {
    const key = Buffer.concat([Buffer.from('x\0\0\x01'), tableKey(10n, '_r1')]);
    const rows = [{ key, value: bytes('1'), commitTs: 5n }];
    const splits = [bytes('x')];
    const container = await txnBackup({ endTs: 9n, rows, splits, schemas: SCHEMAS, meta: { apiVersion: 'v2' } });
    for (const options of [{ tables: ['shop.orders'] }, { rewrite: [{ from: 10n, to: 11n }] }]) {
      const target = new MemoryRestoreTarget();
      const error = await errorOf(restoreBrBackup({ chain: [{ container }], target, ...options }));
      expect(error).toMatchObject({ code: 'UNSUPPORTED_FORMAT' });
    }
    const target = new MemoryRestoreTarget();
    await restoreBrBackup({ chain: [{ container }], target });
    expect(target.size).toBe(1);
  });

  it('leaves the rest of the target alone', async () => {
    const container = await txnBackup({ endTs: 100n, rows: rowsOfTables(IDS), schemas: SCHEMAS });
    const target = new MemoryRestoreTarget();
    const others = [tableKey(9n, '_r'), tableKey(11n, ''), tableKey(10n, '').slice(0, 8)];
    for (const key of [...others, tableKey(10n, '_rold')]) target.put(key, bytes('before'));
    const options = { chain: [{ container }], target, tables: ['shop.orders'] };
    expect(await errorOf(restoreBrBackup(options))).toMatchObject({ code: 'TARGET_NOT_EMPTY' });
    await restoreBrBackup({ ...options, clearTarget: true });
    for (const key of others) expect(target.get(key)).toEqual(bytes('before'));
    expect(target.get(tableKey(10n, '_rold'))).toBeUndefined();
    expect(target.size).toBe(others.length + 2);
  });

  it('leaves out tables that were dropped or truncated since the full backup', async () => {
    const full = await txnBackup({ endTs: 100n, rows: rowsOfTables(IDS), schemas: SCHEMAS });
    const schemas = [schema('Shop', 'Orders', 40n), schema('Shop', 'items', 20n, [22n])];
    const meta = { ddls: bytes('[{"id":1,"type":4}]') };
    const second = await txnBackup({ startTs: 100n, endTs: 200n, rows: rowsOfTables([40n], 150n), schemas, meta });
    const chain = [{ container: full }, { container: second }];
    const target = new MemoryRestoreTarget();
    const result = await restoreBrBackup({ chain, target });
    expect(held(target)).toEqual(same(20n, 22n, 40n));
    expect(result.droppedTables).toEqual([-5n, 10n, 21n, 30n]);
    const named = new MemoryRestoreTarget();
    await restoreBrBackup({ chain, target: named, tables: ['shop.orders'] });
    expect(held(named)).toEqual(same(40n));
  });
});

describe('tables that become others', () => {
  it('are written under their new ids, rows and indexes', async () => {
    const rewrite = [
      { from: 10n, to: 1000n },
      { from: 21n, to: 5n },
      { from: 22n, to: 22n },
    ];
    const { target } = await restored({ rewrite });
    expect(held(target)).toEqual(both([-5n, -5n], [5n, 21n], [20n, 20n], [22n, 22n], [30n, 30n], [1000n, 10n]));
  });

  it('may swap their ids', async () => {
    const rewrite = [
      { from: 10n, to: 30n },
      { from: 30n, to: 10n },
    ];
    const { target } = await restored({ rewrite, tables: ['*.orders'] });
    expect(held(target)).toEqual(both([10n, 30n], [30n, 10n]));
  });

  it('are looked for, and cleared, where they go', async () => {
    const container = await txnBackup({ endTs: 100n, rows: rowsOfTables(IDS), schemas: SCHEMAS });
    const target = new MemoryRestoreTarget();
    target.put(tableKey(1000n, '_rold'), bytes('before'));
    target.put(tableKey(10n, '_rold'), bytes('before'));
    const options = { chain: [{ container }], target, tables: [10n], rewrite: [{ from: 10n, to: 1000n }] };
    expect(await errorOf(restoreBrBackup(options))).toMatchObject({ code: 'TARGET_NOT_EMPTY' });
    await restoreBrBackup({ ...options, clearTarget: true });
    expect(held(target)).toEqual(['10_rold=before', ...both([1000n, 10n])]);
  });

  it('may not become one that is restored itself: known from the schemas before anything is written, else from its rows', async () => {
    const rewrite = [{ from: 10n, to: 30n }];
    const error = await errorOf(restored({ rewrite }));
    expect(error).toMatchObject({ code: 'INVALID_OPTION' });
    expect(error.message).toMatch(/another table becomes 30/);
    const container = await txnBackup({ endTs: 100n, rows: rowsOfTables(IDS) });
    const target = new MemoryRestoreTarget();
    const later = await errorOf(restoreBrBackup({ chain: [{ container }], target, rewrite }));
    expect(later.message).toMatch(/another table becomes 30/);
    expect((await target.checkpoint())?.phase).not.toBe('done');
    const ranges = [{ begin: tableKey(10n, ''), end: tableKey(11n, '') }];
    for (const options of [{ tables: [10n] }, { ranges }])
      expect(held((await restored({ rewrite, ...options })).target)).toEqual(both([30n, 10n]));
  });

  it('make it another restore', async () => {
    const container = await txnBackup({ endTs: 100n, rows: rowsOfTables([10n]) });
    const target = new MemoryRestoreTarget();
    const ranges = [{ begin: tableKey(10n, ''), end: tableKey(11n, '') }];
    const options = { chain: [{ container }], target, ranges };
    await restoreBrBackup({ ...options, rewrite: [{ from: 10n, to: 20n }] });
    const { resumed } = await restoreBrBackup({ ...options, rewrite: [{ from: 10n, to: 30n }] });
    expect(resumed).toBe(false);
    expect(held(target)).toEqual(both([20n, 10n], [30n, 10n]));
  });
});

describe('matchesName', () => {
  it('knows stars and question marks', () => {
    const cases: [string, string, boolean][] = [
      ['a.b', 'a.b', true],
      ['a.b', 'a.bc', false],
      ['a.*', 'a.', true],
      ['*.*', 'x.y', true],
      ['a*b*c', 'a-b-b-c', true],
      ['a*b*c', 'a-b-b-', false],
      ['?.?', 'a.b', true],
      ['?.?', 'ab.c', false],
      ['', '', true],
      ['*', '', true],
      ['a.[b]', 'a.b', false],
    ];
    for (const [pattern, name, expected] of cases)
      expect([pattern, matchesName(pattern, name)]).toEqual([pattern, expected]);
    const slow = matchesName(`${'*a'.repeat(50)}b`, 'a'.repeat(5000));
    expect(slow).toBe(false);
  });
});
