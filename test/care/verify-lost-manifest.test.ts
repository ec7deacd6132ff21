// A snapshot without its manifest is no snapshot. That it was one is known from its sidecar.

import { HastyClock } from '../snapshot/faulty.js';
import { describe, expect, it } from 'vitest';
import type { Clock } from '../../src/core/clock.js';
import { systemClock } from '../../src/core/clock.js';
import { MutationType } from '../../src/core/mutation.js';
import { LISTING_LAG } from '../../src/ports/backup-container.js';
import { deleteContainer } from '../../src/restore/delete-container.js';
import { describeBackup } from '../../src/restore/describe.js';
import { expireBackup } from '../../src/restore/expire.js';
import { verifyBackup } from '../../src/restore/verify.js';
import { forgetHalfSnapshot, listHalfSnapshots } from '../../src/snapshot/abandoned.js';
import { takeSnapshot } from '../../src/snapshot/take-snapshot.js';
import { MemoryRangeSource } from '../../src/testing/memory-range-source.js';
import { newContainer, put, putLog, putMarker } from '../restore/container-builder.js';
import { CrashingContainer, contentOf, copyOf } from './crashing-container.js';

/** Waits for nothing. */
const clock: Clock = { ...systemClock, sleep: () => Promise.resolve() };

const row = (key: string) => ({
  mutation: { type: MutationType.SetValue, param1: Buffer.from(key), param2: Buffer.alloc(40) },
});

async function backup() {
  const container = await newContainer();
  await putMarker(container, { logOnly: false });
  await putLog(container, { begin: 1n, end: 100n, tag: 0, totalTags: 1 });
  const source = new MemoryRangeSource({ borders: [Buffer.from('m')], version: 30n });
  source.commit(['a', 'b', 'n', 'z'].map(row));
  return { container, source };
}

async function withSnapshot() {
  const { container, source } = await backup();
  return { container, source, snapshot: await takeSnapshot({ source, container, ranges: [], maxFileSize: 60 }) };
}

describe('a snapshot whose manifest is gone', () => {
  it.each([false, true])('is reported, and its files are none that nothing needs (deep: %s)', async (deep) => {
    const { container, snapshot } = await withSnapshot();
    await container.deleteFile(snapshot.name);
    expect((await describeBackup(container)).windows).toEqual([]);
    const report = await verifyBackup(container, { deep, clock: new HastyClock() });
    expect(report).toMatchObject({
      ok: false,
      problems: [{ kind: 'missing-file', code: 'FILE_NOT_FOUND', file: snapshot.name }],
      leftovers: [],
      unchecked: [],
      checked: { rangeFiles: snapshot.files.length },
    });
  });

  it('is waited for as long as a listing may lag, however many there are', async () => {
    const { container, source } = await backup();
    const names: string[] = [];
    for (const key of ['a', 'b', 'c', 'd']) {
      names.push((await takeSnapshot({ source, container, ranges: [] })).name);
      source.commit([row(key)]);
    }
    for (const name of names) await container.deleteFile(name);
    let slept = 0;
    const sleeping: Clock = { ...systemClock, now: () => slept, sleep: async (ms) => void (slept += ms) };
    for (const [listingLag, least, most] of [
      [undefined, 0, 0],
      [LISTING_LAG, LISTING_LAG, 2 * LISTING_LAG],
      [600, 600, 1_200],
    ] as const) {
      slept = 0;
      const { problems } = await verifyBackup(container, { clock: sleeping, listingLag });
      expect(problems.map(({ file }) => file).sort()).toEqual(names.sort());
      expect(slept).toBeGreaterThanOrEqual(least);
      expect(slept).toBeLessThanOrEqual(most);
    }
  });

  it('is reported with whatever else is wrong with its files', async () => {
    const { container, snapshot } = await withSnapshot();
    await container.deleteFile(snapshot.name);
    const { name } = snapshot.files[0]!;
    const bytes = (await contentOf(container)).get(name)!;
    bytes[20]! ^= 4;
    await put(container, name, bytes);
    const { problems } = await verifyBackup(container, { deep: true, clock: new HastyClock() });
    expect(problems.map(({ file }) => file)).toEqual(expect.arrayContaining([name, snapshot.name]));
  });

  it('is no problem once it has expired, or one of its files is gone as well', async () => {
    const { container, snapshot } = await withSnapshot();
    await container.deleteFile(snapshot.name);
    const abandoned = await copyOf(container);
    await abandoned.deleteFile(snapshot.files[0]!.name);
    expect(await verifyBackup(abandoned)).toMatchObject({ ok: true, problems: [] });
    await put(container, 'properties/unreliable_end_version', '40');
    expect(await verifyBackup(container)).toMatchObject({ ok: true, problems: [] });
  });
});

