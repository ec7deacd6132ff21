// The restore target suite's cases.

import assert from 'node:assert/strict';
import { toHex, utf8 } from '../core/bytes.js';
import { NORMAL_KEYS } from '../core/key-range.js';
import { operationBytes } from '../ports/apply-limits.js';
import type { RestoreCheckpoint, RestoreOperation, RestoreTarget } from '../ports/restore-target.js';
import type { TargetCase } from './target-tools.js';
import {
  assertCheckpoint,
  assertEmpty,
  checkpointAt,
  clear,
  reopened,
  set,
  shardOf,
  valuesOf,
} from './target-tools.js';

export const targetApplyCases: readonly TargetCase[] = [
  [
    'a new target has no checkpoint and no rows',
    async (target) => {
      await assertCheckpoint(target, undefined);
      assert.equal(await valuesOf(target, 'a b'), '- -');
      assert.deepEqual(await target.read([]), []);
      await assertEmpty(target, '\x01', '~', true);
    },
  ],
  [
    'read gives what was applied, in the order of the keys that are asked for, and undefined where there is none',
    async (target) => {
      await target.apply([set('a', '1'), set('b', '2'), set('d', '4')], checkpointAt(1n));
      assert.equal(await valuesOf(target, 'd c a b a'), '4 - 1 2 1');
      await target.apply([set('b', 'new'), clear('a', 'b')], checkpointAt(2n));
      assert.equal(await valuesOf(target, 'a b d'), '- new 4');
    },
  ],
  [
    'operations are applied in order: the last one that touches a key counts',
    async (target) => {
      await target.apply([set('a', 'old'), set('c', 'old')], checkpointAt(1n));
      const operations = [
        ...[set('b', 'gone'), clear('a', 'c'), set('b', 'back'), set('b', 'twice'), set('d', '1'), clear('d', 'd\0')],
        ...[clear('c', 'd'), set('c', 'new'), set('e', 'gone'), clear('e', 'f')],
      ];
      await target.apply(operations, checkpointAt(2n));
      assert.equal(await valuesOf(target, 'a b c d e'), '- twice new - -');
    },
  ],
  [
    "a clear's begin is inclusive and its end exclusive, and what was never set is cleared too",
    async (target) => {
      const keys = 'a a\0 b b\0 c c\0';
      await target.apply(
        keys.split(' ').map((key) => set(key, 'v')),
        checkpointAt(1n),
      );
      await target.apply([clear('a\0', 'c'), clear('x', 'y')], checkpointAt(2n));
      assert.equal(await valuesOf(target, keys), 'v - - - v v');
      await assertEmpty(target, 'a\0', 'c', true);
    },
  ],
  [
    'keys and values are bytes: zeros, 0xFF and nothing at all come as they went in, and in their order',
    async (target) => {
      const keys = [[1], [1, 0], [1, 0, 0], [97], [97, 255], [97, 255, 255], [98], [239, 255]].map((key) =>
        Uint8Array.from(key),
      );
      const values = [[], [0], [255, 255], [0, 0, 0], [49], [], [10, 13], [128]].map((value) => Uint8Array.from(value));
      const operations = keys.map((key, i): RestoreOperation => ({
        type: 'set',
        key,
        value: values[i] ?? new Uint8Array(),
      }));
      await target.apply(operations, checkpointAt(1n));
      const hex = async () =>
        (await target.read(keys)).map((value) => (value === undefined ? 'none' : toHex(value))).join();
      assert.equal(await hex(), values.map(toHex).join());
      // From "a" 0xFF on, up to "b".
      await target.apply([{ type: 'clear', begin: Uint8Array.of(97, 255), end: utf8('b') }], checkpointAt(2n));
      assert.equal(await hex(), values.map((value, i) => (i === 4 || i === 5 ? 'none' : toHex(value))).join());
    },
  ],
  [
    'a large batch is applied whole',
    async (target) => {
      const key = (i: number) => `k${String(i).padStart(5, '0')}`;
      const operations = Array.from({ length: 5_000 }, (_, i) => set(key(i), `value ${i}`));
      await target.apply([...operations, clear(key(1_000), key(4_000))], checkpointAt(1n));
      assert.equal(
        (await valuesOf(target, `${key(999)} ${key(1_000)} ${key(3_999)}`)).replaceAll(' ', ''),
        'value999--',
      );
      await assertEmpty(target, key(1_000), key(4_000), true);
      await assertEmpty(target, key(4_999), key(5_000), false);
    },
  ],
  [
    'the checkpoint is the one of the last apply, with all that it says, also where there are no operations',
    async (target) => {
      const checkpoints: RestoreCheckpoint[] = [
        { restoreId: 'one', phase: 'clearing', version: 0n },
        { restoreId: 'one', phase: 'rows', version: 0n, cursor: 'rows of "a"/1,2' },
        { restoreId: 'one', phase: 'log', version: -1n },
        { restoreId: 'one', phase: 'log', version: (1n << 63n) - 1n, cursor: '' },
        { restoreId: 'another', phase: 'done', version: 9_007_199_254_740_993n },
      ];
      for (const checkpoint of checkpoints) {
        await target.apply([], checkpoint);
        await assertCheckpoint(target, checkpoint);
      }
      await assertEmpty(target, '\x01', '~', true);
    },
  ],
  [
    'isEmpty tells of the range alone: its begin is inclusive, its end exclusive, and the checkpoint does not count',
    async (target) => {
      await target.apply([set('b', '')], checkpointAt(1n));
      for (const [begin, end, wanted] of [
        ['a', 'b', true],
        ['a', 'b\0', false],
        ['b', 'c', false],
        ['b\0', '~', true],
        ['\x01', '~', false],
      ] as const)
        await assertEmpty(target, begin, end, wanted);
      await target.apply([clear('a', 'c')], checkpointAt(2n));
      // Whatever the target keeps for itself does not count.
      assert.equal(await target.isEmpty(NORMAL_KEYS), true);
    },
  ],
  [
    'what is handed over is copied: its memory is used again afterwards',
    async (target) => {
      const memory = utf8('keyvalue');
      const own = { ...checkpointAt(1n), cursor: 'first' };
      await target.apply([{ type: 'set', key: memory.subarray(0, 3), value: memory.subarray(3) }], own);
      memory.fill(0x78);
      own.cursor = 'changed';
      assert.equal(await valuesOf(target, 'key xxx'), 'value -');
      await assertCheckpoint(target, checkpointAt(1n, { cursor: 'first' }));
    },
  ],
];

