// The demo's transactional part, without threads and tools: a store with versions, its TxnRangeSource, and backups that restore to what the model says.

import { BackupError, MemoryContainer, type KeyRange } from 'tidemark';
import { restoreBrBackup, takeBrBackup, type TxnBatch } from 'tidemark/br';
import { MemoryRestoreTarget } from 'tidemark/testing';
import { describe, expect, it } from 'vitest';
import { Bank, moneyIn, TOTAL_MONEY } from '../../../examples/br/bank.js';
import { MvccRangeSource } from '../../../examples/br/mvcc-range-source.js';
import { MvccStore, WriteConflict } from '../../../examples/br/mvcc-store.js';

const { signal } = new AbortController();
const EVERYTHING: KeyRange = { begin: new Uint8Array(0), end: Uint8Array.of(0xff) };
const bytes = (text: string) => Buffer.from(text);

function put(store: MvccStore, changes: Readonly<Record<string, string | undefined>>): bigint {
  const transaction = store.begin();
  for (const [key, value] of Object.entries(changes)) {
    if (value === undefined) transaction.delete(key);
    else transaction.set(key, bytes(value));
  }
  return transaction.commit();
}

async function scan(store: MvccStore, startTs: bigint, endTs: bigint) {
  const source = new MvccRangeSource(store, ['b', 'x']);
  const rows: Record<string, string | undefined> = {};
  for await (const region of source.regions({ range: EVERYTHING, signal })) {
    for await (const batch of source.scan({ region, range: region.range, startTs, endTs, signal })) add(batch, rows);
  }
  return rows;
}

function add({ keys, values }: TxnBatch, rows: Record<string, string | undefined>): void {
  for (const [i, key] of keys.entries())
    rows[Buffer.from(key).toString()] = values[i] && Buffer.from(values[i]).toString();
}

describe('the store with versions', () => {
  it('shows a transaction what was committed before it began, and its own writes', () => {
    const store = new MvccStore();
    put(store, { a: '1' });
    const reader = store.begin();
    put(store, { a: '2', b: '2' });
    reader.set('c', bytes('mine'));
    expect(['a', 'b', 'c'].map((key) => reader.get(key)?.toString())).toEqual(['1', undefined, 'mine']);
  });

  it('refuses a commit that would overwrite what it has not seen', () => {
    const store = new MvccStore();
    const late = store.begin();
    put(store, { a: '1' });
    late.set('a', bytes('2'));
    expect(() => late.commit()).toThrow(WriteConflict);
  });

  it('is scanned as of a timestamp, or for its changes since one, deletes too', async () => {
    const store = new MvccStore();
    const first = put(store, { a: '1', b: '1', c: '1' });
    const second = put(store, { b: undefined, c: '2', x: '2' });
    const third = put(store, { c: '3' });
    expect(await scan(store, 0n, first)).toEqual({ a: '1', b: '1', c: '1' });
    expect(await scan(store, 0n, third)).toEqual({ a: '1', c: '3', x: '2' });
    expect(await scan(store, first, second)).toEqual({ b: undefined, c: '2', x: '2' });
    expect(await scan(store, first, third)).toEqual({ b: undefined, c: '3', x: '2' });
  });

  it('has forgotten what garbage collection took, and says so', async () => {
    const store = new MvccStore();
    const first = put(store, { a: '1', b: '1' });
    const second = put(store, { a: '2', b: undefined });
    store.collectGarbage(second);
    expect(await scan(store, 0n, second)).toEqual({ a: '2' });
    await expect(scan(store, 0n, first)).rejects.toThrow(BackupError);
    // The delete of b is gone: an incremental backup would leave b alive.
    await expect(scan(store, first, second)).rejects.toMatchObject({ code: 'VERSION_TOO_OLD' });
  });
});

it('the bank is restored at the end of each backup of the chain, with all of its money', async () => {
  const bank = new Bank(7);
  const source = new MvccRangeSource(bank.store, bank.splitKeys);
  const [full, incremental] = [new MemoryContainer(), new MemoryContainer()];
  const common = { kind: 'txn', source, ranges: [], compression: 'zlib' } as const;
  await bank.run(300, signal);
  const [first] = await Promise.all([takeBrBackup({ ...common, container: full }), bank.run(300, signal)]);
  const second = await takeBrBackup({ ...common, container: incremental, startTs: first.endTs });
  expect(second.endTs).toBeGreaterThan(first.endTs);

  for (const [chain, { endTs }] of [
    [[{ container: full }], first],
    [[{ container: full }, { container: incremental }], second],
  ] as const) {
    const target = new MemoryRestoreTarget();
    expect((await restoreBrBackup({ chain, target })).version).toBe(endTs);
    const restored = new Map<string, string>();
    for (const { key, value } of target.rows())
      restored.set(Buffer.from(key).toString('hex'), Buffer.from(value).toString('hex'));
    const expected = bank.rowsAt(endTs);
    expect(new Map([...restored].sort())).toEqual(new Map([...expected].sort()));
    expect(moneyIn(expected)).toBe(TOTAL_MONEY);
  }
});
