import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import path from 'node:path';
import { DirectoryContainer } from '../../src/container/directory-container.js';
import { openEncryptedContainer } from '../../src/container/encrypted-container.js';
import { PROPERTY } from '../../src/format/fdb/properties.js';
import type { BackupContainer } from '../../src/ports/backup-container.js';
import { describeBackup } from '../../src/restore/describe.js';
import type { BackupDescription, LogFile } from '../../src/restore/description.js';
import { analyzeLogs } from '../../src/restore/log-coverage.js';
import { set } from '../format/encode-log-file.js';
import type { GoldenName } from '../format/golden.js';
import { GOLDEN_NAMES, goldenContainer, goldenDescription, goldenFolder } from '../format/golden.js';
import { hanging, newContainer, put, putEmptyLogs, putLog, putMarker, putSnapshot } from './container-builder.js';

type Layout = Parameters<typeof putEmptyLogs>[1];

async function describeLayout(
  layout: Layout,
  marker: Parameters<typeof putMarker>[1] = {},
): Promise<BackupDescription> {
  const container = await newContainer();
  await putMarker(container, marker);
  await putEmptyLogs(container, layout);
  return describeBackup(container);
}

const ranges = (list: readonly { begin: bigint; end: bigint }[]) =>
  list.map(({ begin, end }) => [Number(begin), Number(end)]);
const gaps = (description: BackupDescription) =>
  description.gaps.map((gap) => [gap.kind, gap.tag, Number(gap.begin), Number(gap.end)]);
const restorable = ({ minRestorable, maxRestorable }: BackupDescription) => [minRestorable, maxRestorable];

async function openGolden(name: GoldenName): Promise<BackupContainer> {
  const container = new DirectoryContainer(goldenContainer(name)!);
  if (name !== 'plogenc') return container;
  return openEncryptedContainer(container, { keyFile: path.join(goldenFolder(name)!, 'enc.key') });
}

describe.each(GOLDEN_NAMES)('golden container %s', (name) => {
  const folder = goldenContainer(name);

  it.skipIf(folder === undefined)(
    'is described as the original described it (skipped where ../shared/golden is absent)',
    async () => {
      const expected = goldenDescription(name)!;
      const description = await describeBackup(await openGolden(name));
      expect(description.snapshots.every(({ manifestChecked }) => manifestChecked)).toBe(true);
      expect({
        MinLogBegin: description.logBegin,
        ContiguousLogEnd: description.contiguousLogEnd,
        MaxLogEnd: description.maxLogEnd,
        MinRestorablePoint: description.minRestorable,
        MaxRestorablePoint: description.maxRestorable,
        TotalSnapshotBytes: description.snapshotBytes,
      }).toEqual({
        MinLogBegin: BigInt(expected.MinLogBegin.Version),
        ContiguousLogEnd: BigInt(expected.ContiguousLogEnd.Version),
        MaxLogEnd: BigInt(expected.MaxLogEnd.Version),
        MinRestorablePoint: BigInt(expected.MinRestorablePoint.Version),
        MaxRestorablePoint: BigInt(expected.MaxRestorablePoint.Version),
        TotalSnapshotBytes: expected.TotalSnapshotBytes,
      });
      expect(
        description.snapshots.map((s) => [Number(s.beginVersion), Number(s.endVersion), s.restorable, s.totalBytes]),
      ).toEqual(expected.Snapshots.map((s) => [s.Start.Version, s.End.Version, s.Restorable, s.TotalBytes]));
      expect(description.problems).toEqual([]);
      expect(description.gaps.filter((gap) => gap.kind !== 'start' && gap.kind !== 'end')).toEqual([]);
    },
  );
});

describe.each(GOLDEN_NAMES)('golden container %s', (name) => {
  const folder = goldenContainer(name);

  it.skipIf(folder === undefined)(
    'is found sound by a deep describe (skipped where ../shared/golden is absent)',
    async () => {
      const container = await openGolden(name);
      const { deep, ...found } = await describeBackup(container, { deep: true });
      expect(deep).toBe(true);
      expect(found).toEqual({ ...(await describeBackup(container)), deep: undefined });
    },
  );
});

