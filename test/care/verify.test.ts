import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { MemoryContainer } from '../../src/container/memory-container.js';
import { encodeFileSums, FileSumsBuilder, SUMS_FOLDER, sumsFileName } from '../../src/format/fdb/file-sums.js';
import { LOG_FOLDER } from '../../src/format/fdb/names.js';
import type { Clock } from '../../src/core/clock.js';
import { systemClock } from '../../src/core/clock.js';
import { BackupError } from '../../src/core/errors.js';
import { recordChecksums } from '../../src/restore/record-checksums.js';
import { wholeCrc } from '../../src/restore/verify-content-index.js';
import { verifyBackup } from '../../src/restore/verify.js';
import type { VerifyReport } from '../../src/restore/verify-report.js';
import { crc32 } from '../../src/core/crc32.js';
import { compactLogs } from '../../src/restore/compact.js';
import { expireBackup } from '../../src/restore/expire.js';
import { takeSnapshot } from '../../src/snapshot/take-snapshot.js';
import { MemoryRangeSource } from '../../src/testing/memory-range-source.js';
import { set } from '../format/encode-log-file.js';
import type { GoldenName } from '../format/golden.js';
import { filesBelow, goldenContainer, goldenFolder } from '../format/golden.js';
import { newContainer, put, putLog } from '../restore/container-builder.js';
import { SeededRandom, randomHistory } from '../restore/log-model.js';
import { HastyClock } from '../snapshot/faulty.js';
import { key, manyRows } from '../snapshot/world.js';
import { CrashingContainer, contentOf, copyOf } from './crashing-container.js';
import { sampleBackup } from './sample-backups.js';

async function loadGolden(name: GoldenName): Promise<MemoryContainer> {
  const root = goldenContainer(name)!;
  const container = await newContainer();
  for (const file of filesBelow(root)) await put(container, file, readFileSync(path.join(root, file)));
  return container;
}

/** The real one, with checksums. */
async function golden(): Promise<MemoryContainer> {
  const container = await loadGolden('small3');
  expect((await recordChecksums(container)).problems).toEqual([]);
  return container;
}

const isData = (name: string) => name.startsWith('plogs/') || name.startsWith('kvranges/');
const dataFiles = async (container: MemoryContainer) => [...(await contentOf(container)).keys()].filter(isData);
const about = ({ problems }: VerifyReport, file: string) => problems.filter((problem) => problem.file === file);

async function change(
  container: MemoryContainer,
  name: string,
  edit: (bytes: Uint8Array) => Uint8Array,
): Promise<void> {
  await put(container, name, edit((await contentOf(container)).get(name)!));
}

const flip = (at: number, bit: number) => (bytes: Uint8Array) => {
  bytes[at]! ^= 1 << bit;
  return bytes;
};

/** Waits for nothing. */
const hasty: Clock = { ...systemClock, sleep: () => Promise.resolve() };

