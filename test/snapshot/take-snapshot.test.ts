// What a snapshot consists of, and what it does when the source or the container does not play along.

import { describe, expect, it } from 'vitest';
import { openEncryptedContainer } from '../../src/container/encrypted-container.js';
import { MemoryContainer } from '../../src/container/memory-container.js';
import { AssertionError, BackupError } from '../../src/core/errors.js';
import { formatRange } from '../../src/core/key-range.js';
import { parseRangeFileName } from '../../src/format/fdb/names.js';
import type { ScanRequest } from '../../src/ports/range-source.js';
import type { TakeSnapshotOptions } from '../../src/snapshot/snapshot-options.js';
import { takeSnapshot } from '../../src/snapshot/take-snapshot.js';
import { ManualClock } from '../../src/testing/manual-clock.js';
import { MemoryRangeSource } from '../../src/testing/memory-range-source.js';
import { HastyClock } from './faulty.js';
import { checkSnapshot, clear, fileNames, key, manyRows, set } from './world.js';

const unavailable = () => new BackupError('CONTAINER_UNAVAILABLE', 'away', { retryable: true });

/** Takes one at once, and checks it. */
async function take(source: MemoryRangeSource, options: Partial<TakeSnapshotOptions> = {}) {
  const container = options.container ?? new MemoryContainer();
  const all = { source, container, ranges: [], clock: new HastyClock(), ...options };
  const result = await takeSnapshot(all);
  if (all.source === source)
    await checkSnapshot(container, source, result, all.ranges.length > 0 ? all.ranges : undefined);
  expect(source.heldVersions).toEqual([]);
  return result;
}

const scanned = (scans: readonly ScanRequest[]) => scans.map(({ range }) => formatRange(range));

