// Snapshots that are cut off: what they leave, who may go on with it, and what becomes of the rest.

import { describe, expect, it } from 'vitest';
import { MemoryContainer } from '../../src/container/memory-container.js';
import { utf8 } from '../../src/core/bytes.js';
import { formatRange } from '../../src/core/key-range.js';
import { PROPERTY } from '../../src/format/fdb/properties.js';
import { SNAPSHOT_PART_PREFIX } from '../../src/format/fdb/snapshot-part.js';
import type { BackupContainer } from '../../src/ports/backup-container.js';
import { forgetHalfSnapshot, listHalfSnapshots, listOrphanRangeFiles } from '../../src/snapshot/abandoned.js';
import type { TakeSnapshotOptions } from '../../src/snapshot/snapshot-options.js';
import { type SnapshotResult, takeSnapshot } from '../../src/snapshot/take-snapshot.js';
import { MemoryRangeSource } from '../../src/testing/memory-range-source.js';
import { HastyClock } from './faulty.js';
import { checkSnapshot, fileNames, key, manyRows, set } from './world.js';

const DAY = 24 * 60 * 60 * 1000;

/** A database in four regions, and a container with a half snapshot of it at version 11: the first two of four files are recorded. */
async function cutOff(options: Partial<TakeSnapshotOptions> = {}) {
  const borders = [key('k000025'), key('k000050'), key('k000075')];
  const source = new MemoryRangeSource({ borders, version: 10n });
  source.commit(manyRows(100, 10));
  const container = new MemoryContainer();
  const clock = new HastyClock();
  const base = { source, container, ranges: [], clock, numThreads: 1, batchSize: 1 };
  const stop = new AbortController();
  let parts = 0;
  const writeFile = container.writeFile.bind(container);
  container.writeFile = async (name, writeOptions) => {
    const file = await writeFile(name, writeOptions);
    // The first entry, and one for each of two files.
    if (name.startsWith(SNAPSHOT_PART_PREFIX) && ++parts === 3) {
      const finish = file.finish.bind(file);
      file.finish = async () => {
        await finish();
        stop.abort(new Error('cut off'));
      };
    }
    // Entries come one by one, not together.
    if (name.startsWith('kvranges/') && parts > 0)
      while (parts < 3 && (await filesSince()) > parts - 1) await Promise.resolve();
    return file;
  };
  const filesSince = async () => (await fileNames(container, 'kvranges/')).length;
  await expect(takeSnapshot({ ...base, ...options, signal: stop.signal })).rejects.toThrow('cut off');
  container.writeFile = writeFile;
  source.commit([set('k000000', 'later'), set('k000099', 'later')]);
  return { source, container, clock, base };
}