/** Nothing to see where there are no limits. */
export const targetLimitCases: readonly TargetCase[] = [
  [
    'an apply of as many operations as its limits allow is taken, whatever they are',
    async (target, { target: { limits } }) => {
      if (limits === undefined) return;
      const count = Math.min(limits.operations, MANY);
      const key = (i: number) => `k${String(i).padStart(5, '0')}`;
      const sets = Array.from({ length: count }, (_, i) => set(key(i), ''));
      const all = clear('a', 'z');
      for (const [i, operations] of [
        sets,
        // Each set lies in what was cleared before it.
        [all, ...sets.slice(1)],
        sets.map((_, at) => clear(key(at), `${key(at)}\0`)),
      ].entries()) {
        if (sumBytes(operations) > limits.bytes) continue;
        await target.apply(operations, checkpointAt(BigInt(i)));
        const last = key(count - 1);
        const wanted = ['', count > 1 ? '' : '-', '-'][i];
        assert.equal(await valuesOf(target, last), wanted, `operations of batch ${i}`);
        await assertEmpty(target, 'a', last, i === 2 || count === 1 || (i === 1 && count === 2));
      }
    },
  ],
  [
    'an apply of as many bytes as its limits allow is taken, in one operation or in several, also with a long cursor',
    async (target, { target: { limits } }) => {
      if (limits === undefined || limits.bytes > MANY_BYTES) return;
      const fill = (key: string, bytes: number): RestoreOperation => {
        const name = utf8(key);
        return { type: 'set', key: name, value: new Uint8Array(bytes - name.length).fill(0xfe) };
      };
      const cursor = `row:${'61'.repeat(500)}`;
      await target.apply([fill('a', limits.bytes)], checkpointAt(1n, { cursor }));
      const [value] = await target.read([utf8('a')]);
      assert.equal(value?.length, limits.bytes - 1);
      if (limits.operations < 3 || limits.bytes < 10) return;
      const part = Math.floor(limits.bytes / 3);
      const operations = [fill('a', part), fill('b', part), fill('c', limits.bytes - 2 * part)];
      await target.apply(operations, checkpointAt(2n, { cursor }));
      const values = await target.read([utf8('a'), utf8('b'), utf8('c')]);
      assert.deepEqual(
        values.map((each) => each?.length),
        [part - 1, part - 1, limits.bytes - 2 * part - 1],
      );
      await assertCheckpoint(target, checkpointAt(2n, { cursor }));
    },
  ],
];

