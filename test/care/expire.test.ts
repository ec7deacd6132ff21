import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { MemoryContainer } from '../../src/container/memory-container.js';
import { BackupError } from '../../src/core/errors.js';
import { encodeJobMarker, JOB_MARKER_NAME } from '../../src/format/fdb/properties.js';
import { describeBackup } from '../../src/restore/describe.js';
import { expireBackup } from '../../src/restore/expire.js';
import { newContainer, put, putLog } from '../restore/container-builder.js';
import { SeededRandom, rowsAt } from '../restore/log-model.js';
import { Crash, CrashingContainer, contentOf, copyOf } from './crashing-container.js';
import type { Moment } from './crashing-container.js';
import { LAST, naiveRestore, putSample, sampleBackup } from './sample-backups.js';

const text = async (container: MemoryContainer, name: string) =>
  Buffer.from((await contentOf(container)).get(name) ?? Buffer.from('missing')).toString();

/** Every version that can be restored, with the snapshot to do it from. */
async function restorableVersions(container: MemoryContainer): Promise<Map<bigint, string>> {
  const versions = new Map<bigint, string>();
  for (const { min, max, snapshot } of (await describeBackup(container)).windows) {
    for (let version = min; version <= max; version++) if (snapshot !== undefined) versions.set(version, snapshot);
  }
  return versions;
}

/** One tag, files of ten versions each, a snapshot at 35 and one over 52..54. */
async function plainBackup(): Promise<MemoryContainer> {
  const container = await newContainer();
  for (let begin = 10n; begin < 100n; begin += 10n)
    await putLog(container, { begin, end: begin + 10n, tag: 0, totalTags: 1 });
  await putSample(container, [], [35n, 35n]);
  await putSample(container, [], [52n, 54n]);
  return container;
}

/** Three tags, files of twelve versions each, none of which begins or ends where another tag's does; snapshots at 35 and 52. */
async function staggeredBackup(): Promise<MemoryContainer> {
  const container = await newContainer();
  for (let tag = 0; tag < 3; tag++) {
    for (let begin = 4n + 4n * BigInt(tag); begin < 90n; begin += 12n)
      await putLog(container, { begin, end: begin + 12n, tag, totalTags: 3 });
  }
  await putSample(container, [], [35n, 35n]);
  await putSample(container, [], [52n, 52n]);
  return container;
}

describe('where an expiry ends', () => {
  it('is where it was asked to, although some file of some tag reaches across every version', async () => {
    const container = await staggeredBackup();
    const { max } = (await describeBackup(container)).windows[0]!;
    const result = await expireBackup(container, { before: 50n });
    expect(result).toMatchObject({ expiredEnd: 50n, deleted: { snapshots: 1, rangeFiles: 2 } });
    const { windows, gaps, logBegin } = await describeBackup(container);
    expect(windows).toEqual([{ min: 52n, max, snapshot: result.snapshot }]);
    expect(gaps.filter(({ kind }) => kind !== 'end')).toEqual([]);
    expect(logBegin).toBe(50n);
  });

  it('spares every file that reaches across it, and takes them when it has moved on', async () => {
    const container = await staggeredBackup();
    const begins = async () =>
      [...(await contentOf(container)).keys()]
        .flatMap((name) => /^plogs\/.*log,(\d+),/.exec(name)?.[1] ?? [])
        .map(Number)
        .sort((a, b) => a - b);
    await expireBackup(container, { before: 50n });
    expect((await begins()).slice(0, 4)).toEqual([40, 44, 48, 52]);
    await putSample(container, [], [70n, 70n]);
    await expireBackup(container, { before: 60n });
    expect((await begins()).slice(0, 4)).toEqual([52, 56, 60, 64]);
  });
});

