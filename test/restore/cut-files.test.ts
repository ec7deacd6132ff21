// Log files that lost their end where no record shows it: between two of them, or all of it. Only the recorded checksums know.

import { describe, expect, it } from 'vitest';
import { parseLogFileName } from '../../src/format/fdb/names.js';
import { describeBackup } from '../../src/restore/describe.js';
import { recordChecksums } from '../../src/restore/record-checksums.js';
import { restoreSet } from '../../src/restore/restore-set.js';
import { restore } from '../../src/restore/restore.js';
import { MemoryRestoreTarget } from '../../src/testing/memory-restore-target.js';
import { set } from '../format/encode-log-file.js';
import { newContainer, put, putLog, putMarker } from './container-builder.js';

/** Two files of one tag; of the second one only so many bytes are left. */
async function cutTo(bytes: number) {
  const container = await newContainer();
  await putMarker(container);
  const place = { tag: 0, totalTags: 1 };
  await putLog(container, { begin: 1n, end: 20n, ...place }, [
    { version: 10n, subsequence: 1, mutation: set('a', '1') },
  ]);
  const name = await putLog(container, { begin: 20n, end: 50n, ...place }, [
    { version: 20n, subsequence: 1, mutation: set('b', '1') },
    { version: 30n, subsequence: 1, mutation: set('c', '1') },
  ]);
  await putLog(container, { begin: 50n, end: 60n, ...place });
  await recordChecksums(container);
  const content = await container.readFile(name, 0, 1000);
  await put(container, name, content.slice(0, bytes));
  return { container, name };
}

const RECORD = 16 + 9 + 2;

describe.each([
  ['all of its bytes', 0],
  ['its last record', 4 + RECORD],
])('a log file that lost %s', (_, bytes) => {
  it('is not taken for one that was written so', async () => {
    const { container, name } = await cutTo(bytes);
    const target = new MemoryRestoreTarget();
    const error = { code: 'CHECKSUM_MISMATCH', file: name, offset: bytes };
    await expect(restore({ container, target, version: 40n })).rejects.toMatchObject(error);
    // Versions before it are not concerned.
    await restore({ container, target, version: 15n, clearTarget: true });
    expect(target.size).toBe(1);
  });

  it('is found by a deep description, which does not count on it', async () => {
    const { container, name } = await cutTo(bytes);
    const description = await describeBackup(container, { deep: true });
    expect(description).toMatchObject({
      windows: [{ min: 1n, max: 19n }],
      problems: [{ kind: 'corrupt-file', file: name, offset: bytes }],
      gaps: [{ kind: 'corrupt', begin: 20n, end: 50n }],
    });
  });
});

describe('a log file without bytes', () => {
  it('that has lost them is found before anything is written', async () => {
    const { container, name } = await cutTo(0);
    const target = new MemoryRestoreTarget();
    await expect(restore({ container, target, version: 55n })).rejects.toMatchObject({ file: name });
    expect(target.applies).toBe(0);
    await expect(restoreSet({ container, version: 55n })).rejects.toMatchObject({ code: 'CHECKSUM_MISMATCH' });
  });

  it('that was written so is restored from, and its versions are there', async () => {
    const { container, name } = await cutTo(1000);
    expect(parseLogFileName(name)).toMatchObject({ end: 50n });
    const target = new MemoryRestoreTarget();
    await restore({ container, target, version: 55n });
    expect(target.size).toBe(3);
  });
});
