// Rule P21 of docs/protocol.md: what a pause stops, and what it does not.

import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { logRouterTag } from '../../src/core/version.js';
import { GatedLog } from './gates.js';
import { World, set } from './world.js';

const TAG_0 = logRouterTag(0);

describe('P21 pause', () => {
  let world: World;
  let log: GatedLog;
  beforeEach(async () => {
    world = new World();
    log = new GatedLog(world.log);
    await world.announce();
  });
  afterEach(() => world.end());

  /** A worker with a job, paused with nothing in flight but one peek that waits for news. */
  async function pausedWorker() {
    const running = world.start(0, { log });
    await world.submit('job');
    world.put(0, 'before');
    await world.clock.advance(1_000);
    await world.operator.pause();
    await world.clock.advance(1_000);
    expect(running.worker.metrics()?.paused).toBe(true);
    expect(running.events).toContain('paused true');
    // The answer to the peek that was in flight.
    world.put(0, 'inFlight');
    await world.clock.advance(1_000);
    return running;
  }

  it('while paused a worker of the current epoch begins no peek, and goes on where it was when resumed', async () => {
    const { clock, operator } = world;
    const running = await pausedWorker();
    const peeks = log.peeks.length;
    for (let i = 0; i < 5; i++) world.put(0, `during${i}`);
    await clock.advance(100_000);
    expect(log.peeks.length).toBe(peeks);
    await operator.resume();
    await clock.advance(11_000);
    expect(running.events).toContain('paused false');
    expect(running.worker.metrics()).toMatchObject({ paused: false, savedVersion: 7n });
    expect(await world.mutations('job')).toHaveLength(7);
    const files = await world.files('job');
    expect(files.slice(1).map(({ begin }) => begin)).toEqual(files.slice(0, -1).map(({ end }) => end));
  });

  it('what is queued is still uploaded, saved and popped', async () => {
    const { clock } = world;
    const { worker } = await pausedWorker();
    await clock.advance(20_000);
    expect(worker.metrics()).toMatchObject({ paused: true, savedVersion: 2n, queuedMessages: 0 });
    expect(await world.mutations('job')).toHaveLength(2);
    expect(world.log.popped(1, TAG_0)).toBe(2n);
  });

  it('a worker that starts while the backup is paused does not peek even once', async () => {
    const { clock, operator } = world;
    void world.request('job');
    await operator.pause();
    const { worker } = world.start(0, { log });
    world.put(0, 'a');
    await clock.advance(30_000);
    expect(worker.metrics()).toMatchObject({ paused: true, activeJobs: 1 });
    expect(log.peeks).toEqual([]);
    await operator.resume();
    await clock.advance(11_000);
    expect(await world.mutations('job')).toHaveLength(1);
  });

  it('a worker of an old epoch does not pull either, so that newer pops stay withheld', async () => {
    const { clock, operator } = world;
    const first = world.start(0);
    await world.submit('job');
    world.put(0, 'old');
    await first.stop();
    world.log.recover();
    world.put(0, 'new');
    await operator.pause();
    const [drainer, current] = await world.recruit({ log });
    await clock.advance(60_000);
    await world.tellOldestEpoch();
    await clock.advance(60_000);
    expect(log.peeks).toEqual([]);
    expect([drainer?.outcome(), current?.outcome()]).toEqual([undefined, undefined]);
    expect(world.log.pops).toEqual([]);

    await operator.resume();
    await clock.advance(11_000);
    expect(drainer?.outcome()).toEqual({ outcome: 'completed' });
    expect(world.log.popped(2, TAG_0)).toBeUndefined();
    await world.tellOldestEpoch();
    await clock.advance(11_000);
    expect(world.log.popped(2, TAG_0)).toBe(2n);
    expect(await world.mutations('job')).toEqual(['0/1/1/old=v', '0/2/1/new=v']);
  });

  it('NOOP mode goes on popping', async () => {
    const { clock, operator } = world;
    const { worker } = world.start(0);
    await operator.pause();
    await clock.advance(1_000);
    for (let i = 0; i < 3; i++) world.put(0, 'a');
    await clock.advance(6_000);
    expect(worker.metrics()).toMatchObject({ paused: true, noopVersion: 3n });
    expect(world.log.popped(1, TAG_0)).toBe(3n);
  });

  it('a job that is submitted during a pause is registered from where the log was left, and stored after it', async () => {
    const { clock, operator } = world;
    world.start(0);
    await operator.pause();
    world.put(0, 'discarded');
    await clock.advance(6_000);
    expect(await world.submit('job')).toMatchObject({ completeFrom: 2n });
    world.put(0, 'kept');
    await clock.advance(60_000);
    expect(await world.stretches('job')).toEqual([]);
    await operator.resume();
    await clock.advance(11_000);
    expect(await world.mutations('job')).toEqual(['0/2/1/kept=v']);
  });

  it('displacement interrupts a pause: the worker stores what it holds and ends', async () => {
    const { clock } = world;
    const running = await pausedWorker();
    world.log.recover();
    await clock.advance(1_000);
    expect(running.outcome()).toMatchObject({ outcome: 'displaced', error: { code: 'DISPLACED' } });
    expect(running.worker.metrics()).toMatchObject({ savedVersion: 2n, paused: true });
  });

  it('the end of the last job interrupts a pause: NOOP mode begins', async () => {
    const { clock, operator } = world;
    const { worker } = await pausedWorker();
    await operator.abort('job');
    await clock.advance(6_000);
    expect(worker.state).toBe('NOOPMode.Waiting');
    world.put(0, 'more');
    await clock.advance(6_000);
    expect(world.log.popped(1, TAG_0)).toBe(3n);
  });

  it('the signal interrupts a pause', async () => {
    const { clock } = world;
    const running = await pausedWorker();
    expect(await running.stop()).toEqual({ outcome: 'stopped' });
    expect(clock.pendingTimers).toBe(0);
  });

  it('a discontinued job waits for the end of a pause, and its status says so', async () => {
    const { clock, operator } = world;
    await pausedWorker();
    world.log.commit([{ tag: 0, mutation: set('last') }]);
    await operator.discontinue('job');
    await clock.advance(60_000);
    const status = await operator.status('job');
    expect(status).toMatchObject({ state: 'Stopping', stopVersion: 3n, paused: true });
    expect(status.reason).toContain('paused');
    await operator.resume();
    await clock.advance(20_000);
    expect((await operator.status('job')).state).toBe('Completed');
    expect(await world.mutations('job')).toHaveLength(3);
  });
});
