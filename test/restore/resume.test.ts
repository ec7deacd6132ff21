// A restore that is cut off goes on as it was begun, whatever the second call is told and whatever became of the container in between.

import { describe, expect, it } from 'vitest';
import { NORMAL_KEYS } from '../../src/core/key-range.js';
import { expireBackup } from '../../src/restore/expire.js';
import { restoreSet } from '../../src/restore/restore-set.js';
import { restore } from '../../src/restore/restore.js';
import { planShards } from '../../src/restore/shard-plan.js';
import { MemoryRestoreTarget } from '../../src/testing/memory-restore-target.js';
import { newContainer, putLog, putMarker } from './container-builder.js';
import { putSnapshotOf } from './snapshot-model.js';

/** One range file per number, of about so many rows of a hundred bytes; the first one has them all in one row. */
async function backupOfFiles(sizes: readonly number[]) {
  const container = await newContainer();
  await putMarker(container, { logOnly: false });
  const key = (i: number) => (i === 0 ? Buffer.alloc(0) : Buffer.from([i === sizes.length ? 0xff : i * 10]));
  const parts = sizes.map((size, i) => ({
    range: { begin: key(i), end: key(i + 1) },
    version: 10n,
    rows:
      i === 0
        ? [[Buffer.from([1]), Buffer.alloc(size * 100)] as const]
        : Array.from({ length: size }, (_, k) => [Buffer.from([i * 10, k]), Buffer.alloc(93)] as const),
  }));
  await putSnapshotOf(container, parts);
  await putLog(container, { begin: 1n, end: 100n, tag: 0, totalTags: 1 });
  return { container, rows: parts.reduce((sum, part) => sum + part.rows.length, 0) };
}

describe('shards of a resumed restore', () => {
  it.each([
    ['as many shards, cut elsewhere, if as many were wanted as there are', [60, 10, 70, 90]],
    ['fewer shards, if as many were wanted as there are', [27, 6, 67]],
  ])('are those that it began with: %s', async (_, sizes) => {
    const { container, rows } = await backupOfFiles(sizes);
    const set = await restoreSet({ container, version: 50n });
    const cuts = (count: number) => planShards(set, count).map(({ pieces }) => pieces.length);
    expect(cuts(4)).not.toEqual(cuts(cuts(4).length));
    for (let applies = 5; applies < 130; applies += 3) {
      let left = applies;
      const target = new MemoryRestoreTarget({
        afterApply: () => {
          if (--left === 0) throw new Error('killed');
        },
      });
      const options = { container, target, version: 50n, applyBytes: 1 };
      await restore(options).catch((error: unknown) => expect((error as Error).message).toBe('killed'));
      await restore({ ...options, shards: 2 });
      expect(target.size, `killed after ${applies} applies`).toBe(rows);
    }
  });
});

describe('a restore that is done', () => {
  it('is done although its snapshot has expired since, and another one would be taken now', async () => {
    const container = await newContainer();
    await putMarker(container, { logOnly: false });
    const at = (version: bigint) =>
      putSnapshotOf(container, [{ range: NORMAL_KEYS, version, rows: [[Buffer.from('a'), Buffer.from('1')]] }]);
    const first = await at(10n);
    await putLog(container, { begin: 1n, end: 100n, tag: 0, totalTags: 1 });
    const target = new MemoryRestoreTarget();
    const options = { container, target, version: 50n };
    expect(await restore(options)).toMatchObject({ snapshot: first.name, resumed: false, rows: 1 });
    const applies = target.applies;
    const second = await at(20n);
    for (const before of [0n, 15n]) {
      await expireBackup(container, { before });
      expect(await restore(options)).toMatchObject({ snapshot: first.name, resumedAfter: 50n, operations: 0, rows: 0 });
    }
    expect(target.applies).toBe(applies);
    expect(await restore({ ...options, clearTarget: true })).toMatchObject({ snapshot: second.name, rows: 1 });
    await expect(restore({ ...options, version: 51n })).rejects.toMatchObject({ code: 'TARGET_NOT_EMPTY' });
  });
});