describe('takeSnapshot', () => {
  it('stores every row at one version, and the manifest that covers the ranges', async () => {
    const source = new MemoryRangeSource({ borders: [key('c'), key('m')], version: 10n });
    source.commit([set('a', '1'), set('b', '2'), set('d', '3'), set('x', '4')]);
    const result = await take(source);
    expect(result).toMatchObject({
      beginVersion: 11n,
      endVersion: 11n,
      rows: 4,
      rowBytes: 8,
      isNew: true,
      resumedFiles: 0,
    });
    expect(result.name).toBe(`snapshots/snapshot,11,11,${result.bytes}`);
  });

  it('covers keys without rows too, with files that hold none', async () => {
    const source = new MemoryRangeSource({ borders: [key('m')], version: 3n });
    expect(await take(source)).toMatchObject({ rows: 0, beginVersion: 3n });
    source.commit([set('a', '1')]);
    source.commit([clear('a', 'b')]);
    const ranges = [{ begin: key('q'), end: key('r') }];
    const result = await take(source, { ranges });
    expect(result.files.map(({ range }) => formatRange(range))).toEqual(['["q", "r")']);
  });

  it('stores the ranges that it is asked for, joined where they touch, and no other row', async () => {
    const source = new MemoryRangeSource({ borders: [key('k000050')] });
    source.commit(manyRows(100, 10));
    const ranges = [
      { begin: key('k000040'), end: key('k000060') },
      { begin: key('k000080'), end: key('k000090') },
      { begin: key('k000060'), end: key('k000061') },
    ];
    const result = await take(source, { ranges });
    expect(result.rows).toBe(31);
    expect(result.ranges.map(formatRange)).toEqual(['["k000040", "k000061")', '["k000080", "k000090")']);
  });

  it('puts the rows of small neighbouring regions into one file, as many as a worker takes at once', async () => {
    const borders = Array.from({ length: 99 }, (_, i) => key(`k${String(i + 1).padStart(6, '0')}`));
    const source = new MemoryRangeSource({ borders });
    source.commit(manyRows(100, 10));
    expect((await take(source, { batchSize: 10 })).files.length).toBe(10);
    expect((await take(source, { batchSize: 1 })).files.length).toBe(100);
    expect((await take(source, { batchSize: 1000 })).files.length).toBe(1);
  });

  it('ends a file once it is large enough, in the middle of a region', async () => {
    const source = new MemoryRangeSource();
    source.commit(manyRows(1000, 1000));
    const result = await take(source, { maxFileSize: 100_000, blockSize: 16_384 });
    expect(result.files.length).toBeGreaterThan(9);
    expect(result.files.length).toBeLessThan(12);
    for (const file of result.files.slice(0, -1)) {
      expect(file.size).toBeGreaterThanOrEqual(100_000);
      expect(file.size).toBeLessThan(100_000 + 2 * 16_384);
    }
  });

  it('stores rows that are larger than a block, and keys that are longer than one', async () => {
    const source = new MemoryRangeSource({ borders: [key('n'.repeat(3000))] });
    source.commit([
      set('a', 'small'),
      set('b', 'x'.repeat(5000)),
      set('c', 'small'),
      set('m'.repeat(2000), 'y'.repeat(400_000)),
      set('z', 'small'),
    ]);
    const result = await take(source, { blockSize: 512 });
    expect(result.rows).toBe(5);
    const sizes = result.files.map(({ name }) => parseRangeFileName(name)!.blockSize);
    expect(Math.min(...sizes)).toBe(512);
    expect(Math.max(...sizes)).toBeGreaterThan(400_000);
  });

  it('numbers its files by folders of 5,000', async () => {
    const borders = Array.from({ length: 5009 }, (_, i) => key(`k${String(i).padStart(6, '0')}`));
    const source = new MemoryRangeSource({ borders, version: 7n });
    const result = await takeSnapshot({
      source,
      container: new MemoryContainer(),
      ranges: [],
      batchSize: 1,
      numThreads: 1,
    });
    const folders = result.files.map(({ name }) => parseRangeFileName(name)!.folder);
    expect(folders.filter((folder) => folder === 0).length).toBe(5000);
    expect(folders.filter((folder) => folder === 1).length).toBe(10);
    expect(result.files[0]!.name).toMatch(/^kvranges\/snapshot\.000000000000000007\/0\/range,7,[0-9a-f]{32},1048576$/);
  });

  it('reads at or above the version that it is asked for, and waits for it (rule P3)', async () => {
    const source = new MemoryRangeSource({ version: 5n });
    source.commit([set('a', '1')]);
    const taking = take(source, { atLeast: 8n });
    source.commit([set('a', '2')]);
    expect(source.committed).toBe(7n);
    source.commit([set('a', '3')]);
    expect((await taking).beginVersion).toBe(8n);
  });

  it('reads at a version of the caller, who releases it', async () => {
    const source = new MemoryRangeSource({ version: 5n });
    source.commit([set('a', '1')]);
    const version = await source.readVersion({ atLeast: 0n, signal: new AbortController().signal });
    source.commit([set('a', '2')]);
    const container = new MemoryContainer();
    const result = await takeSnapshot({ source, container, ranges: [], version });
    await checkSnapshot(container, source, result);
    expect(result.endVersion).toBe(6n);
    expect(source.heldVersions).toEqual([6n]);
  });

  it('reports the progress of the whole, and every answer', async () => {
    const source = new MemoryRangeSource({ borders: [key('k000030'), key('k000060')] });
    source.commit(manyRows(90, 10));
    const progress: number[] = [];
    const answers: string[] = [];
    const result = await take(source, {
      batchSize: 1,
      numThreads: 1,
      onProgress: ({ rows }) => progress.push(rows),
      onResponse: (response) => answers.push(formatRange(response.range)),
    });
    expect(progress).toEqual([30, 60, 90]);
    expect(answers).toEqual(result.files.map(({ range }) => formatRange(range)));
  });

  it('is the one that is there already when the database has stood still', async () => {
    const source = new MemoryRangeSource({ version: 5n });
    source.commit([set('a', '1')]);
    const container = new MemoryContainer();
    const first = await take(source, { container });
    const names = await fileNames(container);
    const second = await takeSnapshot({ source, container, ranges: [], listingLag: 0 });
    expect(second).toMatchObject({ name: first.name, isNew: false });
    expect(await fileNames(container)).toEqual(names);
    await checkSnapshot(container, source, first);
  });

  it('refuses options that make no sense, by name and value', async () => {
    const source = new MemoryRangeSource();
    const container = new MemoryContainer();
    const refused = async (options: object) => {
      const error: unknown = await takeSnapshot({
        source,
        container,
        ranges: [],
        ...options,
      }).catch((e: unknown) => e);
      expect(BackupError.is(error, 'INVALID_OPTION')).toBe(true);
      return (error as Error).message;
    };
    expect(await refused({ numThreads: 0 })).toMatch(/numThreads .* got 0/);
    expect(await refused({ blockSize: 100 })).toMatch(/blockSize .* got 100/);
    expect(await refused({ rateLimit: -1 })).toMatch(/rateLimit .* got -1/);
    expect(await refused({ batchSize: 1.5 })).toMatch(/batchSize .* got 1.5/);
    expect(await refused({ resumeWithin: NaN })).toMatch(/resumeWithin .* got NaN/);
    expect(await refused({ atLeast: 5 })).toMatch(/atLeast .* got 5/);
    expect(await refused({ version: 3n, atLeast: 5n })).toMatch(/version .* 5, got 3/);
    expect(await refused({ ranges: undefined })).toMatch(/ranges/);
    expect(await refused({ ranges: [{ begin: key('b'), end: key('a') }] })).toMatch(/ranges\[0\]/);
    expect(await refused({ container: {} })).toMatch(/container/);
    expect(await refused({ source: { regions: () => [] } })).toMatch(/source must be a RangeSource.* readVersion/);
    expect(await fileNames(container)).toEqual([]);
  });
});