describe('a snapshot that was cut off', () => {
  it('has no manifest, and is resumed: its files stay as they are, and only what is missing is scanned', async () => {
    const { source, container, base } = await cutOff();
    expect(await fileNames(container, 'snapshots/')).toEqual([]);
    expect(source.heldVersions).toEqual([]);
    const [half] = await listHalfSnapshots(container);
    expect(half).toMatchObject({ snapshotBegin: 11n, startedAt: Date.UTC(2026, 5, 1) });
    const before = source.scans.length;
    const result = await takeSnapshot(base);
    await checkSnapshot(container, source, result);
    expect(result).toMatchObject({ resumedFiles: 2, beginVersion: 11n, endVersion: 12n, rows: 100 });
    expect(result.files.map(({ version }) => version)).toEqual([11n, 11n, 12n, 12n]);
    expect(source.scans.slice(before).map(({ range }) => formatRange(range))).toEqual([
      '["k000050", "k000075")',
      '["k000075", "\\xff")',
    ]);
    expect(await listHalfSnapshots(container)).toEqual([]);
  });

  it('is not resumed when that is not wanted, and then stays until it is forgotten', async () => {
    const { source, container, base } = await cutOff();
    const orphansBefore = await listOrphanRangeFiles(container, { listingLag: 0 });
    expect(orphansBefore).toEqual([]);
    const result = await takeSnapshot({ ...base, resume: false });
    expect(result).toMatchObject({ resumedFiles: 0, beginVersion: 12n });
    const halves = await listHalfSnapshots(container);
    expect(halves.length).toBe(1);
    expect(await listOrphanRangeFiles(container, { listingLag: 0 })).toEqual([]);
    await forgetHalfSnapshot(container, halves[0]!, { listingLag: 0 });
    await checkSnapshot(container, source, result);
    expect((await fileNames(container, 'kvranges/')).sort()).toEqual(result.files.map(({ name }) => name).sort());
  });

  it('is not resumed below the version that is asked for now', async () => {
    const { base } = await cutOff();
    expect(await takeSnapshot({ ...base, atLeast: 12n })).toMatchObject({ resumedFiles: 0, beginVersion: 12n });
  });

  it('is not resumed at a version below it: what is asked for is read at that version', async () => {
    const { source, container, base } = await cutOff();
    const result = await takeSnapshot({ ...base, version: 10n });
    expect(result).toMatchObject({ beginVersion: 10n, endVersion: 10n, resumedFiles: 0 });
    expect(result.files.every(({ name }) => name.startsWith('kvranges/snapshot.000000000000000010/'))).toBe(true);
    expect((await listHalfSnapshots(container)).length).toBe(1);
    expect(source.rowsAt(10n)).toEqual([]);
  });

  it('is resumed at a version above it without the files that are newer', async () => {
    const { source, container, base, clock } = await cutOff();
    const wanted = source.committed;
    // What is left of it, in part: one file of a newer version.
    source.commit([set('k000060', 'newer')]);
    const stop = new AbortController();
    const cut = { signal: stop.signal, onResponse: () => queueMicrotask(() => stop.abort(new Error('again'))) };
    await expect(takeSnapshot({ ...base, ...cut })).rejects.toThrow('again');
    const newer = (await fileNames(container, 'kvranges/')).filter((name) =>
      name.includes(`range,${source.committed},`),
    );
    expect(newer.length).toBeGreaterThan(0);
    const result = await takeSnapshot({ ...base, version: wanted, clock });
    await checkSnapshot(container, source, result);
    expect(result).toMatchObject({ beginVersion: 11n, endVersion: wanted, resumedFiles: 2 });
  });

  it('is not completed with files that were cleared away while it went on', async () => {
    const { source, container, base } = await cutOff();
    const [stored] = await fileNames(container, 'kvranges/');
    let isFirst = true;
    const onResponse = () => {
      if (isFirst) void container.deleteFile(stored!);
      isFirst = false;
    };
    await expect(takeSnapshot({ ...base, onResponse })).rejects.toMatchObject({
      code: 'SNAPSHOT_INCOMPLETE',
      file: stored,
      retryable: true,
    });
    expect(await fileNames(container, 'snapshots/')).toEqual([]);
    const result = await takeSnapshot(base);
    await checkSnapshot(container, source, result);
    expect(result.resumedFiles).toBe(3);
  });

  it('is not resumed below versions that are expired, or being expired', async () => {
    for (const name of [PROPERTY.unreliableEndVersion, PROPERTY.expiredEndVersion]) {
      for (const [end, resumedFiles] of [
        ['11', 2],
        ['12', 0],
      ] as const) {
        const { container, base } = await cutOff();
        const file = await container.writeFile(name);
        await file.append([utf8(end)]);
        await file.finish();
        expect((await takeSnapshot(base)).resumedFiles).toBe(resumedFiles);
      }
    }
  });

  it('is not completed when an expiry has passed it meanwhile, be it between its last look and its manifest', async () => {
    for (const moment of ['properties/tidemark_snapshot,', 'kvranges/'] as const) {
      const { container, base } = await cutOff();
      const writeFile = container.writeFile.bind(container);
      container.writeFile = async (name, options) => {
        if (name.startsWith(moment)) {
          const mark = await writeFile(PROPERTY.unreliableEndVersion);
          await mark.append([utf8('12')]);
          await mark.finish();
        }
        return writeFile(name, options);
      };
      await expect(takeSnapshot(base)).rejects.toMatchObject({
        code: 'SNAPSHOT_INCOMPLETE',
        retryable: true,
        version: 11n,
      });
      container.writeFile = writeFile;
      expect(await fileNames(container, 'snapshots/')).toEqual([]);
      expect(await takeSnapshot(base)).toMatchObject({ resumedFiles: 0, beginVersion: 12n });
    }
  });

  it('is not resumed after too long a time', async () => {
    for (const [wait, resumeWithin, resumedFiles] of [
      [DAY - 60_000, undefined, 2],
      [DAY + 1, undefined, 0],
      [2 * DAY, 3 * DAY, 2],
      [1000, 500, 0],
    ] as const) {
      const { clock, base } = await cutOff();
      await clock.sleep(wait);
      const options = resumeWithin === undefined ? base : { ...base, resumeWithin };
      expect((await takeSnapshot(options)).resumedFiles).toBe(resumedFiles);
    }
  });

  it('is not resumed as one of other ranges', async () => {
    const { base } = await cutOff();
    const ranges = [{ begin: key('k000025'), end: key('x') }];
    expect((await takeSnapshot({ ...base, ranges })).resumedFiles).toBe(0);
    expect((await takeSnapshot(base)).resumedFiles).toBe(2);
  });

  it('is resumed without the files that are gone, cut short, or whose record is damaged', async () => {
    for (const damage of ['gone', 'short', 'record'] as const) {
      const { source, container, base } = await cutOff();
      const [file] = await fileNames(container, 'kvranges/');
      const parts = (await fileNames(container, SNAPSHOT_PART_PREFIX)).filter((name) => /,[0-9a-f]{32}$/.test(name));
      const victim = damage === 'record' ? parts[0]! : file!;
      await container.deleteFile(victim);
      if (damage !== 'gone') {
        const rewritten = await container.writeFile(victim);
        await rewritten.append([utf8('{"files":[],"check":"00000000"}')]);
        await rewritten.finish();
      }
      const result = await takeSnapshot(base);
      await checkSnapshot(container, source, result);
      expect(result.resumedFiles).toBe(1);
    }
  });

  it('is not confused with one whose entries only could not be removed any more', async () => {
    const source = new MemoryRangeSource({ version: 10n });
    source.commit(manyRows(10, 10));
    const container = new MemoryContainer();
    const deleteFile = container.deleteFile.bind(container);
    for (const deletions of [0, 1]) {
      let left = deletions;
      container.deleteFile = (name) => (left-- > 0 ? deleteFile(name) : Promise.reject(new Error('away')));
      const base = { source, container, ranges: [], clock: new HastyClock(), maxAttempts: 2 };
      await expect(takeSnapshot(base)).rejects.toThrow('away');
      container.deleteFile = deleteFile;
      const before = await fileNames(container, 'snapshots/');
      source.commit([set('a', String(deletions))]);
      const result = await takeSnapshot(base);
      await checkSnapshot(container, source, result);
      expect(result).toMatchObject({ resumedFiles: 0, beginVersion: source.committed });
      expect((await fileNames(container, 'snapshots/')).length).toBe(before.length + 1);
      source.commit([set('b', String(deletions))]);
    }
    expect(await listOrphanRangeFiles(container, { listingLag: 0 })).toEqual([]);
  });

  it('is completed when only its manifest was missing, with the checksums that are there already', async () => {
    const source = new MemoryRangeSource({ version: 10n });
    source.commit(manyRows(10, 10));
    const container = new MemoryContainer();
    const writeFile = container.writeFile.bind(container);
    container.writeFile = (name, options) =>
      name.startsWith('snapshots/') ? Promise.reject(new Error('away')) : writeFile(name, options);
    const base = { source, container, ranges: [], clock: new HastyClock(), maxAttempts: 2 };
    await expect(takeSnapshot(base)).rejects.toThrow('away');
    container.writeFile = writeFile;
    source.commit([set('a', '1')]);
    const scans = source.scans.length;
    const result = await takeSnapshot(base);
    await checkSnapshot(container, source, result);
    expect(result).toMatchObject({ resumedFiles: 1, beginVersion: 11n, endVersion: 11n });
    expect(source.scans.length).toBe(scans);
  });

  it('leaves files that are found, even if they were never recorded, and none that is needed', async () => {
    const { container, base, clock } = await cutOff();
    // A file that was whole when the process ended, and not recorded yet.
    const stray = `kvranges/snapshot.000000000000000011/0/range,11,${'ab'.repeat(16)},1048576`;
    await (await container.writeFile(stray)).finish();
    expect(await listOrphanRangeFiles(container, { listingLag: 0 })).toEqual([]);
    const given = await listOrphanRangeFiles(container, { keepSince: clock.wallTime() + 1, listingLag: 0 });
    expect(given.length).toBeGreaterThanOrEqual(3);
    await takeSnapshot(base);
    expect((await listOrphanRangeFiles(container, { listingLag: 0 })).map(({ name }) => name)).toContain(stray);
    expect((await listOrphanRangeFiles(container, { listingLag: 0 })).length).toBe(
      (await fileNames(container, 'kvranges/')).length - 4,
    );
  });
});