describe('an encrypted container without its key', () => {
  const encrypted = goldenContainer('plogenc');

  it.skipIf(encrypted === undefined)(
    'is described from names, and says so; a deep describe is refused (skipped where ../shared/golden is absent)',
    async () => {
      const container = new DirectoryContainer(encrypted!);
      const description = await describeBackup(container);
      expect(description).toMatchObject({ encrypted: true, encryption: { enabled: true, blockSize: 4096 } });
      expect(description.unsupported).toMatch(/encrypted.*without its key/);
      expect(description.snapshots.map((snapshot) => snapshot.manifestChecked)).toEqual([false, false]);
      await expect(describeBackup(container, { deep: true })).rejects.toMatchObject({ code: 'ENCRYPTION_KEY_MISSING' });
    },
  );
});

describe('describe', () => {
  it('says that there is no container', async () => {
    const { MemoryContainer } = await import('../../src/container/memory-container.js');
    await expect(describeBackup(new MemoryContainer())).rejects.toMatchObject({ code: 'FILE_NOT_FOUND' });
  });

  it('describes an empty container', async () => {
    const description = await describeBackup(await newContainer());
    expect(description).toMatchObject({
      logType: 'none',
      tags: [],
      gaps: [],
      windows: [],
      logBegin: undefined,
      job: undefined,
    });
    expect(description.notRestorable).toMatch(/neither a snapshot nor a log file/);
  });

  it('ignores names that it does not know', async () => {
    const container = await newContainer();
    await putEmptyLogs(container, { '0/1': [[1, 10]] });
    for (const name of [
      'plogs/readme',
      'plogs/0000/0000/log,10,20,aa,0-of-1,1048576.bak',
      'snapshots/x',
      'properties/other',
    ])
      await put(container, name, 'x');
    expect(await describeBackup(container)).toMatchObject({ logFiles: 1, maxLogEnd: 10n, problems: [] });
  });

  it('joins the files of each tag', async () => {
    const description = await describeLayout({
      '0/2': [
        [1, 10],
        [10, 30],
      ],
      '1/2': [
        [1, 20],
        [20, 30],
      ],
    });
    expect(ranges(description.complete)).toEqual([[1, 30]]);
    expect(gaps(description)).toEqual([]);
    expect(restorable(description)).toEqual([1n, 29n]);
  });

  it('takes files in the order of their versions, whatever the order of their names', async () => {
    const description = await describeLayout({
      '0/1': [
        [9, 10],
        [10, 99],
        [99, 100],
        [100, 1000],
        [1, 9],
      ],
    });
    expect(ranges(description.complete)).toEqual([[1, 1000]]);
  });

  it('true-up: the log begins where every tag has begun', async () => {
    const description = await describeLayout(
      { '0/3': [[5, 20]], '1/3': [[9, 20]], '2/3': [[1, 20]] },
      { firstVersion: 9n },
    );
    expect(description).toMatchObject({ logBegin: 9n, contiguousLogEnd: 20n, maxLogEnd: 20n });
    expect(gaps(description)).toEqual([
      ['start', 0, 1, 5],
      ['start', 1, 1, 9],
    ]);
    expect(restorable(description)).toEqual([9n, 19n]);
  });

  it('is not restorable from an empty database when a tag begins above its first version, and names the tag', async () => {
    const description = await describeLayout({ '0/2': [[1, 20]], '1/2': [[4, 20]] });
    expect(description.windows).toEqual([]);
    expect(description.notRestorable).toMatch(/first version is 1.*tag 1 of 2.*\[1, 4\)/);
  });

  it('reaches only as far as the tag that is furthest behind', async () => {
    const description = await describeLayout({ '0/2': [[1, 50]], '1/2': [[1, 30]] });
    expect(description).toMatchObject({ contiguousLogEnd: 30n, maxLogEnd: 50n, maxRestorable: 29n });
    expect(gaps(description)).toEqual([['end', 1, 30, 50]]);
  });

  it('names the hole of a tag', async () => {
    const description = await describeLayout({
      '0/2': [[1, 50]],
      '1/2': [
        [1, 10],
        [20, 50],
      ],
    });
    expect(ranges(description.complete)).toEqual([
      [1, 10],
      [20, 50],
    ]);
    expect(gaps(description)).toEqual([['hole', 1, 10, 20]]);
    expect(description.gaps[0]?.reason).toBe('tag 1 of 2 has no file for [10, 20)');
    expect(restorable(description)).toEqual([1n, 9n]);
  });

  it('names a tag that has no file at all', async () => {
    const description = await describeLayout({ '0/3': [[1, 50]], '2/3': [[1, 50]] });
    expect(description.complete).toEqual([]);
    expect(gaps(description)).toEqual([['missing-tag', 1, 1, 50]]);
    expect(restorable(description)).toEqual([undefined, undefined]);
    expect(description.notRestorable).toMatch(/tag 1 of 3/);
  });

  it('names tag 0 when it is the one without files', async () => {
    const description = await describeLayout({ '1/2': [[1, 50]] });
    expect(gaps(description)).toEqual([['missing-tag', 0, 1, 50]]);
  });

  it('copes with a name that claims an absurd number of tags', async () => {
    const description = await describeLayout({ '0/999999999999': [[1, 50]] });
    expect(description.gaps.length).toBeLessThan(100);
    expect(description.gaps.at(-1)?.reason).toMatch(/more tags/);
  });

  it('epochs: the number of tags may change from stretch to stretch', async () => {
    const description = await describeLayout({
      '0/2': [
        [1, 10],
        [30, 40],
      ],
      '1/2': [
        [1, 10],
        [30, 40],
      ],
      '0/3': [[10, 30]],
      '1/3': [[10, 30]],
      '2/3': [
        [10, 20],
        [20, 30],
      ],
    });
    expect(description.stretches.map(({ begin, end, totalTags }) => [Number(begin), Number(end), totalTags])).toEqual([
      [1, 10, 2],
      [10, 30, 3],
      [30, 40, 2],
    ]);
    expect(gaps(description)).toEqual([]);
    expect(restorable(description)).toEqual([1n, 39n]);
  });

  it('epochs: a tag that only the newer epoch has may not begin late', async () => {
    const description = await describeLayout({
      '0/2': [[1, 10]],
      '1/2': [[1, 10]],
      '0/3': [[10, 30]],
      '1/3': [[10, 30]],
      '2/3': [[12, 30]],
    });
    expect(ranges(description.complete)).toEqual([
      [1, 10],
      [12, 30],
    ]);
    expect(gaps(description)).toEqual([['hole', 2, 10, 12]]);
    expect(restorable(description)).toEqual([1n, 9n]);
  });

  it('epochs: an older epoch that one tag has not drained yet is a hole', async () => {
    const description = await describeLayout({ '0/2': [[1, 10]], '1/2': [[1, 7]], '0/1': [[10, 30]] });
    expect(ranges(description.complete)).toEqual([
      [1, 7],
      [10, 30],
    ]);
    expect(gaps(description)).toEqual([['hole', 1, 7, 10]]);
  });

  it('epochs: other tags tell where a stretch ends that tag 0 lacks', async () => {
    const description = await describeLayout({
      '0/2': [[1, 10]],
      '1/2': [[1, 20]],
      '0/3': [[30, 40]],
      '1/3': [[20, 40]],
      '2/3': [[20, 40]],
    });
    expect(description.stretches.map(({ begin, end, totalTags }) => [Number(begin), Number(end), totalTags])).toEqual([
      [1, 20, 2],
      [20, 40, 3],
    ]);
    expect(gaps(description)).toEqual([
      ['hole', 0, 10, 20],
      ['hole', 0, 20, 30],
    ]);
  });

  it('epochs: what lies between two of them and has no file at all is a hole of the older one', async () => {
    const description = await describeLayout({ '0/1': [[1, 10]], '0/2': [[20, 30]], '1/2': [[20, 30]] });
    expect(gaps(description)).toEqual([['hole', 0, 10, 20]]);
    expect(description.gaps[0]?.totalTags).toBe(1);
  });

  it('reports files of different numbers of tags that claim the same versions', async () => {
    const description = await describeLayout({ '0/1': [[1, 30]], '0/2': [[10, 30]], '1/2': [[10, 30]] });
    expect(description.problems).toMatchObject([{ kind: 'tags' }]);
    expect(ranges(description.complete)).toEqual([[1, 30]]);
  });

  it('P13: files that overlap after a crash cover their versions once; a file within another is a duplicate', async () => {
    const description = await describeLayout({
      '0/1': [
        [1, 10],
        [5, 20],
        [5, 8],
        [5, 20],
        [18, 25],
      ],
    });
    expect(ranges(description.tags[0]!.files)).toEqual([
      [1, 10],
      [5, 20],
      [18, 25],
    ]);
    expect(ranges(description.tags[0]!.duplicates)).toEqual([
      [5, 20],
      [5, 8],
    ]);
    expect(ranges(description.complete)).toEqual([[1, 25]]);
  });

  it('P13: files of another number of tags are no duplicates', async () => {
    const description = await describeLayout({ '0/1': [[1, 30]], '0/2': [[30, 40]], '1/2': [[30, 40]] });
    expect(description.tags.map((tag) => [tag.tag, tag.totalTags, tag.files.length, tag.duplicates.length])).toEqual([
      [0, 1, 1, 0],
      [0, 2, 1, 0],
      [1, 2, 1, 0],
    ]);
  });

  it('reports a duplicate that is larger than the file it lies in, which the original refuses', async () => {
    const container = await newContainer();
    await putLog(container, { begin: 1n, end: 20n, tag: 0, totalTags: 1 });
    const name = await putLog(container, { begin: 5n, end: 10n, tag: 0, totalTags: 1 }, [
      { version: 6n, subsequence: 1, mutation: set('a', 'b') },
    ]);
    expect((await describeBackup(container)).problems).toMatchObject([{ kind: 'duplicate', file: name }]);
  });

  it('needs the log-only mark to start from an empty database', async () => {
    const container = await newContainer();
    await putEmptyLogs(container, { '0/1': [[0, 10]] });
    expect((await describeBackup(container)).notRestorable).toMatch(
      /nothing says that its log begins with an empty database/,
    );
    await putMarker(container, { logOnly: false });
    expect((await describeBackup(container)).notRestorable).toMatch(/not log-only/);
  });

  it('reads versions beyond 2^53', async () => {
    const container = await newContainer();
    const big = 1n << 60n;
    await putMarker(container, { firstVersion: big + 1n });
    await putLog(container, { begin: big + 1n, end: big + 3n, tag: 0, totalTags: 1 });
    await putLog(container, { begin: big + 3n, end: big + 4n, tag: 0, totalTags: 1 });
    expect(restorable(await describeBackup(container))).toEqual([big + 1n, big + 3n]);
  });
});

