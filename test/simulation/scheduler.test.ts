import { describe, expect, it } from 'vitest';
import { SimProcess } from '../../src/testing/simulation/process.js';
import { SimRandom } from '../../src/testing/simulation/random.js';
import { SimScheduler } from '../../src/testing/simulation/scheduler.js';
import { makeWorld, runAll } from './world.js';

const failure = () => new Error('failed');

describe('SimScheduler', () => {
  it('makes events happen in the order of their time, and moves time with them', async () => {
    const scheduler = new SimScheduler(new SimRandom(1));
    const seen: number[] = [];
    for (const delay of [30, 10, 20, 0, 25]) scheduler.schedule(delay, () => seen.push(scheduler.now));
    await scheduler.run(() => false);
    expect(seen).toEqual([0, 10, 20, 25, 30]);
  });

  it('lets the seed decide between events of one moment', async () => {
    const orders = new Set<string>();
    for (let seed = 0; seed < 50; seed++) {
      const scheduler = new SimScheduler(new SimRandom(seed));
      const order: string[] = [];
      for (const name of ['a', 'b', 'c']) scheduler.schedule(5, () => order.push(name));
      await scheduler.run(() => false);
      orders.add(order.join(''));
    }
    expect(orders.size).toBe(6);
  });

  it('waits until chains of promises have come to rest before the next event', async () => {
    const scheduler = new SimScheduler(new SimRandom(1));
    const seen: string[] = [];
    scheduler.schedule(1, () => {
      void (async () => {
        for (let i = 0; i < 1_000; i++) await Promise.resolve();
        seen.push('end of the chain');
      })();
    });
    scheduler.schedule(1.001, () => seen.push('next event'));
    await scheduler.run(() => false);
    expect(seen).toEqual(['end of the chain', 'next event']);
  });

  it('moves on to the moment that it is asked for, and leaves out what was cancelled', async () => {
    const scheduler = new SimScheduler(new SimRandom(1));
    const seen: string[] = [];
    const event = scheduler.schedule(5, () => seen.push('cancelled'));
    event.cancelled = true;
    scheduler.schedule(100, () => seen.push('late'));
    await scheduler.run(() => false, 50);
    expect([scheduler.now, seen]).toEqual([50, []]);
    await scheduler.run(() => false, 200);
    expect([scheduler.now, seen]).toEqual([200, ['late']]);
  });
});

describe('SimProcess', () => {
  it('gets no answer and starts no call once it is dead', async () => {
    const world = makeWorld(1);
    const process = new SimProcess(world, 'p');
    const seen: string[] = [];
    void process.clock.sleep(10).then(() => seen.push('slept'));
    void process.call('log', 'call', () => 1, failure).then(() => seen.push('answered'));
    process.kill();
    void process.call('log', 'call', () => seen.push('effect'), failure);
    await runAll(world);
    expect(seen).toEqual([]);
  });

  it('sends a call that is under way at its death, or not, as the seed wants', async () => {
    let effects = 0;
    for (let seed = 0; seed < 40; seed++) {
      const world = makeWorld(seed);
      const process = new SimProcess(world, 'p');
      void process.call('store', 'call', () => effects++, failure);
      process.kill();
      await runAll(world);
    }
    expect(effects).toBeGreaterThan(5);
    expect(effects).toBeLessThan(35);
  });

  it('gets everything after it thaws, not before', async () => {
    const world = makeWorld(3);
    const process = new SimProcess(world, 'p');
    let wokeAt = 0;
    void process.clock.sleep(10).then(() => (wokeAt = world.scheduler.now));
    process.freeze(1_000);
    await runAll(world);
    expect(wokeAt).toBeGreaterThanOrEqual(1_000);
  });

  it('ends a sleep with the reason of its signal', async () => {
    const world = makeWorld(3);
    const process = new SimProcess(world, 'p');
    const controller = new AbortController();
    const reason = new Error('enough');
    const outcome = process.clock.sleep(1_000, controller.signal).catch((error: unknown) => error);
    controller.abort(reason);
    expect(await outcome).toBe(reason);
  });

  it('fails calls before or after their effect', async () => {
    let effects = 0;
    const before = makeWorld(1, { failBefore: { log: 1, store: 0, container: 0, source: 0 } });
    const first = new SimProcess(before, 'p').call('log', 'call', () => effects++, failure).catch(() => 'failed');
    await runAll(before);
    expect([await first, effects]).toEqual(['failed', 0]);
    const after = makeWorld(1, { failAfter: { log: 1, store: 0, container: 0, source: 0 } });
    const second = new SimProcess(after, 'p').call('log', 'call', () => effects++, failure).catch(() => 'failed');
    await runAll(after);
    expect([await second, effects]).toEqual(['failed', 1]);
  });
});
