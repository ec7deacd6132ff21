import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { World } from './world.js';

describe('a worker from NOOP mode to a job and back', () => {
  let world: World;
  beforeEach(async () => {
    world = new World({ totalTags: 2 });
    await world.announce();
  });
  afterEach(() => world.end());

  it('discards, stores, completes and discards again', async () => {
    const { clock, log, operator } = world;
    const workers = [world.start(0), world.start(1)];
    for (let i = 0; i < 10; i++) world.put(i % 2, `a${i}`);
    await clock.advance(6_000);
    expect(workers.map(({ worker }) => worker.metrics()?.noopVersion)).toEqual([10n, 10n]);
    expect(await world.submit('job')).toEqual({ uid: 'job', completeFrom: 11n });
    for (let i = 0; i < 10; i++) world.put(i % 2, `b${i}`);
    await clock.advance(11_000);
    expect(await world.stretches('job')).toEqual(['0:[11, 21)', '1:[11, 21)']);
    expect(log.popped(1, { locality: -2, id: 0 })).toBe(20n);
    await operator.discontinue('job');
    await clock.advance(15_000);
    expect((await operator.status('job')).state).toBe('Completed');
    expect(workers.map(({ worker }) => worker.state)).toEqual(['NOOPMode.Waiting', 'NOOPMode.Waiting']);
    expect(await Promise.all(workers.map((worker) => worker.stop()))).toEqual([
      { outcome: 'stopped' },
      { outcome: 'stopped' },
    ]);
    expect(clock.pendingTimers).toBe(0);
  });
});
