// Rule P11 of docs/protocol.md: somebody says of every tag of an old epoch that it is drained, or all pops stay withheld for ever.

import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { oldestBackupEpoch } from '../../src/job/plan.js';
import { planFromStore, readDone } from '../../src/job/recruiter-transactions.js';
import { recruit } from '../../src/worker/recruit.js';
import { GatedLog, GatedStore, unavailable, writesTo } from './gates.js';
import { World } from './world.js';

const DONE = 'done/1/0';

describe('P11 done', () => {
  let world: World;
  let store: GatedStore;
  let log: GatedLog;
  /** Epoch 1 is [1, 5), epoch 2 begins at 5. */
  beforeEach(async () => {
    world = new World();
    store = new GatedStore(world.store);
    log = new GatedLog(world.log);
    for (let i = 0; i < 4; i++) world.put(0, `a${i}`);
    world.log.recover();
    await world.announce();
  });
  afterEach(() => world.end());

  const startOld = (options: Parameters<World['start']>[1] = {}) =>
    world.start(0, { store, log, epoch: 1, endVersion: 4n, ...options });

  it('is recorded when the worker of an old epoch has saved its endVersion', async () => {
    void world.request('job');
    const old = startOld();
    await world.clock.advance(1_000);
    expect(old.outcome()).toEqual({ outcome: 'completed' });
    expect(old.worker.state).toBe('Completed');
    const order = store.committed.flatMap(({ writes }) =>
      writes.has(DONE) ? ['done'] : writes.has('progress/1/0') ? ['saved'] : [],
    );
    expect(order).toEqual(['saved', 'done']);
    expect(world.record('progress/1/0')).toMatchObject({ savedVersion: '4' });
    expect(await world.stretches('job')).toEqual(['0:[1, 5)']);
    expect((await world.mutations('job')).length).toBe(4);
  });

  it('is not recorded before the endVersion is saved', async () => {
    void world.request('job');
    const gate = store.hold('transact', { match: writesTo('progress/1/0') });
    const old = startOld();
    await world.clock.advance(30_000);
    expect(gate.isReached).toBe(true);
    expect(world.record(DONE)).toBeUndefined();
    expect(old.outcome()).toBeUndefined();
    gate.open();
    await world.clock.advance(1_000);
    expect(world.record(DONE)).toEqual({ done: true });
  });

  it('is recorded at once, without pulling anything, when every active job starts after endVersion', async () => {
    void world.request('job', { startVersion: 5n });
    const old = startOld();
    await world.clock.settle();
    expect(old.outcome()).toEqual({ outcome: 'completed' });
    expect(world.record(DONE)).toEqual({ done: true });
    expect(log.peeks).toEqual([]);
    expect(await world.files('job')).toEqual([]);
  });

  it('is recorded at once when no job is active', async () => {
    const old = startOld();
    await world.clock.settle();
    expect(old.outcome()).toEqual({ outcome: 'completed' });
    expect(log.peeks).toEqual([]);
    expect(log.pops).toEqual([]);
  });

  it('is not recorded when one of several jobs starts at endVersion', async () => {
    void world.request('later', { startVersion: 5n });
    void world.request('job', { startVersion: 4n });
    const old = startOld();
    await world.clock.advance(1_000);
    expect(old.outcome()).toEqual({ outcome: 'completed' });
    expect(await world.stretches('job')).toEqual(['0:[4, 5)']);
    expect(await world.files('later')).toEqual([]);
  });

  it('is not recorded when a job that needs the epoch is submitted while the transaction is under way', async () => {
    const gate = store.hold('transact', { match: writesTo(DONE) });
    const old = startOld();
    await gate.reached;
    void world.request('job', { startVersion: 4n }); // the very last version of the epoch
    await world.clock.settle();
    gate.open();
    await world.clock.settle();
    expect(world.record('registered/job/1/0')).toEqual({ version: '4' });
    await world.clock.advance(1_000);
    expect(old.outcome()).toEqual({ outcome: 'completed' });
    expect(await world.stretches('job')).toEqual(['0:[4, 5)']);
    expect(world.record('progress/1/0')).toMatchObject({ savedVersion: '4' });
  });

  it('is there already when the answer was lost: that counts as success', async () => {
    store.fail('transact', unavailable(), { at: 'after', match: writesTo(DONE) });
    const old = startOld();
    await world.clock.settle();
    void world.request('job'); // a job by now would need the tag; it is too late for that
    await world.clock.advance(1_000);
    expect(old.outcome()).toEqual({ outcome: 'completed' });
    expect(await world.files('job')).toEqual([]);
  });

  it('ends the next worker for the tag at once', async () => {
    await world.write(DONE, { done: true });
    void world.request('job');
    const old = startOld();
    await world.clock.settle();
    expect(old.outcome()).toEqual({ outcome: 'completed' });
    expect(log.peeks).toEqual([]);
  });

  it('is not recorded by a worker that is stopped on the way', async () => {
    void world.request('job');
    const gate = log.hold('peek');
    const old = startOld();
    await gate.reached;
    expect(await old.stop()).toEqual({ outcome: 'stopped' });
    expect(world.record(DONE)).toBeUndefined();
  });

  it('ends the drain when the last job that needed it is aborted', async () => {
    void world.request('job');
    const gate = log.hold('peek');
    const old = startOld();
    await gate.reached;
    await world.operator.abort('job');
    await world.clock.settle();
    expect(old.outcome()).toEqual({ outcome: 'completed' });
    expect(world.record(DONE)).toEqual({ done: true });
    expect(log.pops).toEqual([]);
  });

  describe('where the plan yields nothing', () => {
    it('is recorded by the recruiter, in the transaction that read epoch, started, progress and noop for the plan', async () => {
      const plan = await planFromStore(store, world.log.epochs);
      expect(plan.workers.map(({ backupEpoch }) => backupEpoch)).toEqual([2]);
      expect(store.committed.length).toBe(1);
      const { reads, writes } = store.committed[0] ?? { reads: new Set(), writes: new Map() };
      expect([...writes.keys()]).toEqual([DONE]);
      expect([...reads]).toEqual(expect.arrayContaining(['epoch', 'started', 'progress/..progress0', 'noop/..noop0']));
    });

    it('is decided anew when a job that needs the epoch is submitted meanwhile', async () => {
      const gate = store.hold('transact', { match: writesTo(DONE) });
      const planned = planFromStore(store, world.log.epochs);
      await gate.reached;
      void world.request('job');
      await world.clock.settle();
      gate.open();
      expect((await planned).workers.map(({ backupEpoch }) => backupEpoch)).toEqual([1, 2]);
      expect(world.record(DONE)).toBeUndefined();
    });

    it('is recorded for a tag that is saved to the end, and not for one that is not', async () => {
      const two = new World({ totalTags: 2 });
      two.put(0, 'a');
      two.log.recover();
      await two.announce();
      void two.request('job');
      await two.clock.settle();
      await two.write('progress/1/0', { savedVersion: '1', totalTags: 2, jobs: [] });
      const plan = await planFromStore(two.store, two.log.epochs);
      expect(plan.done).toEqual([{ epoch: 1, tag: 0 }]);
      expect(plan.workers.filter(({ backupEpoch }) => backupEpoch === 1).map(({ tag }) => tag)).toEqual([1]);
      expect(two.record('done/1/1')).toBeUndefined();
    });

    it('is refused to a recruiter of an epoch that is over', async () => {
      const epochs = world.log.epochs;
      world.log.recover();
      await world.announce();
      await expect(planFromStore(world.store, epochs)).rejects.toMatchObject({ code: 'DISPLACED' });
      expect(world.record(DONE)).toBeUndefined();
    });

    it('is refused for an epoch that has not been announced', async () => {
      world.log.recover();
      await expect(planFromStore(world.store, world.log.epochs)).rejects.toMatchObject({ code: 'EPOCH_NOT_ANNOUNCED' });
      expect(world.record(DONE)).toBeUndefined();
    });
  });

  it('gives the host the oldest epoch that is not drained', async () => {
    const oldest = async () => oldestBackupEpoch(world.log.epochs, await readDone(world.store));
    expect(await oldest()).toBe(1);
    await world.write(DONE, { done: true });
    expect(await oldest()).toBe(2);
  });

  it('lets the pops of the newest epoch go out in the end (nobody says done)', async () => {
    const stop = new AbortController();
    const recruiting = recruit({
      logSource: world.log,
      progressStore: world.store,
      openContainer: (url) => world.container(url),
      clock: world.clock,
      signal: stop.signal,
    });
    world.put(0, 'b');
    await world.clock.advance(6_000);
    expect(world.record(DONE)).toEqual({ done: true });
    await world.tellOldestEpoch();
    await world.clock.settle();
    expect(world.log.pops.at(-1)).toMatchObject({ epoch: 2, upTo: 5n });
    stop.abort();
    await recruiting;
  });
});