describe('when the version becomes too old', () => {
  it('what was scanned stays a file at its version, and the rest goes on at a newer one', async () => {
    const source: MemoryRangeSource = new MemoryRangeSource({
      batchRows: 10,
      borders: [key('k000100')],
      beforeBatch: ({ version, range }, index) => {
        if (index !== 3 || version > 1n || formatRange(range).startsWith('["k000100')) return;
        source.commit([set('k000005', 'later'), set('k000050', 'later')]);
        source.collectGarbage(2n);
      },
    });
    source.commit(manyRows(200, 10));
    const container = new MemoryContainer();
    const result = await take(source, { container, numThreads: 1 });
    expect(result.files.map(({ range, version }) => [formatRange(range), version])).toEqual([
      ['["", "k000029\\x00")', 1n],
      ['["k000029\\x00", "\\xff")', 2n],
    ]);
    expect([result.beginVersion, result.endVersion]).toEqual([1n, 2n]);
    expect(
      (await fileNames(container, 'kvranges/')).every((name) =>
        name.startsWith('kvranges/snapshot.000000000000000001/'),
      ),
    ).toBe(true);
  });

  it('asks for a newer version once, for all scans together, and releases the old one when the last of them has left it', async () => {
    const borders = [key('k000050'), key('k000100'), key('k000150')];
    const held: string[] = [];
    const source: MemoryRangeSource = new MemoryRangeSource({
      borders,
      batchRows: 10,
      beforeBatch: async ({ version }, index) => {
        held.push(source.heldVersions.join());
        if (version === 1n && index === 2 && source.committed === 1n) {
          source.commit([set('k000000', 'later')]);
          source.collectGarbage(2n);
        }
      },
    });
    source.commit(manyRows(200, 10));
    let asked = 0;
    const readVersion = source.readVersion.bind(source);
    source.readVersion = (request) => {
      asked++;
      return readVersion(request);
    };
    await take(source, { numThreads: 4, batchSize: 1 });
    expect(asked).toBe(2);
    expect(held).toContain('1,2');
    expect(held.at(-1)).toBe('2');
  });

  it('a file ends where another worker has made a newer version the current one', async () => {
    let renewed: () => void = () => undefined;
    const renewal = new Promise<void>((resolve) => (renewed = resolve));
    const source: MemoryRangeSource = new MemoryRangeSource({
      borders: [key('k000025'), key('k000050'), key('k000075')],
      beforeBatch: async ({ version, range }, index) => {
        const begin = formatRange(range);
        // The first worker is done with its first region only when the second one has had to take a newer version.
        if (begin.startsWith('["",') && index === 1) await renewal;
        if (!begin.startsWith('["k000050"')) return;
        if (version > 1n) return renewed();
        source.commit([set('k000003', 'later'), set('k000030', 'later')]);
        throw new BackupError('VERSION_TOO_OLD', 'not here any more', { version });
      },
    });
    source.commit(manyRows(100, 10));
    const result = await take(source, { numThreads: 2, batchSize: 2 });
    expect(result.files.map(({ range, version }) => [formatRange(range), version])).toEqual([
      ['["", "k000025")', 1n],
      ['["k000025", "k000050")', 2n],
      ['["k000050", "\\xff")', 2n],
    ]);
  });

  it('a version is held for as long as any scan reads at it', async () => {
    const released: bigint[] = [];
    let waiting: () => void = () => undefined;
    const gate = new Promise<void>((resolve) => (waiting = resolve));
    const source: MemoryRangeSource = new MemoryRangeSource({
      borders: [key('k000025'), key('k000050'), key('k000075')],
      batchRows: 5,
      beforeBatch: async ({ version, range }, index) => {
        if (!source.heldVersions.includes(version)) released.push(version);
        const begin = formatRange(range);
        if (begin.startsWith('["",') && index === 2) await gate;
        if (begin.startsWith('["k000050"') && version === 1n && index === 1) {
          source.commit([set('k000030', 'later')]);
          throw new BackupError('VERSION_TOO_OLD', 'not here any more', { version });
        }
        if (begin.startsWith('["k000025"') && version === 1n && index === 4) {
          throw new BackupError('VERSION_TOO_OLD', 'not here any more', { version });
        }
        if (version > 1n && index === 3) waiting();
      },
    });
    source.commit(manyRows(100, 10));
    await take(source, { numThreads: 3, batchSize: 1 });
    expect(released).toEqual([]);
  });

  it('gives up in the end when no version can be read long enough', async () => {
    const source: MemoryRangeSource = new MemoryRangeSource({
      beforeBatch: () => {
        source.commit([set('b', 'x')]);
        source.collectGarbage(source.committed);
      },
    });
    source.commit([set('a', '1')]);
    await expect(take(source, { maxAttempts: 3 })).rejects.toMatchObject({
      code: 'SNAPSHOT_INCOMPLETE',
      retryable: true,
      message: expect.stringContaining('can be read, not') as string,
    });
    expect(source.heldVersions).toEqual([]);
  });
});