describe('a sound backup', () => {
  it('is found sound, shallow and deep', async () => {
    const container = await golden();
    const shallow = await verifyBackup(container);
    expect(shallow).toMatchObject({ ok: true, deep: false, problems: [], unchecked: [], leftovers: [] });
    expect(shallow.checked).toMatchObject({ logFiles: 9, rangeFiles: 1, snapshots: 1, sums: 10, bytes: 0 });
    const progress: number[] = [];
    const deep = await verifyBackup(container, { deep: true, onProgress: ({ bytes }) => progress.push(bytes) });
    expect(deep).toMatchObject({ ok: true, deep: true, problems: [], unchecked: [], leftovers: [] });
    const mutations = readFileSync(path.join(goldenFolder('small3')!, 'mutations.txt'), 'utf8')
      .trim()
      .split('\n');
    expect(deep.checked.records).toBe(mutations.length);
    expect(deep.checked.rows).toBeGreaterThan(50);
    expect(progress.at(-1)).toBe(deep.checked.bytes);
  });

  it('lists what has no recorded checksum as unchecked', async () => {
    const container = await loadGolden('small3');
    const report = await verifyBackup(container, { deep: true });
    expect(report.ok).toBe(true);
    expect(report.unchecked).toEqual((await dataFiles(container)).sort());
  });

  it.each(['plog1', 'plog3', 'mlog1'] as const)(
    'written by a real database is sound: %s (skipped where ../shared/golden is absent)',
    async (name) => {
      if (goldenFolder(name) === undefined) return;
      const container = await loadGolden(name);
      const { problems, logFiles, snapshots } = await recordChecksums(container);
      expect(problems).toEqual([]);
      expect(logFiles).toBeGreaterThan(0);
      expect(snapshots).toBeGreaterThan(2);
      const report = await verifyBackup(container, { deep: true });
      expect(report).toMatchObject({ ok: true, problems: [], unchecked: [] });
      expect(report.checked.records).toBeGreaterThan(100);
    },
  );

  it('is refused without its key when it is encrypted', async () => {
    if (goldenFolder('plogenc') === undefined) return;
    const container = await loadGolden('plogenc');
    for (const call of [verifyBackup, recordChecksums, compactLogs])
      await expect(call(container)).rejects.toMatchObject({ code: 'ENCRYPTION_KEY_MISSING' });
  });

  it('stays sound when it is compacted and expired', async () => {
    const container = await golden();
    await compactLogs(container, { graceMs: 0, keepNewest: 1, minFiles: 2 });
    expect(await verifyBackup(container, { deep: true })).toMatchObject({
      ok: true,
      problems: [],
      unchecked: [],
      leftovers: [],
    });
    await expireBackup(container, { before: 208_000_000n });
    expect(await verifyBackup(container, { deep: true })).toMatchObject({
      ok: true,
      problems: [],
      unchecked: [],
      leftovers: [],
    });
  });
});

/** Log files that the library has written, of many blocks, some empty; a snapshot that it has taken, of several files. */
async function written(): Promise<MemoryContainer> {
  const container = await newContainer();
  const random = new SeededRandom(11);
  const epochs = [{ begin: 1n, end: 100n, totalTags: 2 }];
  const records = randomHistory(random, epochs, 60, 8);
  for (const tag of [0, 1]) {
    for (let begin = 1n; begin < 100n; begin += 11n) {
      const end = begin + 11n;
      const own = records.filter((record) => record.tag === tag && record.version >= begin && record.version < end);
      await putLog(container, { begin, end, tag, totalTags: 2, blockSize: 256 }, begin === 45n ? [] : own);
    }
  }
  await compactLogs(container, { graceMs: 0, keepNewest: 0, minFiles: 2, targetBytes: 2000, blockSize: 512 });
  const source = new MemoryRangeSource({ borders: [key('k000020'), key('k000050')], version: 30n });
  source.commit(manyRows(80, 60));
  await takeSnapshot({ source, container, ranges: [], blockSize: 512, maxFileSize: 3000 });
  expect(await verifyBackup(container, { deep: true })).toMatchObject({ ok: true, problems: [], leftovers: [] });
  return container;
}

/** The block of a recorded checksum that holds byte `at`. */
function blockOf(name: string, at: number): number {
  const blockSize = Number(/,(\d+)$/.exec(name)![1]);
  return Math.floor(at / blockSize) * blockSize;
}

