// A restore whose files go while it reads: it lists again, and goes on where it was.

import { describe, expect, it } from 'vitest';
import { MemoryContainer } from '../../src/container/memory-container.js';
import type { ListedFile } from '../../src/ports/backup-container.js';
import { compactLogs } from '../../src/restore/compact.js';
import { restore } from '../../src/restore/restore.js';
import { MemoryRestoreTarget } from '../../src/testing/memory-restore-target.js';
import { set } from '../format/encode-log-file.js';
import { HastyClock } from '../snapshot/faulty.js';
import { putLog, putMarker } from './container-builder.js';

/** Its listings are those of a moment ago, until they have been read so often. */
class LaggingContainer extends MemoryContainer {
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

  it('fails when they are listed for good', async () => {
    const container = await compactedBackup(1_000);
    const target = new MemoryRestoreTarget();
    const restoring = restore({ container, target, version: 'latest', clock: new HastyClock() });
    await expect(restoring).rejects.toMatchObject({ code: 'FILE_NOT_FOUND' });
  });
});
