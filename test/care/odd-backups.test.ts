// The care of backups with something unusual in them: damaged marks, dumps of another kind, logs of two formats, twins.

import { describe, expect, it } from 'vitest';
import type { MemoryContainer } from '../../src/container/memory-container.js';
import { sumsFileName } from '../../src/format/fdb/file-sums.js';
import { JOB_MARKER_NAME } from '../../src/format/fdb/properties.js';
import { deleteContainer } from '../../src/restore/delete-container.js';
import { describeBackup } from '../../src/restore/describe.js';
import { expireBackup } from '../../src/restore/expire.js';
import { compactLogs } from '../../src/restore/compact.js';
import { recordChecksums } from '../../src/restore/record-checksums.js';
import { verifyBackup } from '../../src/restore/verify.js';
import { set } from '../format/encode-log-file.js';
import { newContainer, put, putEmptyLogs, putLog, putMarker } from '../restore/container-builder.js';
import { SeededRandom, randomHistory, writeHistory } from '../restore/log-model.js';
import { CrashingContainer, contentOf, copyOf } from './crashing-container.js';
import { putSample } from './sample-backups.js';

const uid = (digit: string) => digit.repeat(32);
const names = async (container: MemoryContainer) => [...(await contentOf(container)).keys()];
const text = async (container: MemoryContainer, name: string) => {
  const bytes = (await contentOf(container)).get(name);
  return bytes === undefined ? undefined : Buffer.from(bytes).toString();
};

/** The log from 1 to 100 in files of ten versions, snapshots at 30 and 60. */
async function plain(): Promise<MemoryContainer> {
  const container = await newContainer();
  for (let begin = 1n; begin < 100n; begin += 10n)
    await putLog(container, { begin, end: begin + 10n, tag: 0, totalTags: 1 }, [
      { version: begin, subsequence: 1, mutation: set('a', String(begin)) },
    ]);
  await putSample(container, [], [30n, 30n]);
  await putSample(container, [], [60n, 60n]);
  await put(container, 'properties/mutation_log_type', '1');
  return container;
}

async function withSums(container: MemoryContainer): Promise<MemoryContainer> {
  await recordChecksums(container);
  return container;
}

describe('an expiry', () => {
  it.each([
    ['its begin', 'properties/log_begin_version', 'properties/log_end_version'],
    ['its end', 'properties/log_end_version', 'properties/log_begin_version'],
  ])('removes the cache of the gapless log when %s is damaged', async (_, damaged, other) => {
    const container = await plain();
    await put(container, damaged, 'x');
    await put(container, other, '90');
    await expireBackup(container, { before: 41n });
    expect(await text(container, damaged)).toBeUndefined();
    expect(await text(container, other)).toBeUndefined();
    expect((await describeBackup(container)).problems).toEqual([]);
  });

  it('removes the cache when nothing of it is left', async () => {
    const container = await plain();
    await put(container, 'properties/log_begin_version', '1');
    await put(container, 'properties/log_end_version', '41');
    await expireBackup(container, { before: 41n });
    expect(await text(container, 'properties/log_begin_version')).toBeUndefined();
    expect(await text(container, 'properties/log_end_version')).toBeUndefined();
  });

  it('takes logs of the older format, and the checksums of both', async () => {
    const container = await plain();
    const older = `logs/0000/0000/log,1,20,${uid('c')},1048576`;
    const reaching = `logs/0000/0000/log,20,50,${uid('d')},1048576`;
    await put(container, older, 'x');
    await put(container, reaching, 'x');
    for (const file of [older, reaching]) await put(container, sumsFileName(file), 'x');
    await put(container, sumsFileName(`logs/0000/0000/log,1,9,${uid('e')},1048576`), 'x');
    await put(container, 'properties/tidemark_sums/kvranges/odd', 'x');
    await put(container, 'properties/tidemark_times/odd', '');
    await expireBackup(container, { before: 41n });
    const left = await names(container);
    expect(left.filter((name) => name.startsWith('logs/'))).toEqual([reaching]);
    expect(left.filter((name) => name.startsWith('properties/tidemark_'))).toEqual(
      [sumsFileName(reaching), 'properties/tidemark_sums/kvranges/odd', 'properties/tidemark_times/odd'].sort(),
    );
  });

  it('to a time before all that are recorded expires nothing, also with restorableAfter', async () => {
    const container = await plain();
    await put(container, 'properties/tidemark_times/odd', '');
    await put(container, `properties/tidemark_times/${'31'.padStart(19, '0')},1000`, '');
    const early = new Date(500);
    expect((await expireBackup(container, { before: early })).expiredEnd).toBe(0n);
    const both = await expireBackup(container, { before: early, restorableAfter: early });
    expect(both).toMatchObject({ expiredEnd: 0n, files: [] });
  });
});

