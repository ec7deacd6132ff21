// What the demo compares with must itself be able to say no.

import { join } from 'node:path';
import { MutationType } from 'tidemark';
import { describe, expect, it } from 'vitest';
import { compareRecords, compareRows } from '../../../examples/level-host/checks.js';
import { LevelRestoreTarget } from '../../../examples/level-host/restore-target.js';
import { tempFolder } from './temp-folder.js';

const bytes = (text: string) => Buffer.from(text);
const hex = (text: string) => bytes(text).toString('hex');

describe('comparing rows', () => {
  const expected = new Map([
    [hex('a'), hex('1')],
    [hex('b'), hex('2')],
  ]);

  async function restored(rows: Record<string, string>): Promise<LevelRestoreTarget> {
    const target = await LevelRestoreTarget.open(join(await tempFolder(), 'db'));
    const operations = Object.entries(rows).map(
      ([key, value]) => ({ type: 'set', key: bytes(key), value: bytes(value) }) as const,
    );
    await target.apply(operations, { restoreId: 'r', version: 1n, phase: 'done' });
    return target;
  }

  it.each([
    ['a row is missing', { a: '1' }, '2 rows should be there, 1 are'],
    ['a row is too many', { a: '1', b: '2', c: '3' }, 'key 63 should not be there'],
    ['a value differs', { a: '1', b: '3' }, 'key 62 should be 32, is 33'],
  ])('fails when %s', async (_, rows, message) => {
    const target = await restored(rows);
    await expect(compareRows('Here', target, expected)).rejects.toThrow(message);
    await target.close();
  });

  it('passes when all are the same', async () => {
    const target = await restored({ a: '1', b: '2' });
    expect(await compareRows('Here', target, expected)).toBe(2);
    await target.close();
  });
});

describe('comparing records', () => {
  const range = { begin: bytes('c'), end: bytes('m') };
  const set = (key: string) => ({ type: MutationType.SetValue, param1: bytes(key), param2: bytes('v') });
  const clear = (begin: string, end: string) => ({
    type: MutationType.ClearRange,
    param1: bytes(begin),
    param2: bytes(end),
  });
  const committed = [
    { version: 5n, mutations: [set('a'), set('c'), clear('a', 'd')] },
    { version: 6n, mutations: [clear('m', 'z'), set('m')] },
    { version: 7n, mutations: [clear('a', 'z')] },
  ];
  const stored = [
    { version: 5n, subsequence: 2, mutation: set('c') },
    { version: 5n, subsequence: 3, mutation: clear('c', 'd') },
    { version: 7n, subsequence: 1, mutation: clear('c', 'm') },
  ];

  it('expects what lies in the range, clears clipped', () => {
    expect(() => compareRecords('Here', stored, committed, range)).not.toThrow();
  });

  it('fails when a record is missing, too many or different', () => {
    const [first, second, third] = stored as [(typeof stored)[0], (typeof stored)[0], (typeof stored)[0]];
    expect(() => compareRecords('Here', [first, second], committed, range)).toThrow('record 2');
    expect(() => compareRecords('Here', [...stored, third], committed, range)).toThrow('record 3');
    const unclipped = { ...second, mutation: clear('a', 'd') };
    expect(() => compareRecords('Here', [first, unclipped, third], committed, range)).toThrow('record 1');
    expect(() => compareRecords('Here', [second, first, third], committed, range)).toThrow('2 differences');
  });
});