describe('expireBackup', () => {
  it('deletes what only serves older versions, and sets both marks', async () => {
    const container = await plainBackup();
    await put(container, 'properties/log_begin_version', '10');
    await put(container, 'properties/log_end_version', '100');
    const result = await expireBackup(container, { before: 52n });
    expect(result).toMatchObject({
      expiredEnd: 52n,
      dryRun: false,
      deleted: { logFiles: 4, snapshots: 1, rangeFiles: 2 },
    });
    expect(await text(container, 'properties/expired_end_version')).toBe('52');
    expect(await text(container, 'properties/unreliable_end_version')).toBe('52');
    expect(await text(container, 'properties/log_begin_version')).toBe('52');
    const names = [...(await contentOf(container)).keys()];
    expect(names.filter((name) => name.startsWith('plogs/'))).toHaveLength(5);
    expect(names.filter((name) => name.startsWith('snapshots/'))).toHaveLength(1);
    expect(names.filter((name) => name.startsWith('kvranges/'))).toHaveLength(2);
    expect((await describeBackup(container)).windows).toEqual([{ min: 54n, max: 99n, snapshot: result.snapshot }]);
    expect((await describeBackup(container)).problems).toEqual([]);
  });

  it('deletes nothing on a dry run, and says what would go', async () => {
    const container = await plainBackup();
    const before = await contentOf(container);
    const { files, deleted } = await expireBackup(container, { before: 52n, dryRun: true });
    expect(files).toHaveLength(7);
    expect(deleted.logFiles).toBe(4);
    expect(await contentOf(container)).toEqual(before);
  });

  it('refuses to leave nothing restorable, unless forced', async () => {
    const container = await plainBackup();
    const before = await contentOf(container);
    await expect(expireBackup(container, { before: 60n })).rejects.toMatchObject({
      code: 'EXPIRE_REFUSED',
      version: 60n,
    });
    expect(await contentOf(container)).toEqual(before);
    expect(await expireBackup(container, { before: 60n, force: true })).toMatchObject({
      expiredEnd: 60n,
      snapshot: undefined,
    });
    expect((await describeBackup(container)).windows).toEqual([]);
  });

  it('never reaches beyond what is there: what is still to come would be condemned', async () => {
    const container = await plainBackup();
    expect((await expireBackup(container, { before: 1_000_000n, force: true })).expiredEnd).toBe(100n);
    await putLog(container, { begin: 100n, end: 110n, tag: 0, totalTags: 1 });
    await putSample(container, [], [105n, 105n]);
    expect((await describeBackup(container)).minRestorable).toBe(105n);
    const empty = await newContainer();
    expect((await expireBackup(empty, { before: 1_000n })).expiredEnd).toBe(0n);
    expect((await contentOf(empty)).size).toBe(0);
  });

  it('keeps what is restorable from restorableAfter on', async () => {
    const container = await plainBackup();
    await expect(expireBackup(container, { before: 40n, restorableAfter: 53n })).rejects.toMatchObject({
      code: 'EXPIRE_REFUSED',
    });
    await expect(expireBackup(container, { before: 40n, restorableAfter: 39n })).rejects.toMatchObject({
      code: 'INVALID_OPTION',
    });
    expect((await expireBackup(container, { before: 40n, restorableAfter: 54n })).expiredEnd).toBe(40n);
  });

  it('says that a log-only backup cannot lose its beginning', async () => {
    const container = await newContainer();
    await putLog(container, { begin: 1n, end: 10n, tag: 0, totalTags: 1 });
    await putLog(container, { begin: 10n, end: 20n, tag: 0, totalTags: 1 });
    const marker = { uid: 'ab'.repeat(16), logOnly: true, ranges: [], startVersion: 0n, firstVersion: 1n };
    await put(container, JOB_MARKER_NAME, encodeJobMarker(marker));
    await expect(expireBackup(container, { before: 12n })).rejects.toThrow(/log-only/);
  });

  it('takes a time as the last version that is known to have been current then', async () => {
    const container = await plainBackup();
    const times = [
      [31, 1000],
      [51, 2000],
      [71, 3000],
    ] as const;
    for (const [version, time] of times)
      await put(container, `properties/tidemark_times/${String(version).padStart(19, '0')},${time}`, '');
    expect((await expireBackup(container, { before: new Date(999) })).expiredEnd).toBe(0n);
    expect((await expireBackup(container, { before: new Date(1999) })).expiredEnd).toBe(31n);
    expect((await expireBackup(container, { before: new Date(2000) })).expiredEnd).toBe(51n);
    const left = [...(await contentOf(container)).keys()].filter((name) => name.includes('tidemark_times'));
    expect(left).toHaveLength(2);
  });

  it('refuses a time where no version times are recorded, and what is neither version nor time', async () => {
    const container = await plainBackup();
    await expect(expireBackup(container, { before: new Date(5) })).rejects.toMatchObject({ code: 'EXPIRE_REFUSED' });
    await expect(expireBackup(container, { before: new Date(NaN) })).rejects.toMatchObject({ code: 'INVALID_OPTION' });
    await expect(expireBackup(container, { before: -1n })).rejects.toMatchObject({ code: 'INVALID_OPTION' });
    await expect(expireBackup(container, { before: 5n, concurrency: 0 })).rejects.toMatchObject({
      code: 'INVALID_OPTION',
    });
  });

  it('never moves a mark backwards', async () => {
    const container = await plainBackup();
    await put(container, 'properties/unreliable_end_version', '51');
    await expireBackup(container, { before: 40n });
    expect(await text(container, 'properties/unreliable_end_version')).toBe('51');
    expect(await text(container, 'properties/expired_end_version')).toBe('40');
    expect((await expireBackup(container, { before: 20n })).expiredEnd).toBe(40n);
    expect(await text(container, 'properties/expired_end_version')).toBe('40');
  });

  it('removes what came late, below an earlier expiry', async () => {
    const container = await plainBackup();
    await expireBackup(container, { before: 50n });
    await putLog(container, { begin: 20n, end: 30n, tag: 0, totalTags: 1 });
    expect((await expireBackup(container, { before: 50n })).deleted.logFiles).toBe(1);
  });

  it('takes a whole snapshot that begins below the end, and range files of abandoned ones', async () => {
    const container = await plainBackup();
    await putSample(container, [], [60n, 60n]);
    const orphan = 'kvranges/snapshot.000000000000000012/0/range,12,ab,1048576';
    const younger = 'kvranges/snapshot.000000000000000070/0/range,70,ab,1048576';
    const part = `properties/tidemark_snapshot_part,12,${'1'.repeat(32)},5`;
    for (const name of [orphan, younger, part]) await put(container, name, 'x');
    expect((await expireBackup(container, { before: 52n })).deleted).toMatchObject({
      snapshots: 1,
      rangeFiles: 3,
      others: 1,
    });
    // [52, 54] begins below 53: its file of version 54 goes with it.
    expect((await expireBackup(container, { before: 53n, listingLag: 0 })).deleted).toMatchObject({
      snapshots: 1,
      rangeFiles: 2,
    });
    expect([...(await contentOf(container)).keys()]).toContain(younger);
  });

  it('never deletes what a damaged manifest names but no snapshot has', async () => {
    const container = await plainBackup();
    const name = 'snapshots/snapshot,11,11,5';
    const log = [...(await contentOf(container)).keys()].find(
      (file) => file.startsWith('plogs/') && file.includes('log,90'),
    )!;
    await put(container, name, `{"beginVersion":11,"endVersion":11,"files":["${log}","properties/x"],"totalBytes":5}`);
    await put(container, 'properties/x', 'kept');
    await expireBackup(container, { before: 50n, listingLag: 0 });
    const names = [...(await contentOf(container)).keys()];
    expect(names).toContain(log);
    expect(names).toContain('properties/x');
  });

  it('can be aborted, and goes on', async () => {
    const container = await plainBackup();
    const controller = new AbortController();
    const onProgress = () => controller.abort(new Error('enough'));
    await expect(
      expireBackup(container, { before: 52n, signal: controller.signal, concurrency: 1, onProgress }),
    ).rejects.toThrow('enough');
    expect(await text(container, 'properties/expired_end_version')).toBe('missing');
    expect((await expireBackup(container, { before: 52n })).expiredEnd).toBe(52n);
  });
});

