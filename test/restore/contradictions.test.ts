// Containers that contradict themselves: a manifest, a property or a name that says what the files do not show. Nothing of it is believed, and each is named.

import { describe, expect, it } from 'vitest';
import type { MemoryContainer } from '../../src/container/memory-container.js';
import { rangeFileName, snapshotFileName } from '../../src/format/fdb/names.js';
import { describeBackup } from '../../src/restore/describe.js';
import { restore } from '../../src/restore/restore.js';
import { MemoryRestoreTarget } from '../../src/testing/memory-restore-target.js';
import { newContainer, put, putEmptyLogs, putLog, putMarker, putSnapshot } from './container-builder.js';
import { putSnapshotOf } from './snapshot-model.js';

const uid = (digit: string) => digit.repeat(32);
const range = (version: bigint, digit: string, snapshotBegin = 10n) =>
  rangeFileName({ snapshotBegin, folder: 0, version, uid: uid(digit), blockSize: 1024 });

interface Manifest {
  readonly versions?: readonly [bigint, bigint];
  readonly named?: readonly [bigint, bigint];
  readonly files: readonly (readonly [name: string, begin: string, end: string])[];
}

/** A manifest and its files, empty ones: nobody gets as far as to read them. */
async function withManifest({ versions = [10n, 20n], named = versions, files }: Manifest): Promise<MemoryContainer> {
  const container = await newContainer();
  await putEmptyLogs(container, { '0/1': [[1, 50]] });
  for (const [name] of files) if (name.startsWith('kvranges/')) await put(container, name, 'x');
  const keyRanges = files.map(([name, begin, end]) => `"${name}":{"beginKey":"${begin}","endKey":"${end}"}`).join(',');
  const list = files.map(([name]) => `"${name}"`).join(',');
  await put(
    container,
    snapshotFileName({ beginVersion: named[0], endVersion: named[1], totalBytes: 5 }),
    `{"beginVersion":${versions[0]},"endVersion":${versions[1]},"files":[${list}],"keyRanges":{${keyRanges}},"totalBytes":5}`,
  );
  return container;
}

describe('a manifest', () => {
  it.each<[string, Manifest, RegExp]>([
    [
      'of other versions than its name',
      { named: [10n, 30n], files: [[range(10n, 'a'), '', '\\u00FF']] },
      /other versions than its name/,
    ],
    ['that names what is no range file', { files: [['snapshots/x', '', '\\u00FF']] }, /missing/],
    [
      'with a file of a version that it does not have',
      { files: [[range(40n, 'a'), '', '\\u00FF']] },
      /version lies outside of its own/,
    ],
    ['with keys that end before they begin', { files: [[range(10n, 'a'), 'b', 'a']] }, /end before they begin/],
    [
      'with files that share a key',
      {
        files: [
          [range(10n, 'a'), '', 'm'],
          [range(10n, 'b'), 'c', '\\u00FF'],
        ],
      },
      /overlap/,
    ],
    [
      'with files that begin at one key',
      {
        files: [
          [range(10n, 'a'), '', 'm'],
          [range(10n, 'b'), '', '\\u00FF'],
        ],
      },
      /overlap/,
    ],
  ])('%s makes no snapshot', async (_, manifest, reason) => {
    const container = await withManifest(manifest);
    const { snapshots, windows, notRestorable } = await describeBackup(container);
    expect(snapshots).toMatchObject([{ restorable: false, reason: expect.stringMatching(reason) as string }]);
    expect(windows).toEqual([]);
    expect(notRestorable).toMatch(reason);
    const target = new MemoryRestoreTarget();
    await expect(restore({ container, target, version: 30n })).rejects.toMatchObject({ code: 'NOT_RESTORABLE' });
    expect(target.applies).toBe(0);
  });
});

