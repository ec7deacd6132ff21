import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { MAX_VERSION } from '../../src/core/version.js';
import {
  FOLDER_VERSIONS,
  logFileName,
  parseLogFileName,
  parseRangeFileName,
  parseSnapshotFileName,
  parseUnpartitionedLogFileName,
  rangeFileName,
  snapshotFileName,
  splitAtFolder,
} from '../../src/format/fdb/names.js';
import { filesBelow, goldenContainer, GOLDEN_NAMES } from './golden.js';

const uid = '0123456789abcdef0123456789abcdef';
const log = { begin: 5n, end: 9n, uid, tag: 1, totalTags: 3, blockSize: 1_048_576 };

describe('log file names', () => {
  it('P20: carry the folder of their begin version', () => {
    expect(logFileName(log)).toBe(`plogs/0000/0000/log,5,9,${uid},1-of-3,1048576`);
    expect(logFileName({ ...log, begin: FOLDER_VERSIONS - 1n, end: FOLDER_VERSIONS })).toContain('plogs/0000/0000/');
    expect(logFileName({ ...log, begin: FOLDER_VERSIONS, end: FOLDER_VERSIONS + 1n })).toContain('plogs/0000/0001/');
    expect(logFileName({ ...log, begin: 12_345n * FOLDER_VERSIONS + 7n, end: MAX_VERSION })).toContain(
      'plogs/0001/2345/',
    );
    expect(logFileName({ ...log, begin: MAX_VERSION - 1n, end: MAX_VERSION })).toContain('plogs/9223/3720/');
  });

  it('come back from the parser as they went in', () => {
    const version = fc.bigInt({ min: 0n, max: MAX_VERSION });
    fc.assert(
      fc.property(version, version, fc.nat(99), fc.integer({ min: 5, max: 1 << 30 }), (a, b, tag, blockSize) => {
        fc.pre(a !== b);
        const descriptor = { ...log, begin: a < b ? a : b, end: a < b ? b : a, tag, totalTags: 100, blockSize };
        expect(parseLogFileName(logFileName(descriptor))).toEqual(descriptor);
      }),
    );
  });

  it.each([
    ['a begin below zero', { begin: -1n }],
    ['an end at the begin', { end: 5n }],
    ['an end beyond int64', { end: MAX_VERSION + 1n }],
    ['a uid of another form', { uid: '../../../../etc/passwd' }],
    ['a tag at totalTags', { tag: 3 }],
    ['a fractional tag', { tag: 0.5 }],
    ['no tags', { tag: 0, totalTags: 0 }],
    ['a block that holds nothing', { blockSize: 4 }],
    ['a block beyond 1 GiB', { blockSize: (1 << 30) + 1 }],
  ])('are refused for %s', (_, part) => {
    expect(() => logFileName({ ...log, ...part })).toThrow(expect.objectContaining({ code: 'INVALID_NAME' }) as Error);
  });

  it.each([
    `plogs/0000/0000/log,5,9,${uid},1-of-3,1048576.temp`,
    `plogs/0000/0000/log,5,9,${uid},1-of-3,1048576.12ab.temp`,
    `plogs/0000/0000/log,5,9,${uid},1-of-3,1048576.part`,
    `plogs/0000/0000/log,5,9,${uid},3-of-3,1048576`,
    `plogs/0000/0000/log,9,5,${uid},1-of-3,1048576`,
    `plogs/0000/0000/log,5,5,${uid},1-of-3,1048576`,
    `plogs/0000/0000/log,-5,5,${uid},1-of-3,1048576`,
    `plogs/0000/0000/log,5,9223372036854775808,${uid},1-of-3,1048576`,
    `plogs/0000/0000/log,5,99999999999999999999999,${uid},1-of-3,1048576`,
    `plogs/0000/0000/log,5,9,${uid},1-of-3,4`,
    `plogs/0000/0000/log,5,9,${uid},1-of-3,9999999999`,
    `plogs/0000/0000/log,5,9,${uid},1of3,1048576`,
    `plogs/0000/0000/log,5,9,,1-of-3,1048576`,
    `plogs/0000/0000/log,5,9,${uid},1-of-3`,
    `plogs/0000/0000/log,5,9,${uid},1048576`,
    `logs/0000/0000/log,5,9,${uid},1-of-3,1048576`,
    'plogs/0000/0000/notes.txt',
    'plogs/',
    '',
  ])('are not what %s is', (name) => {
    expect(parseLogFileName(name)).toBeUndefined();
  });

  it('of the unpartitioned log are told apart', () => {
    const name = `logs/0000/0000/log,5,9,${uid},1048576`;
    expect(parseUnpartitionedLogFileName(name)).toEqual({ begin: 5n, end: 9n, uid, blockSize: 1_048_576 });
    expect(parseUnpartitionedLogFileName(`p${name}`)).toBeUndefined();
    expect(parseUnpartitionedLogFileName(`${name}.part`)).toBeUndefined();
  });
});

