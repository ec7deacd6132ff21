// A container without a job's marker does not say which keys it is a backup of. Its snapshots do, together.

import { describe, expect, it } from 'vitest';
import type { KeyRange } from '../../src/core/key-range.js';
import { describeBackup } from '../../src/restore/describe.js';
import { expireBackup } from '../../src/restore/expire.js';
import { restore } from '../../src/restore/restore.js';
import { MemoryRestoreTarget } from '../../src/testing/memory-restore-target.js';
import { newContainer, putLog } from './container-builder.js';
import { putSnapshotOf } from './snapshot-model.js';

const bytes = (text: string) => Buffer.from(text, 'latin1');
const range = (begin: string, end: string): KeyRange => ({ begin: bytes(begin), end: bytes(end) });
const part = (keys: KeyRange, version: bigint, key: string) => ({
  range: keys,
  version,
  rows: [[bytes(key), bytes('1')] as const],
});

/** A whole snapshot at 10, and one at 20 of some keys only. `keyRanges`: whether the newer one's manifest names its keys. */
async function backup(keyRanges: boolean) {
  const container = await newContainer();
  const whole = await putSnapshotOf(container, [part(range('', 'm'), 10n, 'a'), part(range('m', '\xff'), 10n, 'n')]);
  const some = await putSnapshotOf(container, [part(range('', 'm'), 20n, 'a')], { keyRanges });
  await putLog(container, { begin: 1n, end: 100n, tag: 0, totalTags: 1 });
  return { container, whole: whole.name, some: some.name };
}

describe.each([
  ['whose manifest names its keys', true],
  ['with an old manifest', false],
])('a snapshot that lacks keys which another one has, %s,', (_, keyRanges) => {
  it('is passed over for what it does not have', async () => {
    const { container, whole, some } = await backup(keyRanges);
    for (const [ranges, rows, snapshot] of [
      [undefined, 2, whole],
      [[range('', '\xff')], 2, whole],
      [[range('k', 'p')], 1, whole],
      [[range('a', 'c')], 1, some],
    ] as const) {
      const target = new MemoryRestoreTarget();
      expect(await restore({ container, target, version: 50n, ranges })).toMatchObject({ snapshot });
      expect(target.size).toBe(rows);
    }
  });
});

describe('a snapshot that lacks keys which another one has', () => {
  it('is usable, not restorable, and says why', async () => {
    const { container, whole, some } = await backup(true);
    const { snapshots, windows } = await describeBackup(container);
    expect(snapshots).toMatchObject([
      { name: whole, restorable: true, missing: [] },
      { name: some, restorable: false, usable: true, reason: expect.stringMatching(/another snapshot has/) as string },
    ]);
    expect(windows).toEqual([{ min: 10n, max: 99n, snapshot: whole }]);
  });

  it('is none that an expiry leaves as the only one', async () => {
    const { container } = await backup(true);
    await expect(expireBackup(container, { before: 15n })).rejects.toMatchObject({ code: 'EXPIRE_REFUSED' });
  });

  it('serves for its own keys when there is no whole one at all', async () => {
    const container = await newContainer();
    await putSnapshotOf(container, [part(range('', 'm'), 10n, 'a')]);
    await putSnapshotOf(container, [part(range('m', '\xff'), 20n, 'n')]);
    await putLog(container, { begin: 1n, end: 100n, tag: 0, totalTags: 1 });
    const target = new MemoryRestoreTarget();
    await expect(restore({ container, target, version: 50n })).rejects.toMatchObject({ code: 'NOT_RESTORABLE' });
    for (const ranges of [[range('', 'm')], [range('m', '\xff')]])
      await restore({ container, target, version: 50n, ranges });
    expect(target.size).toBe(2);
  });
});
