// A deep description reads for a long time. What others do to the container meanwhile is no damage.

import { describe, expect, it } from 'vitest';
import type { MemoryContainer } from '../../src/container/memory-container.js';
import { BackupError } from '../../src/core/errors.js';
import type { BackupContainer } from '../../src/ports/backup-container.js';
import { compactLogs } from '../../src/restore/compact.js';
import { describeBackup } from '../../src/restore/describe.js';
import { takeSnapshot } from '../../src/snapshot/take-snapshot.js';
import { MemoryRangeSource } from '../../src/testing/memory-range-source.js';
import { CrashingContainer } from '../care/crashing-container.js';
import { newContainer, putLog, putMarker } from './container-builder.js';
import { set } from '../format/encode-log-file.js';

async function backup() {
  const container = await newContainer();
  await putMarker(container);
  for (let begin = 1n; begin < 100n; begin += 9n) {
    const record = { version: begin, subsequence: 1, mutation: set('a', '1') };
    await putLog(container, { begin, end: begin + 9n, tag: 0, totalTags: 1 }, [record]);
  }
  return container;
}

/** Calls `change` before the read of each log file, with how many there have been. */
function racing(container: MemoryContainer, change: (reads: number) => Promise<unknown>): BackupContainer {
  const changing = new CrashingContainer(container, Infinity, 'before');
  let reads = 0;
  changing.readFile = async (name, offset, length) => {
    if (name.startsWith('plogs/')) await change(++reads);
    return container.readFile(name, offset, length);
  };
  return changing;
}

describe('a deep description', () => {
  it.each([1, 3, 7, 12])(
    'is that of the log as it is when file %i and all others are compacted meanwhile',
    async (at) => {
      const container = await backup();
      const before = await describeBackup(container, { deep: true });
      const compact = (reads: number) =>
        reads === at ? compactLogs(container, { graceMs: 0, keepNewest: 0 }) : Promise.resolve();
      const description = await describeBackup(racing(container, compact), { deep: true });
      expect(description).toMatchObject({ windows: before.windows, problems: [], gaps: [], complete: before.complete });
    },
  );

  it('ends when the files go on going', async () => {
    const container = await backup();
    const files: string[] = [];
    for await (const { name } of container.listFiles('plogs/')) files.push(name);
    let uid = 0;
    // Every file that is to be read is another one by then.
    const replace = async () => {
      for (const name of files.splice(0)) await container.deleteFile(name);
      const place = { begin: 1n, end: 100n, tag: 0, totalTags: 1, blockSize: 4096 + ++uid };
      files.push(await putLog(container, place, [{ version: 5n, subsequence: 1, mutation: set('a', '1') }]));
    };
    const error: unknown = await describeBackup(racing(container, replace), { deep: true }).catch((e: unknown) => e);
    expect(BackupError.is(error, 'FILE_NOT_FOUND')).toBe(true);
  });
});

it('a description asks for one file of a snapshot that has lost many, not for all', async () => {
  const container = await newContainer();
  await putMarker(container, { logOnly: false });
  const source = new MemoryRangeSource({ version: 30n });
  source.commit(Array.from({ length: 40 }, (_, i) => ({ mutation: set(String(100 + i), 'x'.repeat(60)) })));
  const { files } = await takeSnapshot({ source, container, ranges: [], maxFileSize: 60 });
  expect(files.length).toBeGreaterThan(20);
  for (const { name } of files.slice(2)) await container.deleteFile(name);
  const readFile = container.readFile.bind(container);
  const asked: string[] = [];
  container.readFile = (name, offset, length) => {
    if (name.startsWith('kvranges/')) asked.push(name);
    return readFile(name, offset, length);
  };
  const { problems } = await describeBackup(container);
  const [first] = asked;
  expect(problems).toMatchObject([{ message: expect.stringContaining(`the first is ${first}`) as string }]);
  expect(asked).toHaveLength(1);
});