describe('snapshots', () => {
  async function withSnapshots(
    layout: Layout,
    snapshots: readonly (readonly [number, number])[],
  ): Promise<BackupDescription> {
    const container = await newContainer();
    await putEmptyLogs(container, layout);
    for (const [begin, end] of snapshots) await putSnapshot(container, BigInt(begin), BigInt(end));
    return describeBackup(container);
  }

  it('with a log around them can be rolled forward to its end', async () => {
    const description = await withSnapshots({ '0/1': [[1, 30]] }, [
      [5, 8],
      [9, 9],
    ]);
    expect(description.snapshots.map((s) => s.restorable)).toEqual([true, true]);
    expect(restorable(description)).toEqual([8n, 29n]);
    expect(description.windows).toHaveLength(1);
  });

  it('of a single version need no log', async () => {
    const description = await withSnapshots({}, [[5, 5]]);
    expect(restorable(description)).toEqual([5n, 5n]);
  });

  it('of several versions need the log between them, and the reason names where it ends', async () => {
    const description = await withSnapshots({ '0/1': [[1, 8]] }, [[5, 8]]);
    expect(description.snapshots).toMatchObject([
      { restorable: false, reason: expect.stringMatching(/gap at 8/) as string },
    ]);
    expect(description.notRestorable).toMatch(/gap at 8/);
  });

  it('decide which stretch of the log counts: the first that does not end before the first snapshot', async () => {
    const description = await withSnapshots(
      {
        '0/1': [
          [1, 10],
          [20, 40],
        ],
      },
      [[25, 28]],
    );
    expect(description).toMatchObject({ logBegin: 20n, contiguousLogEnd: 40n });
    expect(restorable(description)).toEqual([28n, 39n]);
  });

  it('before and after a gap make two windows', async () => {
    const description = await withSnapshots(
      {
        '0/1': [
          [1, 10],
          [20, 40],
        ],
      },
      [
        [5, 5],
        [25, 25],
      ],
    );
    expect(description.windows.map(({ min, max }) => [min, max])).toEqual([
      [5n, 9n],
      [25n, 39n],
    ]);
    expect(restorable(description)).toEqual([5n, 9n]);
  });

  it.each<[string, (container: Awaited<ReturnType<typeof newContainer>>) => Promise<unknown>, RegExp]>([
    [
      'without one of their range files',
      (c) => putSnapshot(c, 5n, 5n, { missingFile: true }),
      /1 of its 1 range files are missing/,
    ],
    ['whose manifest is no JSON', (c) => put(c, 'snapshots/snapshot,5,5,100', '{'), /is not JSON/],
    [
      'whose manifest has other versions',
      (c) => put(c, 'snapshots/snapshot,5,5,100', '{"beginVersion":4,"endVersion":5,"files":[],"totalBytes":1}'),
      /other versions/,
    ],
    ['that are bulk dumps', (c) => put(c, 'snapshots/snapshot,5,5,100,bulk', '{}'), /bulk dump/],
  ])('%s are not restorable, with the reason', async (_, prepare, reason) => {
    const container = await newContainer();
    await prepare(container);
    const description = await describeBackup(container);
    expect(description.snapshots).toMatchObject([
      { restorable: false, reason: expect.stringMatching(reason) as string },
    ]);
    expect(description.problems).toMatchObject([{ kind: 'snapshot' }]);
  });
});

