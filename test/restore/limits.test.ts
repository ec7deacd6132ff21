// What a target takes at once: no apply has more, in any phase, and a restore that is cut there goes on exactly.

import { describe, expect, it } from 'vitest';
import { fromHex, toHex, utf8 } from '../../src/core/bytes.js';
import type { Mutation } from '../../src/core/mutation.js';
import { MutationType } from '../../src/core/mutation.js';
import { batchesWithin } from '../../src/ports/apply-limits.js';
import type { RestoreCheckpoint, RestoreLimits, RestoreOperation } from '../../src/ports/restore-target.js';
import { restore } from '../../src/restore/restore.js';
import { MemoryRestoreTarget } from '../../src/testing/memory-restore-target.js';
import { add, clear, set } from '../format/encode-log-file.js';
import { newContainer, putLog, putMarker } from './container-builder.js';
import type { RangePart } from './snapshot-model.js';
import { putSnapshotOf } from './snapshot-model.js';

type Log = readonly (readonly [version: bigint, mutation: Mutation])[];

async function backup(parts: readonly RangePart[], log: Log = []) {
  const container = await newContainer();
  await putMarker(container, { logOnly: parts.length === 0 });
  if (parts.length > 0) await putSnapshotOf(container, parts);
  const records = log.map(([version, mutation], i) => ({ version, subsequence: i + 1, mutation }));
  await putLog(container, { begin: 1n, end: 100n, tag: 0, totalTags: 1 }, records);
  return container;
}

const rows = (...names: readonly string[]) => names.map((name) => [utf8(name), utf8(`value of ${name}`)] as const);
const part = (begin: string, end: string, version: bigint, ...names: readonly string[]): RangePart => ({
  range: { begin: utf8(begin), end: end === '\xff' ? Uint8Array.of(0xff) : utf8(end) },
  version,
  rows: rows(...names),
});

const text = (bytes: Uint8Array) => Buffer.from(bytes).toString('latin1');
const show = (operation: RestoreOperation) =>
  operation.type === 'set' ? text(operation.key) : `-${text(operation.begin)}..${text(operation.end)}`;
const place = ({ phase, version, cursor = '' }: RestoreCheckpoint) =>
  `${phase} ${version} ${cursor.startsWith('row:') ? `row:${text(fromHex(cursor.slice(4)))}` : cursor}`.trim();

/** What each apply was given. */
function recording(limits: RestoreLimits, die: () => void = () => undefined) {
  const applies: string[] = [];
  const target = new MemoryRestoreTarget({
    limits,
    beforeApply: (operations, checkpoint) =>
      void applies.push(`${place(checkpoint)}: ${operations.map(show).join(' ')}`.trim()),
    afterApply: die,
  });
  return { target, applies };
}

describe('an apply has no more', () => {
  it('rows than the target takes: the checkpoint names the last one that is in', async () => {
    const container = await backup([part('', '\xff', 10n, 'a', 'b', 'c', 'd', 'e')]);
    const { target, applies } = recording({ operations: 2, bytes: 1000 });
    await restore({ container, target, version: 50n });
    expect(applies).toEqual(['rows 0 row:b: a b', 'rows 0 row:d: c d', 'log 10: e', 'done 50:']);
  });

  it('bytes of rows than the target takes, keys, values and prefixes counted', async () => {
    const container = await backup([part('', '\xff', 10n, 'a', 'b', 'c', 'd', 'e')]);
    // "a" and "value of a" are 11 bytes, and 13 with the prefix.
    for (const [bytes, batches] of [
      [26, ['pqa pqb', 'pqc pqd', 'pqe', '']],
      [25, ['pqa', 'pqb', 'pqc', 'pqd', 'pqe', '']],
      [39, ['pqa pqb pqc', 'pqd pqe', '']],
    ] as const) {
      const { target, applies } = recording({ operations: 100, bytes });
      await restore({ container, target, version: 50n, addPrefix: utf8('pq') });
      expect(applies.map((apply) => apply.slice(apply.lastIndexOf(':') + 1).trim())).toEqual(batches);
    }
  });

  it('mutations than the target takes, also within a version', async () => {
    const container = await backup(
      [],
      [
        ...['a', 'b'].map((name) => [10n, set(name, '1')] as const),
        ...['c', 'd', 'e', 'f'].map((name) => [11n, set(name, '1')] as const),
        [12n, clear('a', 'c')],
      ],
    );
    const { target, applies } = recording({ operations: 3, bytes: 1000 });
    await restore({ container, target, version: 50n });
    expect(applies).toEqual(['log 10 11:1: a b c', 'log 11: d e f', 'done 50: -a..c']);
  });

  it('ranges to clear than the target takes', async () => {
    const container = await backup([part('', '\xff', 10n, 'a')]);
    const { target, applies } = recording({ operations: 2, bytes: 1000 });
    const names = ['b', 'd', 'f', 'h', 'j'];
    for (const name of [...names, 'c']) target.put(utf8(name), utf8('old'));
    const ranges = names.map((name) => ({ begin: utf8(name), end: utf8(`${name}~`) }));
    await restore({ container, target, version: 50n, ranges, clearTarget: true });
    expect(applies.filter((apply) => apply.startsWith('clearing'))).toEqual([
      'clearing 0: -b..b~ -d..d~',
      'clearing 0: -f..f~ -h..h~',
      'clearing 0: -j..j~',
    ]);
    expect([...target.rows()].map(({ key }) => text(key))).toEqual(['c']);
  });

  it('parts of one clear than the target takes, and a restore that dies among them clears them all', async () => {
    // A clear at version 20 concerns every other range file: those that were read before it.
    const names = Array.from({ length: 20 }, (_, i) => String.fromCharCode(0x61 + i));
    const border = (i: number) => (i === 0 ? '' : i === names.length ? '\xff' : names[i]!);
    const parts = names.map((name, i) => part(border(i), border(i + 1), i % 2 === 0 ? 10n : 30n, name));
    const container = await backup(parts, [
      [20n, add('a', 1)],
      [20n, clear('a', 'u')],
      [20n, set('a', 'x')],
    ]);
    const kept = names.filter((_, i) => i % 2 === 1);
    for (let dies = 1; dies < 30; dies++) {
      let left = dies;
      const { target } = recording({ operations: 3, bytes: 1000 }, () => {
        if (--left === 0) throw new Error('killed');
      });
      const options = { container, target, version: 50n, shards: 1 + (dies % 3) };
      await restore(options).catch((error: unknown) => expect((error as Error).message).toBe('killed'));
      await restore(options);
      expect([...target.rows()].map(({ key }) => text(key)).join(''), `killed after ${dies}`).toBe(`a${kept.join('')}`);
    }
  });

  it('bytes of values that grow as they are applied', async () => {
    const append = (name: string): Mutation => ({
      type: MutationType.AppendIfFits,
      param1: utf8(name),
      param2: Buffer.alloc(400, 'x'),
    });
    const log = Array.from({ length: 40 }, (_, i) => [10n + BigInt(i), append('a')] as const);
    const container = await backup([], log);
    const { target, applies } = recording({ operations: 100, bytes: 20_000 });
    await restore({ container, target, version: 99n });
    expect(target.get(utf8('a'))?.length).toBe(16_000);
    expect(applies.length).toBeGreaterThan(20);
  });
});

