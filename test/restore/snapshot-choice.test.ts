// Which snapshot a restore starts from, which version it is for, and what it says when none serves.

import { describe, expect, it } from 'vitest';
import type { MemoryContainer } from '../../src/container/memory-container.js';
import type { KeyRange } from '../../src/core/key-range.js';
import { versionTimeName } from '../../src/format/fdb/version-times.js';
import { describeBackup } from '../../src/restore/describe.js';
import type { RestoreSetOptions } from '../../src/restore/restore-set.js';
import { restoreSet } from '../../src/restore/restore-set.js';
import { versionAt } from '../../src/restore/wanted-version.js';
import { newContainer, put, putEmptyLogs, putMarker } from './container-builder.js';
import { putSnapshotOf } from './snapshot-model.js';

const range = (begin: string, end: string): KeyRange => ({ begin: Buffer.from(begin), end: Buffer.from(end) });
const all: KeyRange = { begin: new Uint8Array(0), end: Uint8Array.of(0xff) };
const show = (ranges: readonly KeyRange[]) =>
  ranges.map(({ begin, end }) => `${Buffer.from(begin).toString()}-${Buffer.from(end).toString()}`);

type Parts = readonly (readonly [range: KeyRange, version: bigint])[];

async function backup(
  log: readonly (readonly [number, number])[],
  snapshots: readonly Parts[],
  marker: Parameters<typeof putMarker>[1] | 'none' = { logOnly: false },
  options: Parameters<typeof putSnapshotOf>[2] = {},
): Promise<MemoryContainer> {
  const container = await newContainer();
  if (marker !== 'none') await putMarker(container, marker);
  await putEmptyLogs(container, { '0/1': log });
  for (const parts of snapshots)
    await putSnapshotOf(
      container,
      parts.map(([keys, version]) => ({ range: keys, version, rows: [] })),
      options,
    );
  return container;
}

async function chosen(container: MemoryContainer, options: RestoreSetOptions) {
  const { version, snapshot, logBegin, tags } = await restoreSet({ container, ...options });
  return {
    version,
    snapshot: snapshot && [snapshot.beginVersion, snapshot.endVersion],
    logBegin,
    log: tags[0]?.pieces.map(({ begin, end }) => [begin, end]),
  };
}

