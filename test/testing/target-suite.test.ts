// The restore target suite: what passes it, and targets with one mistake each that it finds.

import { describe, expect, it } from 'vitest';
import { compareBytes } from '../../src/core/bytes.js';
import { operationBytes } from '../../src/ports/apply-limits.js';
import type {
  RestoreCheckpoint,
  RestoreLimits,
  RestoreOperation,
  RestoreShard,
  RestoreTarget,
} from '../../src/ports/restore-target.js';
import { MemoryRestoreTarget } from '../../src/testing/memory-restore-target.js';
import { restoreTargetSuite } from '../../src/testing/target-suite.js';
import { targetOf } from '../hostile/helpers.js';

/** What a process that opens the target again finds is the same object. `failNextApply` is thrown before anything is done. */
function openMemory(
  change: (target: MemoryRestoreTarget) => Partial<RestoreTarget> = () => ({}),
  limits?: RestoreLimits,
) {
  let failing = false;
  const memory = new MemoryRestoreTarget({
    limits,
    beforeApply: () => {
      const fails = failing;
      failing = false;
      if (fails) throw new Error('the disk is full');
    },
  });
  const open = () => targetOf(memory, { shard: (name) => memory.shard(name), ...change(memory) });
  const target = open();
  return { target, reopen: open, failNextApply: () => void (failing = true) };
}

describe('MemoryRestoreTarget', () => {
  for (const { name, run } of restoreTargetSuite(() => openMemory())) it(name, run);

  describe.each([
    { operations: 1, bytes: 24 },
    { operations: 2, bytes: 30 },
    { operations: 5, bytes: 1 << 20 },
    { operations: 4_000, bytes: 100_000 },
  ])('with limits of $operations operations and $bytes bytes', (limits) => {
    const open = () => openMemory((memory) => ({ limits: memory.limits }), limits);
    for (const { name, run } of restoreTargetSuite(open)) it(name, run);
  });
});

type Change = (target: MemoryRestoreTarget) => Partial<RestoreTarget>;

/** The same change for the target and for its shards. */
const withView =
  (change: (view: RestoreShard) => Partial<RestoreShard>): Change =>
  (target) => ({
    ...change(target),
    shard: (name) => {
      const shard = target.shard(name);
      return { ...shard, ...change(shard) };
    },
  });

/** It says that it takes so much, and refuses what is not as `takes` says. */
const withLimits = (
  limits: RestoreLimits,
  takes: (operations: readonly RestoreOperation[], checkpoint: RestoreCheckpoint) => boolean,
): Change => {
  const change = withView((view) => ({
    apply: async (operations, checkpoint) => {
      if (!takes(operations, checkpoint)) throw new Error('too much');
      await view.apply(operations, checkpoint);
    },
  }));
  return (target) => ({ ...change(target), limits });
};

const withOperations = (change: (operations: readonly RestoreOperation[]) => readonly RestoreOperation[]): Change =>
  withView((view) => ({ apply: (operations, checkpoint) => view.apply(change(operations), checkpoint) }));

const EMPTY = 'a new target has no checkpoint and no rows';
const READ =
  'read gives what was applied, in the order of the keys that are asked for, and undefined where there is none';
const ORDER = 'operations are applied in order: the last one that touches a key counts';
const CLEAR = "a clear's begin is inclusive and its end exclusive, and what was never set is cleared too";
const BYTES = 'keys and values are bytes: zeros, 0xFF and nothing at all come as they went in, and in their order';
const LARGE = 'a large batch is applied whole';
const CHECKPOINT =
  'the checkpoint is the one of the last apply, with all that it says, also where there are no operations';
const IS_EMPTY =
  'isEmpty tells of the range alone: its begin is inclusive, its end exclusive, and the checkpoint does not count';
const COPIED = 'what is handed over is copied: its memory is used again afterwards';
const ATOMIC =
  'an apply that fails in the middle has done nothing, its checkpoint neither, and the next one is none the worse for it';
const BESIDE = 'each shard has a checkpoint of its own beside the target’s, and all write to the same rows';
const SAME_NAME = 'the same name gives the same checkpoint';
const AT_ONCE = 'shards work at once, each on keys of its own';
const MOST_OPERATIONS = 'an apply of as many operations as its limits allow is taken, whatever they are';
const MOST_BYTES =
  'an apply of as many bytes as its limits allow is taken, in one operation or in several, also with a long cursor';
const REOPENED = 'rows and checkpoints are there after the target was opened anew';

