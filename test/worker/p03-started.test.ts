// Rule P3 of docs/protocol.md: a job counts as started when every tag of the current epoch has registered, and is complete from the largest firstVersion.

import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { announceEpoch } from '../../src/job/recruiter-transactions.js';
import { GatedLog, GatedStore, unavailable, writesTo } from './gates.js';
import { World } from './world.js';

describe('P3 started', () => {
  let world: World;
  beforeEach(async () => {
    world = new World({ totalTags: 2 });
    await world.announce();
  });
  afterEach(() => world.end());

  const state = async (uid = 'job') => (await world.operator.status(uid)).state;

  it('is Submitted until every tag is registered, then Running', async () => {
    const first = world.start(0);
    const submitted = world.request('job');
    await world.clock.advance(20_000);
    expect(await state()).toBe('Submitted');
    expect(first.events).not.toContain('jobStarted job 1');
    world.start(1);
    await world.clock.advance(2_000);
    expect(await state()).toBe('Running');
    expect(first.events).toContain('jobStarted job 1');
    expect(await submitted).toEqual({ uid: 'job', completeFrom: 1n });
  });

  it('stores the largest firstVersion in the job as completeFrom, and submit returns it', async () => {
    world.put(0, 'a');
    world.put(1, 'b');
    world.start(0);
    await world.clock.advance(1_000);
    expect(world.record('noop/1/0')).toEqual({ version: '2' });
    for (let i = 0; i < 5; i++) world.put(1, 'c');
    // Tag 1 has discarded more than tag 0.
    world.start(1);
    await world.clock.advance(1_000);
    expect(await world.submit('job')).toEqual({ uid: 'job', completeFrom: 8n });
    expect(world.record('registered/job/1/0')).toEqual({ version: '3' });
    expect(world.record('registered/job/1/1')).toEqual({ version: '8' });
    expect(world.record('job/job')).toMatchObject({ state: 'Running', completeFrom: '8' });
  });

  it('is complete from the largest firstVersion, whichever tag has it', async () => {
    const second = world.start(1, { noopPopDelay: 1_000_000 });
    await world.clock.settle();
    for (let i = 0; i < 5; i++) world.put(0, 'a');
    world.start(0);
    await world.clock.settle();
    expect(await world.submit('job')).toEqual({ uid: 'job', completeFrom: 6n });
    expect(world.record('registered/job/1/1')).toEqual({ version: '1' });
    expect(second.outcome()).toBeUndefined();
  });

  it('is complete from its startVersion at the earliest', async () => {
    world.start(0);
    world.start(1);
    expect(await world.submit('job', { startVersion: 50n })).toEqual({ uid: 'job', completeFrom: 50n });
  });

  it('is done by the worker of tag 0 alone', async () => {
    world.start(1);
    void world.request('job');
    await world.clock.settle();
    await world.write('registered/job/1/0', { version: '1' });
    await world.clock.advance(20_000);
    expect(world.record('registered/job/1/1')).toBeDefined();
    expect(await state()).toBe('Submitted');
  });

  it('is not done by tag 0 of an old epoch', async () => {
    world.put(0, 'a');
    world.log.recover();
    await world.announce();
    await world.operator.pause(); // so that the worker of the old epoch stays
    void world.request('job');
    world.start(0, { epoch: 1, endVersion: 1n });
    await world.clock.settle();
    for (const place of ['1/1', '2/0', '2/1']) await world.write(`registered/job/${place}`, { version: '2' });
    await world.clock.advance(20_000);
    expect(world.record('registered/job/1/0')).toBeDefined();
    expect(await state()).toBe('Submitted');
  });

  it('counts registrations of its own epoch only', async () => {
    world.log.recover();
    await world.announce();
    world.log.setOldestBackupEpoch(2);
    void world.request('job');
    await world.write('registered/job/1/1', { version: '1' });
    world.start(0);
    await world.clock.advance(5_000);
    expect(world.record('registered/job/2/0')).toBeDefined();
    expect(await state()).toBe('Submitted');
  });

  it('does nothing when a newer epoch has been announced, of which the worker has not been told; the new epoch starts the job', async () => {
    const log = new GatedLog(world.log);
    world.start(0, { log });
    await world.clock.settle();
    log.freezeLogSystem();
    world.log.recover({ announce: false });
    await world.announce();
    const submitted = world.request('job');
    await world.clock.settle();
    await world.write('registered/job/1/1', { version: '1' });
    await world.clock.advance(10_000);
    expect(world.record('registered/job/1/0')).toBeDefined();
    expect(await state()).toBe('Submitted');
    world.log.announce();
    world.start(0);
    world.start(1);
    await world.clock.advance(2_000);
    expect(await state()).toBe('Running');
    expect(await submitted).toEqual({ uid: 'job', completeFrom: 1n });
  });

  it('looks at the epoch again when one is announced while the transaction is under way', async () => {
    const store = new GatedStore(world.store);
    world.start(0, { store });
    world.start(1);
    await world.clock.settle();
    const gate = store.hold('transact', { match: writesTo('job/job') });
    void world.request('job');
    await world.clock.advance(1_000);
    expect(gate.isReached).toBe(true);
    await announceEpoch(world.store, { epoch: 2, begin: 1n, totalTags: 2 });
    gate.open();
    await world.clock.advance(1_000);
    expect(await state()).toBe('Submitted');
  });

  it('acts on Submitted only: a job that was stopped after a lost answer is not Running again', async () => {
    const store = new GatedStore(world.store);
    world.start(0, { store, retryMinDelay: 1_000 });
    world.start(1);
    await world.clock.settle();
    store.fail('transact', unavailable(), { at: 'after', match: writesTo('job/job') });
    void world.request('job');
    await world.clock.advance(200);
    expect(await state()).toBe('Running');
    await world.operator.discontinue('job');
    await world.clock.advance(1_000);
    expect(['Stopping', 'Completed']).toContain(await state());
    await world.clock.advance(5_000);
    expect(await state()).toBe('Completed');
  });

  it('acts on Submitted only: a job that is aborted first stays Aborted', async () => {
    const store = new GatedStore(world.store);
    world.start(0, { store });
    world.start(1);
    await world.clock.settle();
    const gate = store.hold('transact', { match: writesTo('job/job') });
    const submitted = world.request('job');
    await world.clock.advance(1_000);
    expect(gate.isReached).toBe(true);
    await world.operator.abort('job');
    gate.open();
    await world.clock.advance(3_000);
    expect(await state()).toBe('Aborted');
    expect(world.record('job/job')?.['completeFrom']).toBeUndefined();
    await expect(submitted).rejects.toMatchObject({ code: 'JOB_ABORTED', jobUid: 'job' });
  });

  it('keeps completeFrom in later epochs, whatever their tags register', async () => {
    world.start(0);
    world.start(1);
    await world.submit('job');
    for (let i = 0; i < 4; i++) world.put(i % 2, 'a');
    await world.clock.advance(11_000);
    world.log.recover();
    await world.announce();
    world.log.setOldestBackupEpoch(2);
    world.start(0);
    world.start(1);
    await world.clock.advance(5_000);
    expect(world.record('registered/job/2/0')).toEqual({ version: '5' });
    expect(world.record('job/job')).toMatchObject({ state: 'Running', completeFrom: '1' });
  });
});
