import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DirectoryContainer } from '../../src/container/directory-container.js';
import { MemoryContainer } from '../../src/container/memory-container.js';
import { encodeFileSums, FileSumsBuilder, sumsFileName } from '../../src/format/fdb/file-sums.js';
import type { LogFileDescriptor } from '../../src/format/fdb/names.js';
import { FOLDER_VERSIONS, parseLogFileName } from '../../src/format/fdb/names.js';
import type { BackupContainer } from '../../src/ports/backup-container.js';
import { compactLogs } from '../../src/restore/compact.js';
import type { CompactOptions } from '../../src/restore/compact.js';
import { describeBackup } from '../../src/restore/describe.js';
import { ManualClock } from '../../src/testing/manual-clock.js';
import { set } from '../format/encode-log-file.js';
import { filesBelow, goldenContainer } from '../format/golden.js';
import { newContainer, put, putLog } from '../restore/container-builder.js';
import { SeededRandom, randomHistory, rowsAt, writeHistory } from '../restore/log-model.js';
import { Crash, CrashingContainer, contentOf, copyOf } from './crashing-container.js';
import { naiveReplay } from './sample-backups.js';

const NOW: CompactOptions = { graceMs: 0, keepNewest: 0, minFiles: 2 };

const record = (version: number, value = 'v') => ({
  version: BigInt(version),
  subsequence: 1,
  mutation: set(`key ${version}`, value),
});

async function logFiles(container: BackupContainer): Promise<(LogFileDescriptor & { name: string; size: number })[]> {
  const files = [];
  for await (const { name, size } of container.listFiles('plogs/'))
    files.push({ ...parseLogFileName(name)!, name, size });
  return files;
}

/** What the original asserts of every two files of a tag that a listing can show side by side. */
function expectNoSubsetIsLarger(files: readonly (LogFileDescriptor & { size: number })[]): void {
  for (const a of files) {
    for (const b of files) {
      if (
        a.tag === b.tag &&
        a.totalTags === b.totalTags &&
        a.begin >= b.begin &&
        a.end <= b.end &&
        (a.begin > b.begin || a.end < b.end)
      )
        expect(a.size).toBeLessThanOrEqual(b.size);
    }
  }
}

async function tenFiles(): Promise<MemoryContainer> {
  const container = await newContainer();
  for (let i = 0; i < 10; i++) {
    const records = i % 3 === 0 ? [] : [record(10 * i + 1), record(10 * i + 5)];
    await putLog(container, { begin: BigInt(10 * i), end: BigInt(10 * i + 10), tag: 0, totalTags: 1 }, records);
  }
  return container;
}