/** Copies only when it is asked for what it has. */
function keepsMemory(target: MemoryRestoreTarget): Partial<RestoreTarget> {
  const kept: (() => Promise<void>)[] = [];
  const settle = async () => {
    for (const apply of kept.splice(0)) await apply();
  };
  const lazily = (view: RestoreShard): RestoreShard => ({
    apply: async (operations, checkpoint) => {
      await view.apply([], checkpoint);
      kept.push(() => view.apply(operations, checkpoint));
    },
    read: async (keys) => {
      await settle();
      return target.read(keys);
    },
    checkpoint: () => view.checkpoint(),
  });
  return {
    ...lazily(target),
    shard: (name) => lazily(target.shard(name)),
    isEmpty: async (range) => {
      await settle();
      return target.isEmpty(range);
    },
  };
}

/** The suite's failure comes before anything is done: here some of it has been. */
function halfApplied(target: MemoryRestoreTarget): Partial<RestoreTarget> {
  return {
    apply: async (operations, checkpoint) => {
      try {
        await target.apply(operations, checkpoint);
      } catch (error) {
        const before = await target.checkpoint();
        if (before !== undefined) await target.apply(operations.slice(0, 1), before);
        throw error;
      }
    },
  };
}

function checkpointFirst(target: MemoryRestoreTarget): Partial<RestoreTarget> {
  return {
    apply: async (operations, checkpoint) => {
      try {
        await target.apply(operations, checkpoint);
      } catch (error) {
        await target.apply([], checkpoint);
        throw error;
      }
    },
  };
}

function ownRows(target: MemoryRestoreTarget): Partial<RestoreTarget> {
  const shards = new Map<string, MemoryRestoreTarget>();
  return {
    shard: (name) => {
      const shard = shards.get(name) ?? new MemoryRestoreTarget();
      shards.set(name, shard);
      return {
        apply: async (operations, checkpoint) => {
          await shard.apply(operations, checkpoint);
          const own = await target.checkpoint();
          // Only what no other shard reads is carried over.
          if (own === undefined) await target.shard(name).apply(operations, checkpoint);
        },
        read: (keys) => shard.read(keys),
        checkpoint: () => shard.checkpoint(),
      };
    },
  };
}

function newShards(target: MemoryRestoreTarget): Partial<RestoreTarget> {
  const used = new Map<string, number>();
  return {
    shard: (name) => {
      const times = used.get(name) ?? 0;
      used.set(name, times + 1);
      return target.shard(times === 0 || name === '1' ? name : `${name}/${times}`);
    },
  };
}

/** Each apply writes all the rows that there were when it began. */
function lostUpdates(target: MemoryRestoreTarget): Partial<RestoreTarget> {
  return {
    shard: (name) => {
      const shard = target.shard(name);
      return {
        apply: async (operations, checkpoint) => {
          const before = [...target.rows()].map(({ key, value }): RestoreOperation => ({ type: 'set', key, value }));
          await new Promise((resolve) => setImmediate(resolve));
          const all: RestoreOperation = { type: 'clear', begin: new Uint8Array(), end: Uint8Array.of(0xff) };
          await shard.apply([all, ...before, ...operations], checkpoint);
        },
        read: (keys) => shard.read(keys),
        checkpoint: () => shard.checkpoint(),
      };
    },
  };
}

/** `change` is called again when it is opened anew. */
function forgottenShards(): Change {
  const opened = new WeakMap<MemoryRestoreTarget, number>();
  return (target) => {
    const times = opened.get(target) ?? 0;
    opened.set(target, times + 1);
    return { shard: (name) => target.shard(times === 0 ? name : `${name}/${times}`) };
  };
}

