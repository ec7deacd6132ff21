// Rule P6 of docs/protocol.md: without a job the log is discarded, but only after that has been recorded in a transaction that saw no job.

import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { GatedLog, GatedStore, unavailable, writesTo } from './gates.js';
import { World } from './world.js';

const NOOP = 'noop/1/0';

describe('P6 noop', () => {
  let world: World;
  let store: GatedStore;
  let log: GatedLog;
  beforeEach(async () => {
    world = new World();
    store = new GatedStore(world.store);
    log = new GatedLog(world.log);
    await world.announce();
  });
  afterEach(() => world.end());

  const putMany = (count: number) => {
    for (let i = 0; i < count; i++) world.put(0, `a${i}`);
  };

  it('records the committed version, then pops it; and again after noopPopDelay', async () => {
    putMany(2);
    const running = world.start(0, { store, log, noopPopDelay: 3_000 });
    await world.clock.settle();
    expect(world.record(NOOP)).toEqual({ version: '2' });
    expect(log.pops).toEqual([2n]);
    putMany(3);
    await world.clock.advance(2_900);
    expect(world.record(NOOP)).toEqual({ version: '2' });
    await world.clock.advance(200);
    expect(world.record(NOOP)).toEqual({ version: '5' });
    expect(log.pops).toEqual([2n, 5n]);
    expect(running.events).toEqual(['noop 2', 'popped 2', 'noop 5', 'popped 5']);
  });

  it('discards nothing that is not committed', async () => {
    putMany(2);
    world.log.commit([], { uncommitted: true });
    world.start(0, { store, log });
    await world.clock.advance(11_000);
    expect(world.record(NOOP)).toEqual({ version: '2' });
    expect(log.pops).toEqual([2n]);
  });

  it('records nothing again while the log stands still', async () => {
    putMany(2);
    const running = world.start(0, { store });
    await world.clock.advance(30_000);
    expect(store.writesOf(NOOP).length).toBe(1);
    expect(running.events).toEqual(['noop 2', 'popped 2']);
  });

  it('reads owner, noop and started', async () => {
    putMany(2);
    world.start(0, { store });
    await world.clock.settle();
    expect([...(store.writesOf(NOOP)[0]?.reads ?? [])].sort()).toEqual([NOOP, 'owner/1/0', 'started']);
  });

  it('does not pop before it has committed, nor before its answer has come', async () => {
    putMany(2);
    const before = store.hold('transact', { at: 'before', match: writesTo(NOOP) });
    const after = store.hold('transact', { at: 'after', match: writesTo(NOOP) });
    world.start(0, { store, log });
    await world.clock.settle();
    expect(before.isReached).toBe(true);
    expect(log.pops).toEqual([]);
    before.open();
    await world.clock.settle();
    expect(after.isReached).toBe(true);
    expect(log.pops).toEqual([]);
    after.open();
    await world.clock.settle();
    expect(log.pops).toEqual([2n]);
  });

  it('refuses when a job is active, even one that was submitted while the transaction was under way', async () => {
    putMany(2);
    const gate = store.hold('transact', { match: writesTo(NOOP) });
    const running = world.start(0, { store, log });
    await gate.reached;
    const submitted = world.request('job');
    await world.clock.settle();
    gate.open();
    await world.clock.advance(2_000);
    expect(world.record(NOOP)).toBeUndefined();
    expect(log.pops).toEqual([]);
    expect(await submitted).toEqual({ uid: 'job', completeFrom: 1n });
    await world.clock.advance(11_000);
    expect((await world.mutations('job')).length).toBe(2);
    expect(running.worker.state).toMatch(/^PullMode/);
  });

  it('refuses when a job is active of which the worker has not heard, and hears of it by that', async () => {
    // No watch fires, and no poll comes.
    store.hold('watch', { match: ({ reads }) => reads.has('started'), count: 1_000 });
    world.start(0, { store, log, pollInterval: 1_000_000 });
    await world.clock.settle();
    putMany(2);
    void world.request('job');
    await world.clock.advance(6_000);
    expect(log.pops.filter((upTo) => upTo > 0n)).toEqual([]);
    expect(world.record('registered/job/1/0')).toBeDefined();
  });

  it('has succeeded when noop is already at the wanted version, even if a job is active by now (the retried noop)', async () => {
    putMany(2);
    store.fail('transact', unavailable(), { at: 'after', match: writesTo(NOOP) });
    const running = world.start(0, { store, log, retryMinDelay: 1_000 });
    await world.clock.settle();
    expect(world.record(NOOP)).toEqual({ version: '2' });
    const submitted = world.request('job');
    await world.clock.advance(500);
    expect(world.record('registered/job/1/0')).toBeUndefined();
    await world.clock.advance(3_000);
    expect(running.events.filter((event) => !event.startsWith('retry'))).toEqual(
      expect.arrayContaining(['noop 2', 'popped 2', 'jobJoined job 3']),
    );
    expect(await submitted).toEqual({ uid: 'job', completeFrom: 3n });
  });

  it('is awaited before the first peek of a pull', async () => {
    putMany(2);
    const gate = store.hold('transact', { at: 'after', match: writesTo(NOOP) });
    world.start(0, { store, log });
    await gate.reached;
    void world.request('job');
    await world.clock.advance(10_000);
    expect(log.peeks).toEqual([]);
    gate.open();
    await world.clock.settle();
    expect(log.peeks[0]).toBe(3n);
  });

  it("asks what is committed in its own epoch, and never discards beyond that epoch's end", async () => {
    putMany(2);
    world.start(0, { store, log });
    await world.clock.settle();
    log.freezeLogSystem();
    world.log.recover({ announce: false });
    putMany(5);
    await world.clock.advance(20_000);
    expect(world.record(NOOP)).toEqual({ version: '2' });
    expect(log.pops).toEqual([2n]);
  });

  it('goes on with what it can do while the store is away: nothing is popped', async () => {
    putMany(2);
    store.fail('transact', unavailable(), { match: writesTo(NOOP), count: 3 });
    world.start(0, { store, log, retryMinDelay: 1_000 });
    await world.clock.advance(500);
    expect(log.pops).toEqual([]);
    await world.clock.advance(10_000);
    expect(log.pops).toEqual([2n]);
  });

  it('begins when the last job has left, from where the queue was', async () => {
    world.start(0, { store, log });
    await world.submit('job');
    putMany(3);
    await world.clock.advance(100);
    await world.operator.abort('job');
    await world.clock.settle();
    expect(world.record(NOOP)).toEqual({ version: '3' });
    expect(log.pops.at(-1)).toBe(3n);
  });

  it('is per epoch and tag', async () => {
    const two = new World({ totalTags: 2 });
    await two.announce();
    two.put(1, 'a');
    two.start(1);
    await two.clock.settle();
    expect(two.record('noop/1/1')).toEqual({ version: '1' });
    expect(two.record('noop/1/0')).toBeUndefined();
    expect(two.log.popped(1, { locality: -2, id: 0 })).toBeUndefined();
    await two.end();
  });

  it.each(['does not answer', 'keeps failing'])(
    'ends when it is displaced although its own epoch’s log %s',
    async (how) => {
      const running = world.start(0, { log });
      await world.clock.settle();
      if (how === 'does not answer') log.hold('minKnownCommittedVersion');
      else log.fail('minKnownCommittedVersion', unavailable(), { count: 1_000_000 });
      await world.clock.advance(20_000);
      expect(running.worker.state).toBe('NOOPMode.Popping');
      world.log.recover();
      await world.clock.settle();
      expect(running.outcome()).toMatchObject({ outcome: 'displaced', error: { code: 'DISPLACED' } });
      expect(running.worker.state).toBe('Displaced');
      expect(world.clock.pendingTimers).toBe(0);
    },
  );
});
