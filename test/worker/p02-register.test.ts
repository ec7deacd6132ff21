// Rule P2 of docs/protocol.md: where a job's data begins on a tag, and that this is fixed in the step in which the job joins.

import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { GatedContainer, GatedLog, GatedStore, logFiles, unavailable, writesTo } from './gates.js';
import { World } from './world.js';

describe('P2 register', () => {
  let world: World;
  beforeEach(async () => {
    world = new World();
    await world.announce();
  });
  afterEach(() => world.end());

  const registered = (uid: string) => world.record(`registered/${uid}/1/0`)?.['version'];
  const putMany = (count: number, prefix: string) => {
    for (let i = 0; i < count; i++) world.put(0, `${prefix}${i}`);
  };

  it('records max(startVersion, nextVersion): nextVersion when the job starts below what the worker can still get', async () => {
    putMany(10, 'old');
    world.start(0);
    await world.clock.advance(1_000);
    await world.submit('job', { startVersion: 3n });
    expect(registered('job')).toBe('11');
  });

  it('records max(startVersion, nextVersion): startVersion when the job starts later', async () => {
    world.start(0);
    await world.clock.settle();
    await world.submit('job', { startVersion: 100n });
    expect(registered('job')).toBe('100');
  });

  it('stores nothing below the firstVersion and everything from it on', async () => {
    world.start(0);
    await world.clock.settle();
    await world.submit('job', { startVersion: 4n });
    putMany(6, 'k');
    await world.clock.advance(11_000);
    expect(await world.stretches('job')).toEqual(['0:[4, 7)']);
    expect(await world.mutations('job')).toEqual(['0/4/1/k3=v', '0/5/1/k4=v', '0/6/1/k5=v']);
  });

  it('gives a job what is queued already: pulling does not move nextVersion', async () => {
    world.start(0);
    await world.submit('first');
    putMany(3, 'a');
    await world.clock.advance(100);
    await world.submit('second');
    expect(registered('second')).toBe('1');
    await world.clock.advance(11_000);
    expect((await world.mutations('second')).length).toBe(3);
  });

  it('moves nextVersion when a cut starts, not when it is saved', async () => {
    const container = new GatedContainer(world.container('memory:first'));
    world.containers.set('memory:first', container);
    const gate = container.hold('finish', { match: logFiles });
    world.start(0);
    await world.submit('first');
    putMany(3, 'a');
    await world.clock.advance(9_000);
    expect(gate.isReached).toBe(true);
    putMany(2, 'b');
    await world.submit('second');
    expect(registered('second')).toBe('4');
    gate.open();
    await world.clock.advance(11_000);
    expect(await world.stretches('first')).toEqual(['0:[1, 4)', '0:[4, 6)']);
    expect(await world.stretches('second')).toEqual(['0:[4, 6)']);
    expect((await world.mutations('second')).length).toBe(2);
  });

  it('moves nextVersion with a NOOP pop', async () => {
    world.start(0);
    await world.clock.advance(1_000);
    putMany(5, 'a');
    await world.clock.advance(5_000);
    expect(world.record('noop/1/0')).toEqual({ version: '5' });
    await world.submit('job');
    expect(registered('job')).toBe('6');
  });

  it('moves nextVersion past what is dropped when the last job leaves', async () => {
    const running = world.start(0, { noopPopDelay: 100_000 });
    await world.submit('first');
    // Not committed: so that the NOOP mode in between has nothing to record.
    world.log.commit([], { uncommitted: true });
    world.log.commit([], { uncommitted: true });
    await world.clock.advance(100);
    expect(running.worker.metrics()?.pulledEnd).toBe(3n);
    await world.operator.abort('first');
    await world.clock.settle();
    await world.submit('second');
    expect(registered('second')).toBe('3');
  });

  it('joins the router in the step that fixes the firstVersion: a round that begins before it is recorded stores the job', async () => {
    const store = new GatedStore(world.store);
    world.start(0, { store });
    await world.submit('first');
    const gate = store.hold('transact', { match: writesTo('registered/second/1/0') });
    const submitted = world.request('second');
    await world.clock.settle();
    expect(gate.isReached).toBe(true);
    putMany(3, 'a');
    await world.clock.advance(11_000);
    expect(await world.stretches('second')).toEqual(['0:[1, 4)']);
    gate.open();
    await world.clock.advance(2_000);
    expect(registered('second')).toBe('1');
    expect(await submitted).toEqual({ uid: 'second', completeFrom: 1n });
  });

  it('records the firstVersion that it fixed even if the body runs again after the queue has gone on', async () => {
    const store = new GatedStore(world.store);
    world.start(0, { store, uploadDelay: 100, retryMinDelay: 2_000 });
    await world.submit('first');
    store.fail('transact', unavailable(), { match: writesTo('registered/second/1/0'), count: 2 });
    void world.request('second');
    await world.clock.settle();
    putMany(3, 'a');
    await world.clock.advance(10_000);
    expect(registered('second')).toBe('1');
    expect((await world.mutations('second')).length).toBe(3);
  });

  it('fixes no firstVersion while a noop transaction is in flight: it is awaited first', async () => {
    putMany(2, 'a');
    const store = new GatedStore(world.store);
    const gate = store.hold('transact', { at: 'after', match: writesTo('noop/1/0') });
    const running = world.start(0, { store });
    await world.clock.settle();
    expect(gate.isReached).toBe(true);
    void world.request('job');
    await world.clock.advance(3_000);
    expect(running.events).toEqual([]);
    expect(registered('job')).toBeUndefined();
    gate.open();
    await world.clock.advance(1_000);
    expect(registered('job')).toBe('3');
    expect(world.log.popped(1, { locality: -2, id: 0 })).toBe(2n);
  });

  it('does not register a job that has been aborted meanwhile', async () => {
    const store = new GatedStore(world.store);
    const running = world.start(0, { store });
    await world.clock.settle();
    const gate = store.hold('transact', { match: writesTo('registered/job/1/0') });
    void world.request('job');
    await world.clock.settle();
    expect(gate.isReached).toBe(true);
    await world.operator.abort('job');
    gate.open();
    await world.clock.advance(1_000);
    expect(registered('job')).toBeUndefined();
    expect(running.events.filter((event) => event.includes('job'))).toEqual(['jobJoined job 1', 'jobLeft job']);
    expect(running.worker.state).toBe('NOOPMode.Waiting');
  });

  describe('a job that is active and not registered at the claim', () => {
    it("gets the worker's startVersion when it starts below it", async () => {
      void world.request('job');
      world.start(0, { startVersion: 5n });
      await world.clock.settle();
      expect(registered('job')).toBe('5');
    });

    it('gets its own startVersion when that is later', async () => {
      void world.request('job', { startVersion: 9n });
      world.start(0, { startVersion: 5n });
      await world.clock.settle();
      expect(registered('job')).toBe('9');
    });

    it('gets the begin that the claim has read, not the one of the plan', async () => {
      await world.write('progress/1/0', { savedVersion: '20', totalTags: 1, jobs: [] });
      void world.request('job');
      world.start(0, { startVersion: 5n });
      await world.clock.settle();
      expect(registered('job')).toBe('21');
    });

    it('keeps the firstVersion that an older run has registered', async () => {
      void world.request('job');
      await world.write('registered/job/1/0', { version: '7' });
      world.start(0, { startVersion: 5n });
      await world.clock.settle();
      expect(registered('job')).toBe('7');
    });
  });

  it('begins its first peek where the first version that a job can have is', async () => {
    putMany(4, 'a');
    const log = new GatedLog(world.log);
    world.start(0, { log });
    await world.clock.advance(1_000);
    await world.submit('job');
    expect(log.peeks[0]).toBe(5n);
  });
});
