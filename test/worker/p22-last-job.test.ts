// Rule P22 of docs/protocol.md: what happens in the step in which the last job leaves.

import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { BackupError } from '../../src/core/errors.js';
import { logRouterTag } from '../../src/core/version.js';
import { GatedContainer, GatedLog, GatedStore, logFiles, writesTo } from './gates.js';
import { World, set, type Running } from './world.js';

const TAG_0 = logRouterTag(0);

describe('P22 the last job leaves', () => {
  let world: World;
  let log: GatedLog;
  let store: GatedStore;
  let container: GatedContainer;
  beforeEach(async () => {
    world = new World();
    log = new GatedLog(world.log);
    store = new GatedStore(world.store);
    container = new GatedContainer(world.container('memory:job'));
    world.containers.set('memory:job', container);
    await world.announce();
  });
  afterEach(() => world.end());

  function putUncommitted(count: number): void {
    for (let i = 0; i < count; i++) world.log.commit([{ tag: 0, mutation: set('u') }], { uncommitted: true });
  }

  /** A worker with one job and a queue of `queued` messages that cannot be stored yet. */
  async function withQueue(queued: number): Promise<Running> {
    const running = world.start(0, { log, store });
    await world.submit('job');
    putUncommitted(queued);
    await world.clock.advance(1_000);
    expect(running.worker.metrics()).toMatchObject({ queuedMessages: queued, activeJobs: 1 });
    return running;
  }

  const reasons: [string, (running: Running) => Promise<void>][] = [
    ['it is aborted', async () => world.operator.abort('job')],
    [
      'it fails for good',
      async () => {
        container.fail('writeFile', new BackupError('CONTAINER_UNAVAILABLE', 'gone'), { match: logFiles });
        world.log.setCommitted(2n);
        await world.clock.advance(11_000);
        expect((await world.operator.status('job')).state).toBe('Failed');
      },
    ],
    [
      'it completes',
      async () => {
        // Its stop version is in; what is queued above it is wanted no more.
        world.log.setCommitted(2n);
        await world.operator.discontinue('job');
        await world.clock.advance(11_000);
        expect(await world.operator.status('job')).toMatchObject({ state: 'Completed', stopVersion: 2n });
      },
    ],
  ];

  for (const [reason, leave] of reasons) {
    it(`because ${reason}: the queue is dropped, its permits are released, and NOOP mode begins`, async () => {
      const running = await withQueue(5);
      await leave(running);
      await world.clock.advance(1_000);
      expect(running.worker.metrics()).toMatchObject({ queuedMessages: 0, bufferedBytes: 0, activeJobs: 0 });
      expect(running.worker.state).toMatch(/^NOOPMode\./);
      expect(running.events).toContain('jobLeft job');
    });

    it(`because ${reason}: the next job begins after what was dropped, and misses and repeats nothing`, async () => {
      const running = await withQueue(5);
      await leave(running);
      await world.clock.advance(1_000);
      expect(await world.submit('next')).toMatchObject({ completeFrom: 6n });
      world.log.setCommitted(5n);
      world.put(0, 'after');
      await world.clock.advance(20_000);
      expect(await world.mutations('next')).toEqual(['0/6/1/after=v']);
      expect((await world.stretches('next'))[0]).toMatch(/^0:\[6, /);
    });
  }

  it('nextVersion moves past the queue even when a job is there again before NOOP mode has done anything', async () => {
    const { clock } = world;
    const running = await withQueue(5);
    const read = log.hold('minKnownCommittedVersion');
    await world.operator.abort('job');
    void world.request('next');
    await clock.settle();
    expect(running.events).toContain('jobJoined next 6');
    read.open();
    world.log.setCommitted(5n);
    world.put(0, 'after');
    await clock.advance(20_000);
    expect(await world.mutations('next')).toEqual(['0/6/1/after=v']);
  });

  it('a batch that waits for the lock goes too, and its permits are never taken', async () => {
    const { clock } = world;
    const running = world.start(0, { log, store, lockBytes: 60, peekBytes: 30, uploadBytes: 60 });
    await world.submit('job');
    putUncommitted(10);
    await clock.advance(1_000);
    expect(running.worker.metrics()?.queuedMessages).toBe(2);
    const peeks = log.peeks.length;
    await world.operator.abort('job');
    await clock.advance(1_000);
    expect(running.worker.metrics()).toMatchObject({ queuedMessages: 0, bufferedBytes: 0, availableBytes: 60 });
    expect(log.peeks.length).toBe(peeks);
  });

  it('a peek in flight is discarded: its late answer is not queued', async () => {
    const { clock } = world;
    const running = await withQueue(2);
    const answer = log.hold('peek', { at: 'after' });
    // The peek from 3 that waits already is answered with this; the next one's answer is held.
    putUncommitted(1);
    await clock.advance(100);
    putUncommitted(1);
    await clock.advance(100);
    expect(answer.isReached).toBe(true);
    await world.operator.abort('job');
    await clock.settle();
    const pulledEnd = running.worker.metrics()?.pulledEnd;
    expect(await world.submit('next')).toMatchObject({ completeFrom: pulledEnd });
    const before = running.worker.metrics()?.queuedMessages;
    answer.open();
    await clock.settle();
    expect(running.worker.metrics()?.queuedMessages).toBe(before);
    world.log.setCommitted(4n);
    world.put(0, 'after');
    await clock.advance(20_000);
    const versions = (await world.mutations('next')).map((text) => BigInt(text.split('/')[1] ?? 0));
    const expected = [3n, 4n, 5n].filter((version) => pulledEnd !== undefined && version >= pulledEnd);
    expect(versions).toEqual(expected);
  });

  it('a file that is being written never becomes visible, and is not left behind', async () => {
    const { clock } = world;
    await withQueue(3);
    world.log.setCommitted(3n);
    const append = container.hold('append', { at: 'after', match: logFiles });
    await clock.advance(11_000);
    expect(append.isReached).toBe(true);
    await world.operator.abort('job');
    await clock.settle();
    append.open();
    await clock.advance(30_000);
    expect(await world.stretches('job')).toEqual([]);
    expect(container.unfinished).toEqual([]);
  });

  it('a save in flight is joined: what it recorded is popped, and NOOP mode goes on above it', async () => {
    const { clock } = world;
    const running = await withQueue(3);
    world.log.setCommitted(3n);
    const answer = store.hold('transact', { at: 'after', match: writesTo('progress/1/0') });
    await clock.advance(11_000);
    expect(answer.isReached).toBe(true);
    await world.operator.abort('job');
    await clock.advance(1_000);
    answer.open();
    await clock.settle();
    expect(running.worker.metrics()).toMatchObject({ savedVersion: 3n, bufferedBytes: 0 });
    expect(world.log.popped(1, TAG_0)).toBe(3n);
    world.put(0, 'more');
    await clock.advance(6_000);
    expect(running.worker.metrics()).toMatchObject({ noopVersion: 4n });
    expect(running.outcome()).toBeUndefined();
  });

  it('as long as another job is there, nothing of this happens', async () => {
    const { clock } = world;
    const running = await withQueue(3);
    await world.submit('other');
    await world.operator.abort('job');
    await clock.advance(1_000);
    expect(running.worker.metrics()).toMatchObject({ queuedMessages: 3, activeJobs: 1 });
    expect(running.worker.state).toBe('PullMode.Pulling');
    world.log.setCommitted(3n);
    await clock.advance(11_000);
    // It had joined before anything was cut: all three are its own.
    expect(await world.mutations('other')).toHaveLength(3);
  });

  it('a worker of an old epoch is done at once', async () => {
    const { clock } = world;
    await (await withQueue(1)).stop();
    world.log.setCommitted(1n);
    world.log.recover();
    const drainLog = new GatedLog(world.log);
    // Nothing can be pulled of the old epoch.
    drainLog.hold('peek', { count: 1_000 });
    const [drainer] = await world.recruit({ log: drainLog });
    await clock.advance(1_000);
    expect(drainer?.outcome()).toBeUndefined();
    await world.operator.abort('job');
    await clock.advance(1_000);
    expect(drainer?.outcome()).toEqual({ outcome: 'completed' });
    expect(world.record('done/1/0')).toEqual({ done: true });
  });
});