describe.each([
  ['that a real database wrote', golden],
  ['that the library wrote', written],
])('damage to any file of a backup %s', (_which, make) => {
  async function files() {
    const container = await make();
    const content = await contentOf(container);
    const names = [...content.keys()].filter((name) => isData(name) && content.get(name)!.length > 0);
    expect(names.length).toBeGreaterThan(6);
    return { container, content, names };
  }

  it('a flipped bit is found, with its block', async () => {
    const { container, content, names } = await files();
    const random = new SeededRandom(1);
    for (const name of names) {
      const size = content.get(name)!.length;
      for (const at of [0, 3, random.below(size), random.below(size), size - 1]) {
        const damaged = await copyOf(container);
        await change(damaged, name, flip(at, random.below(8)));
        const report = await verifyBackup(damaged, { deep: true });
        expect(report.ok).toBe(false);
        expect(about(report, name)).toContainEqual(
          expect.objectContaining({ kind: 'checksum', offset: blockOf(name, at), code: 'CHECKSUM_MISMATCH' }),
        );
        expect(report.problems.every(({ file }) => file === name)).toBe(true);
      }
    }
  }, 60_000);

  it('a cut tail is found, shallow too', async () => {
    const { container, content, names } = await files();
    for (const name of names) {
      const size = content.get(name)!.length;
      for (const cut of [1, Math.min(100, size - 1), size]) {
        const damaged = await copyOf(container);
        await change(damaged, name, (bytes) => bytes.slice(0, size - cut));
        for (const deep of [false, true]) {
          const report = await verifyBackup(damaged, { deep });
          expect(report.ok).toBe(false);
          expect(about(report, name)).toContainEqual(
            expect.objectContaining({ kind: 'wrong-size', offset: size - cut }),
          );
        }
      }
    }
  }, 60_000);

  it('a missing file is found, shallow too', async () => {
    const { container, names } = await files();
    for (const name of names) {
      const damaged = await copyOf(container);
      await damaged.deleteFile(name);
      for (const deep of [false, true]) {
        const report = await verifyBackup(damaged, { deep, clock: hasty });
        expect(report.ok).toBe(false);
        expect(about(report, name)).toMatchObject([{ kind: 'missing-file', code: 'FILE_NOT_FOUND' }]);
      }
    }
  }, 60_000);

  it('two files with each other’s content are found, and named', async () => {
    const { container, content, names } = await files();
    for (const [i, a] of names.entries()) {
      const b = names[(i + 1) % names.length]!;
      const damaged = await copyOf(container);
      await put(damaged, a, content.get(b)!);
      await put(damaged, b, content.get(a)!);
      const report = await verifyBackup(damaged, { deep: true });
      expect(report.ok).toBe(false);
      expect(report.problems).toHaveLength(2);
      expect(about(report, a)).toMatchObject([{ kind: 'swapped', other: b, offset: 0 }]);
      expect(about(report, b)).toMatchObject([{ kind: 'swapped', other: a, offset: 0 }]);
    }
  }, 60_000);

  it('a duplicate under another name is found', async () => {
    const { container, content, names } = await files();
    for (const name of names) {
      const twin = name.replace(/[0-9a-f]{32}/, 'f'.repeat(32));
      const damaged = await copyOf(container);
      await put(damaged, twin, content.get(name)!);
      const report = await verifyBackup(damaged, { deep: true });
      expect(report.problems).toMatchObject([{ kind: 'duplicate', harmless: true }]);
      expect([report.problems[0]!.file, report.problems[0]!.other].sort()).toEqual([name, twin].sort());
      expect(report.ok).toBe(true);
    }
  }, 60_000);
});

describe('what checksums do not tell', () => {
  it('a duplicate that another tag would apply again is no harmless one', async () => {
    const container = await golden();
    const name = (await dataFiles(container)).find((file) => file.includes('0-of-3'))!;
    const other = name.replace('0-of-3', '1-of-3').replace(/[0-9a-f]{32}/, 'f'.repeat(32));
    await put(container, other, (await contentOf(container)).get(name)!);
    const report = await verifyBackup(container, { deep: true });
    expect(report.ok).toBe(false);
    expect(report.problems).toContainEqual(expect.objectContaining({ kind: 'duplicate', harmless: false }));
    // The tag has a file of its own for these versions, which says otherwise.
    expect(report.problems).toContainEqual(expect.objectContaining({ kind: 'disagreement' }));
  });

  it('without checksums finds what does not decode, and what does not fit its name', async () => {
    const container = await loadGolden('small3');
    const [a, b] = (await dataFiles(container)).filter((name) => name.includes('0-of-3')) as [string, string];
    const content = await contentOf(container);
    await put(container, a, content.get(b)!);
    await put(container, b, content.get(a)!);
    const report = await verifyBackup(container, { deep: true });
    expect(about(report, a)).toMatchObject([{ kind: 'corrupt', code: 'CORRUPT_FILE', offset: 4 }]);
    expect(about(report, b)).toMatchObject([{ kind: 'corrupt', code: 'CORRUPT_FILE', offset: 4 }]);
  });
});

