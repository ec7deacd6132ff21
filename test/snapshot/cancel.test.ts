// A snapshot that is cancelled leaves nothing running; one that is faster than its container does not fill the memory.

import { describe, expect, it } from 'vitest';
import { MemoryContainer } from '../../src/container/memory-container.js';
import { systemRandom } from '../../src/core/clock.js';
import type { BackupContainer } from '../../src/ports/backup-container.js';
import type { RangeSource } from '../../src/ports/range-source.js';
import { TaskPool } from '../../src/schedule/task-pool.js';
import { SnapshotEndpoint } from '../../src/snapshot/endpoint.js';
import type { RangeResponse } from '../../src/snapshot/range-response.js';
import { takeSnapshot } from '../../src/snapshot/take-snapshot.js';
import { SnapshotVersions } from '../../src/snapshot/versions.js';
import { ManualClock } from '../../src/testing/manual-clock.js';
import { MemoryRangeSource } from '../../src/testing/memory-range-source.js';
import { checkSnapshot, fileNames, key, manyRows } from './world.js';

const MIB = 1 << 20;

/** Counts files that are neither finished nor aborted; `hang` makes calls of that kind never answer. */
function watched(inner: MemoryContainer, hang?: 'append' | 'finish' | 'open') {
  const open = new Set<object>();
  const never = () => new Promise<never>(() => undefined);
  const container: BackupContainer = {
    url: inner.url,
    create: () => inner.create(),
    exists: () => inner.exists(),
    readFile: (name, offset, length) => inner.readFile(name, offset, length),
    listFiles: (prefix) => inner.listFiles(prefix),
    deleteFile: (name) => inner.deleteFile(name),
    writeFile: async (name, options) => {
      if (hang === 'open' && name.startsWith('kvranges/')) return never();
      const file = await inner.writeFile(name, options);
      const isRange = name.startsWith('kvranges/');
      open.add(file);
      return {
        name,
        append: (chunks) => (isRange && hang === 'append' ? never() : file.append(chunks)),
        finish: async () => {
          if (isRange && hang === 'finish') await never();
          await file.finish();
          open.delete(file);
        },
        abort: async () => {
          open.delete(file);
          await file.abort();
        },
      };
    },
  };
  return { container, open };
}

/** Rows without end, 100 KiB at a time. */
function endlessSource(): { source: RangeSource; batches: () => number; scansOpen: () => number } {
  let batches = 0;
  let scansOpen = 0;
  const value = new Uint8Array(1000);
  const source: RangeSource = {
    readVersion: async () => 5n,
    regions: async function* ({ range }) {
      const borders = [range.begin, key('1'), key('2'), key('3'), range.end];
      for (let i = 0; i + 1 < borders.length; i++)
        yield { id: String(i), epoch: '1', range: { begin: borders[i]!, end: borders[i + 1]! } };
    },
    scan: async function* ({ region, signal }) {
      scansOpen++;
      try {
        for (let i = 0; ; i++) {
          await Promise.resolve();
          signal.throwIfAborted();
          batches++;
          yield Array.from(
            { length: 100 },
            (_, row) => [key(`${region.id}${String(i * 100 + row).padStart(9, '0')}`), value] as const,
          );
        }
      } finally {
        scansOpen--;
      }
    },
  };
  return { source, batches: () => batches, scansOpen: () => scansOpen };
}

describe('memory', () => {
  it('holds what the channel and the scans are allowed to, however slow the container is', async () => {
    const clock = new ManualClock();
    for (const [channelBytes, numThreads] of [
      [4 * MIB, 1],
      [8 * MIB, 4],
    ] as const) {
      const { source, batches, scansOpen } = endlessSource();
      const { container, open } = watched(new MemoryContainer(), 'append');
      const stop = new AbortController();
      const taking = takeSnapshot({
        source,
        container,
        ranges: [],
        clock,
        channelBytes,
        numThreads,
        batchSize: 1,
        signal: stop.signal,
      });
      const outcome = taking.catch((error: unknown) => error);
      for (let turn = 0; turn < 300; turn++) await clock.settle();
      const encoded = batches() * 100 * 1018;
      // In the channel, and per scan one group that waits to be sent and a batch beyond it.
      expect(encoded).toBeLessThanOrEqual(channelBytes + numThreads * (MIB + 200 * 1024));
      expect(encoded).toBeGreaterThan(channelBytes / 2);
      stop.abort(new Error('enough'));
      expect(await outcome).toBe(stop.signal.reason);
      await clock.settle();
      expect([open.size, scansOpen(), clock.pendingTimers]).toEqual([0, 0, 0]);
    }
  });
});