describe('when regions change', () => {
  it('only what is left of the region is asked for again, by itself', async () => {
    const source: MemoryRangeSource = new MemoryRangeSource({
      batchRows: 10,
      borders: [key('k000050'), key('k000100')],
      beforeBatch: ({ range }, index) => {
        if (index === 2 && formatRange(range) === '["k000050", "k000100")') source.split(key('k000090'));
      },
    });
    source.commit(manyRows(150, 10));
    const result = await take(source, { numThreads: 1 });
    expect(scanned(source.scans)).toEqual([
      '["", "k000050")',
      '["k000050", "k000100")',
      '["k000100", "\\xff")',
      '["k000069\\x00", "k000090")',
      '["k000090", "k000100")',
    ]);
    expect(result.beginVersion).toBe(result.endVersion);
  });

  it('a region that vanishes between listing and scanning is found where it is now', async () => {
    let merged = false;
    const source: MemoryRangeSource = new MemoryRangeSource({
      borders: [key('k000050'), key('k000100')],
      beforeBatch: () => {
        if (!merged) source.merge(key('k000100'));
        merged = true;
      },
    });
    source.commit(manyRows(150, 10));
    await take(source, { numThreads: 1 });
    expect(scanned(source.scans)).toEqual([
      '["", "k000050")',
      '["k000050", "k000100")',
      '["k000100", "\\xff")',
      // Regions now end where what failed does: each failure is asked for by itself.
      '["k000050", "k000100")',
      '["k000100", "\\xff")',
    ]);
  });

  it('a change behind the last row costs nothing', async () => {
    const source: MemoryRangeSource = new MemoryRangeSource({
      batchRows: 10,
      beforeBatch: (_, index) => {
        if (index === 1) source.move(key('a'));
      },
    });
    source.commit(manyRows(10, 10));
    const result = await take(source, { ranges: [{ begin: key('k'), end: key('k000009\x00') }] });
    expect(source.scans.length).toBe(1);
    expect(result.files.length).toBe(1);
  });
});