describe('no manifest is missed', () => {
  it('of a snapshot that an expiry has overtaken, and that was taken back, although all its rows are newer', async () => {
    const { container } = await backup();
    const source: MemoryRangeSource = new MemoryRangeSource({
      version: 30n,
      // It is begun at 31, and that version is gone before a row has been read.
      beforeBatch: () => {
        if (source.committed === 31n) source.collectGarbage(source.commit([row('q')]));
      },
    });
    source.commit(['a', 'b'].map(row));
    const writeFile = container.writeFile.bind(container);
    container.writeFile = async (name, options) => {
      // After the last look at the mark.
      if (name.startsWith('snapshots/')) await put(container, 'properties/unreliable_end_version', '32');
      return writeFile(name, options);
    };
    await expect(takeSnapshot({ source, container, ranges: [], clock })).rejects.toMatchObject({
      code: 'SNAPSHOT_INCOMPLETE',
      version: 31n,
    });
    // As the expiry does.
    for (const { entries } of await listHalfSnapshots(container))
      for (const name of entries) await container.deleteFile(name);
    const names = [...(await contentOf(container)).keys()];
    expect(names.filter((name) => /^kvranges.*range,32,|tidemark_snapshot,32,32/.test(name))).toHaveLength(2);
    expect(await verifyBackup(container, { deep: true })).toMatchObject({ ok: true, problems: [] });
  });

  it.each(['before', 'after'] as const)(
    'when taking, forgetting, expiring or deleting a snapshot dies %s any call',
    async (moment) => {
      const steps = {
        take: async () => {
          const { container, source } = await backup();
          return {
            container,
            run: (dying: CrashingContainer) => takeSnapshot({ source, container: dying, ranges: [], clock }),
          };
        },
        forget: async () => {
          const { container, source } = await backup();
          const controller = new AbortController();
          const onResponse = () => controller.abort();
          const half = takeSnapshot({ source, container, ranges: [], signal: controller.signal, onResponse });
          await expect(half).rejects.toThrow();
          const halves = await listHalfSnapshots(container);
          expect(halves).toHaveLength(1);
          return { container, run: (dying: CrashingContainer) => forgetHalfSnapshot(dying, halves[0]!, { clock }) };
        },
        expire: async () => {
          const { container } = await withSnapshot();
          return { container, run: (dying: CrashingContainer) => expireBackup(dying, { before: 90n, force: true }) };
        },
        remove: async () => {
          const { container } = await withSnapshot();
          return { container, run: (dying: CrashingContainer) => deleteContainer(dying, { concurrency: 1 }) };
        },
      };
      for (const [step, prepare] of Object.entries(steps)) {
        let deaths = 0;
        for (let at = 1; ; at++) {
          const { container, run } = await prepare();
          const dying = new CrashingContainer(container, at, moment);
          await run(dying).catch(() => undefined);
          if (!dying.crashed) break;
          deaths++;
          const { problems } = await verifyBackup(container, { clock });
          expect(problems, `${step} ${at}`).toEqual([]);
        }
        expect(deaths).toBeGreaterThan(4);
      }
    },
  );
});