describe('splitAtFolder', () => {
  const F = FOLDER_VERSIONS;
  it.each<[string, bigint, bigint, bigint[]]>([
    ['leaves a file within a folder whole', 5n, 9n, []],
    ['leaves a file that ends at a boundary whole', 5n, F, []],
    ['leaves a file that fills a folder whole', F, 2n * F, []],
    ['splits a file that reaches into the next folder', F - 1n, F + 1n, [F]],
    ['splits a jump over many folders once, at the last boundary below its end', 5n, 7n * F + 3n, [7n * F]],
    ['splits a jump that ends at a boundary at the one before', 5n, 7n * F, [6n * F]],
  ])('P20: %s', (_, begin, end, boundaries) => {
    expect(splitAtFolder(begin, end)).toEqual(boundaries);
  });

  it('P20: the last part lies within one folder, whatever the jump', () => {
    const version = fc.bigInt({ min: 0n, max: MAX_VERSION });
    fc.assert(
      fc.property(version, version, (a, b) => {
        fc.pre(a !== b);
        const [begin, end] = a < b ? [a, b] : [b, a];
        const last = splitAtFolder(begin, end).at(-1) ?? begin;
        expect(last >= begin && last < end && last / F === (end - 1n) / F).toBe(true);
      }),
    );
  });
});

describe('snapshot names', () => {
  const range = { snapshotBegin: 148_257_665n, folder: 2, version: 148_275_768n, uid, blockSize: 16_384 };
  const snapshot = { beginVersion: 5n, endVersion: 9n, totalBytes: 350_224 };

  it('are built and parsed as the original does', () => {
    expect(rangeFileName(range)).toBe(`kvranges/snapshot.000000000148257665/2/range,148275768,${uid},16384`);
    expect(parseRangeFileName(rangeFileName(range))).toEqual(range);
    expect(snapshotFileName(snapshot)).toBe('snapshots/snapshot,5,9,350224');
    expect(parseSnapshotFileName(snapshotFileName(snapshot))).toEqual(snapshot);
  });

  it('may say what kind of snapshot it is', () => {
    expect(parseSnapshotFileName('snapshots/snapshot,5,9,350224,bulk')).toEqual({ ...snapshot, kind: 'bulk' });
    expect(snapshotFileName({ ...snapshot, kind: 'bulk' })).toBe('snapshots/snapshot,5,9,350224,bulk');
    expect(parseSnapshotFileName('snapshots/snapshot,5,9,350224,temp')).toBeUndefined();
    expect(parseSnapshotFileName('snapshots/snapshot,5,9,350224.temp')).toBeUndefined();
    expect(parseSnapshotFileName('snapshots/snapshot,9,5,350224')).toBeUndefined();
  });
});

describe.each(GOLDEN_NAMES)('names in golden container %s', (name) => {
  const container = goldenContainer(name);

  it.skipIf(container === undefined)(
    'are all understood and rebuilt letter by letter (skipped where ../shared/golden is absent)',
    () => {
      const counts = { log: 0, range: 0, snapshot: 0, old: 0 };
      for (const file of filesBelow(container!)) {
        if (file.startsWith('properties/')) continue;
        const log = parseLogFileName(file);
        const range = parseRangeFileName(file);
        const snapshot = parseSnapshotFileName(file);
        if (log !== undefined) expect(logFileName(log)).toBe(file);
        else if (range !== undefined) expect(rangeFileName(range)).toBe(file);
        else if (snapshot !== undefined) expect(snapshotFileName(snapshot)).toBe(file);
        else expect(parseUnpartitionedLogFileName(file), file).toBeDefined();
        counts[log ? 'log' : range ? 'range' : snapshot ? 'snapshot' : 'old']++;
      }
      expect(counts.range).toBeGreaterThan(0);
      expect(counts.snapshot).toBeGreaterThan(0);
      expect(counts.log + counts.old).toBeGreaterThan(0);
    },
  );
});