describe('small files', () => {
  it('every flipped bit of every one of them is found, or says the same', async () => {
    const container = await golden();
    const names = [...(await contentOf(container)).keys()].filter((name) => !isData(name));
    expect(names.length).toBeGreaterThan(10);
    const random = new SeededRandom(2);
    const sound = (await verifyBackup(container)).checked;
    for (const name of names) {
      const size = (await contentOf(container)).get(name)!.length;
      const sums = name.includes('tidemark');
      for (let at = 0; at < size; at += sums ? 1 + random.below(12) : 1) {
        const damaged = await copyOf(container);
        await change(damaged, name, flip(at, random.below(8)));
        const report = await verifyBackup(damaged);
        if (sums) {
          expect(report.ok, `${name} at ${at}`).toBe(false);
          expect(report.problems).toMatchObject([{ kind: 'sums', file: name, offset: 0 }]);
        } else if (name.startsWith('snapshots/')) {
          expect(report.ok, `${name} at ${at}`).toBe(false);
          expect(
            report.problems.some(({ kind, file }) => (kind === 'manifest' && file === name) || kind === 'missing-file'),
          ).toBe(true);
        } else if (!report.ok) {
          expect(report.problems).toMatchObject([{ file: name, kind: 'property' }]);
        } else {
          // Another digit in a number: no checksum tells.
          expect(report.checked).toEqual(sound);
        }
      }
    }
  }, 60_000);

  it('a damaged mark or marker does not end the verification', async () => {
    const container = await golden();
    for (const name of ['expired_end_version', 'unreliable_end_version', 'tidemark_job', 'encryption_metadata'])
      await put(container, `properties/${name}`, 'x');
    const { problems } = await verifyBackup(container, { deep: true });
    expect(problems.map(({ kind }) => kind)).toEqual(['property', 'property', 'property', 'property']);
  });

  it('damaged checksums leave their file unchecked', async () => {
    const container = await golden();
    const name = (await dataFiles(container)).find((file) => file.startsWith('plogs/'))!;
    await change(container, sumsFileName(name), flip(20, 0));
    const report = await verifyBackup(container, { deep: true });
    expect(report.problems).toMatchObject([{ kind: 'sums', file: sumsFileName(name) }]);
    expect(report.unchecked).toEqual([name]);
  });
});