describe('the marks of a container', () => {
  async function withMarks(
    marks: Partial<Record<keyof typeof PROPERTY, string>>,
    layout: Layout = {
      '0/1': [
        [1, 10],
        [10, 20],
        [20, 30],
      ],
    },
  ) {
    const container = await newContainer();
    await putMarker(container);
    await putEmptyLogs(container, layout);
    for (const [name, value] of Object.entries(marks))
      await put(container, PROPERTY[name as keyof typeof PROPERTY], value);
    return container;
  }

  it('unreliable: nothing below it is counted on', async () => {
    const description = await describeBackup(await withMarks({ unreliableEndVersion: '10', expiredEndVersion: '5' }));
    expect(description).toMatchObject({ logBegin: 10n, contiguousLogEnd: 30n, unreliableEnd: 10n, expiredEnd: 5n });
    expect(description.windows).toEqual([]);
  });

  it('expired: at least as unreliable', async () => {
    const container = await withMarks({ expiredEndVersion: '20' });
    await putSnapshot(container, 15n, 15n);
    const description = await describeBackup(container);
    expect(description).toMatchObject({ logBegin: 20n, unreliableEnd: 20n });
    expect(description.snapshots).toMatchObject([
      { restorable: false, reason: expect.stringMatching(/expired/) as string },
    ]);
  });

  it('cached log range: reported when the files do not show it, but never believed', async () => {
    const container = await withMarks(
      { logBeginVersion: '1', logEndVersion: '30' },
      {
        '0/1': [
          [1, 10],
          [20, 30],
        ],
      },
    );
    const description = await describeBackup(container);
    expect(description.problems).toMatchObject([{ kind: 'cache' }]);
    expect(description.contiguousLogEnd).toBe(10n);
    expect((await describeBackup(container, { deep: true })).problems).toEqual([]);
  });

  it.each([
    ['backwards', { logBeginVersion: '99', logEndVersion: '50' }],
    ['below the expiry', { logBeginVersion: '1', logEndVersion: '50', expiredEndVersion: '60' }],
    ['half', { logEndVersion: '50' }],
  ])('cached log range: ignored when %s', async (_, marks) => {
    expect((await describeBackup(await withMarks(marks))).problems).toEqual([]);
  });

  it('damaged: the ones that decide what may be trusted are an error, a cache is a problem', async () => {
    await expect(describeBackup(await withMarks({ expiredEndVersion: 'x' }))).rejects.toMatchObject({
      code: 'CORRUPT_FILE',
      file: PROPERTY.expiredEndVersion,
    });
    await expect(describeBackup(await withMarks({ encryptionMetadata: '{' }))).rejects.toMatchObject({
      code: 'CORRUPT_FILE',
    });
    const description = await describeBackup(await withMarks({ logEndVersion: 'x' }));
    expect(description.problems).toMatchObject([{ kind: 'property', file: PROPERTY.logEndVersion }]);
  });
});

