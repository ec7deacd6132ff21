// Rule P1 of docs/protocol.md: of two processes for one tag only the later one records anything.

import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { announceEpoch } from '../../src/job/recruiter-transactions.js';
import { GatedLog, GatedStore, unavailable, writesTo } from './gates.js';
import { World, countedRandom } from './world.js';

describe('P1 claim', () => {
  let world: World;
  beforeEach(async () => {
    world = new World();
    await world.announce();
  });
  afterEach(() => world.end());

  it('starts a run by writing its random id to owner', async () => {
    const store = new GatedStore(world.store);
    world.start(0, { store, random: countedRandom('a') });
    await world.clock.settle();
    expect(store.committed[0]?.writes.has('owner/1/0')).toBe(true);
    expect(world.record('owner/1/0')).toEqual({ runId: `${'a'.repeat(28)}0000` });
  });

  it('reads owner, epoch, progress, noop, registered, started and the state of every job in the transaction that claims', async () => {
    void world.request('job');
    await world.clock.settle();
    const store = new GatedStore(world.store);
    world.start(0, { store });
    await world.clock.settle();
    const claim = store.committed[0];
    expect(claim?.writes.has('owner/1/0')).toBe(true);
    for (const key of ['owner/1/0', 'epoch', 'progress/1/0', 'noop/1/0', 'registered/job/1/0', 'started', 'job/job']) {
      expect(claim?.reads, `the claim reads ${key}`).toContain(key);
    }
  });

  it('reads owner in every later transaction that looks at jobs or records something', async () => {
    const store = new GatedStore(world.store);
    const { clock, operator } = world;
    world.start(0, { store, metricsInterval: 1_000 });
    world.put(0, 'a');
    await clock.advance(6_000);
    await world.submit('job');
    await world.submit('failing', { url: 'broken' }).catch(() => undefined);
    world.put(0, 'b');
    await clock.advance(70_000);
    await operator.discontinue('job');
    await clock.advance(20_000);
    expect((await operator.status('job')).state).toBe('Completed');
    const later = store.committed.slice(1).filter(({ reads }) => !(reads.size === 1 && reads.has('paused')));
    for (const kind of ['noop/', 'registered/', 'progress/', 'job/', 'started']) {
      expect(later.filter(writesTo(kind)).length, `transactions that write ${kind}`).toBeGreaterThan(0);
    }
    for (const { reads, writes } of later) {
      expect(reads, `of the transaction that writes ${[...writes.keys()].join()}`).toContain('owner/1/0');
    }
  });

  it('ends the older run as displaced, with a typed error, and lets the later one go on', async () => {
    const older = world.start(0);
    await world.clock.advance(1_000);
    const later = world.start(0);
    await world.clock.advance(10_000);
    expect(older.outcome()).toMatchObject({ outcome: 'displaced', error: { code: 'DISPLACED', epoch: 1 } });
    expect(older.worker.state).toBe('Displaced');
    expect(older.events.filter((event) => event.startsWith('displaced'))).toEqual(['displaced DISPLACED']);
    expect(later.outcome()).toBeUndefined();
    expect(later.worker.state).toBe('NOOPMode.Waiting');
  });

  it('lets only the later run record a round, even if the older one is about to commit its own', async () => {
    const store = new GatedStore(world.store);
    const log = new GatedLog(world.log);
    const older = world.start(0, { store, log });
    await world.submit('job');
    world.put(0, 'a');
    const gate = store.hold('transact', { match: writesTo('progress/1/0') });
    await world.clock.advance(11_000);
    expect(gate.isReached).toBe(true);
    const pops = log.pops.length;
    world.start(0, { uploadDelay: 1_000_000 });
    await world.clock.settle();
    gate.open();
    await world.clock.advance(1_000);
    expect(older.outcome()).toMatchObject({ outcome: 'displaced' });
    expect(world.record('progress/1/0')).toBeUndefined();
    expect(log.pops.length).toBe(pops);
  });

  it('lets only the later run record a NOOP version', async () => {
    const store = new GatedStore(world.store);
    const log = new GatedLog(world.log);
    world.put(0, 'a');
    const gate = store.hold('transact', { match: writesTo('noop/1/0') });
    const older = world.start(0, { store, log });
    await world.clock.settle();
    expect(gate.isReached).toBe(true);
    await world.write('owner/1/0', { runId: 'another' });
    gate.open();
    await world.clock.settle();
    expect(older.outcome()).toMatchObject({ outcome: 'displaced' });
    expect(world.record('noop/1/0')).toBeUndefined();
    expect(log.pops).toEqual([]);
  });

  it('lets only the later run register for a job', async () => {
    const store = new GatedStore(world.store);
    const older = world.start(0, { store });
    await world.clock.settle();
    const gate = store.hold('transact', { match: writesTo('registered/job/1/0') });
    const submitted = world.request('job');
    await world.clock.settle();
    expect(gate.isReached).toBe(true);
    await world.write('owner/1/0', { runId: 'another' });
    gate.open();
    await world.clock.settle();
    expect(older.outcome()).toMatchObject({ outcome: 'displaced' });
    expect(world.record('registered/job/1/0')).toBeUndefined();
    await world.operator.abort('job');
    await world.clock.advance(2_000);
    await expect(submitted).rejects.toMatchObject({ code: 'JOB_ABORTED' });
  });

  it('lets only the later run say that an old epoch is drained', async () => {
    world.put(0, 'a');
    world.log.recover();
    await world.announce();
    const store = new GatedStore(world.store);
    const gate = store.hold('transact', { match: writesTo('done/1/0') });
    const older = world.start(0, { store, epoch: 1, endVersion: 1n });
    await world.clock.settle();
    expect(gate.isReached).toBe(true);
    await world.write('owner/1/0', { runId: 'another' });
    gate.open();
    await world.clock.settle();
    expect(older.outcome()).toMatchObject({ outcome: 'displaced' });
    expect(world.record('done/1/0')).toBeUndefined();
  });

  it('ends a run that was recruited in an older epoch as displaced, and does not claim for it', async () => {
    await announceEpoch(world.store, { epoch: 2, begin: 1n, totalTags: 1 });
    const late = world.start(0);
    await world.clock.settle();
    expect(late.outcome()).toMatchObject({ outcome: 'displaced', error: { code: 'DISPLACED' } });
    expect(world.record('owner/1/0')).toBeUndefined();
  });

  it('does not claim when a newer epoch is announced while the claim is under way', async () => {
    const store = new GatedStore(world.store);
    const gate = store.hold('transact', { match: writesTo('owner/1/0') });
    const late = world.start(0, { store });
    await gate.reached;
    await announceEpoch(world.store, { epoch: 2, begin: 1n, totalTags: 1 });
    gate.open();
    await world.clock.settle();
    expect(late.outcome()).toMatchObject({ outcome: 'displaced', error: { code: 'DISPLACED' } });
    expect(world.record('owner/1/0')).toBeUndefined();
  });

  it('refuses to run in an epoch that nobody has announced', async () => {
    const early = world.start(0, { recruitedEpoch: 2, epoch: 1, endVersion: 9n });
    await expect(early.result).rejects.toMatchObject({ code: 'EPOCH_NOT_ANNOUNCED', epoch: 2 });
    expect(world.record('owner/1/0')).toBeUndefined();
  });

  it('takes the begin that the plan gave as a lower bound only: what the claim reads counts', async () => {
    await world.write('progress/1/0', { savedVersion: '20', totalTags: 1, jobs: [] });
    const worker = world.start(0, { startVersion: 5n });
    await world.clock.settle();
    expect(worker.worker.metrics()).toMatchObject({ savedVersion: 20n, pulledEnd: 21n });
  });

  it('reads again what an older run has recorded since the claim began (planned before the claim)', async () => {
    await world.write('progress/1/0', { savedVersion: '10', totalTags: 1, jobs: [] });
    const store = new GatedStore(world.store);
    const gate = store.hold('transact', { match: writesTo('owner/1/0') });
    const { worker } = world.start(0, { store, startVersion: 11n });
    await gate.reached;
    await world.write('progress/1/0', { savedVersion: '20', totalTags: 1, jobs: [] });
    gate.open();
    await world.clock.settle();
    expect(worker.metrics()).toMatchObject({ savedVersion: 20n, pulledEnd: 21n });
  });

  it('claims again, with the same id, when the answer to the claim was lost', async () => {
    const store = new GatedStore(world.store);
    store.fail('transact', unavailable(), { at: 'after', match: writesTo('owner/1/0') });
    const running = world.start(0, { store, random: countedRandom('a') });
    await world.clock.advance(1_000);
    expect(store.writesOf('owner/1/0').length).toBe(2);
    expect(world.record('owner/1/0')).toEqual({ runId: `${'a'.repeat(28)}0000` });
    expect(running.outcome()).toBeUndefined();
    expect(running.events).toContain('retry claim the tag STORE_UNAVAILABLE 75');
  });

  it('ends as displaced without popping what the older run has just saved', async () => {
    const store = new GatedStore(world.store);
    const log = new GatedLog(world.log);
    const older = world.start(0, { store, log });
    await world.submit('job');
    world.put(0, 'a');
    const gate = store.hold('transact', { at: 'after', match: writesTo('progress/1/0') });
    await world.clock.advance(11_000);
    expect(gate.isReached).toBe(true);
    const pops = log.pops.length;
    await world.write('owner/1/0', { runId: 'another' });
    await world.clock.advance(6_000);
    gate.open();
    await world.clock.settle();
    expect(older.outcome()).toMatchObject({ outcome: 'displaced' });
    expect(log.pops.length).toBe(pops);
  });

  it('a claim that commits late, after its run was stopped, does not take the tag from the run that has replaced it', async () => {
    const first = world.start(0, { uploadDelay: 1_000 });
    await world.submit('job');
    world.put(0, 'a');
    await world.clock.advance(5_000);
    await first.stop();
    const store = new GatedStore(world.store);
    const gate = store.hold('transact', { match: writesTo('owner/1/0') });
    const stopped = world.start(0, { store });
    await gate.reached;
    expect(await stopped.stop()).toEqual({ outcome: 'stopped' });
    const replacement = world.start(0, { random: countedRandom('b') });
    // It only claims: the log is idle and the job is registered, so nothing else is written.
    await world.clock.advance(500);
    gate.open();
    await world.clock.settle();
    expect(world.record('owner/1/0')).toEqual({ runId: `${'b'.repeat(28)}0000` });
    expect(store.writesOf('owner/1/0')).toEqual([]);
    world.put(0, 'b');
    await world.clock.advance(60_000);
    expect(replacement.outcome()).toBeUndefined();
    expect(await world.stretches('job')).toEqual(['0:[1, 2)', '0:[2, 3)']);
  });
});
