// Two log files hold the same versions (rule P13), and one of them is damaged.

import { describe, expect, it } from 'vitest';
import { describeBackup } from '../../src/restore/describe.js';
import { recordChecksums } from '../../src/restore/record-checksums.js';
import { restoreSet } from '../../src/restore/restore-set.js';
import { restore } from '../../src/restore/restore.js';
import { MemoryRestoreTarget } from '../../src/testing/memory-restore-target.js';
import { add } from '../format/encode-log-file.js';
import { newContainer, put, putLog, putMarker } from './container-builder.js';

/** The damaged one reaches further than the sound one; a third one goes on from there. */
async function backup() {
  const container = await newContainer();
  await putMarker(container);
  const records = [10n, 20n, 30n, 40n].map((version) => ({ version, subsequence: 1, mutation: add('a', 1) }));
  const write = (begin: bigint, end: bigint) =>
    putLog(
      container,
      { begin, end, tag: 0, totalTags: 1 },
      records.filter(({ version }) => version >= begin && version < end),
    );
  await write(1n, 25n);
  const damaged = await write(1n, 35n);
  await write(25n, 50n);
  await recordChecksums(container);
  const bytes = await container.readFile(damaged, 0, 1000);
  bytes[60]! ^= 1;
  await put(container, damaged, bytes);
  return { container, damaged };
}

describe('a damaged log file whose versions others hold', () => {
  it('is done without if every file is checked first: what a deep description calls restorable can be restored', async () => {
    const { container, damaged } = await backup();
    const { windows } = await describeBackup(container, { deep: true });
    expect(windows).toEqual([{ min: 1n, max: 49n, snapshot: undefined }]);
    const target = new MemoryRestoreTarget();
    await restore({ container, target, version: 45n, deep: true });
    expect([...target.rows()].map(({ value }) => value[0])).toEqual([4]);
    const { tags } = await restoreSet({ container, version: 45n, deep: true });
    expect(tags.flatMap(({ pieces }) => pieces).map(({ file }) => file.name)).not.toContain(damaged);
  });

  it('ends a restore that does not check first, which then goes on without it', async () => {
    const { container, damaged } = await backup();
    const target = new MemoryRestoreTarget();
    const options = { container, target, version: 45n, applyBytes: 1 };
    await expect(restore(options)).rejects.toMatchObject({ code: 'CHECKSUM_MISMATCH', file: damaged });
    await restore({ ...options, deep: true });
    expect([...target.rows()].map(({ value }) => value[0])).toEqual([4]);
  });
});