describe('a range file of an old manifest, which does not say its keys', () => {
  const key = (text: string) => {
    const bytes = Buffer.alloc(8 + text.length);
    bytes.writeUInt32LE(1001, 0);
    bytes.writeUInt32BE(text.length, 4);
    bytes.write(text, 8);
    return bytes;
  };
  it.each([
    ['is empty', Buffer.alloc(0), /an empty file is no range file/],
    ['is cut off in its head', key('').subarray(0, 6), /cut off/],
    ['has a begin key that does not fit', key('abc').subarray(0, 9), /does not fit/],
  ])('that %s is refused by name, before anything is written', async (_, bytes, reason) => {
    const container = await newContainer();
    await putEmptyLogs(container, { '0/1': [[1, 50]] });
    const rows = [[Buffer.from('a'), Buffer.from('b')]] as const;
    const keys = { begin: Buffer.from(''), end: Buffer.from([255]) };
    const parts = [{ range: keys, version: 10n, rows }];
    const { files } = await putSnapshotOf(container, parts, { sums: false, keyRanges: false });
    await put(container, files[0]!, bytes);
    const target = new MemoryRestoreTarget();
    await expect(restore({ container, target, version: 30n })).rejects.toMatchObject({
      code: 'CORRUPT_FILE',
      file: files[0],
      message: expect.stringMatching(reason) as string,
    });
    expect(target.applies).toBe(0);
  });
});

describe('properties', () => {
  it('that are longer than any are refused, where the rest depends on them', async () => {
    const container = await newContainer();
    await put(container, 'properties/expired_end_version', '1'.repeat(100_000));
    await expect(describeBackup(container)).rejects.toMatchObject({
      code: 'CORRUPT_FILE',
      file: 'properties/expired_end_version',
      message: expect.stringMatching(/longer than/) as string,
    });
  });

  it('are problems, where nothing depends on them', async () => {
    const container = await newContainer();
    await put(container, 'properties/log_begin_version', '1'.repeat(100_000));
    const { problems } = await describeBackup(container);
    expect(problems).toMatchObject([{ kind: 'property', file: 'properties/log_begin_version' }]);
  });

  it('that claim range-partitioned logs are believed: nothing is restorable, and deep and restores say why', async () => {
    const container = await newContainer();
    await put(container, 'properties/mutation_log_type', '2');
    await putSnapshot(container, 10n, 10n);
    const description = await describeBackup(container);
    expect(description).toMatchObject({ logType: 'range-partitioned', windows: [] });
    expect(description.unsupported).toMatch(/range-partitioned/);
    const unsupported = { code: 'UNSUPPORTED_FORMAT', container: container.url };
    await expect(describeBackup(container, { deep: true })).rejects.toMatchObject(unsupported);
    const target = new MemoryRestoreTarget();
    await expect(restore({ container, target, version: 10n })).rejects.toMatchObject(unsupported);
  });
});

describe('logs of two kinds', () => {
  it('beside each other: the partitioned ones count, and the others are told of', async () => {
    const container = await newContainer();
    await putMarker(container);
    await putLog(container, { begin: 1n, end: 20n, tag: 0, totalTags: 1 });
    await put(container, `logs/0000/0000/log,1,90,${uid('c')},1048576`, '');
    const { logType, problems, maxRestorable } = await describeBackup(container);
    expect(logType).toBe('partitioned');
    expect(maxRestorable).toBe(19n);
    expect(problems).toMatchObject([{ kind: 'ignored' }]);
  });

  it('of two numbers of tags from the same version on: one of them has it, with a problem', async () => {
    const container = await newContainer();
    await putMarker(container);
    await putEmptyLogs(container, { '0/1': [[1, 20]], '0/2': [[1, 30]], '1/2': [[1, 30]] });
    const { stretches, problems } = await describeBackup(container);
    expect(stretches).toMatchObject([{ begin: 1n, end: 30n, totalTags: 2 }]);
    expect(problems).toMatchObject([{ kind: 'tags' }]);
  });
});

describe('refusals say what is missing', () => {
  it('a log that nothing begins', async () => {
    const container = await newContainer();
    await putEmptyLogs(container, { '0/1': [[5, 20]] });
    const refused = (version: bigint, options = {}) =>
      restore({ container, target: new MemoryRestoreTarget(), version, ...options });
    await expect(refused(10n)).rejects.toThrow(/no snapshot, and nothing says that its log begins/);
    await expect(refused(10n, { baseline: 'empty' })).rejects.toThrow(/not written by a log-only job/);
    await putMarker(container, { logOnly: false });
    await expect(refused(10n)).rejects.toThrow(/no snapshot yet, and its job is not log-only/);
    await expect(refused(10n, { baseline: 'empty' })).rejects.toThrow(/its job is not log-only/);
  });

  it('a snapshot without any log', async () => {
    const container = await newContainer();
    await putSnapshotOf(container, [
      { range: { begin: Buffer.from(''), end: Buffer.from([255]) }, version: 10n, rows: [] },
    ]);
    const target = new MemoryRestoreTarget();
    await expect(restore({ container, target, version: 11n })).rejects.toThrow(/no log file/);
  });
});