describe('when the source fails', () => {
  it('asks again with backoff, as long as it gets further or has tries left', async () => {
    const source = new MemoryRangeSource({ batchRows: 10 });
    source.commit(manyRows(100, 10));
    source.failNext('readVersion', new Error('broken pipe'), { count: 2 });
    source.failNext('regions', new Error('broken pipe'), { count: 3 });
    source.failNext('scan', new BackupError('TIMEOUT', 'slow', { retryable: true }), { count: 5 });
    const clock = new HastyClock();
    const before = clock.now();
    await take(source, { clock, maxAttempts: 7 });
    expect(source.scans.length).toBe(1);
    // 2 + 3 + 5 waits of at least half of 100, 200, 400 … ms
    expect(clock.now() - before).toBeGreaterThanOrEqual(50 * (3 + 7 + 31));
    expect(clock.pendingTimers).toBe(0);
  });

  it('keeps what there is and says what is missing, when a range fails for good', async () => {
    const borders = [key('k000025'), key('k000050'), key('k000075')];
    let isBroken = true;
    const source: MemoryRangeSource = new MemoryRangeSource({
      borders,
      beforeBatch: ({ range }) => {
        if (isBroken && formatRange(range).startsWith('["k000025')) throw new BackupError('STORE_CORRUPT', 'bad disk');
        if (isBroken && formatRange(range).startsWith('["k000075')) throw new Error('net split');
      },
    });
    source.commit(manyRows(100, 10));
    const container = new MemoryContainer();
    const error: unknown = await take(source, { container, maxAttempts: 3 }).catch((e: unknown) => e);
    expect(error).toMatchObject({ code: 'SNAPSHOT_INCOMPLETE', container: 'memory:', retryable: false });
    const { errors } = (error as Error).cause as AggregateError;
    expect(errors.map((each: Error) => each.message).sort()).toEqual([
      '["k000025", "k000050"): bad disk',
      '["k000075", "\\xff"): net split',
    ]);
    expect(await fileNames(container, 'snapshots/')).toEqual([]);
    expect(source.scans.filter(({ range }) => formatRange(range).startsWith('["k000025')).length).toBe(1);
    expect(source.scans.filter(({ range }) => formatRange(range).startsWith('["k000075')).length).toBe(3);

    isBroken = false;
    const before = source.scans.length;
    const result = await take(source, { container });
    expect(result.resumedFiles).toBe(2);
    expect(scanned(source.scans.slice(before)).sort()).toEqual(['["k000025", "k000050")', '["k000075", "\\xff")']);
  });

  it('believes nothing of a source that breaks its contract', async () => {
    for (const broken of ['order', 'outside', 'twice', 'late'] as const) {
      const source = new MemoryRangeSource({ batchRows: 10, borders: [key('k000050')] });
      source.commit(manyRows(100, 10));
      const scan = source.scan.bind(source);
      source.scan = async function* (request) {
        let index = 0;
        for await (const batch of scan(request)) {
          index++;
          if (broken === 'order' && index === 2) yield [...batch].reverse();
          else if (broken === 'outside' && index === 2) yield [...batch, [key('x'), key('y')] as const];
          else if (broken === 'twice' && index === 2) yield [batch[0]!, ...batch];
          else if (broken === 'late' && index === 3) yield [[key('k000001'), key('again')] as const, ...batch];
          else yield batch;
        }
      };
      const container = new MemoryContainer();
      const error: unknown = await takeSnapshot({
        source,
        container,
        ranges: [{ begin: key('k000000'), end: key('k000050') }],
        clock: new HastyClock(),
      }).catch((e: unknown) => e);
      expect(error).toMatchObject({ code: 'SNAPSHOT_INCOMPLETE', retryable: false });
      expect((error as Error).message).toContain('each key once and in order');
      expect(await fileNames(container, 'kvranges/')).toEqual([]);
    }
  });

  it('believes nothing that such a source has said before, the next time either', async () => {
    const source = new MemoryRangeSource({ batchRows: 10, borders: [key('k000050')] });
    source.commit(manyRows(100, 10));
    const scan = source.scan.bind(source);
    source.scan = async function* (request) {
      let index = 0;
      for await (const batch of scan(request)) {
        // A row that comes too late: the files that should have held it may be finished already.
        const rows = batch.filter(([rowKey]) => Buffer.compare(rowKey, key('k000001')) !== 0);
        yield ++index === 4 ? [[key('k000001'), key('late')] as const, ...rows] : rows;
      }
    };
    const container = new MemoryContainer();
    const base = { source, container, ranges: [], clock: new HastyClock(), maxFileSize: 1 };
    const error: unknown = await takeSnapshot(base).catch((e: unknown) => e);
    expect(error).toMatchObject({ code: 'SNAPSHOT_INCOMPLETE' });
    expect((error as Error).message).toContain('nothing of it is used');
    expect((await fileNames(container, 'kvranges/')).length).toBeGreaterThan(0);
    source.scan = scan;
    const result = await takeSnapshot(base);
    expect(result.resumedFiles).toBe(0);
    await checkSnapshot(container, source, result);
  });

  it('refuses regions that leave a hole', async () => {
    const source = new MemoryRangeSource({ borders: [key('b'), key('c')] });
    const regions = source.regions.bind(source);
    source.regions = async function* (request) {
      for await (const region of regions(request)) if (formatRange(region.range) !== '["b", "c")') yield region;
    };
    const container = new MemoryContainer();
    const error: unknown = await takeSnapshot({ source, container, ranges: [] }).catch((e: unknown) => e);
    expect((error as Error).message).toContain('must follow one another');
  });
});