const mistakes: [mistake: string, found: string[], change: Change][] = [
  [
    'a checkpoint before there is one',
    [EMPTY],
    (target) => ({
      checkpoint: async () => (await target.checkpoint()) ?? { restoreId: '', phase: 'clearing', version: 0n },
    }),
  ],
  [
    'only the values that there are',
    [EMPTY, READ],
    withView((view) => ({ read: async (keys) => (await view.read(keys)).filter((value) => value !== undefined) })),
  ],
  [
    'an empty value for none',
    [EMPTY, READ],
    withView((view) => ({ read: async (keys) => (await view.read(keys)).map((value) => value ?? new Uint8Array()) })),
  ],
  [
    'values in the order of the keys',
    [READ],
    withView((view) => ({ read: (keys) => view.read([...keys].sort(compareBytes)) })),
  ],
  [
    'no value for one that is empty',
    [BYTES],
    withView((view) => ({
      read: async (keys) => (await view.read(keys)).map((value) => (value?.length === 0 ? undefined : value)),
    })),
  ],
  [
    'clears before sets',
    [ORDER],
    withOperations((operations) => [...operations].sort((a, b) => Number(a.type === 'set') - Number(b.type === 'set'))),
  ],
  [
    'clears with an inclusive end',
    [CLEAR],
    withOperations((operations) =>
      operations.map((each) => (each.type === 'set' ? each : { ...each, end: Uint8Array.of(...each.end, 0) })),
    ),
  ],
  [
    'a clear of its first key alone',
    [LARGE],
    withOperations((operations) =>
      operations.map((each) => (each.type === 'set' ? each : { ...each, end: Uint8Array.of(...each.begin, 0) })),
    ),
  ],
  ['operations beyond a thousand left out', [LARGE], withOperations((operations) => operations.slice(0, 1_000))],
  [
    'no checkpoint for nothing',
    [CHECKPOINT],
    withView((view) => ({
      apply: (operations, checkpoint) =>
        operations.length === 0 ? Promise.resolve() : view.apply(operations, checkpoint),
    })),
  ],
  [
    'no cursor',
    [CHECKPOINT],
    withView((view) => ({
      apply: (operations, { restoreId, phase, version }) => view.apply(operations, { restoreId, phase, version }),
    })),
  ],
  [
    'versions that were numbers',
    [CHECKPOINT],
    withView((view) => ({
      apply: (operations, checkpoint) =>
        view.apply(operations, { ...checkpoint, version: BigInt(Number(checkpoint.version)) }),
    })),
  ],
  ['an isEmpty that looks at everything', [IS_EMPTY], (target) => ({ isEmpty: async () => target.size === 0 })],
  [
    'an isEmpty that is false once a checkpoint is there',
    [IS_EMPTY],
    (target) => ({ isEmpty: async (range) => (await target.checkpoint()) === undefined && target.isEmpty(range) }),
  ],
  [
    'limits of operations that it does not keep to',
    [MOST_OPERATIONS],
    withLimits({ operations: 20, bytes: 10_000 }, (operations) => operations.length < 20),
  ],
  [
    'limits that leave no room for a clear that is cut around every key in it',
    [MOST_OPERATIONS],
    withLimits(
      { operations: 20, bytes: 10_000 },
      ([first, ...rest]) => first?.type !== 'clear' || first.end.length > first.begin.length || rest.length < 10,
    ),
  ],
  [
    'limits of bytes that leave no room for the checkpoint',
    [MOST_BYTES],
    withLimits(
      { operations: 20, bytes: 10_000 },
      (operations, { cursor = '' }) =>
        operations.reduce((sum, operation) => sum + operationBytes(operation), cursor.length) <= 10_000,
    ),
  ],
  ['a target that keeps what it is given', [COPIED], keepsMemory],
  ['an apply that does half of it and fails', [ATOMIC], halfApplied],
  ['a checkpoint that is stored before the rows', [ATOMIC], checkpointFirst],
  ['shards with the checkpoint of the target', [BESIDE], (target) => ({ shard: () => target })],
  ['shards with rows of their own', [BESIDE], ownRows],
  ['shards that begin anew each time', [SAME_NAME], newShards],
  ['shard names that are cut', [SAME_NAME], (target) => ({ shard: (name) => target.shard(name.slice(0, 6)) })],
  ['shards of which the one loses what the other does', [AT_ONCE], lostUpdates],
  ['shards that are gone when it is opened anew', [REOPENED], forgottenShards()],
];

describe('the restore target suite finds', () => {
  it.each(mistakes)('%s', async (_mistake, found, change) => {
    const failed: string[] = [];
    for (const { name, run } of restoreTargetSuite(() => openMemory(change)))
      await run().catch(() => failed.push(name));
    expect(failed).toEqual(expect.arrayContaining(found));
  });

  it('rows that are gone when it is opened anew', async () => {
    const open = () => ({ target: new MemoryRestoreTarget(), reopen: () => new MemoryRestoreTarget() });
    const failed: string[] = [];
    for (const { name, run } of restoreTargetSuite(open, { failures: false }))
      await run().catch(() => failed.push(name));
    expect(failed).toEqual([REOPENED]);
  });

  it('with every case something', () => {
    const found = new Set(mistakes.flatMap(([, names]) => names));
    expect(restoreTargetSuite(() => openMemory()).filter(({ name }) => !found.has(name))).toEqual([]);
  });
});
