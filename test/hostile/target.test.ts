// Restore targets that break their contract: what a restore says, and when. docs/adapters.md has the table.

import { describe, expect, it } from 'vitest';
import type { RestoreCheckpoint, RestoreTarget } from '../../src/ports/restore-target.js';
import { failingWith, targetOf } from './helpers.js';
import type { Hostile } from './whole.js';
import { Own, runWhole } from './whole.js';

type TargetOf = NonNullable<Hostile['target']>;

const checkpointAs =
  (change: (checkpoint: RestoreCheckpoint | undefined) => unknown): TargetOf =>
  (target) =>
    targetOf(target, { checkpoint: async () => change(await target.checkpoint()) as RestoreCheckpoint | undefined });

/** Each is named: one of these texts is said. */
const named: Record<string, [TargetOf, RegExp]> = {
  'null for keys without a value': [
    (target) => targetOf(target, { read: async (keys) => keys.map(() => null as never) }),
    /RestoreTarget\.read .*it gave null as a value/,
  ],
  'too few values': [
    (target) => targetOf(target, { read: async () => [] }),
    /RestoreTarget\.read .*it gave 0 values for/,
  ],
  'no values': [
    (target) => targetOf(target, { read: async () => undefined as never }),
    /RestoreTarget\.read .*not an array/,
  ],
  'texts for values': [
    (target) => targetOf(target, { read: async (keys) => keys.map(() => 'v' as never) }),
    /RestoreTarget\.read .*it gave "v" as a value/,
  ],
  'no checkpoint ever': [
    checkpointAs(() => undefined),
    /RestoreTarget\.checkpoint .*does not give the checkpoint of the last apply/,
  ],
  'an older checkpoint': [
    (target) => {
      const seen: RestoreCheckpoint[] = [];
      return targetOf(target, {
        apply: async (operations, checkpoint) => {
          seen.push(checkpoint);
          await target.apply(operations, checkpoint);
        },
        checkpoint: async () => seen[0],
      });
    },
    /RestoreTarget\.checkpoint .*does not give the checkpoint of the last apply/,
  ],
  'a checkpoint without its cursor or version': [
    checkpointAs((checkpoint) => checkpoint && { restoreId: checkpoint.restoreId }),
    /RestoreTarget\.checkpoint .*no checkpoint/,
  ],
  'versions as numbers': [
    checkpointAs((checkpoint) => checkpoint && { ...checkpoint, version: Number(checkpoint.version) }),
    /RestoreTarget\.checkpoint .*no checkpoint/,
  ],
  'null for a checkpoint': [
    checkpointAs((checkpoint) => checkpoint ?? null),
    /RestoreTarget\.checkpoint .*no checkpoint/,
  ],
  'isEmpty as a number': [
    (target) => targetOf(target, { isEmpty: async () => 0 as never }),
    /RestoreTarget\.isEmpty .*it answered 0/,
  ],
  'a target that says that it is full': [
    (target) => targetOf(target, { isEmpty: async () => false }),
    /TARGET_NOT_EMPTY/,
  ],
  'an apply that fails with nothing': [
    (target) => targetOf(target, { apply: () => failingWith(undefined) }),
    /RestoreTarget\.apply .*it failed with undefined/,
  ],
  'an apply that throws at once': [
    (target) =>
      targetOf(target, {
        apply: () => {
          throw new Own('at once');
        },
      }),
    /restore .*at once/,
  ],
  'shards that are none': [
    (target) => targetOf(target, { shard: () => undefined as never }),
    /RestoreTarget\.shard .*it gave undefined for "shard-0", which has no function read/,
  ],
};

describe('a restore target with', () => {
  it.each(Object.entries(named))('%s is named', async (_name, [target, text]) => {
    const { said } = await runWhole({ target });
    expect(said.filter((line) => text.test(line))).not.toEqual([]);
  });

  it('an apply that does half of it and fails: the restore fails, and says so each time', async () => {
    const half: TargetOf = (target): RestoreTarget =>
      targetOf(target, {
        apply: async (operations) => {
          const before = await target.checkpoint();
          await target.apply(
            operations.slice(0, Math.ceil(operations.length / 2)),
            before ?? { restoreId: '', phase: 'rows', version: 0n },
          );
          throw new Own('half of it is done');
        },
      });
    const { said, exact } = await runWhole({ target: half });
    expect(exact).toBe(0);
    expect(said.some((line) => /restore .*half of it is done/.test(line))).toBe(true);
  });
});