describe('a deletion', () => {
  it('takes logs of the older format, and goes on where a mark is damaged', async () => {
    const container = await plain();
    await put(container, `logs/0000/0000/log,1,20,${uid('c')},1048576`, 'x');
    await put(container, 'logs/readme', 'mine');
    await put(container, 'properties/unreliable_end_version', 'x');
    await deleteContainer(container);
    expect(await names(container)).toEqual(['logs/readme']);
  });
});

describe('a verification', () => {
  it('counts a bulk dump and looks for no range files of it', async () => {
    const container = await plain();
    await put(container, 'snapshots/snapshot,70,70,5,bulk', 'x');
    const { problems, checked } = await verifyBackup(container, { deep: true });
    expect(problems).toEqual([]);
    expect(checked.snapshots).toBe(3);
    expect(await recordChecksums(container)).toMatchObject({ snapshots: 2, problems: [] });
  });

  it('finds twins of one tag that lie side by side, or reach over each other', async () => {
    const container = await newContainer();
    await putMarker(container);
    const at = (version: bigint) => [{ version, subsequence: 1, mutation: set('a', 'b') }];
    await putLog(container, { begin: 1n, end: 10n, tag: 0, totalTags: 1 }, at(9n));
    await putLog(container, { begin: 8n, end: 20n, tag: 0, totalTags: 1 }, at(9n));
    expect((await verifyBackup(container, { deep: true })).problems).toMatchObject([
      { kind: 'duplicate', harmless: true, message: expect.stringMatching(/take each version once/) as string },
    ]);
    // The bytes of another file under a name of later versions: each record lies outside of them.
    await putLog(container, { begin: 20n, end: 30n, tag: 0, totalTags: 1 }, at(9n));
    const { problems, ok } = await verifyBackup(container, { deep: true });
    expect(ok).toBe(false);
    expect(problems.map(({ kind }) => kind)).toContain('corrupt');
  });

  it('names a manifest that names a file twice, with and without a sidecar', async () => {
    const container = await plain();
    const [file] = (await names(container)).filter((name) => name.startsWith('kvranges/'));
    const size = 2 * (await contentOf(container)).get(file!)!.length;
    const name = `snapshots/snapshot,30,30,${size}`;
    const keys = `"${file!}":{"beginKey":"","endKey":"\\u00FF"}`;
    const manifest = `{"beginVersion":30,"endVersion":30,"files":["${file!}","${file!}"],"keyRanges":{${keys}},"totalBytes":${size}}`;
    await put(container, name, manifest);
    const said = async () => (await verifyBackup(container)).problems.filter((problem) => problem.file === name);
    expect(await said()).toMatchObject([{ kind: 'manifest' }]);
    const sidecar = (await names(await withSums(container))).find((other) => other.includes('tidemark_snapshot,30,30'));
    await put(container, `properties/tidemark_snapshot,30,30,${size}`, (await contentOf(container)).get(sidecar!)!);
    expect((await said()).map(({ kind }) => kind)).toContain('manifest');
  });

  it('names a manifest whose files share a key, or end before they begin: a restore refuses it', async () => {
    for (const [first, second] of [
      ['"beginKey":"","endKey":"m"', '"beginKey":"c","endKey":"\\u00FF"'],
      ['"beginKey":"m","endKey":"c"', '"beginKey":"m","endKey":"\\u00FF"'],
    ] as const) {
      const container = await plain();
      const [a, b] = (await names(container)).filter((name) => name.startsWith('kvranges/'));
      const content = await contentOf(container);
      const size = content.get(a!)!.length + content.get(b!)!.length;
      const name = `snapshots/snapshot,30,30,${size}`;
      const manifest = `{"beginVersion":30,"endVersion":30,"files":["${a!}","${b!}"],"keyRanges":{"${a!}":{${first}},"${b!}":{${second}}},"totalBytes":${size}}`;
      await put(container, name, manifest);
      expect((await describeBackup(container)).snapshots[0]).toMatchObject({ name, restorable: false });
      const { problems, ok } = await verifyBackup(container);
      expect(ok).toBe(false);
      expect(problems).toMatchObject([{ kind: 'manifest', file: name }]);
    }
  });

  it('counts the problems that it leaves out, of one file and of all', async () => {
    const container = await newContainer();
    await putMarker(container);
    const records = Array.from({ length: 40 }, (_, i) => ({
      version: BigInt(i + 1),
      subsequence: 1,
      mutation: set(`key ${i}`, 'x'.repeat(2_000_000 / 40)),
    }));
    const name = await putLog(container, { begin: 1n, end: 50n, tag: 0, totalTags: 1, blockSize: 65_536 }, records);
    await recordChecksums(container);
    const bytes = (await contentOf(container)).get(name)!;
    for (let at = 30_000; at < bytes.length; at += 65_536) bytes[at]! ^= 1;
    await put(container, name, bytes);
    const { problems, problemsOmitted } = await verifyBackup(container, { deep: true });
    expect(problems.filter((problem) => problem.file === name)).toHaveLength(8);
    expect(problemsOmitted).toBeGreaterThan(8);
  });
});

