import { join } from 'node:path';
import type { RestoreOperation } from 'tidemark';
import { describe, expect, it } from 'vitest';
import { LevelRestoreTarget } from '../../../examples/level-host/restore-target.js';
import { restoreTargetSuite } from '../../../src/testing/target-suite.js';
import { tempFolder } from './temp-folder.js';

describe('passes the conformance suite', () => {
  const open = async () => {
    const folder = join(await tempFolder(), 'db');
    let target = await LevelRestoreTarget.open(folder);
    const reopen = async () => {
      await target.close();
      return (target = await LevelRestoreTarget.open(folder));
    };
    return { target, reopen, cleanup: () => target.close() };
  };
  for (const { name, run } of restoreTargetSuite(open, { shards: false, failures: false })) it(name, run);
});

const bytes = (text: string) => Buffer.from(text);
const set = (key: string, value: string): RestoreOperation => ({ type: 'set', key: bytes(key), value: bytes(value) });
const clear = (begin: string, end: string): RestoreOperation => ({
  type: 'clear',
  begin: bytes(begin),
  end: bytes(end),
});
const checkpoint = (version: bigint) => ({ restoreId: 'r', version, phase: 'log' }) as const;

async function rowsOf(target: LevelRestoreTarget): Promise<string[]> {
  const rows: string[] = [];
  for await (const [key, value] of target.rows())
    rows.push(`${Buffer.from(key).toString()}=${Buffer.from(value).toString()}`);
  return rows;
}

it('applies operations in order, over what was there before', async () => {
  const target = await LevelRestoreTarget.open(join(await tempFolder(), 'db'));
  await target.apply([set('a', '1'), set('b', '2'), set('c', '3')], checkpoint(1n));
  await target.apply([set('bb', '4'), clear('b', 'c'), set('b', '5')], checkpoint(2n));
  expect(await rowsOf(target)).toEqual(['a=1', 'b=5', 'c=3']);
  expect(await target.read([bytes('b'), bytes('bb'), bytes('a')])).toEqual([bytes('5'), undefined, bytes('1')]);
  await target.close();
});

it('keeps rows and checkpoint together over a restart', async () => {
  const folder = join(await tempFolder(), 'db');
  const before = await LevelRestoreTarget.open(folder);
  expect(await before.checkpoint()).toBeUndefined();
  await before.apply([set('a', '1')], { ...checkpoint(7n), cursor: 'here' });
  await before.close();
  const after = await LevelRestoreTarget.open(folder);
  expect(await after.checkpoint()).toEqual({ ...checkpoint(7n), cursor: 'here' });
  expect(await rowsOf(after)).toEqual(['a=1']);
  await after.close();
});

it('applies nothing at all when it cannot apply everything', async () => {
  const target = await LevelRestoreTarget.open(join(await tempFolder(), 'db'));
  await target.apply([set('a', '1')], checkpoint(1n));
  const broken = { ...set('c', '3'), value: null as never };
  await expect(target.apply([set('b', '2'), clear('a', 'b'), broken], checkpoint(2n))).rejects.toThrow();
  expect(await rowsOf(target)).toEqual(['a=1']);
  expect(await target.checkpoint()).toEqual(checkpoint(1n));
  await target.close();
});

it('knows whether a range is empty', async () => {
  const target = await LevelRestoreTarget.open(join(await tempFolder(), 'db'));
  await target.apply([set('b', '1')], checkpoint(1n));
  expect(await target.isEmpty({ begin: bytes('a'), end: bytes('b') })).toBe(true);
  expect(await target.isEmpty({ begin: bytes(''), end: Uint8Array.of(0xff) })).toBe(false);
  await target.close();
});