describe('compactLogs', () => {
  it('merges a run of small files into one with checksums, and removes them and theirs', async () => {
    const container = await tenFiles();
    const old = (await logFiles(container)).find(({ size }) => size > 0)!;
    const sums = new FileSumsBuilder(old.blockSize);
    sums.update(await container.readFile(old.name, 0, old.size));
    await put(container, sumsFileName(old.name), encodeFileSums(sums.build()));
    const rows = await naiveReplay(container, 99n);
    const result = await compactLogs(container, NOW);
    const files = await logFiles(container);
    expect(files).toMatchObject([{ begin: 0n, end: 100n, tag: 0, totalTags: 1, blockSize: 1_048_576 }]);
    expect(result).toMatchObject({ merged: [files[0]!.name], removed: 10, skipped: [], bytesAfter: files[0]!.size });
    expect([...(await contentOf(container)).keys()].sort()).toEqual(
      [files[0]!.name, sumsFileName(files[0]!.name)].sort(),
    );
    expect(await naiveReplay(container, 99n)).toEqual(rows);
    expect(await compactLogs(container, NOW)).toMatchObject({ merged: [], removed: 0 });
  });

  it('merges empty files into one empty file without checksums', async () => {
    const container = await newContainer();
    for (let i = 0n; i < 5n; i++) await putLog(container, { begin: i, end: i + 1n, tag: 0, totalTags: 1 });
    await compactLogs(container, NOW);
    expect(await logFiles(container)).toMatchObject([{ begin: 0n, end: 5n, size: 0 }]);
    expect((await contentOf(container)).size).toBe(1);
  });

  it('leaves the newest files of each tag, those beyond `before`, and runs that are too short', async () => {
    const container = await tenFiles();
    await compactLogs(container, { graceMs: 0, keepNewest: 3, minFiles: 2, before: 55n });
    expect((await logFiles(container)).map(({ begin, end }) => [begin, end])).toContainEqual([0n, 50n]);
    expect(await logFiles(container)).toHaveLength(6);
    await compactLogs(container, { graceMs: 0, minFiles: 7 });
    expect(await logFiles(container)).toHaveLength(6);
    await compactLogs(container, { graceMs: 0, keepNewest: 3, minFiles: 3 });
    expect((await logFiles(container)).map(({ begin }) => begin)).toEqual([0n, 70n, 80n, 90n]);
  });

  it('keeps to the target size', async () => {
    const container = await newContainer();
    for (let i = 0; i < 12; i++)
      await putLog(container, { begin: BigInt(i), end: BigInt(i + 1), tag: 0, totalTags: 1 }, [
        record(i, 'x'.repeat(1000)),
      ]);
    await compactLogs(container, { ...NOW, targetBytes: 4500 });
    const files = await logFiles(container);
    expect(files.map(({ begin, end }) => end - begin)).toEqual([4n, 4n, 4n]);
    for (const { size } of files) expect(size).toBeLessThan(4500);
  });

  it('never merges across a folder boundary, a gap, or a change of the number of tags', async () => {
    const container = await newContainer();
    const border = FOLDER_VERSIONS;
    const places = [
      [border - 20n, border - 10n, 1],
      [border - 10n, border, 1],
      [border, border + 10n, 1],
      [border + 10n, border + 20n, 1],
      [border + 30n, border + 40n, 1],
      [border + 40n, border + 50n, 1],
      [border + 50n, border + 60n, 2],
      [border + 60n, border + 70n, 2],
    ] as const;
    for (const [begin, end, totalTags] of places) await putLog(container, { begin, end, tag: 0, totalTags });
    await compactLogs(container, NOW);
    const runs = (await logFiles(container)).map(({ begin, end, totalTags }) => [
      begin - border,
      end - border,
      totalTags,
    ]);
    expect(runs.sort((a, b) => Number((a[0] as bigint) - (b[0] as bigint)))).toEqual([
      [-20n, 0n, 1],
      [0n, 20n, 1],
      [30n, 50n, 1],
      [50n, 70n, 2],
    ]);
  });

  it('takes each version of overlapping files once', async () => {
    const container = await newContainer();
    await putLog(container, { begin: 1n, end: 10n, tag: 0, totalTags: 1 }, [record(2), record(8)]);
    await putLog(container, { begin: 5n, end: 20n, tag: 0, totalTags: 1 }, [record(8), record(11)]);
    await putLog(container, { begin: 5n, end: 9n, tag: 0, totalTags: 1 }, [record(8)]);
    expect((await compactLogs(container, NOW)).removed).toBe(3);
    const [file] = await logFiles(container);
    const one = await newContainer();
    const name = await putLog(one, { begin: 1n, end: 20n, tag: 0, totalTags: 1 }, [record(2), record(8), record(11)]);
    expect(file!.size).toBe((await contentOf(one)).get(name)!.length);
  });

  it.each([
    ['another value', [record(8, 'other'), record(11)]],
    ['a record too few', [record(11)]],
    ['a record too many', [record(6), record(8), record(11)]],
    ['nothing at all', []],
  ])('leaves overlapping files alone that disagree: %s', async (_what, second) => {
    const container = await newContainer();
    await putLog(container, { begin: 1n, end: 10n, tag: 0, totalTags: 1 }, [record(2), record(8)]);
    await putLog(container, { begin: 5n, end: 20n, tag: 0, totalTags: 1 }, second);
    const before = await contentOf(container);
    const { skipped, merged } = await compactLogs(container, NOW);
    expect(merged).toEqual([]);
    expect(skipped).toMatchObject([{ code: 'CORRUPT_FILE', reason: expect.stringMatching(/differ/) as string }]);
    expect(await contentOf(container)).toEqual(before);
  });

  it('leaves damaged files alone, and merges the others', async () => {
    const container = await tenFiles();
    for (let i = 0; i < 4; i++)
      await putLog(container, { begin: BigInt(10 * i), end: BigInt(10 * i + 10), tag: 1, totalTags: 2 }, [
        record(10 * i),
      ]);
    const damaged = (await logFiles(container)).find(({ tag }) => tag === 1)!;
    const bytes = await container.readFile(damaged.name, 0, damaged.size);
    const sums = new FileSumsBuilder(damaged.blockSize);
    sums.update(bytes);
    await put(container, sumsFileName(damaged.name), encodeFileSums(sums.build()));
    bytes[damaged.size - 1]! ^= 1;
    await put(container, damaged.name, bytes);
    const { skipped, merged } = await compactLogs(container, NOW);
    expect(merged).toHaveLength(1);
    expect(skipped).toMatchObject([{ code: 'CHECKSUM_MISMATCH' }]);
    expect((await logFiles(container)).filter(({ tag }) => tag === 1)).toHaveLength(4);
  });

  it('makes no file that would be smaller than one of its parts', async () => {
    const container = await newContainer();
    // Small blocks, mostly padding: the merged file has none.
    const first = [record(1, 'a'.repeat(300)), record(2, 'b'.repeat(300)), record(3, 'c'.repeat(300))];
    await putLog(container, { begin: 1n, end: 5n, tag: 0, totalTags: 1, blockSize: 600 }, first);
    await putLog(container, { begin: 5n, end: 9n, tag: 0, totalTags: 1 });
    const before = await contentOf(container);
    expect((await compactLogs(container, NOW)).skipped).toMatchObject([{ code: 'WOULD_SHRINK' }]);
    expect(await contentOf(container)).toEqual(before);
  });

  it('waits between listing the new file and removing the old ones', async () => {
    const container = await tenFiles();
    const clock = new ManualClock();
    const compaction = compactLogs(container, { keepNewest: 0, graceMs: 5_000, clock });
    while ((await logFiles(container)).length < 11 || clock.pendingTimers === 0) await new Promise(setImmediate);
    expect(await logFiles(container)).toHaveLength(11);
    await clock.advance(5_000);
    await compaction;
    expect(await logFiles(container)).toHaveLength(1);
  });

  it('keeps the old files when the container does not give back what was written', async () => {
    const container = await tenFiles();
    const before = await contentOf(container);
    const lying: BackupContainer = {
      url: container.url,
      create: () => container.create(),
      exists: () => container.exists(),
      writeFile: (name, options) => container.writeFile(name, options),
      listFiles: (prefix) => container.listFiles(prefix),
      deleteFile: (name) => container.deleteFile(name),
      readFile: async (name, offset, length) => {
        const bytes = await container.readFile(name, offset, length);
        if (name.includes('log,0,100') && bytes.length > 30) bytes[30]! ^= 4;
        return bytes;
      },
    };
    await expect(compactLogs(lying, NOW)).rejects.toMatchObject({ code: 'ADAPTER_CONTRACT' });
    expect(await contentOf(container)).toEqual(before);
  });

  it('validates its options', async () => {
    const container = await tenFiles();
    for (const options of [
      { targetBytes: 0 },
      { minFiles: 1 },
      { keepNewest: -1 },
      { graceMs: 0.5 },
      { blockSize: 2 ** 31 },
      { before: -1n },
    ])
      await expect(compactLogs(container, options)).rejects.toMatchObject({ code: 'INVALID_OPTION' });
  });

  it('gives a real database’s log in fewer files', async () => {
    const golden = new DirectoryContainer(goldenContainer('small3')!);
    const container = new MemoryContainer();
    await container.create();
    for (const name of filesBelow(goldenContainer('small3')!))
      await put(container, name, await golden.readFile(name, 0, 1 << 20));
    const rows = await naiveReplay(golden, 1n << 40n);
    const before = await describeBackup(container);
    await compactLogs(container, NOW);
    const after = await describeBackup(container);
    expect(after.logFiles).toBe(3);
    expect(after.windows).toEqual(before.windows);
    expect(await naiveReplay(container, 1n << 40n)).toEqual(rows);
  });
});