describe('an operation that is larger than the target takes', () => {
  const limits = { operations: 10, bytes: 100 };
  const large = Buffer.alloc(100, 'x').toString();

  it.each([
    ['a row', backup([{ ...part('', '\xff', 10n), rows: [...rows('a'), [utf8('big'), utf8(large)]] }])],
    [
      'a set',
      backup(
        [],
        [
          [10n, set('a', '1')],
          [11n, set('big', large)],
          [12n, set('c', '1')],
        ],
      ),
    ],
    [
      'a value that grew',
      backup(
        [],
        [
          [10n, set('big', large.slice(0, 60))],
          [11n, { type: MutationType.AppendIfFits, param1: utf8('big'), param2: utf8(large.slice(0, 40)) }],
        ],
      ),
    ],
  ] as const)('is named with its key and its size: %s', async (_what, building) => {
    const container = await building;
    const target = new MemoryRestoreTarget({ limits });
    await expect(restore({ container, target, version: 50n })).rejects.toMatchObject({
      code: 'OPERATION_TOO_LARGE',
      message: expect.stringMatching(/"big".*103 bytes.*takes 100/) as string,
    });
    expect(await target.checkpoint()).not.toMatchObject({ phase: 'done' });
  });

  it('goes in once the target takes more', async () => {
    const container = await backup(
      [],
      [
        [10n, set('a', '1')],
        [11n, set('big', large)],
        [12n, set('c', '1')],
      ],
    );
    const bounds = { operations: 10, bytes: 100 };
    const target = new MemoryRestoreTarget({ limits: bounds });
    await expect(restore({ container, target, version: 50n })).rejects.toMatchObject({ code: 'OPERATION_TOO_LARGE' });
    bounds.bytes = 103;
    await restore({ container, target, version: 50n });
    expect([...target.rows()].map(({ key }) => text(key))).toEqual(['a', 'big', 'c']);
  });
});

describe('limits', () => {
  it.each([{ operations: 0, bytes: 1 }, { operations: 1, bytes: 1.5 }, { operations: 1 }, 5, null])(
    '%j are no limits',
    async (limits) => {
      const container = await backup([part('', '\xff', 10n, 'a')]);
      const target = Object.assign(new MemoryRestoreTarget(), {});
      Object.defineProperty(target, 'limits', { value: limits });
      await expect(restore({ container, target, version: 50n })).rejects.toMatchObject({
        code: 'ADAPTER_CONTRACT',
        message: expect.stringContaining('RestoreTarget.limits') as string,
      });
    },
  );

  it('batches hold as much as they may, in order', () => {
    const clears = ['a', 'bb', 'c', 'dd'].map((name) => ({
      type: 'clear' as const,
      begin: utf8(name),
      end: utf8('~'),
    }));
    const cut = (operations: number, bytes: number) =>
      [...batchesWithin(clears, { operations, bytes })].map((batch) => batch.map(({ begin }) => toHex(begin)));
    expect(cut(10, 10)).toEqual([['61', '6262', '63', '6464']]);
    expect(cut(10, 5)).toEqual([
      ['61', '6262'],
      ['63', '6464'],
    ]);
    expect(cut(1, 100)).toEqual([['61'], ['6262'], ['63'], ['6464']]);
    expect(cut(3, 4)).toEqual([['61'], ['6262'], ['63'], ['6464']]);
    expect([...batchesWithin([], { operations: 1, bytes: 1 })]).toEqual([]);
  });
});
