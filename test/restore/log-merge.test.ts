import { describe, expect, it } from 'vitest';
import type { MemoryContainer } from '../../src/container/memory-container.js';
import { systemClock } from '../../src/core/clock.js';
import { BackupError } from '../../src/core/errors.js';
import type { BackupContainer } from '../../src/ports/backup-container.js';
import type { MergeOptions } from '../../src/restore/log-merge.js';
import { mergeLogs } from '../../src/restore/log-merge.js';
import { restoreSet } from '../../src/restore/restore-set.js';
import { clear, set } from '../format/encode-log-file.js';
import { newContainer, putLog, putMarker } from './container-builder.js';
import { SeededRandom, randomHistory, writeHistory } from './log-model.js';

const epochs = [
  { begin: 1n, end: 60n, totalTags: 3 },
  { begin: 60n, end: 120n, totalTags: 2 },
];

async function merged(
  container: BackupContainer,
  version: bigint,
  options: Partial<MergeOptions> = {},
): Promise<string[]> {
  const { tags } = await restoreSet({ container, version, baseline: 'empty' });
  const lines: string[] = [];
  for await (const batch of mergeLogs(container, tags, { clock: systemClock, ...options })) {
    for (let i = 0; i < batch.count; i++) {
      const { type, param1, param2 } = batch.mutation(i);
      lines.push(
        [
          batch.version(i),
          batch.subsequence[i],
          type,
          Buffer.from(param1).toString('hex'),
          Buffer.from(param2).toString('hex'),
        ].join(' '),
      );
    }
  }
  return lines;
}

const line = ({ version, subsequence, mutation }: ReturnType<typeof randomHistory>[number]) =>
  [
    version,
    subsequence,
    mutation.type,
    Buffer.from(mutation.param1).toString('hex'),
    Buffer.from(mutation.param2).toString('hex'),
  ].join(' ');

/** The container with reads that fail or are counted. */
function wrapReads(
  container: MemoryContainer,
  read: (name: string, offset: number, length: number) => Promise<Uint8Array>,
): BackupContainer {
  return {
    url: container.url,
    create: () => container.create(),
    exists: () => container.exists(),
    writeFile: (name, options) => container.writeFile(name, options),
    listFiles: (prefix) => container.listFiles(prefix),
    deleteFile: (name) => container.deleteFile(name),
    readFile: (name, offset, length) =>
      name.startsWith('plogs/') ? read(name, offset, length) : container.readFile(name, offset, length),
  };
}

async function withHistory(seed: number) {
  const random = new SeededRandom(seed);
  const container = await newContainer();
  await putMarker(container);
  const history = randomHistory(random, epochs, 25);
  await writeHistory(container, random, epochs, history);
  return { random, container, history };
}