describe('an expiry that dies at any call', () => {
  it.each(['before', 'after'] as const)(
    'leaves nothing restorable that does not restore, and goes on (%s)',
    async (moment: Moment) => {
      const random = new SeededRandom(1);
      const sample = await sampleBackup(random);
      for (const versions of [
        [52n, 50n],
        [71n, 71n],
        [120n, 123n],
      ] as const)
        await putSample(sample.container, sample.records, versions);
      const whole = await copyOf(sample.container);
      const { expiredEnd, deleted: gone } = await expireBackup(whole, { before: 110n });
      expect(gone.snapshots).toBeGreaterThan(1);
      expect(gone.logFiles).toBeGreaterThan(1);
      const expected = await contentOf(whole);
      for (let at = 1; ; at++) {
        const container = await copyOf(sample.container);
        const crashing = new CrashingContainer(container, at, moment);
        const outcome = await expireBackup(crashing, { before: 110n }).catch((error: unknown) => error);
        if (!crashing.crashed) break;
        expect(outcome).toBeInstanceOf(Crash);
        const left = await contentOf(container);
        const deleted = [...(await contentOf(sample.container)).keys()].some((name) => !left.has(name));
        if (deleted) expect(await text(container, 'properties/unreliable_end_version')).toBe(String(expiredEnd));
        if (left.has('properties/expired_end_version')) expect(left).toEqual(expected);
        for (const { reason, restorable, name, beginVersion } of (await describeBackup(container)).snapshots) {
          expect(reason ?? '').not.toMatch(/missing/);
          if (restorable) expect(await naiveRestore(container, name, beginVersion + 5n)).toBeDefined();
        }
        for (const [version, snapshot] of await restorableVersions(container))
          if (version % 7n === 0n)
            expect(await naiveRestore(container, snapshot, version)).toEqual(rowsAt(sample.records, version));
        expect((await expireBackup(container, { before: 110n })).expiredEnd).toBe(expiredEnd);
        expect(await contentOf(container)).toEqual(expected);
      }
    },
    60_000,
  );
});