describe('when the container fails', () => {
  it('scans again only what was in the file that could not be saved', async () => {
    const source = new MemoryRangeSource({ borders: [key('k000050')] });
    source.commit(manyRows(100, 10));
    const container = new MemoryContainer();
    const writeFile = container.writeFile.bind(container);
    let failures = 0;
    container.writeFile = async (name, options) => {
      const file = await writeFile(name, options);
      if (!name.startsWith('kvranges/') || failures++ > 0) return file;
      return {
        name,
        append: (chunks) => file.append(chunks),
        finish: () => Promise.reject(unavailable()),
        abort: () => file.abort(),
      };
    };
    const result = await take(source, { container, batchSize: 1, numThreads: 1 });
    expect(result.files.length).toBe(2);
    expect(scanned(source.scans)).toEqual(['["", "k000050")', '["k000050", "\\xff")', '["", "k000050")']);
  });

  it('stops scanning when nothing can be saved', async () => {
    const borders = Array.from({ length: 99 }, (_, i) => key(`k${String(i).padStart(6, '0')}`));
    for (const error of [unavailable(), new BackupError('FILE_NOT_FOUND', 'the bucket is gone')]) {
      const source = new MemoryRangeSource({ borders });
      source.commit(manyRows(100, 10));
      const container = new MemoryContainer();
      const writeFile = container.writeFile.bind(container);
      container.writeFile = (name, options) =>
        name.startsWith('kvranges/') ? Promise.reject(error) : writeFile(name, options);
      const taking = take(source, { container, maxAttempts: 3, numThreads: 2, batchSize: 1 });
      await expect(taking).rejects.toMatchObject({ code: 'SNAPSHOT_INCOMPLETE', retryable: error.retryable });
      expect(source.scans.length).toBeLessThan(60);
    }
  });

  it('ends with a mistake of our own, and does not wait for what that leaves undone', async () => {
    const source = new MemoryRangeSource({ batchRows: 10 });
    source.commit(manyRows(300, 1000));
    const container = new MemoryContainer();
    const writeFile = container.writeFile.bind(container);
    let appends = 0;
    container.writeFile = async (name, options) => {
      const file = await writeFile(name, options);
      const append = file.append.bind(file);
      file.append = async (chunks) => {
        if (name.startsWith('kvranges/') && ++appends === 2) throw new AssertionError('so it seems');
        await append(chunks);
      };
      return file;
    };
    const options = { ioThreadSize: 2, numThreads: 1, channelBytes: 1, maxFileSize: 5000 };
    await expect(takeSnapshot({ ...options, source, container, ranges: [] })).rejects.toThrow('so it seems');
  });

  it('refuses one that is encrypted and was opened without its key', async () => {
    const source = new MemoryRangeSource();
    source.commit([set('a', '1')]);
    const container = new MemoryContainer();
    const withKey = await openEncryptedContainer(container, { key: new Uint8Array(32) });
    await withKey.create();
    const before = await fileNames(container);
    await expect(takeSnapshot({ source, container, ranges: [] })).rejects.toMatchObject({
      code: 'ENCRYPTION_KEY_MISSING',
      container: container.url,
    });
    expect(await fileNames(container)).toEqual(before);
    await checkSnapshot(withKey, source, await takeSnapshot({ source, container: withKey, ranges: [] }));
  });

  it('keeps to the rate that it is given', async () => {
    const clock = new ManualClock();
    const source = new MemoryRangeSource({ borders: Array.from({ length: 9 }, (_, i) => key(`k00${i + 1}000`)) });
    source.commit(manyRows(10_000, 1000));
    const container = new MemoryContainer();
    let done = false;
    const stored = async () => {
      let bytes = 0;
      for await (const { size } of container.listFiles('kvranges/')) bytes += size;
      return bytes;
    };
    const taking = takeSnapshot({ source, container, ranges: [], clock, batchSize: 1, rateLimit: 1_000_000 }).finally(
      () => (done = true),
    );
    // 10 MB take 9 to 10 s: the last bytes are not waited for.
    for (let second = 0; second <= 8; second++) {
      expect(done).toBe(false);
      expect(await stored()).toBeLessThanOrEqual((second + 3) * 1_000_000);
      await clock.advance(1000);
    }
    await clock.advance(2000);
    expect(done).toBe(true);
    await checkSnapshot(container, source, await taking);
    expect(clock.pendingTimers).toBe(0);
  });
});