describe('the snapshot of a restore', () => {
  it('is the newest at or below the version, and the log goes on right after it', async () => {
    const container = await backup([[1, 100]], [[[all, 10n]], [[all, 40n]], [[all, 70n]]]);
    expect(await chosen(container, { version: 69n })).toEqual({
      version: 69n,
      snapshot: [40n, 40n],
      logBegin: 41n,
      log: [[41n, 70n]],
    });
    expect(await chosen(container, { version: 70n })).toEqual({
      version: 70n,
      snapshot: [70n, 70n],
      logBegin: 71n,
      log: [],
    });
    expect((await chosen(container, { version: 99n })).snapshot).toEqual([70n, 70n]);
    await expect(chosen(container, { version: 9n })).rejects.toThrow(
      /first snapshot is of version 10\. Restorable: 10 to 99/,
    );
  });

  it('is the one that leaves the least of the log, if two overlap', async () => {
    const container = await backup(
      [[1, 100]],
      [
        [
          [range('', 'm'), 10n],
          [{ begin: Buffer.from('m'), end: all.end }, 60n],
        ],
        [
          [range('', 'm'), 40n],
          [{ begin: Buffer.from('m'), end: all.end }, 50n],
        ],
      ],
    );
    expect(await chosen(container, { version: 80n })).toMatchObject({ snapshot: [40n, 50n], logBegin: 41n });
  });

  it('needs no log at its own version, and takes the log from its oldest wanted file on', async () => {
    const alone = await backup([], [[[all, 10n]]]);
    expect(await chosen(alone, { version: 10n })).toMatchObject({ snapshot: [10n, 10n], log: undefined });
    await expect(chosen(alone, { version: 11n })).rejects.toThrow(/there is no log file/);
    const container = await backup(
      [[1, 100]],
      [
        [
          [range('', 'm'), 10n],
          [{ begin: Buffer.from('m'), end: all.end }, 60n],
        ],
      ],
    );
    expect(await chosen(container, { version: 80n, ranges: [range('n', 'o')] })).toMatchObject({ logBegin: 61n });
    await expect(chosen(container, { version: 59n, ranges: [range('n', 'o')] })).rejects.toMatchObject({
      code: 'NOT_RESTORABLE',
    });
  });

  it('with a hole in the job’s ranges is not restorable, serves for the keys that it has, and is passed over for others', async () => {
    const marker = { logOnly: false, ranges: [range('a', 'm'), range('p', 'z')] };
    const container = await backup(
      [[1, 100]],
      [
        [[range('a', 'z'), 10n]],
        [
          [range('a', 'k'), 40n],
          [range('p', 'z'), 40n],
        ],
      ],
      marker,
    );
    const { snapshots, windows } = await describeBackup(container);
    expect(snapshots[1]).toMatchObject({ usable: true, restorable: false });
    expect(show(snapshots[1]!.missing)).toEqual(['k-m']);
    expect(snapshots[1]?.reason).toMatch(/none of its range files covers \["k", "m"\), which its job backs up/);
    expect(windows).toMatchObject([{ min: 10n, max: 99n }]);
    expect((await chosen(container, { version: 50n })).snapshot).toEqual([10n, 10n]);
    expect((await chosen(container, { version: 50n, ranges: [range('b', 'c'), range('n', 'q')] })).snapshot).toEqual([
      40n,
      40n,
    ]);
    expect((await chosen(container, { version: 50n, ranges: [range('b', 'l')] })).snapshot).toEqual([10n, 10n]);
  });

  it('of a container without a job’s marker has the keys that its manifest names, or its files', async () => {
    for (const keyRanges of [true, false]) {
      const container = await backup(
        [[1, 100]],
        [
          [
            [range('c', 'f'), 10n],
            [range('f', 'h'), 12n],
            [range('k', 'm'), 11n],
          ],
        ],
        'none',
        { keyRanges },
      );
      const { ranges, snapshot } = await restoreSet({ container, version: 50n });
      expect(show(ranges)).toEqual(['c-h', 'k-m']);
      expect(snapshot?.pieces.map(({ ranges: wanted }) => show(wanted))).toEqual([['c-f'], ['f-h'], ['k-m']]);
      const part = await restoreSet({ container, version: 50n, ranges: [range('g', 'l')] });
      expect(show(part.ranges)).toEqual(['g-h', 'k-l']);
      const outside = restoreSet({ container, version: 50n, ranges: [range('x', 'y')] });
      await expect(outside).rejects.toMatchObject({ code: keyRanges ? 'INVALID_OPTION' : 'NOT_RESTORABLE' });
    }
  });

  it('with an old manifest, whose files turn out not to cover the job, is passed over', async () => {
    const marker = { logOnly: false, ranges: [range('a', 'z')] };
    const container = await backup([[1, 100]], [[[range('a', 'z'), 10n]]], marker);
    await putSnapshotOf(container, [{ range: range('a', 'k'), version: 40n, rows: [] }], { keyRanges: false });
    expect((await chosen(container, { version: 50n })).snapshot).toEqual([10n, 10n]);
    expect((await chosen(container, { version: 50n, ranges: [range('b', 'c')] })).snapshot).toEqual([40n, 40n]);
    const alone = await backup([[1, 100]], [[[range('a', 'k'), 40n]]], marker, { keyRanges: false });
    await expect(chosen(alone, { version: 50n })).rejects.toThrow(
      /snapshot,40,40,\d+ does not cover the wanted ranges/,
    );
  });

  it.each<[string, RegExp, (container: MemoryContainer, name: string, files: readonly string[]) => Promise<unknown>]>([
    ['whose range file is gone', /range files are missing/, (container, _, files) => container.deleteFile(files[0]!)],
    ['whose manifest is damaged', /is not JSON/, (container, name) => put(container, name, '{"files":[')],
    [
      'whose files overlap',
      /overlap: both have keys/,
      async (container, name, files) => {
        const text = Buffer.from(await container.readFile(name, 0, 10_000)).toString();
        const more = files[0]!.replace(/,[0-9a-f]{32},/, `,${'f'.repeat(32)},`);
        await put(container, more, '');
        const keys = `"${more}":{"beginKey":"a","endKey":"b"},`;
        await put(
          container,
          name,
          text.replace('"files":[', `"files":["${more}",`).replace('"keyRanges":{', `"keyRanges":{${keys}`),
        );
      },
    ],
    [
      'that names what is no range file',
      /range files are missing/,
      async (container, name, files) => {
        const text = Buffer.from(await container.readFile(name, 0, 10_000)).toString();
        await put(container, 'kvranges/odd', '');
        await put(container, name, text.replaceAll(files[0]!, 'kvranges/odd'));
      },
    ],
    [
      'that names no file at all',
      /names no range file/,
      (container, name) =>
        put(container, name, '{"beginVersion":40,"endVersion":40,"files":[],"keyRanges":{},"totalBytes":0}'),
    ],
  ])('%s is passed over', async (_, reason, damage) => {
    const container = await backup([[1, 100]], [[[all, 10n]]]);
    const { name, files } = await putSnapshotOf(container, [{ range: all, version: 40n, rows: [] }]);
    await damage(container, name, files);
    const { snapshots } = await describeBackup(container);
    expect(snapshots[1]).toMatchObject({ usable: false, restorable: false });
    expect(snapshots[1]?.reason).toMatch(reason);
    expect((await chosen(container, { version: 50n })).snapshot).toEqual([10n, 10n]);
    await container.deleteFile(snapshots[0]!.name);
    await expect(chosen(container, { version: 50n })).rejects.toThrow(/no snapshot at or below it is usable/);
  });

  it('that an expiry removes while the restore is planned is passed over', async () => {
    const container = await backup([[1, 100]], [[[all, 10n]]]);
    const { name, files } = await putSnapshotOf(container, [{ range: all, version: 40n, rows: [] }]);
    let reads = 0;
    const read = container.readFile.bind(container);
    container.readFile = async (file, offset, length) => {
      if (file === name && ++reads === 2) await container.deleteFile(files[0]!);
      if (file === name && reads === 2) await container.deleteFile(name);
      return read(file, offset, length);
    };
    expect((await chosen(container, { version: 50n })).snapshot).toEqual([10n, 10n]);
    expect(reads).toBe(2);
    await container.deleteFile((await describeBackup(container)).snapshots[0]!.name);
    const last = await putSnapshotOf(container, [{ range: all, version: 40n, rows: [] }]);
    reads = 0;
    container.readFile = async (file, offset, length) => {
      if (file === last.name && ++reads === 2) await container.deleteFile(last.name);
      return read(file, offset, length);
    };
    await expect(chosen(container, { version: 50n })).rejects.toMatchObject({
      code: 'NOT_RESTORABLE',
      message: expect.stringMatching(/was deleted meanwhile/) as string,
    });
  });

  it('is not needed by a log-only job, and not used if the log alone was asked for', async () => {
    const container = await backup([[1, 100]], [], { logOnly: true });
    expect(await chosen(container, { version: 50n })).toMatchObject({ snapshot: undefined, logBegin: 1n });
    await putSnapshotOf(container, [{ range: all, version: 40n, rows: [] }]);
    expect((await chosen(container, { version: 50n })).snapshot).toEqual([40n, 40n]);
    expect((await chosen(container, { version: 30n })).snapshot).toBeUndefined();
    expect((await chosen(container, { version: 50n, baseline: 'empty' })).snapshot).toBeUndefined();
  });

  it.each<[string, readonly (readonly [number, number])[], readonly Parts[], bigint, RegExp]>([
    [
      'in a gap after the snapshot',
      [
        [1, 20],
        [30, 99],
      ],
      [[[all, 10n]]],
      25n,
      /tag 0 of 1 has no file for \[20, 30\)/,
    ],
    [
      'after a gap',
      [
        [1, 20],
        [30, 99],
      ],
      [[[all, 10n]]],
      40n,
      /tag 0 of 1 has no file for \[20, 30\)/,
    ],
    ['beyond the log', [[1, 20]], [[[all, 10n]]], 20n, /the log ends at 20 \(exclusive\)/],
    [
      'whose snapshot has a gap between its files',
      [
        [1, 20],
        [30, 99],
      ],
      [
        [
          [range('', 'm'), 10n],
          [{ begin: Buffer.from('m'), end: all.end }, 40n],
        ],
      ],
      50n,
      /no snapshot at or below it is usable.*gap at 20/,
    ],
    ['without any snapshot', [[1, 20]], [], 10n, /no snapshot yet, and its job is not log-only/],
  ])('%s: a version is refused with the reason', async (_, log, snapshots, version, reason) => {
    const container = await backup(log, snapshots);
    await expect(chosen(container, { version })).rejects.toThrow(
      expect.objectContaining({ code: 'NOT_RESTORABLE', message: expect.stringMatching(reason) as string }) as Error,
    );
  });
});