describe('our own files', () => {
  const records = (from: number, to: number, tag: string) =>
    Array.from({ length: to - from }, (_, i) => ({
      version: BigInt(from + i),
      subsequence: 1,
      mutation: set(`${tag} key ${from + i}`, 'value '.repeat(i % 5)),
    }));

  async function ownBackup(): Promise<{ container: MemoryContainer; small: string }> {
    const container = await newContainer();
    const small = await putLog(
      container,
      { begin: 1n, end: 9n, tag: 0, totalTags: 2, blockSize: 128 },
      records(1, 9, 'a'),
    );
    await putLog(container, { begin: 9n, end: 30n, tag: 0, totalTags: 2 }, records(9, 30, 'a'));
    await putLog(container, { begin: 1n, end: 30n, tag: 1, totalTags: 2, blockSize: 256 }, records(1, 30, 'b'));
    await putLog(container, { begin: 30n, end: 40n, tag: 0, totalTags: 2 });
    await putLog(container, { begin: 30n, end: 40n, tag: 1, totalTags: 2 });
    await recordChecksums(container);
    return { container, small };
  }

  it('each flipped bit of a file is found, with the block that it is in', async () => {
    const { container, small } = await ownBackup();
    const bytes = (await contentOf(container)).get(small)!;
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      const damaged = await copyOf(container);
      await change(damaged, small, flip(bit >> 3, bit & 7));
      const report = await verifyBackup(damaged, { deep: true });
      expect(report.ok, `bit ${bit}`).toBe(false);
      expect(about(report, small)).toContainEqual(expect.objectContaining({ kind: 'checksum', offset: 0 }));
    }
  }, 60_000);

  it('the block that is wrong is told in a file of many', async () => {
    const container = await newContainer();
    const big = Array.from({ length: 100 }, (_, i) => ({
      version: BigInt(i),
      subsequence: 1,
      mutation: set('k', 'x'.repeat(2000)),
    }));
    const name = await putLog(container, { begin: 0n, end: 100n, tag: 0, totalTags: 1, blockSize: 8192 }, big);
    await recordChecksums(container);
    const size = (await contentOf(container)).get(name)!.length;
    for (const at of [5, 8192, 20_000, size - 1]) {
      const damaged = await copyOf(container);
      await change(damaged, name, flip(at, 3));
      const found = about(await verifyBackup(damaged, { deep: true }), name).find(({ kind }) => kind === 'checksum');
      expect(found?.offset).toBe(Math.floor(at / 8192) * 8192);
    }
  });

  it('overlapping files that disagree are found', async () => {
    const { container } = await ownBackup();
    const other = await putLog(container, { begin: 5n, end: 12n, tag: 0, totalTags: 2 }, records(5, 12, 'c'));
    const { problems } = await verifyBackup(container, { deep: true });
    expect(problems).toMatchObject([{ kind: 'disagreement', harmless: false }]);
    expect([problems[0]!.file, problems[0]!.other]).toContain(other);
  });

  it('a hole in the log is found, and a log that is shorter than another tag’s is none', async () => {
    const { container } = await ownBackup();
    await putLog(container, { begin: 40n, end: 50n, tag: 0, totalTags: 2 });
    expect((await verifyBackup(container)).ok).toBe(true);
    await putLog(container, { begin: 45n, end: 50n, tag: 1, totalTags: 2 });
    expect((await verifyBackup(container)).problems).toMatchObject([
      { kind: 'log-gap', file: undefined, versions: { begin: 40n, end: 45n }, code: 'NOT_RESTORABLE' },
    ]);
  });

  it('checksums without a file are no problem once others hold its versions, or it has expired', async () => {
    const { container } = await ownBackup();
    const place = `plogs/0000/0000/log,3,7,${'e'.repeat(32)},0-of-2,1048576`;
    const beyond = `plogs/0000/0000/log,40,50,${'e'.repeat(32)},0-of-2,1048576`;
    const sums = new FileSumsBuilder(4096);
    sums.update(Buffer.from('something'));
    await put(container, sumsFileName(place), encodeFileSums(sums.build()));
    expect(await verifyBackup(container)).toMatchObject({ ok: true, leftovers: [sumsFileName(place)] });
    await put(container, sumsFileName(beyond), encodeFileSums(sums.build()));
    expect((await verifyBackup(container, { clock: hasty })).problems).toMatchObject([
      { kind: 'missing-file', file: beyond },
    ]);
    await put(container, 'properties/unreliable_end_version', '50');
    expect((await verifyBackup(container)).problems).toEqual([]);
  });

  it('random backups are sound, with and without checksums', async () => {
    for (let seed = 1; seed <= 8; seed++) {
      const { container } = await sampleBackup(new SeededRandom(seed));
      const bare = await verifyBackup(container, { deep: true });
      expect(bare.problems.filter(({ harmless }) => !harmless)).toEqual([]);
      await recordChecksums(container);
      const report = await verifyBackup(container, { deep: true });
      expect(report).toMatchObject({ ok: true, unchecked: [] });
      expect(await recordChecksums(container)).toMatchObject({ logFiles: 0, snapshots: 0 });
    }
  });
});