describe('deep', () => {
  it('reports corrupt files with their offsets and counts them as missing', async () => {
    const container = await newContainer();
    await putMarker(container);
    await putEmptyLogs(container, { '1/2': [[1, 30]] });
    await putLog(container, { begin: 1n, end: 10n, tag: 0, totalTags: 2 }, [
      { version: 2n, subsequence: 1, mutation: set('a', 'b') },
    ]);
    const bad = await putLog(container, { begin: 10n, end: 20n, tag: 0, totalTags: 2 }, [
      { version: 25n, subsequence: 1, mutation: set('a', 'b') },
    ]);
    await putLog(container, { begin: 20n, end: 30n, tag: 0, totalTags: 2 });
    expect((await describeBackup(container)).maxRestorable).toBe(29n);
    const description = await describeBackup(container, { deep: true });
    expect(description.problems).toMatchObject([{ kind: 'corrupt-file', file: bad, offset: 4 }]);
    expect(description.gaps).toMatchObject([{ kind: 'corrupt', tag: 0, begin: 10n, end: 20n, file: bad }]);
    expect(description.maxRestorable).toBe(9n);
  });

  it('P13: makes do with a sound duplicate of a corrupt file', async () => {
    const container = await newContainer();
    await putMarker(container);
    await putLog(container, { begin: 1n, end: 20n, tag: 0, totalTags: 1 }, Buffer.from('rubbish'));
    await putEmptyLogs(container, {
      '0/1': [
        [1, 10],
        [10, 20],
      ],
    });
    const description = await describeBackup(container, { deep: true });
    expect(description.problems).toMatchObject([{ kind: 'corrupt-file', offset: 0 }]);
    expect(restorable(description)).toEqual([1n, 19n]);
  });
});

