// A restore whose files go while it reads: it lists again, and goes on where it was.

import { describe, expect, it } from 'vitest';
import { MemoryContainer } from '../../src/container/memory-container.js';
import { systemClock } from '../../src/core/clock.js';
import { BackupError } from '../../src/core/errors.js';
import { LISTING_LAG } from '../../src/ports/backup-container.js';
import type { ListedFile } from '../../src/ports/backup-container.js';
import { compactLogs } from '../../src/restore/compact.js';
import { restore } from '../../src/restore/restore.js';
import { takeSnapshot } from '../../src/snapshot/take-snapshot.js';
import { MemoryRangeSource } from '../../src/testing/memory-range-source.js';
import { MemoryRestoreTarget } from '../../src/testing/memory-restore-target.js';
import { set } from '../format/encode-log-file.js';
import { HastyClock } from '../snapshot/faulty.js';
import { newContainer, putLog, putMarker } from './container-builder.js';

/** Its listings are those of a moment ago, until they have been read so often. */
class LaggingContainer extends MemoryContainer {
  override readonly listingLag: number = LISTING_LAG;
  old: readonly ListedFile[] = [];
  oldListings = 0;

  override async *listFiles(prefix: string): AsyncIterable<ListedFile> {
    if (this.oldListings === 0) yield* super.listFiles(prefix);
    else {
      if (prefix === 'plogs/') this.oldListings--;
      for (const file of this.old) if (file.name.startsWith(prefix)) yield file;
    }
  }
}

async function compactedBackup(oldListings: number) {
  const container = new LaggingContainer();
  await container.create();
  await putMarker(container);
  for (let begin = 1n; begin < 100n; begin += 9n) {
    const record = { version: begin, subsequence: 1, mutation: set('a', String(begin)) };
    await putLog(container, { begin, end: begin + 9n, tag: 0, totalTags: 1 }, [record]);
  }
  const old: ListedFile[] = [];
  for await (const file of container.listFiles('')) old.push(file);
  const { removed } = await compactLogs(container, { graceMs: 0, keepNewest: 0 });
  expect(removed).toBe(11);
  container.old = old;
  container.oldListings = oldListings;
  return container;
}

describe('a restore', () => {
  it.each([1, 3])('lists again when listed files are gone, %i times', async (oldListings) => {
    const container = await compactedBackup(oldListings);
    const target = new MemoryRestoreTarget();
    const { version } = await restore({ container, target, version: 'latest', clock: new HastyClock() });
    expect(version).toBe(99n);
    expect([...target.rows()].map(({ value }) => Buffer.from(value).toString())).toEqual(['91']);
  });

  it('is one run all the same: it counts what all its looks have done, and goes on with nothing but itself', async () => {
    const container = await newContainer();
    await putMarker(container, { logOnly: false });
    await putLog(container, { begin: 1n, end: 100n, tag: 0, totalTags: 1 });
    const source = new MemoryRangeSource({ borders: [Buffer.from('m')], version: 30n });
    const keys = ['a', 'b', 'n', 'z'];
    source.commit(keys.map((key) => ({ mutation: set(key, 'x'.repeat(40)) })));
    const { files } = await takeSnapshot({ source, container, ranges: [], maxFileSize: 60 });
    const late = files.at(-1)!.name;
    const target = new MemoryRestoreTarget();
    const readFile = container.readFile.bind(container);
    let isGone = true;
    container.readFile = async (name, offset, length) => {
      if (name !== late || !isGone) return readFile(name, offset, length);
      isGone = false;
      while ([...target.rows()].length === 0) await systemClock.yieldToHost();
      throw new BackupError('FILE_NOT_FOUND', 'gone', { file: name });
    };
    const result = await restore({
      container,
      target,
      version: 'latest',
      clock: new HastyClock(),
      applyBytes: 1,
      readBytes: 32,
      shards: 1,
    });
    expect(isGone).toBe(false);
    expect([...target.rows()]).toHaveLength(4);
    expect(result).toMatchObject({ resumed: false, resumedAfter: undefined, rows: 4, operations: 4 });
  });

  it.each([
    [undefined, 10_000, 15_000],
    [600, 600, 900],
    [0, 0, 0],
  ])(
    'fails when they are listed for good: with a listing lag of %s after %i to %i ms',
    async (listingLag, least, most) => {
      const container = await compactedBackup(1_000);
      const target = new MemoryRestoreTarget();
      const clock = new HastyClock();
      const restoring = restore({ container, target, version: 'latest', clock, listingLag });
      await expect(restoring).rejects.toMatchObject({ code: 'FILE_NOT_FOUND' });
      expect(clock.now()).toBeGreaterThanOrEqual(least);
      expect(clock.now()).toBeLessThanOrEqual(most);
    },
  );

  it.each([
    [1, true],
    [2, false],
  ])(
    'whose container says that its listings are exact looks once more for a file that is gone: %i old listings',
    async (oldListings, isRestored) => {
      const container = await compactedBackup(oldListings);
      const target = new MemoryRestoreTarget();
      const clock = new HastyClock();
      const result = await restore({ container, target, version: 'latest', clock, listingLag: 0 }).catch(
        () => undefined,
      );
      expect(result?.version).toBe(isRestored ? 99n : undefined);
      expect(clock.now()).toBe(0);
    },
  );

  it('goes on beside one compaction after the other, although listings are exact', async () => {
    const container = await newContainer();
    await putMarker(container);
    for (let begin = 1n; begin < 9n; begin++) {
      const record = { version: begin, subsequence: 1, mutation: set(`k${begin}`, 'x') };
      await putLog(container, { begin, end: begin + 1n, tag: 0, totalTags: 1 }, [record]);
    }
    const readFile = container.readFile.bind(container);
    const gone: string[] = [];
    container.readFile = async (name, offset, length) => {
      // Three of the files go, each once, when its turn has come.
      if (!/^plogs.*log,[357],/.test(name) || gone.includes(name)) return readFile(name, offset, length);
      gone.push(name);
      throw new BackupError('FILE_NOT_FOUND', 'gone', { file: name });
    };
    const target = new MemoryRestoreTarget();
    await restore({ container, target, version: 'latest', readBytes: 1 });
    expect(gone).toHaveLength(3);
    expect([...target.rows()]).toHaveLength(8);
  });
});