describe('verifyBackup', () => {
  it('never writes', async () => {
    const container = await golden();
    const before = await contentOf(container);
    await verifyBackup(container, { deep: true });
    expect(await contentOf(container)).toEqual(before);
  });

  it('can be aborted, also when the container hangs', async () => {
    const container = await golden();
    const controller = new AbortController();
    const hanging = new CrashingContainer(container, Infinity, 'before');
    hanging.readFile = () => new Promise<never>(() => undefined);
    const verification = verifyBackup(hanging, { deep: true, signal: controller.signal });
    setImmediate(() => controller.abort(new Error('enough')));
    await expect(verification).rejects.toThrow('enough');
  });

  it('throws what a container that does not answer throws, and refuses one that is not there', async () => {
    const container = await golden();
    await expect(verifyBackup(new CrashingContainer(container, 12, 'before'), { deep: true })).rejects.toThrow('died');
    await expect(verifyBackup(new MemoryContainer())).rejects.toMatchObject({ code: 'FILE_NOT_FOUND' });
    await expect(verifyBackup(container, { concurrency: 0 })).rejects.toMatchObject({ code: 'INVALID_OPTION' });
  });

  it('tries again what failed for a passing reason', async () => {
    const container = await golden();
    const flaky = new CrashingContainer(container, Infinity, 'before');
    const read = flaky.readFile.bind(flaky);
    let failures = 0;
    flaky.readFile = (name, offset, length) => {
      if (failures++ % 3 !== 2)
        return Promise.reject(new BackupError('CONTAINER_UNAVAILABLE', 'away', { retryable: true }));
      return read(name, offset, length);
    };
    expect(await verifyBackup(flaky, { deep: true, concurrency: 1, clock: new HastyClock() })).toMatchObject({
      ok: true,
    });
  });

  it('takes files that are compacted away meanwhile for what they are', async () => {
    const container = await golden();
    let reads = 0;
    const racing = new CrashingContainer(container, Infinity, 'before');
    const read = racing.readFile.bind(racing);
    racing.readFile = async (name, offset, length) => {
      if (++reads === 30) await compactLogs(container, { graceMs: 0, keepNewest: 0, minFiles: 2 });
      return read(name, offset, length);
    };
    const report = await verifyBackup(racing, { deep: true, concurrency: 1 });
    expect(report.problems).toEqual([]);
    expect(report.unchecked).toEqual([]);
    expect(reads).toBeGreaterThan(30);
  });

  it.each([false, true])(
    'calls nothing unchecked that is written or compacted away meanwhile (deep: %s)',
    async (deep) => {
      const container = await golden();
      const racing = new CrashingContainer(container, Infinity, 'before');
      const list = racing.listFiles.bind(racing);
      let changed = false;
      racing.listFiles = async function* (prefix) {
        yield* list(prefix);
        // After the first of the two listings, whichever that is.
        if (changed || !(prefix === SUMS_FOLDER || prefix === LOG_FOLDER)) return;
        changed = true;
        await compactLogs(container, { graceMs: 0, keepNewest: 0, minFiles: 2 });
      };
      const report = await verifyBackup(racing, { deep });
      expect(report).toMatchObject({ ok: true, problems: [], unchecked: [] });
      expect(changed).toBe(true);
    },
  );
});

describe('checksums of whole files', () => {
  it('follow from those of their blocks', () => {
    const random = new SeededRandom(9);
    for (const [size, blockSize] of [
      [0, 512],
      [1, 512],
      [512, 512],
      [5000, 512],
      [4096, 1024],
      [1_000_003, 65_536],
    ] as const) {
      const bytes =
        random.bytes(0).length === 0 ? Uint8Array.from({ length: size }, () => random.below(256)) : new Uint8Array(0);
      const builder = new FileSumsBuilder(blockSize);
      builder.update(bytes);
      expect(wholeCrc(builder.build())).toBe(crc32(bytes));
    }
  });
});
