// A container whose listings lag: what was finished a moment ago is missing from them, what was deleted a moment ago is still there. Everything that is read is exact.

import { describe, expect, it } from 'vitest';
import { MemoryContainer } from '../../src/container/memory-container.js';
import { utf8 } from '../../src/core/bytes.js';
import { logFileName } from '../../src/format/fdb/names.js';
import { SNAPSHOT_PART_PREFIX } from '../../src/format/fdb/snapshot-part.js';
import type { JobRecord } from '../../src/job/records.js';
import type { ListedFile } from '../../src/ports/backup-container.js';
import { describeBackup } from '../../src/restore/describe.js';
import { verifyBackup } from '../../src/restore/verify.js';
import { listHalfSnapshots, listOrphanRangeFiles } from '../../src/snapshot/abandoned.js';
import { joinHalfSnapshot } from '../../src/snapshot/half-snapshot.js';
import { takeSnapshot } from '../../src/snapshot/take-snapshot.js';
import { MemoryRangeSource } from '../../src/testing/memory-range-source.js';
import { openJobContainer } from '../../src/worker/job-container.js';
import { HastyClock } from './faulty.js';
import { checkSnapshot, fileNames, key, manyRows } from './world.js';

/** Listings are those of the moment at which `freeze` was called. */
class LaggingContainer extends MemoryContainer {
  #frozen: readonly ListedFile[] | undefined;

  async freeze(): Promise<void> {
    const files: ListedFile[] = [];
    for await (const file of super.listFiles('')) files.push(file);
    this.#frozen = files;
  }

  thaw(): void {
    this.#frozen = undefined;
  }

  override async *listFiles(prefix: string): AsyncIterable<ListedFile> {
    if (this.#frozen === undefined) yield* super.listFiles(prefix);
    else for (const file of this.#frozen) if (file.name.startsWith(prefix)) yield file;
  }
}

/** A database in two regions; its container; `base` takes a snapshot of it into two files. */
function setUp() {
  const source = new MemoryRangeSource({ borders: [key('k000050')], version: 10n });
  source.commit(manyRows(100, 10));
  const container = new LaggingContainer();
  const clock = new HastyClock();
  return { source, container, clock, base: { source, container, ranges: [], clock, numThreads: 1, batchSize: 1 } };
}

/** Stops when the second range file is to be written; the first one is recorded. */
async function cutOff() {
  const parts = setUp();
  const { container, base } = parts;
  const writeFile = container.writeFile.bind(container);
  let files = 0;
  container.writeFile = (name, options) => {
    if (name.startsWith('kvranges/') && ++files === 2) return Promise.reject(new Error('cut off'));
    return writeFile(name, options);
  };
  await expect(takeSnapshot({ ...base, maxAttempts: 1 })).rejects.toMatchObject({ code: 'SNAPSHOT_INCOMPLETE' });
  container.writeFile = writeFile;
  return parts;
}

describe('listings that lag', () => {
  it('do not keep a snapshot from being published, although none of its files is listed yet', async () => {
    const { source, container, base } = setUp();
    await container.create();
    await container.freeze();
    const result = await takeSnapshot(base);
    container.thaw();
    await checkSnapshot(container, source, result);
  });

  it('do not make a snapshot name a range file that has been deleted', async () => {
    const { source, container, base } = await cutOff();
    const [stored] = await fileNames(container, 'kvranges/');
    await container.freeze();
    await container.deleteFile(stored!);
    const result = await takeSnapshot(base);
    container.thaw();
    await checkSnapshot(container, source, result);
    expect(result).toMatchObject({ resumedFiles: 0 });
    expect(result.files.map(({ name }) => name)).not.toContain(stored);
  });

  it('do not bring a half snapshot back that has been given up', async () => {
    const { container, base } = await cutOff();
    const [half] = await listHalfSnapshots(container);
    await container.freeze();
    for (const name of half!.entries) await container.deleteFile(name);
    const access = {
      policy: {
        ...base,
        random: { next: () => 0.5, uid: () => 'a'.repeat(32) },
        retryMinDelay: 1,
        retryMaxDelay: 1,
        maxAttempts: 2,
      },
      signal: new AbortController().signal,
    };
    expect(await joinHalfSnapshot({ container, random: access.policy.random }, half!, access)).toBeUndefined();
    container.thaw();
    expect(await fileNames(container, SNAPSHOT_PART_PREFIX)).toEqual([]);
  });

  it('make no orphans of the files of a half snapshot whose first entry is not listed yet', async () => {
    const { container } = await cutOff();
    const clock = new HastyClock();
    const sleep = clock.sleep.bind(clock);
    // The listing catches up while somebody waits for it.
    clock.sleep = (ms, signal) => {
      container.thaw();
      return sleep(ms, signal);
    };
    const entries = await fileNames(container, SNAPSHOT_PART_PREFIX);
    const bytes = await Promise.all(entries.map((name) => container.readFile(name, 0, 100_000)));
    for (const name of entries) await container.deleteFile(name);
    await container.freeze();
    for (const [index, name] of entries.entries()) {
      const file = await container.writeFile(name);
      await file.append([bytes[index]!]);
      await file.finish();
    }
    expect(await listOrphanRangeFiles(container, { clock })).toEqual([]);
    await container.freeze();
    expect(await listOrphanRangeFiles(container, { listingLag: 0 })).toEqual([]);
  });

  it('do not damage a snapshot whose manifest is listed before its files', async () => {
    const { container, clock, base } = setUp();
    const result = await takeSnapshot(base);
    const files = await Promise.all(
      (await fileNames(container, 'kvranges/')).map(async (name) => ({
        name,
        bytes: await container.readFile(name, 0, 1 << 20),
      })),
    );
    for (const { name } of files) await container.deleteFile(name);
    await container.freeze();
    for (const { name, bytes } of files) {
      const file = await container.writeFile(name);
      await file.append([bytes]);
      await file.finish();
    }
    const description = await describeBackup(container, { clock });
    expect(description).toMatchObject({ problems: [], snapshots: [{ name: result.name, restorable: true, files: 2 }] });
    expect((await verifyBackup(container, { clock })).problems).toEqual([]);
  });

  it('do not list a snapshot whose manifest has been deleted, nor complain of it', async () => {
    const { container, clock, base } = setUp();
    const { name, files } = await takeSnapshot(base);
    await container.freeze();
    await container.deleteFile(name);
    await container.deleteFile(files[0]!.name);
    expect(await describeBackup(container, { clock })).toMatchObject({ problems: [], snapshots: [], windows: [] });
  });

  it('do not refuse a job for what has just been deleted from its container', async () => {
    const container = new LaggingContainer({ url: 'memory:job' });
    await container.create();
    const place = { begin: 1n, end: 40n, uid: 'f'.repeat(32), tag: 0, totalTags: 1, blockSize: 1_048_576 };
    const file = await container.writeFile(logFileName(place));
    await file.append([utf8('x')]);
    await file.finish();
    await container.freeze();
    await container.deleteFile(logFileName(place));
    const job: JobRecord = {
      uid: 'job',
      submission: 'a'.repeat(32),
      state: 'Submitted',
      url: 'memory:job',
      ranges: [],
      logOnly: true,
      firstVersion: 1n,
      startVersion: 1n,
    };
    await expect(openJobContainer(() => container, job)).resolves.toBe(container);
  });
});