describe('a compaction that dies', () => {
  it.each(['before', 'after'] as const)(
    'at any call (%s) leaves the log as it was, and is finished by the next',
    async (moment) => {
      const random = new SeededRandom(3);
      const records = randomHistory(random, [{ begin: 1n, end: 80n, totalTags: 2 }], 15, 4);
      const start = await newContainer();
      const places = [
        [1n, 20n],
        [15n, 40n],
        [20n, 30n],
        [40n, 60n],
        [60n, 80n],
      ] as const;
      for (const tag of [0, 1]) {
        for (const [begin, end] of places) {
          const own = records.filter((r) => r.tag === tag && r.version >= begin && r.version < end);
          await putLog(start, { begin, end, tag, totalTags: 2 }, own);
        }
      }
      const { complete } = await describeBackup(start);
      const rows = rowsAt(records, 79n);
      const old = await contentOf(start);
      let deaths = 0;
      for (let at = 1; ; at++) {
        const container = await copyOf(start);
        const crashing = new CrashingContainer(container, at, moment);
        await compactLogs(crashing, NOW).catch((error: unknown) => expect(error).toBeInstanceOf(Crash));
        if (!crashing.crashed) break;
        deaths++;
        const content = await contentOf(container);
        // What was made is never listed without its checksums.
        for (const { name, size } of await logFiles(container))
          if (size > 0 && !old.has(name)) expect(content.has(sumsFileName(name))).toBe(true);
        expect((await describeBackup(container)).complete).toEqual(complete);
        expect(await naiveReplay(container, 79n)).toEqual(rows);
        await compactLogs(container, NOW);
        expect((await describeBackup(container)).complete).toEqual(complete);
        expect(await naiveReplay(container, 79n)).toEqual(rows);
        expect(await logFiles(container)).toHaveLength(2);
      }
      expect(deaths).toBeGreaterThan(30);
    },
  );
});

