import { describe, expect, it } from 'vitest';
import { BackupError } from '../../src/core/errors.js';
import { MutationType } from '../../src/core/mutation.js';
import { logRouterTag } from '../../src/core/version.js';
import type { KeyValueBatch } from '../../src/ports/range-source.js';
import { ManualClock } from '../../src/testing/manual-clock.js';
import { MemoryLog } from '../../src/testing/memory-log.js';
import { MemoryRangeSource } from '../../src/testing/memory-range-source.js';
import { rangeSourceSuite } from '../../src/testing/range-suite.js';
import type { SuiteChange } from '../../src/testing/range-suite.js';
import { clear, hexRows, key, set } from './world.js';

const signal = new AbortController().signal;

function openMemoryRangeSource() {
  const source = new MemoryRangeSource({
    borders: [key('b'), key('k0100'), key('k30'), key('z')],
    batchRows: 9,
    version: 5n,
  });
  return {
    source,
    commit: async (changes: readonly SuiteChange[]) =>
      source.commit(
        changes.map((change) => ({
          mutation:
            'key' in change
              ? { type: MutationType.SetValue, param1: change.key, param2: change.value }
              : { type: MutationType.ClearRange, param1: change.begin, param2: change.end },
        })),
        { version: source.committed + 10n },
      ),
    changeRegion: async (at: Uint8Array) => source.move(at),
    collectGarbage: async (version: bigint) => source.collectGarbage(version + 1n),
  };
}

describe('MemoryRangeSource keeps the contract', () => {
  for (const { name, run } of rangeSourceSuite(openMemoryRangeSource)) it(name, run);
});

describe('MemoryRangeSource', () => {
  async function collect(source: MemoryRangeSource, version: bigint): Promise<string[]> {
    const rows = [];
    for await (const region of source.regions({ range: { begin: key(''), end: key('\xff') }, signal })) {
      for await (const batch of source.scan({ region, range: region.range, version, signal })) rows.push(...batch);
    }
    return hexRows(rows);
  }

  it('takes the same commits as a MemoryLog', async () => {
    const source = new MemoryRangeSource({ version: 99n });
    const log = new MemoryLog({ totalTags: 1, begin: 100n });
    const commits = [
      [set('a', '1'), set('b', '2')],
      [clear('a', 'b')],
      [{ tag: 0, mutation: { type: MutationType.AddValue, param1: key('n'), param2: Uint8Array.of(200, 0) } }],
      [{ tag: 0, mutation: { type: MutationType.AddValue, param1: key('n'), param2: Uint8Array.of(100, 0) } }],
    ];
    for (const messages of commits) expect(source.commit(messages)).toBe(log.commit(messages));
    expect(source.committed).toBe(log.committed);
    expect(hexRows(source.rowsAt(103n))).toEqual(
      hexRows([
        [key('b'), key('2')],
        [key('n'), Uint8Array.of(44, 1)],
      ]),
    );
    expect(hexRows(source.rowsAt(101n))).toEqual(hexRows([[key('b'), key('2')]]));
    expect(hexRows(source.rowsAt(100n))).toEqual(
      hexRows([
        [key('a'), key('1')],
        [key('b'), key('2')],
      ]),
    );
    expect(log.versions(1, logRouterTag(0))).toEqual([100n, 101n, 102n, 103n]);
  });

  it('splits, merges and moves regions, and refuses the old ones', async () => {
    const source = new MemoryRangeSource({ borders: [key('m')] });
    source.commit([set('a', '1'), set('n', '2')]);
    const list = async () => {
      const regions = [];
      for await (const region of source.regions({ range: { begin: key('a'), end: key('z') }, signal }))
        regions.push(region);
      return regions;
    };
    const refuses = async (region: Awaited<ReturnType<typeof list>>[number]) => {
      const scan = source.scan({ region, range: region.range, version: 1n, signal })[Symbol.asyncIterator]();
      await expect(scan.next()).rejects.toMatchObject({ code: 'REGION_CHANGED' });
    };
    const [left, right] = await list();
    source.split(key('g'));
    await refuses(left!);
    expect((await list()).map(({ range }) => String.fromCharCode(...range.begin))).toEqual(['a', 'g', 'm']);
    source.merge(key('m'));
    await refuses(right!);
    const merged = await list();
    expect(merged.length).toBe(2);
    source.move(key('z'));
    await refuses(merged[1]!);
    expect(await collect(source, 1n)).toEqual(
      hexRows([
        [key('a'), key('1')],
        [key('n'), key('2')],
      ]),
    );
    expect(() => source.merge(key('q'))).toThrow('no region begins');
  });

  it('lets a test look in before every batch, fails and waits as told', async () => {
    const seen: number[] = [];
    const clock = new ManualClock();
    const source = new MemoryRangeSource({ batchRows: 1, clock, beforeBatch: (_, index) => void seen.push(index) });
    source.commit([set('a', '1'), set('b', '2')]);
    expect((await collect(source, 1n)).length).toBe(2);
    expect(seen).toEqual([0, 1, 2]);
    const error = new BackupError('TIMEOUT', 'too slow', { retryable: true });
    source.failNext('batch', error);
    await expect(collect(source, 1n)).rejects.toBe(error);
    source.delay('readVersion', 50);
    let version: bigint | undefined;
    const reading = source.readVersion({ atLeast: 0n, signal }).then((answer) => (version = answer));
    await clock.advance(49);
    expect(version).toBeUndefined();
    await clock.advance(1);
    expect(await reading).toBe(1n);
    expect(source.heldVersions).toEqual([1n]);
    await source.releaseVersion(1n);
    expect(source.heldVersions).toEqual([]);
  });

  it('refuses mutations that have no meaning for rows, and versions that go back', () => {
    const source = new MemoryRangeSource({ version: 7n });
    const stamped = { type: MutationType.SetVersionstampedKey, param1: key('a'), param2: key('b') };
    expect(() => source.commit([{ mutation: stamped }])).toThrow('mutations of type 14');
    expect(() => source.commit([], { version: 7n })).toThrow('versions only grow');
  });
});