/** Limits above these the suite does not go to. */
const MANY = 5_000;
const MANY_BYTES = 64 << 20;

function sumBytes(operations: readonly RestoreOperation[]): number {
  return operations.reduce((sum, operation) => sum + operationBytes(operation), 0);
}

export const targetAtomicityCase: TargetCase = [
  'an apply that fails in the middle has done nothing, its checkpoint neither, and the next one is none the worse for it',
  async (target, { failNextApply }) => {
    assert.ok(failNextApply !== undefined, 'failNextApply is given, or `failures: false`');
    await target.apply([set('a', 'old'), set('b', 'old')], checkpointAt(1n));
    const operations = [set('a', 'new'), clear('b', 'c'), set('c', 'new')];
    await failNextApply();
    await assert.rejects(target.apply(operations, checkpointAt(2n)), 'failNextApply makes the next apply fail');
    assert.equal(await valuesOf(target, 'a b c'), 'old old -');
    await assertCheckpoint(target, checkpointAt(1n));
    await target.apply(operations, checkpointAt(2n));
    assert.equal(await valuesOf(target, 'a b c'), 'new - new');
    await assertCheckpoint(target, checkpointAt(2n));
  },
];

export const targetShardCases: readonly TargetCase[] = [
  [
    'each shard has a checkpoint of its own beside the target’s, and all write to the same rows',
    async (target) => {
      const [one, two] = [shardOf(target, '1'), shardOf(target, '2')];
      for (const shard of [one, two]) await assertCheckpoint(shard, undefined);
      await target.apply([set('t', '0')], checkpointAt(1n));
      await one.apply([set('a', '1')], checkpointAt(2n));
      await assertCheckpoint(two, undefined);
      await two.apply([set('b', '2'), clear('c', 'd')], checkpointAt(3n));
      await assertCheckpoint(target, checkpointAt(1n));
      await assertCheckpoint(one, checkpointAt(2n));
      await assertCheckpoint(two, checkpointAt(3n));
      for (const view of [target, one, two]) assert.equal(await valuesOf(view, 'a b t'), '1 2 0');
    },
  ],
  [
    'the same name gives the same checkpoint',
    async (target) => {
      await shardOf(target, 'rows-1').apply([], checkpointAt(7n, { cursor: 'here' }));
      await assertCheckpoint(shardOf(target, 'rows-1'), checkpointAt(7n, { cursor: 'here' }));
      await assertCheckpoint(shardOf(target, 'rows-10'), undefined);
      await assertCheckpoint(target, undefined);
      await assertEmpty(target, '\x01', '~', true);
    },
  ],
  [
    'shards work at once, each on keys of its own',
    async (target) => {
      const names = ['a', 'b', 'c', 'd'];
      const fill = async (name: string) => {
        const shard = shardOf(target, name);
        for (let i = 1; i <= 20; i++) {
          const operations = [set(`${name}${i}`, `${i}`), clear(`${name}old`, `${name}older`), set(`${name}n`, `${i}`)];
          await shard.apply(operations, checkpointAt(BigInt(i)));
          assert.equal(await valuesOf(shard, `${name}${i} ${name}n`), `${i} ${i}`);
        }
      };
      await Promise.all(names.map(fill));
      for (const name of names) {
        await assertCheckpoint(shardOf(target, name), checkpointAt(20n));
        assert.equal(await valuesOf(target, `${name}1 ${name}20 ${name}n`), '1 20 20');
      }
    },
  ],
];

/** They look at the target through another adapter for the same place. */
export function targetReopenCases(shards: boolean): readonly TargetCase[] {
  const views = (target: RestoreTarget) => [target, ...(shards ? [shardOf(target, '1')] : [])];
  return [
    [
      'rows and checkpoints are there after the target was opened anew',
      async (target, under) => {
        for (const [i, view] of views(target).entries())
          await view.apply(
            [set(`a${i}`, `${i}`), clear(`b${i}`, `c${i}`)],
            checkpointAt(BigInt(i), { cursor: `${i}` }),
          );
        const again = await reopened(under);
        for (const [i, view] of views(again).entries()) {
          assert.equal(await valuesOf(view, `a${i} b${i}`), `${i} -`);
          await assertCheckpoint(view, checkpointAt(BigInt(i), { cursor: `${i}` }));
        }
        await again.apply([clear('a', 'c')], checkpointAt(9n, { phase: 'done' }));
        await assertCheckpoint(await reopened(under), checkpointAt(9n, { phase: 'done' }));
      },
    ],
  ];
}