describe('coverage of random files', () => {
  it('agrees with counting version by version', () => {
    const file = fc.record({
      begin: fc.nat(40),
      length: fc.integer({ min: 1, max: 15 }),
      tag: fc.nat(2),
    });
    fc.assert(
      fc.property(fc.array(file, { maxLength: 25 }), fc.nat(10), (drawn, from) => {
        // One number of tags: what the stretches are is checked by hand above.
        const files: LogFile[] = drawn.map(({ begin, length, tag }, i) => ({
          begin: BigInt(begin),
          end: BigInt(begin + length),
          uid: 'u',
          tag,
          totalTags: 3,
          blockSize: 100,
          name: `file ${i}`,
          size: 0,
        }));
        const { complete, gaps, tags } = analyzeLogs(files, BigInt(from));
        const begin = Math.max(
          from,
          Math.min(...files.filter((f) => f.end > BigInt(from)).map((f) => Number(f.begin))),
        );
        const end = Math.max(...files.filter((f) => f.end > BigInt(from)).map((f) => Number(f.end)));
        for (let v = 0n; v < 60n; v++) {
          const has = [0, 1, 2].map(
            (tag) => v >= BigInt(from) && files.some((f) => f.tag === tag && f.begin <= v && v < f.end),
          );
          const inside = (range: { begin: bigint; end: bigint }) => range.begin <= v && v < range.end;
          expect(complete.some(inside)).toBe(has.every(Boolean));
          for (const tag of [0, 1, 2]) {
            const covered = tags.find((log) => log.tag === tag)?.covered ?? [];
            expect(covered.some(inside)).toBe(has[tag]);
            const inGap = gaps.filter((gap) => gap.tag === tag && inside(gap)).length;
            expect(inGap).toBe(v >= begin && v < end && has[tag] === false ? 1 : 0);
          }
        }
      }),
      { numRuns: 150 },
    );
  });
});

describe('an abort', () => {
  it.each([
    ['while it lists', false, 'listFiles', ''],
    ['while it reads a property', false, 'readFile', 'properties/'],
    ['while it reads log files', true, 'readFile', 'plogs/'],
  ])('ends it although the container hangs, %s', async (_when, deep, hangingCall, prefix) => {
    const container = await newContainer();
    await putMarker(container);
    await putLog(container, { begin: 1n, end: 10n, tag: 0, totalTags: 1 }, [
      { version: 1n, subsequence: 1, mutation: set('a', 'b') },
    ]);
    let hung = 0;
    const silent = hanging(container, (call, name) => {
      const isIt = call === hangingCall && name.startsWith(prefix);
      if (isIt) hung++;
      return isIt;
    });
    const controller = new AbortController();
    const settled = Promise.allSettled([describeBackup(silent, { deep, signal: controller.signal })]);
    while (hung === 0) await new Promise((resolve) => setImmediate(resolve));
    controller.abort(new Error('enough'));
    expect(await settled).toMatchObject([{ status: 'rejected', reason: { message: 'enough' } }]);
  });
});
