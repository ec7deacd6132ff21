// Restores from snapshots against a model: random histories, snapshots whose files were read at different versions, every version that describe claims.

import { describe, expect, it } from 'vitest';
import { fromHex, toHex } from '../../src/core/bytes.js';
import type { KeyRange } from '../../src/core/key-range.js';
import { NORMAL_KEYS, rangeContains } from '../../src/core/key-range.js';
import { describeBackup } from '../../src/restore/describe.js';
import type { RestoreOptions } from '../../src/restore/restore.js';
import { restore } from '../../src/restore/restore.js';
import { MemoryRestoreTarget } from '../../src/testing/memory-restore-target.js';
import { newContainer, putMarker } from './container-builder.js';
import type { Rows } from './log-model.js';
import { SeededRandom, randomHistory, randomLimits, rowsAt, writeHistory } from './log-model.js';
import { putSnapshotOf, randomParts } from './snapshot-model.js';

const epochs = [
  { begin: 1n, end: 60n, totalTags: 3 },
  { begin: 60n, end: 120n, totalTags: 2 },
];

const rowsOf = (target: MemoryRestoreTarget): Rows =>
  new Map([...target.rows()].map(({ key, value }) => [toHex(key), toHex(value)]));

/** A container of a random history with up to four snapshots. */
async function randomBackup(seed: number) {
  const random = new SeededRandom(seed);
  const ranges: KeyRange[] =
    random.below(3) === 0
      ? [
          { begin: Buffer.from([0, 3]), end: Buffer.from([1, 2]) },
          { begin: Buffer.from([2]), end: Buffer.from([3, 5]) },
        ]
      : [];
  const container = await newContainer();
  if (ranges.length > 0 || random.below(4) > 0) await putMarker(container, { ranges, logOnly: false });
  const history = randomHistory(random, epochs, 25);
  await writeHistory(container, random, epochs, history);
  const at = (version: bigint) => rowsAt(history, version);
  const stored = ranges.length === 0 ? [NORMAL_KEYS] : ranges;
  for (let i = random.below(4); i >= 0; i--) {
    const from = 1n + BigInt(random.below(100));
    const parts = randomParts(random, at, { from, to: from + BigInt(random.below(15)) }, stored);
    await putSnapshotOf(container, parts, { sums: random.below(2) === 0, keyRanges: random.below(4) > 0 });
  }
  const has = (list: readonly KeyRange[]) => (key: Uint8Array) => list.some((range) => rangeContains(range, key));
  return { random, container, history, stored, expected: (version: bigint) => rowsAt(history, version, has(stored)) };
}

function randomSizes(random: SeededRandom): Pick<RestoreOptions, 'applyBytes' | 'readBytes' | 'shards'> {
  return {
    applyBytes: random.pick([1, 60, 1000, 1 << 20]),
    readBytes: random.pick([1, 300, 1 << 20]),
    shards: 1 + random.below(5),
  };
}

describe('a restore from snapshots', () => {
  it('rebuilds every version that describe claims, exactly', async () => {
    let snapshots = 0;
    for (let seed = 1; seed <= 40; seed++) {
      const { random, container, expected } = await randomBackup(seed);
      const { windows } = await describeBackup(container);
      for (const { min, max } of windows) {
        for (const version of new Set([min, max, min + BigInt(random.below(Number(max - min) + 1))])) {
          const target = new MemoryRestoreTarget({ limits: randomLimits(random) });
          const result = await restore({ container, target, version, ...randomSizes(random) });
          expect(rowsOf(target), `seed ${seed}, version ${version}`).toEqual(expected(version));
          expect(await target.checkpoint()).toMatchObject({ phase: 'done', version });
          snapshots += result.snapshot === undefined ? 0 : 1;
        }
      }
    }
    expect(snapshots).toBeGreaterThan(100);
  });

  it.each(['before', 'after'] as const)('goes on when the process dies %s any of its applies', async (when) => {
    let resumedInRows = 0;
    let resumedInLog = 0;
    let sharded = 0;
    // The last two once planned other shards when they went on.
    for (const seed of [...Array.from({ length: 25 }, (_, i) => 101 + i), 2013, 2085]) {
      const { random, container, expected } = await randomBackup(seed);
      const { maxRestorable: version } = await describeBackup(container);
      let left = 0;
      const die = () => {
        if (--left < 0) throw new Error('killed');
      };
      const limits = randomLimits(random);
      const target = new MemoryRestoreTarget({ limits, [when === 'before' ? 'beforeApply' : 'afterApply']: die });
      const sizes = { ...randomSizes(random), applyBytes: random.pick([1, 40, 200]) };
      for (let runs = 0; ; runs++) {
        expect(runs).toBeLessThan(3000);
        left = random.below(6);
        try {
          const result = await restore({ container, target, version: version!, ...sizes, shards: 1 + random.below(5) });
          if (result.resumedAfter !== undefined) resumedInLog++;
          break;
        } catch (error) {
          expect((error as Error).message, `seed ${seed}`).toBe('killed');
        }
        const checkpoint = await target.checkpoint();
        if (checkpoint?.phase === 'rows') resumedInRows++;
        if (checkpoint?.cursor?.startsWith('shards:') === true) sharded++;
      }
      expect(rowsOf(target), `seed ${seed}`).toEqual(expected(version!));
    }
    expect([resumedInRows > 50, resumedInLog > 5, sharded > 20]).toEqual([true, true, true]);
  });

  it('restores the wanted ranges only, and puts keys elsewhere, whatever the shards', async () => {
    for (let seed = 201; seed <= 240; seed++) {
      const { random, container, history, stored } = await randomBackup(seed);
      const { minRestorable, maxRestorable } = await describeBackup(container);
      const version = random.pick([minRestorable!, maxRestorable!]);
      const ranges = [
        { begin: Buffer.from([0, 1]), end: Buffer.from([0, 7, 1]) },
        { begin: Buffer.from([2, random.below(4)]), end: Buffer.from([3, 1]) },
      ];
      const removePrefix = random.pick([undefined, Uint8Array.of(2)]);
      const addPrefix = random.pick([undefined, Uint8Array.of(2, 0x70)]);
      const target = new MemoryRestoreTarget({ limits: randomLimits(random) });
      const options = removePrefix === undefined ? { ranges, addPrefix } : { removePrefix, addPrefix };
      await restore({ container, target, version, ...options, ...randomSizes(random) });
      const wanted = removePrefix === undefined ? ranges : [{ begin: removePrefix, end: Uint8Array.of(3) }];
      const inAll = (key: Uint8Array) => [wanted, stored].every((list) => list.some((r) => rangeContains(r, key)));
      const moved = [...rowsAt(history, version, inAll)].map(([key, value]) => [
        toHex(addPrefix ?? fromHex('')) + (removePrefix === undefined ? key : key.slice(2)),
        value,
      ]);
      expect([...rowsOf(target)], `seed ${seed}`).toEqual(moved);
    }
  });
});