describe('mergeLogs', () => {
  it('P13: gives every record once, in total order, whatever the files, the block sizes, the reads and the batches', async () => {
    for (let seed = 1; seed <= 40; seed++) {
      const { random, container, history } = await withHistory(seed);
      const version = BigInt(random.below(120)) || 119n;
      const lines = await merged(container, version, {
        readBytes: random.pick([1, 128, 300, 1 << 20]),
        batchRecords: random.pick([1, 2, 7, 16_384]),
        batchBytes: random.pick([1, 100, 4 << 20]),
        concurrentReads: random.pick([1, 4]),
      });
      expect(lines, `seed ${seed}`).toEqual(history.filter((record) => record.version <= version).map(line));
    }
  });

  it('P18: keeps records whose pair repeats, in the order of the file', async () => {
    const container = await newContainer();
    await putMarker(container);
    const parts = ['a', 'c', 'e'].map((begin) => ({
      version: 2n,
      subsequence: 3,
      mutation: clear(begin, `${begin}z`),
    }));
    await putLog(container, { begin: 1n, end: 9n, tag: 0, totalTags: 2 }, parts);
    await putLog(container, { begin: 1n, end: 9n, tag: 1, totalTags: 2 }, [
      { version: 2n, subsequence: 4, mutation: set('x', '') },
    ]);
    expect((await merged(container, 8n)).map((text) => Buffer.from(text.split(' ')[3]!, 'hex').toString())).toEqual([
      'a',
      'c',
      'e',
      'x',
    ]);
  });

  it('orders versions beyond 2^53 and across the halves of a number', async () => {
    const container = await newContainer();
    const base = (1n << 33n) - 2n;
    await putMarker(container, { firstVersion: base });
    for (const tag of [0, 1]) {
      const records = [0n, 2n, 4n].map((i) => ({
        version: base + i + BigInt(tag),
        subsequence: 1,
        mutation: set(`${i}`, ''),
      }));
      await putLog(container, { begin: base, end: base + 9n, tag, totalTags: 2 }, records);
    }
    expect((await merged(container, base + 8n)).map((text) => BigInt(text.split(' ')[0]!) - base)).toEqual([
      0n,
      1n,
      2n,
      3n,
      4n,
      5n,
    ]);
  });

  it('says in which file, and where, a record lies', async () => {
    const { container } = await withHistory(7);
    const { tags } = await restoreSet({ container, version: 119n, baseline: 'empty' });
    let checked = 0;
    for await (const batch of mergeLogs(container, tags, { clock: systemClock, readBytes: 256 })) {
      for (let i = 0; i < batch.count; i++) {
        const { file, offset } = batch.place(i);
        const header = Buffer.from(await container.readFile(file, offset, 16));
        expect(header.readBigInt64BE(0)).toBe(batch.version(i));
        expect(header.readUInt32BE(8)).toBe(batch.subsequence[i]);
        checked++;
      }
    }
    expect(checked).toBeGreaterThan(50);
  });

  it('tries reads again that fail for a while', async () => {
    const { container, history } = await withHistory(3);
    let reads = 0;
    const flaky = wrapReads(container, (name, offset, length) => {
      if (++reads % 3 !== 0)
        return Promise.reject(new BackupError('CONTAINER_UNAVAILABLE', 'not now', { retryable: true }));
      return container.readFile(name, offset, length);
    });
    const sleeps: number[] = [];
    const clock = { ...systemClock, sleep: (ms: number) => Promise.resolve(void sleeps.push(ms)) };
    expect(await merged(flaky, 119n, { clock, concurrentReads: 1 })).toEqual(history.map(line));
    expect(new Set(sleeps)).toEqual(new Set([100, 200]));
  });

  it('gives up on a read that fails for good, and leaves no read behind', async () => {
    const { container } = await withHistory(3);
    let underWay = 0;
    let reads = 0;
    const broken = wrapReads(container, async (name, offset, length) => {
      underWay++;
      try {
        if (++reads === 9) throw new BackupError('CORRUPT_FILE', 'gone');
        await systemClock.sleep(5);
        return await container.readFile(name, offset, length);
      } finally {
        underWay--;
      }
    });
    await expect(merged(broken, 119n, { readBytes: 1 })).rejects.toMatchObject({ code: 'CORRUPT_FILE' });
    expect(reads).toBeGreaterThanOrEqual(9);
    expect(underWay).toBe(0);
  });

  it('leaves no read behind when its consumer leaves', async () => {
    const { container } = await withHistory(3);
    let underWay = 0;
    const slow = wrapReads(container, async (name, offset, length) => {
      underWay++;
      await systemClock.sleep(5);
      underWay--;
      return container.readFile(name, offset, length);
    });
    const { tags } = await restoreSet({ container, version: 119n, baseline: 'empty' });
    for await (const batch of mergeLogs(slow, tags, { clock: systemClock, readBytes: 1, batchRecords: 1 })) {
      expect(batch.count).toBe(1);
      expect(underWay).toBeGreaterThan(0);
      break;
    }
    expect(underWay).toBe(0);
  });

  it('gives up after six tries', async () => {
    const { container } = await withHistory(3);
    let reads = 0;
    const away = wrapReads(container, () => {
      reads++;
      return Promise.reject(new BackupError('CONTAINER_UNAVAILABLE', 'away', { retryable: true }));
    });
    const clock = { ...systemClock, sleep: () => Promise.resolve() };
    await expect(merged(away, 119n, { clock })).rejects.toMatchObject({ code: 'CONTAINER_UNAVAILABLE' });
    expect(reads).toBe(3 * 6);
  });

  it('stops when the signal aborts', async () => {
    const { container } = await withHistory(3);
    const controller = new AbortController();
    const { tags } = await restoreSet({ container, version: 119n, baseline: 'empty' });
    const run = async () => {
      for await (const batch of mergeLogs(container, tags, {
        clock: systemClock,
        signal: controller.signal,
        batchRecords: 1,
      })) {
        expect(batch.count).toBe(1);
        controller.abort(new Error('enough'));
      }
    };
    await expect(run()).rejects.toThrow('enough');
  });

  it('refuses a file that was cut since it was listed', async () => {
    const { container } = await withHistory(3);
    const cut = wrapReads(container, async (name, offset, length) =>
      (await container.readFile(name, offset, length)).subarray(0, 10),
    );
    await expect(merged(cut, 119n)).rejects.toMatchObject({ code: 'CORRUPT_FILE', offset: 10 });
  });

  it('holds two runs per tag at most', async () => {
    const container = await newContainer();
    await putMarker(container);
    for (const tag of [0, 1, 2, 3]) {
      const records = Array.from({ length: 400 }, (_, i) => ({
        version: BigInt(1 + i),
        subsequence: tag + 1,
        mutation: set(`key${i}`, 'v'.repeat(30)),
      }));
      await putLog(container, { begin: 1n, end: 1000n, tag, totalTags: 4, blockSize: 1024 }, records);
    }
    let read = 0;
    let taken = 0;
    let ahead = 0;
    const counted = wrapReads(container, async (name, offset, length) => {
      read += length;
      ahead = Math.max(ahead, read - taken);
      return container.readFile(name, offset, length);
    });
    const { tags } = await restoreSet({ container: counted, version: 999n, baseline: 'empty' });
    for await (const batch of mergeLogs(counted, tags, { clock: systemClock, readBytes: 1024, batchRecords: 4 })) {
      for (let i = 0; i < batch.count; i++) taken += batch.recordBytes(i);
    }
    expect(taken).toBeGreaterThan(80_000);
    // Two runs of each tag, the padding and headers of what was taken, and one batch.
    expect(ahead).toBeLessThan(4 * 2 * 1024 + 0.1 * taken + 1024);
  });
});
