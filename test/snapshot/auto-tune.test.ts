// Auto-tune at work in a snapshot: how many scans run at a time follows the load of the host.

import { expect, it } from 'vitest';
import { NORMAL_KEYS } from '../../src/core/key-range.js';
import { MemoryContainer } from '../../src/container/memory-container.js';
import type { LoadSample } from '../../src/schedule/host-load.js';
import { TaskPool } from '../../src/schedule/task-pool.js';
import { takeSnapshot } from '../../src/snapshot/take-snapshot.js';
import { ManualClock } from '../../src/testing/manual-clock.js';
import { MemoryRangeSource } from '../../src/testing/memory-range-source.js';
import { checkSnapshot, key, manyRows } from './world.js';

const CALM: LoadSample = { cores: 16, machineBusy: 0, processBusy: 0, eventLoopDelay: 1 };
const BUSY: LoadSample = { ...CALM, machineBusy: 15 };

/** A database of 32 regions, whose scans count how many of them run at a time. */
function countingSource(onScan: () => void) {
  const seen = { most: 0, running: 0 };
  const borders = Array.from({ length: 31 }, (_, i) => key(`k${String((i + 1) * 10).padStart(6, '0')}`));
  const source = new MemoryRangeSource({ borders });
  source.commit(manyRows(320, 10));
  const scan = source.scan.bind(source);
  source.scan = async function* (request) {
    seen.running++;
    seen.most = Math.max(seen.most, seen.running);
    onScan();
    try {
      for (let turn = 0; turn < 3; turn++) await new Promise((resolve) => setImmediate(resolve));
      yield* scan(request);
    } finally {
      seen.running--;
    }
  };
  return { source, seen };
}

async function snapshotUnder(load: LoadSample, enableAutoTune = true) {
  const { source, seen } = countingSource(() => undefined);
  const container = new MemoryContainer();
  const clock = new ManualClock();
  const settings = { numThreads: 4, batchSize: 2, autoTuneRemainThreads: 0, enableAutoTune };
  const result = await takeSnapshot({
    ...settings,
    source,
    container,
    clock,
    ranges: [NORMAL_KEYS],
    statistics: { sample: () => load },
  });
  await checkSnapshot(container, source, result);
  expect(clock.pendingTimers).toBe(0);
  return seen.most;
}

it('scans with all workers on a calm host, and with one on a busy one', async () => {
  expect(await snapshotUnder(CALM)).toBe(4);
  expect(await snapshotUnder(BUSY)).toBe(1);
});

it('is off unless it is asked for', async () => {
  expect(await snapshotUnder(BUSY, false)).toBe(4);
});

it('follows the load while the snapshot runs', async () => {
  const clock = new ManualClock();
  let load = CALM;
  let scans = 0;
  const inLastHalf: number[] = [];
  const { source, seen } = countingSource(() => {
    scans++;
    if (scans === 16) {
      load = BUSY;
      void clock.advance(1_000);
    }
    // The workers that had begun a batch end it first.
    if (scans > 26) inLastHalf.push(seen.running);
  });
  const container = new MemoryContainer();
  const result = await takeSnapshot({
    source,
    container,
    clock,
    ranges: [NORMAL_KEYS],
    numThreads: 4,
    batchSize: 1,
    enableAutoTune: true,
    autoTuneRemainThreads: 0,
    autoTuneRefreshInterval: 1_000,
    statistics: { sample: () => load },
  });
  await checkSnapshot(container, source, result);
  expect(seen.most).toBe(4);
  expect(Math.max(...inLastHalf)).toBe(1);
});

it('needs statistics', async () => {
  const { source } = countingSource(() => undefined);
  await expect(
    takeSnapshot({ source, container: new MemoryContainer(), ranges: [], enableAutoTune: true }),
  ).rejects.toMatchObject({ code: 'INVALID_OPTION', message: expect.stringContaining('statistics') as string });
});

it.each([1, 2, 3])(
  'goes on in a pool that it shares and that has fewer places than it has workers: %i',
  async (concurrency) => {
    const { source } = countingSource(() => undefined);
    // Larger than a slice, so that a scan is set aside while it has its place under the limit.
    source.commit(manyRows(320, 20_000));
    const container = new MemoryContainer();
    const pool = new TaskPool({ concurrency });
    const load = { statistics: { sample: () => BUSY }, autoTuneRemainThreads: 0, enableAutoTune: true };
    const result = await takeSnapshot({ ...load, numThreads: 4, batchSize: 2, source, container, pool, ranges: [] });
    await checkSnapshot(container, source, result);
    await pool.stop();
  },
);