describe('cancelling', () => {
  const moments = ['open', 'append', 'finish', 'batch', 'scan', 'regions', 'readVersion', 'rate'] as const;

  it.each(moments)('leaves nothing behind while a call hangs or waits: %s', async (moment) => {
    const clock = new ManualClock();
    const source = new MemoryRangeSource({ borders: [key('k000050')], batchRows: 10, clock });
    source.commit(manyRows(100, 1000));
    const isContainerCall = moment === 'open' || moment === 'append' || moment === 'finish';
    const inner = new MemoryContainer();
    const { container, open } = watched(inner, isContainerCall ? moment : undefined);
    if (!isContainerCall && moment !== 'rate') source.delay(moment, 1000);
    const stop = new AbortController();
    const base = { source, ranges: [], clock, maxFileSize: 20_000 };
    const rate = moment === 'rate' ? { rateLimit: 100 } : {};
    const outcome = takeSnapshot({ ...base, ...rate, container, signal: stop.signal }).catch((e: unknown) => e);
    await clock.settle();
    const reason = new Error('cancelled');
    stop.abort(reason);
    expect(await outcome).toBe(reason);
    await clock.settle();
    expect(open.size).toBe(0);
    expect(clock.pendingTimers).toBe(0);
    expect(source.heldVersions).toEqual([]);
    expect(await fileNames(inner, 'snapshots/')).toEqual([]);

    if (!isContainerCall && moment !== 'rate') source.delay(moment, 0);
    const result = await takeSnapshot({ ...base, container: inner });
    await checkSnapshot(inner, source, result);
  });

  it('ends also when the container never answers an abort, nor the source a release', async () => {
    const clock = new ManualClock();
    const source = new MemoryRangeSource();
    source.commit(manyRows(100, 1000));
    source.releaseVersion = () => new Promise(() => undefined);
    const container = new MemoryContainer();
    const writeFile = container.writeFile.bind(container);
    container.writeFile = async (name, options) => {
      const file = await writeFile(name, options);
      if (!name.startsWith('kvranges/')) return file;
      const never = () => new Promise<never>(() => undefined);
      return { name, append: never, finish: never, abort: never };
    };
    const stop = new AbortController();
    const base = { source, container, ranges: [], clock };
    const outcome = takeSnapshot({ ...base, signal: stop.signal }).catch((e: unknown) => e);
    await clock.settle();
    stop.abort(new Error('cancelled'));
    await clock.settle();
    for (let second = 0; second < 3; second++) await clock.advance(1000);
    expect(await outcome).toBe(stop.signal.reason);
    expect(clock.pendingTimers).toBe(0);
  });

  it('is heard although the source merely ends its scans', async () => {
    const stop = new AbortController();
    const source = new MemoryRangeSource({ borders: [key('k000050')], batchRows: 10 });
    source.commit(manyRows(100, 1000));
    const scan = source.scan.bind(source);
    source.scan = async function* (request) {
      let batches = 0;
      for await (const batch of scan(request)) {
        yield batch;
        if (++batches < 3) continue;
        stop.abort(new Error('cancelled'));
        return;
      }
    };
    const responses: RangeResponse[] = [];
    const container = new MemoryContainer();
    await expect(
      takeSnapshot({ source, container, ranges: [], signal: stop.signal, onResponse: (r) => responses.push(r) }),
    ).rejects.toThrow('cancelled');
    expect(responses).toEqual([]);
    expect(await fileNames(container, 'kvranges/')).toEqual([]);
  });

  it('before it begins does nothing at all', async () => {
    const source = new MemoryRangeSource();
    const container = new MemoryContainer();
    const signal = AbortSignal.abort(new Error('no'));
    await expect(takeSnapshot({ source, container, ranges: [], signal })).rejects.toThrow('no');
    expect(await container.exists()).toBe(false);
  });
});

describe('the endpoint', () => {
  const signal = new AbortController().signal;
  const policy = { clock: new ManualClock(), random: systemRandom, retryMinDelay: 1, retryMaxDelay: 1, maxAttempts: 3 };

  it('ends its work when its answers are no longer taken', async () => {
    const source = new MemoryRangeSource({ borders: [key('k000050')], batchRows: 10 });
    source.commit(manyRows(100, 100));
    const { container, open } = watched(new MemoryContainer());
    const endpoint = new SnapshotEndpoint({ source, batchSize: 1, maxFileSize: 500 });
    const versions = await SnapshotVersions.open({ source, policy, atLeast: 0n }, signal);
    const ranges = [{ begin: key(''), end: key('x') }];
    let answers = 0;
    for await (const { file } of endpoint.request({ container, ranges, versions, snapshotBegin: versions.current })) {
      expect(file?.version).toBe(1n);
      if (++answers === 2) break;
    }
    expect(open.size).toBe(0);
    await versions.close();
    expect(source.heldVersions).toEqual([]);
  });

  it('serves several requests at once, in a pool that it shares and does not stop', async () => {
    const source = new MemoryRangeSource({ borders: [key('k000050')], batchRows: 10 });
    source.commit(manyRows(100, 100));
    const pool = new TaskPool({ concurrency: 2 });
    const container = new MemoryContainer();
    const endpoint = new SnapshotEndpoint({ source, pool });
    const versions = await SnapshotVersions.open({ source, policy, atLeast: 0n }, signal);
    const rowsOf = async (begin: string, end: string) => {
      let rows = 0;
      const ranges = [{ begin: key(begin), end: key(end) }];
      for await (const { file } of endpoint.request({ container, ranges, versions, snapshotBegin: 1n }))
        rows += file!.rows;
      return rows;
    };
    expect(await Promise.all([rowsOf('k000000', 'k000030'), rowsOf('k000030', 'k000100')])).toEqual([30, 70]);
    expect(await pool.run(() => 'still there')).toBe('still there');
    await pool.stop();
    await expect(rowsOf('a', 'z')).rejects.toMatchObject({ code: 'STOPPED' });
    await versions.close();
  });
});
