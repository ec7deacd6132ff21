// Issue: 10,000 short tasks finish promptly while 4 endless scans run, and the scans still progress. Time is what the tasks say they cost.

import { describe, expect, it } from 'vitest';

import { TaskPool, type QueueKind } from '../../src/schedule/task-pool.js';
import { WorkClock } from './fakes.js';

const SCANS = 4;
const SHORT_TASKS = 10_000;
const SCAN_SLICE_MS = 1;
const SHORT_TASK_MS = 0.05;

/** A pool with endless scans that have run for a while: each has used up what a short task would need a hundred times over. */
async function scanning(kind: QueueKind, concurrency = 2) {
  const clock = new WorkClock();
  const pool = new TaskPool({ concurrency, queue: kind, clock });
  const slices = Array.from({ length: SCANS }, () => 0);
  let warm: () => void = () => undefined;
  const isWarm = new Promise<void>((resolve) => (warm = resolve));
  const scans = slices.map((_, scan) =>
    pool.run(async function* () {
      for (;;) {
        clock.work(SCAN_SLICE_MS);
        slices[scan]!++;
        await Promise.resolve(); // As one that reads does.
        yield;
        if (Math.min(...slices) >= 120) warm();
      }
    }),
  );
  await isWarm;
  slices.fill(0);
  const stop = async () => {
    const ended = Promise.allSettled(scans);
    await pool.stop();
    const outcomes = await ended;
    expect(outcomes.map(({ status }) => status)).toEqual(Array.from({ length: SCANS }, () => 'rejected'));
  };
  const scanned = () => slices.reduce((sum, count) => sum + count, 0);
  return { clock, pool, slices, scanned, stop };
}

describe('4 endless scans', () => {
  it('hold up 10,000 short tasks that come at once no more than their share of the turns, and still progress', async () => {
    const { clock, pool, slices, scanned, stop } = await scanning('multilevel');
    const began = clock.now();
    const work = () => clock.work(SHORT_TASK_MS);
    await Promise.all(Array.from({ length: SHORT_TASKS }, () => pool.run(work)));
    // Level 0 is asked first at least 80 times of 100, and more often with each second in which it gets less than 80 % of the time.
    expect(scanned()).toBeLessThan(SHORT_TASKS * 0.25 + 20);
    expect(clock.now() - began).toBeLessThan(SHORT_TASKS * SHORT_TASK_MS + 1600);
    for (const count of slices) expect(count).toBeGreaterThan(100);
    await stop();
  });

  /** Slices of scans that run while one short task after another is waited for. */
  async function delayOf(kind: QueueKind): Promise<{ mean: number; most: number }> {
    const { clock, pool, scanned, stop } = await scanning(kind, 1);
    const delays: number[] = [];
    for (let count = 0; count < SHORT_TASKS; count++) {
      const before = scanned();
      delays.push(await pool.run(() => (clock.work(SHORT_TASK_MS), scanned() - before)));
    }
    await stop();
    return { mean: delays.reduce((sum, delay) => sum + delay, 0) / delays.length, most: Math.max(...delays) };
  }

  it('hold up each of 10,000 short tasks that come one by one by hardly more than the slice under way', async () => {
    const multilevel = await delayOf('multilevel');
    expect(multilevel.mean).toBeLessThan(1.3);
    expect(multilevel.most).toBeLessThanOrEqual(2);
    // What it is compared with: in a plain line each short task stands behind all scans.
    const single = await delayOf('single');
    expect(single.mean).toBeGreaterThan(3.5);
  });

  it('give each other equal parts, whatever is going on beside them', async () => {
    const { clock, pool, slices, stop } = await scanning('multilevel');
    for (let round = 0; round < 100; round++) {
      await Promise.all(Array.from({ length: 100 }, () => pool.run(() => clock.work(SHORT_TASK_MS))));
    }
    expect(Math.max(...slices) - Math.min(...slices)).toBeLessThanOrEqual(2);
    await stop();
  });
});