describe('the range source suite finds', () => {
  type Mistake = (inner: MemoryRangeSource) => Partial<MemoryRangeSource>;

  async function failures(mistake: Mistake): Promise<string[]> {
    const failed: string[] = [];
    const open = () => {
      const under = openMemoryRangeSource();
      const { source } = under;
      const honest = {
        readVersion: source.readVersion.bind(source),
        releaseVersion: source.releaseVersion.bind(source),
        regions: source.regions.bind(source),
        scan: source.scan.bind(source),
      };
      return { ...under, source: { ...honest, ...mistake(source) } };
    };
    for (const { name, run } of rangeSourceSuite(open)) await run().catch(() => failed.push(name));
    return failed;
  }

  const changed =
    (change: (batch: KeyValueBatch, index: number) => KeyValueBatch | undefined): Mistake =>
    (inner) => ({
      async *scan(request) {
        let index = 0;
        for await (const batch of inner.scan(request)) {
          const other = change(batch, index++);
          if (other !== undefined) yield other;
        }
      },
    });

  const mistakes: [string, string, Mistake][] = [
    [
      'scans of the newest version, whatever was asked for',
      'a version is read the same however often, whatever is written in between',
      (inner) => ({ scan: (request) => inner.scan({ ...request, version: inner.committed }) }),
    ],
    [
      'a read version that trails behind',
      'a read version holds everything that was acknowledged before the call, and does not go back',
      () => ({ readVersion: async () => 15n }),
    ],
    [
      'a read version that does not wait',
      'a read version is at or above what is asked for, once there is one',
      (inner) => ({ readVersion: async ({ signal: own }) => inner.readVersion({ atLeast: 0n, signal: own }) }),
    ],
    [
      'a lost batch',
      'a scan yields every row once, in key order, over as many batches as it takes',
      changed((batch, index) => (index === 3 ? undefined : batch)),
    ],
    [
      'rows in no order',
      'a scan yields every row once, in key order, over as many batches as it takes',
      changed((batch) => [...batch].reverse()),
    ],
    [
      'a last row twice',
      'a scan yields every row once, in key order, over as many batches as it takes',
      changed((batch) => [...batch, batch.at(-1)!]),
    ],
    [
      'rows of the whole region',
      "a scan's begin is inclusive and its end exclusive, wherever in a region they lie",
      (inner) => ({
        scan: (request) => inner.scan({ ...request, range: { ...request.range, begin: request.region.range.begin } }),
        regions: async function* ({ signal: own }) {
          yield* inner.regions({ range: { begin: key(''), end: Uint8Array.of(0xff) }, signal: own });
        },
      }),
    ],
    [
      'regions that are not clipped',
      'regions cover any range in order, without overlap or hole, and no more than it',
      (inner) => ({
        regions: ({ signal: own }) =>
          inner.regions({ range: { begin: key(''), end: Uint8Array.of(0xff) }, signal: own }),
      }),
    ],
    [
      'a region that is left out',
      'regions cover any range in order, without overlap or hole, and no more than it',
      (inner) => ({
        async *regions(request) {
          let index = 0;
          for await (const region of inner.regions(request)) if (index++ !== 1) yield region;
        },
      }),
    ],
    [
      'memory that is used again',
      'the memory of a batch belongs to the receiver, also while the scan goes on',
      (() => {
        const shared = new Uint8Array(20_000);
        return changed((batch) =>
          batch.map(([rowKey, value]) => {
            shared.set(value);
            return [rowKey, shared.subarray(0, value.length)] as const;
          }),
        );
      })(),
    ],
    [
      'a scan that does not look at its signal',
      'a scan that is left early, or ended by its signal, leaves the source as it was',
      (inner) => ({ scan: (request) => inner.scan({ ...request, signal }) }),
    ],
    [
      'a scan that does not look at the epoch',
      'a region that has changed since it was listed is refused with REGION_CHANGED, and listed anew',
      (inner) => ({
        async *scan(request) {
          for await (const region of inner.regions({ range: request.range, signal }))
            yield* inner.scan({ ...request, region, range: region.range });
        },
      }),
    ],
    [
      'an old version that is silently read as a new one',
      'a version that has been garbage-collected is refused with VERSION_TOO_OLD, and a new one can be read',
      (inner) => ({
        scan: (request) =>
          inner.scan({ ...request, version: request.version < inner.oldest ? inner.committed : request.version }),
      }),
    ],
    [
      'a scan that moves on to a new version in the middle',
      'a version that goes under a scan ends it, or is read to the end: never a mixture',
      (inner) => ({
        async *scan(request) {
          let at = request.range.begin;
          try {
            for await (const batch of inner.scan(request)) {
              yield batch;
              at = new Uint8Array([...batch.at(-1)![0], 0]);
            }
          } catch (error) {
            if (!BackupError.is(error, 'VERSION_TOO_OLD')) throw error;
            yield* inner.scan({ ...request, range: { ...request.range, begin: at }, version: inner.committed });
          }
        },
      }),
    ],
    [
      'a wait for a version that cannot be ended',
      'waiting for a version ends with the reason of the signal, and the next call is none the worse for it',
      (inner) => ({
        readVersion: ({ atLeast }) => inner.readVersion({ atLeast: atLeast > 1n << 50n ? 0n : atLeast, signal }),
      }),
    ],
    [
      'a release that refuses what it does not know',
      'a version is released more than once, and one that nobody knows, without harm',
      (inner) => ({
        releaseVersion: async (version) => {
          if (!inner.heldVersions.includes(version)) throw new Error('unknown');
          await inner.releaseVersion(version);
        },
      }),
    ],
  ];

  it.each(mistakes)('%s', async (_mistake, found, mistake) => {
    expect(await failures(mistake)).toContain(found);
  });

  it('and nothing where there is no mistake', async () => {
    expect(await failures(() => ({}))).toEqual([]);
  });
});