describe('checksums that are recorded', () => {
  it('are not recorded of a snapshot that is damaged, cut short or not all there; each is named', async () => {
    const container = await plain();
    const files = (await names(container)).filter((name) => name.startsWith('kvranges/'));
    await container.deleteFile(files[0]!);
    const last = (await contentOf(container)).get(files[3]!)!;
    await put(container, files[3]!, last.subarray(0, 5));
    const { snapshots, logFiles, problems } = await recordChecksums(container);
    expect({ snapshots, logFiles }).toEqual({ snapshots: 0, logFiles: 10 });
    expect(problems.map(({ code, file }) => [code, file])).toEqual([
      ['FILE_NOT_FOUND', files[0]],
      ['CORRUPT_FILE', files[3]],
    ]);
  });

  it('of somebody else who was faster stay', async () => {
    const container = await plain();
    const rival = await copyOf(container);
    await recordChecksums(rival);
    const there = await contentOf(rival);
    // They come in between: the listing has none, the write finds them.
    const late = new CrashingContainer(container, Infinity, 'before');
    const write = late.writeFile.bind(late);
    late.writeFile = async (name, options) => {
      const bytes = there.get(name);
      if (bytes !== undefined) await put(container, name, bytes);
      return write(name, options);
    };
    expect((await recordChecksums(late)).problems).toEqual([]);
    for (const [name, bytes] of await contentOf(container)) expect(bytes, name).toEqual(there.get(name));
  });
});

describe('a compaction', () => {
  it('leaves logs of the older format as they are', async () => {
    const container = await newContainer();
    for (let i = 0; i < 6; i++)
      await put(container, `logs/0000/0000/log,${i * 10 + 1},${i * 10 + 11},${uid(String(i))},1048576`, '');
    const before = await names(container);
    expect(await compactLogs(container, { minFiles: 2, keepNewest: 0, graceMs: 0 })).toMatchObject({ merged: [] });
    expect(await names(container)).toEqual(before);
  });

  it('makes blocks as it needs them, however much it merges', async () => {
    const random = new SeededRandom(3);
    const epochs = [{ begin: 1n, end: 400n, totalTags: 1 }];
    const container = await newContainer();
    const records = randomHistory(random, epochs, 200);
    await writeHistory(container, random, epochs, records);
    await putEmptyLogs(container, { '0/1': [[400, 410]] });
    await compactLogs(container, { minFiles: 2, keepNewest: 0, graceMs: 0, blockSize: 512 });
    expect((await verifyBackup(container, { deep: true })).ok).toBe(true);
  });
});

describe('the job’s marker', () => {
  it('that is damaged is named by verify, and refused by describe', async () => {
    const container = await plain();
    await put(container, JOB_MARKER_NAME, '{"uid":"x"}');
    expect((await verifyBackup(container)).problems).toMatchObject([{ kind: 'property', file: JOB_MARKER_NAME }]);
    await expect(describeBackup(container)).rejects.toMatchObject({ code: 'CORRUPT_FILE', file: JOB_MARKER_NAME });
  });
});