describe('two processes that take a snapshot of one container at once', () => {
  it('do no damage, from nothing and from the same half snapshot', async () => {
    for (let round = 0; round < 4; round++) {
      const { source, container, base } = await cutOff();
      const isFresh = round % 2 === 0;
      const commit = round < 2;
      const results = await Promise.all(
        [1, 2].map(async (numThreads) => {
          const result = await takeSnapshot({ ...base, numThreads, resume: !isFresh });
          if (commit) source.commit([set(`x${numThreads}`, 'more')]);
          return result;
        }),
      );
      for (const name of new Set(results.map((result) => result.name))) {
        const result = results.find((each) => each.name === name && each.isNew) ?? results[0]!;
        const manifest = await fileNames(container, name);
        expect(manifest).toEqual([name]);
        const rangeFiles = await fileNames(container, 'kvranges/');
        expect(result.files.filter((file) => !rangeFiles.includes(file.name))).toEqual([]);
      }
      // The next one clears up, and is whole.
      source.commit([set('y', 'more')]);
      const last = await takeSnapshot({ ...base, resume: false });
      for (const half of await listHalfSnapshots(container))
        await forgetHalfSnapshot(container, half, { listingLag: 0 });
      await checkSnapshot(container, source, last);
    }
  });

  it('leave the checksums of the one whose manifest it is, when the other was a moment later', async () => {
    const source = new MemoryRangeSource({ version: 10n });
    source.commit(manyRows(10, 10));
    const container = new MemoryContainer();
    const base = { source, container, ranges: [], clock: new HastyClock() };
    const writeFile = container.writeFile.bind(container);
    let second: Promise<SnapshotResult> | undefined;
    container.writeFile = async (name, options) => {
      const isManifest = name.startsWith('snapshots/');
      if (isManifest && second === undefined) {
        // The first has its checksums and no manifest yet; the second has come as far before that is there.
        let overtaken: () => void = () => undefined;
        const waiting = new Promise<void>((resolve) => (overtaken = resolve));
        container.writeFile = async (other, otherOptions) => {
          if (other.startsWith('snapshots/')) {
            overtaken();
            while ((await fileNames(container, 'snapshots/')).length === 0) await Promise.resolve();
          }
          return writeFile(other, otherOptions);
        };
        second = takeSnapshot({ ...base, resume: false });
        await waiting;
      }
      return writeFile(name, options);
    };
    const first = await takeSnapshot(base);
    expect(first.isNew).toBe(true);
    expect(await second).toMatchObject({ isNew: false, name: first.name });
    await checkSnapshot(container, source, first);
  });

  it.each(['first', 'last'])('leave the files that the other has taken over, whoever is done %s', async (when) => {
    const source = new MemoryRangeSource({ version: 10n, borders: [key('k000050')] });
    source.commit(manyRows(100, 10));
    const container = new MemoryContainer();
    const base = { source, container, ranges: [], clock: new HastyClock(), numThreads: 1, batchSize: 1 };
    let isOvertaken = false;
    const slow = before(container, async (name) => {
      // Its second file waits until the other has come far enough.
      if (!name.startsWith('kvranges/') || (await fileNames(container, 'kvranges/')).length === 0) return;
      while (!isOvertaken) await Promise.resolve();
    });
    const first = takeSnapshot({ ...base, container: slow });
    while ((await fileNames(container, SNAPSHOT_PART_PREFIX)).length < 2) await Promise.resolve();
    const version = source.committed;
    source.commit([set('k000099', 'later')]);
    // One of the name that the first one's will have.
    await takeSnapshot({ ...base, version, resume: false });
    let isFirstDone = false;
    const waiting = before(container, async (name) => {
      if (!name.startsWith('snapshots/') || when === 'last') return;
      isOvertaken = true;
      while (!isFirstDone) await Promise.resolve();
    });
    const second = takeSnapshot({ ...base, container: waiting });
    if (when === 'last') await second;
    isOvertaken ||= when === 'last';
    expect(await first).toMatchObject({ isNew: false });
    isFirstDone = true;
    const result = await second;
    expect(result).toMatchObject({ isNew: true, resumedFiles: 1 });
    for (const half of await listHalfSnapshots(container)) await forgetHalfSnapshot(container, half, { listingLag: 0 });
    await checkSnapshot(container, source, result);
  });
});

/** The same container; calls this before a file is opened. */
function before(inner: MemoryContainer, wait: (name: string) => Promise<void>): BackupContainer {
  return {
    url: inner.url,
    create: () => inner.create(),
    exists: () => inner.exists(),
    readFile: (name, offset, length) => inner.readFile(name, offset, length),
    listFiles: (prefix) => inner.listFiles(prefix),
    deleteFile: (name) => inner.deleteFile(name),
    writeFile: async (name, options) => {
      await wait(name);
      return inner.writeFile(name, options);
    },
  };
}