describe('compaction of any log', () => {
  it('changes nothing that readers can see, at no step, wherever it dies', async () => {
    let merges = 0;
    await fc.assert(
      fc.asyncProperty(
        fc.integer(),
        fc.boolean(),
        fc.integer({ min: 200, max: 5000 }),
        async (seed, after, targetBytes) => {
          const random = new SeededRandom(seed);
          const epochs = [
            { begin: 1n, end: 60n, totalTags: 2 },
            { begin: 60n, end: 120n, totalTags: 1 + random.below(3) },
          ];
          const records = randomHistory(random, epochs, 12, 4);
          const start = await newContainer();
          await writeHistory(start, random, epochs, records);
          const { complete } = await describeBackup(start);
          const options = { ...NOW, targetBytes, concurrency: 1 + random.below(3) };
          const check = async (container: BackupContainer) => {
            expect((await describeBackup(container)).complete).toEqual(complete);
            const version = BigInt(1 + random.below(119));
            expect(await naiveReplay(container, version)).toEqual(rowsAt(records, version));
          };
          const whole = await copyOf(start);
          const counting = new CrashingContainer(whole, Infinity, 'before');
          merges += (await compactLogs(counting, options)).merged.length;
          await check(whole);
          // Four places to die at, then twice in a row, then through.
          for (let i = 0; i < 4; i++) {
            const container = await copyOf(start);
            for (let death = 0; death < 2; death++) {
              const crashing = new CrashingContainer(
                container,
                1 + random.below(counting.calls),
                after ? 'after' : 'before',
              );
              const outcome = await compactLogs(crashing, options).catch((error: unknown) => error);
              if (crashing.crashed) expect(outcome).toBeInstanceOf(Crash);
              await check(container);
              if (!(await hadLargerSubsets(start))) expectNoSubsetIsLarger(await logFiles(container));
            }
            await compactLogs(container, options);
            await check(container);
          }
        },
      ),
      { numRuns: 25 },
    );
    expect(merges).toBeGreaterThan(20);
  }, 120_000);
});

/** Blocks of random sizes have random padding: the test's own history may break the original's rule before anybody compacts it. */
async function hadLargerSubsets(container: BackupContainer): Promise<boolean> {
  try {
    expectNoSubsetIsLarger(await logFiles(container));
    return false;
  } catch {
    return true;
  }
}