describe('any expiry of any backup', () => {
  it('leaves every version that describe calls restorable exact, and keeps what it promises', async () => {
    let expired = 0;
    await fc.assert(
      fc.asyncProperty(
        fc.integer(),
        fc.integer({ min: 0, max: LAST + 5 }),
        fc.option(fc.integer({ min: 0, max: 40 })),
        async (seed, before, slack) => {
          const sample = await sampleBackup(new SeededRandom(seed), { gaps: true });
          const { container, records } = sample;
          const was = await restorableVersions(container);
          const files = await contentOf(container);
          const restorableAfter = slack === null ? undefined : BigInt(before + slack);
          const promise = { before: BigInt(before), restorableAfter };
          let end: bigint;
          try {
            end = (await expireBackup(container, promise)).expiredEnd;
          } catch (error) {
            if (!BackupError.is(error, 'EXPIRE_REFUSED')) throw error;
            expect(await contentOf(container)).toEqual(files);
            return;
          }
          if (end > 0n) expired++;
          expect(end).toBeLessThanOrEqual(BigInt(before));
          const now = await restorableVersions(container);
          if (end > 0n) expect(now.size).toBeGreaterThan(0);
          for (const version of now.keys()) expect(was.has(version)).toBe(true);
          if (restorableAfter !== undefined)
            for (const version of was.keys()) if (version >= restorableAfter) expect(now.has(version)).toBe(true);
          let checked = 0;
          for (const [version, snapshot] of now) {
            if (checked++ % 9 === 0)
              expect(await naiveRestore(container, snapshot, version)).toEqual(rowsAt(records, version));
          }
        },
      ),
      { numRuns: 60 },
    );
    expect(expired).toBeGreaterThan(5);
  }, 60_000);
});