describe('the version of a restore', () => {
  const times = [
    [10n, 1000],
    [20n, 2000],
    [30n, 1500], // the machine's clock was set back
    [40n, 4000],
  ] as const;

  async function timed(): Promise<MemoryContainer> {
    const container = await backup([[1, 100]], [[[all, 5n]]]);
    for (const [version, time] of times) await put(container, versionTimeName({ version, time }), '');
    await put(container, 'properties/tidemark_times/something else', '');
    return container;
  }

  it('is the latest that can be restored', async () => {
    const container = await backup([[1, 100]], [[[all, 5n]]]);
    expect(await chosen(container, { version: 'latest' })).toMatchObject({ version: 99n, snapshot: [5n, 5n] });
    const beyond = await backup([[1, 50]], [[[all, 5n]], [[all, 70n]]]);
    expect(await chosen(beyond, { version: 'latest' })).toMatchObject({ version: 70n });
    await expect(chosen(await backup([[1, 50]], []), { version: 'latest' })).rejects.toThrow(
      /nothing of .* can be restored: .*no snapshot yet/,
    );
    const part = await backup([[1, 50]], [[[range('a', 'm'), 5n]]]);
    expect((await chosen(part, { version: 'latest', ranges: [range('b', 'c')] })).version).toBe(49n);
    await expect(chosen(part, { version: 'latest' })).rejects.toMatchObject({ code: 'NOT_RESTORABLE' });
  });

  it.each([
    [1000, 10n],
    [1499, 10n],
    [1500, 10n], // when 30 was recorded, by that clock: but 20 was there before it, at 2000
    [1999, 10n],
    [2000, 30n],
    [3999, 30n],
    [4000, 40n],
    [1e15, 40n],
  ])('at time %i is the newest that was recorded at or before it', async (time, version) => {
    const container = await timed();
    expect((await chosen(container, { timestamp: time })).version).toBe(version);
    expect((await chosen(container, { timestamp: new Date(time) })).version).toBe(version);
    expect((await versionAt(container, time))?.version).toBe(version);
  });

  it('is of before the accident, though a clock that was years behind has recorded what came after it', async () => {
    const container = await timed();
    await put(container, versionTimeName({ version: 50n, time: 3 }), '');
    await put(container, versionTimeName({ version: 60n, time: 6000 }), '');
    expect((await chosen(container, { timestamp: 3500 })).version).toBe(30n);
    expect((await chosen(container, { timestamp: 5000 })).version).toBe(50n);
  });

  it('at a time before the first record, or for which nothing can be restored, is refused', async () => {
    const container = await timed();
    await expect(chosen(container, { timestamp: 999 })).rejects.toThrow(
      /no version of .* was recorded at or before 1970-01-01T00:00:00.999Z/,
    );
    await put(container, versionTimeName({ version: 500n, time: 9000 }), '');
    await expect(chosen(container, { timestamp: 9000 })).rejects.toThrow(
      /version 500 of .* cannot be restored: the log ends at 100/,
    );
  });

  it.each<[string, RestoreSetOptions]>([
    ['neither', {}],
    ['both', { version: 5n, timestamp: 1000 }],
    ['no time', { timestamp: Number.NaN }],
    ['a time before 1970', { timestamp: new Date(-1) }],
    ['a word', { version: 'newest' as 'latest' }],
  ])('%s is refused', async (_, options) => {
    await expect(chosen(await timed(), options)).rejects.toMatchObject({ code: 'INVALID_OPTION' });
  });
});
