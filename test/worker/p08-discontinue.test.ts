// Rule P8 of docs/protocol.md: a job that is being stopped stores everything that was committed, on every tag, before it counts as completed.

import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { GatedContainer, GatedLog, GatedStore, logFiles, unavailable, writesTo } from './gates.js';
import { World } from './world.js';

describe('P8 discontinue', () => {
  let world: World;
  beforeEach(async () => {
    world = new World({ totalTags: 2 });
    await world.announce();
  });
  afterEach(() => world.end());

  const status = (uid = 'job') => world.operator.status(uid);
  const putMany = (count: number) => {
    for (let i = 0; i < count; i++) world.put(i % 2, `a${i}`);
  };

  it('sets Stopping; the job stays active', async () => {
    world.start(1);
    void world.request('job');
    await world.clock.settle();
    await world.write('job/job', { ...world.record('job/job'), state: 'Running', completeFrom: '1' });
    await world.operator.discontinue('job');
    expect(await status()).toMatchObject({ state: 'Stopping', stopVersion: undefined });
    expect(world.record('started')).toMatchObject({ jobs: [{ uid: 'job' }] });
  });

  it('aborts a job that is still Submitted, and its submit rejects', async () => {
    world.start(0);
    const submitted = world.request('job');
    await world.clock.advance(1_000);
    await world.operator.discontinue('job');
    await world.clock.advance(1_000);
    await expect(submitted).rejects.toMatchObject({ code: 'JOB_ABORTED', jobUid: 'job' });
    expect((await status()).state).toBe('Aborted');
    expect(world.record('started')).toEqual({ jobs: [] });
  });

  it('stops at what the log as a whole has committed, asked for after Stopping was read', async () => {
    const log = new GatedLog(world.log);
    const store = new GatedStore(world.store);
    world.start(0, { log, store, uploadDelay: 1_000_000 });
    world.start(1, { uploadDelay: 1_000_000 });
    await world.submit('job');
    putMany(4);
    const gate = log.hold('committedVersion', { at: 'before' });
    await world.clock.advance(3_000);
    expect(gate.isReached).toBe(false);
    await world.operator.discontinue('job');
    await world.clock.advance(2_000);
    expect(gate.isReached).toBe(true);
    putMany(2);
    gate.open();
    await world.clock.settle();
    expect(world.record('job/job')).toMatchObject({ state: 'Stopping', stopVersion: '6' });
    expect(world.record('started')).toMatchObject({ jobs: [{ uid: 'job', stopVersion: '6' }] });
  });

  it('stops at what a newer epoch has committed, of which the worker has not been told (stopped too short)', async () => {
    const log = new GatedLog(world.log);
    world.start(0, { log });
    world.start(1);
    await world.submit('job');
    putMany(4);
    await world.clock.settle();
    log.freezeLogSystem();
    world.log.recover({ announce: false });
    putMany(4);
    await world.operator.discontinue('job');
    await world.clock.advance(1_500);
    expect(world.record('job/job')).toMatchObject({ stopVersion: '8' });
  });

  it('sets the stop version once', async () => {
    const store = new GatedStore(world.store);
    world.start(0, { store, retryMinDelay: 1_000, uploadDelay: 1_000_000, idleUploadDelay: 1_000_000 });
    world.start(1, { uploadDelay: 1_000_000 });
    await world.submit('job');
    putMany(4);
    store.fail('transact', unavailable(), { at: 'after', match: writesTo('job/job') });
    await world.operator.discontinue('job');
    await world.clock.advance(500);
    expect(world.record('job/job')).toMatchObject({ stopVersion: '4' });
    putMany(4);
    await world.clock.advance(10_000);
    expect(world.record('job/job')).toMatchObject({ stopVersion: '4' });
    expect(store.writesOf('started').length).toBe(1);
  });

  it('leaves the stop version to the worker of tag 0', async () => {
    const first = world.start(0);
    world.start(1);
    await world.submit('job');
    await first.stop();
    await world.operator.discontinue('job');
    await world.clock.advance(60_000);
    expect(await status()).toMatchObject({ state: 'Stopping', stopVersion: undefined });
    world.start(0);
    await world.clock.advance(30_000);
    expect((await status()).state).toBe('Completed');
  });

  it('stays active until every tag has saved the stop version', async () => {
    const container = new GatedContainer(world.container('memory:job'));
    world.containers.set('memory:job', container);
    world.start(0);
    world.start(1, { jobStallTimeout: 1_000_000 });
    await world.submit('job');
    putMany(4);
    const gate = container.hold('finish', { match: ({ name }) => logFiles({ name }) && name.includes(',1-of-2,') });
    await world.operator.discontinue('job');
    await world.clock.advance(60_000);
    expect(gate.isReached).toBe(true);
    expect(world.record('progress/1/0')).toMatchObject({ savedVersion: '4' });
    expect(await status()).toMatchObject({ state: 'Stopping', stopVersion: 4n });
    expect(world.record('started')).toMatchObject({ jobs: [{ uid: 'job' }] });
    gate.open();
    await world.clock.advance(2_000);
    expect(await status()).toMatchObject({ state: 'Completed', stopVersion: 4n, savedVersion: 4n });
    expect((await world.mutations('job')).length).toBe(4);
  });

  it('is removed from started and set Completed in one transaction', async () => {
    const store = new GatedStore(world.store);
    world.start(0, { store });
    world.start(1);
    await world.submit('job');
    putMany(2);
    await world.operator.discontinue('job');
    await world.clock.advance(20_000);
    const last = store.writesOf('job/job').at(-1);
    expect([...(last?.writes.keys() ?? [])].sort()).toEqual(['job/job', 'started']);
    expect(world.record('job/job')).toMatchObject({ state: 'Completed' });
    expect(world.record('started')).toEqual({ jobs: [] });
  });

  it('stores an idle stretch up to the stop version without waiting for the idle delay', async () => {
    world.start(0, { idleUploadDelay: 10_000_000 });
    world.start(1, { idleUploadDelay: 10_000_000 });
    await world.submit('job');
    putMany(2);
    await world.clock.advance(11_000);
    world.log.advance(1_000n);
    await world.operator.discontinue('job');
    await world.clock.advance(25_000);
    expect((await status()).state).toBe('Completed');
    expect((await world.stretches('job')).filter((stretch) => stretch.endsWith('1001)')).length).toBe(2);
  });

  it('counts a tag as saved up to its firstVersion - 1: one that joined beyond the stop version is no hindrance', async () => {
    world.start(0);
    world.start(1);
    await world.submit('job', { startVersion: 1_000n });
    putMany(4);
    await world.operator.discontinue('job');
    await world.clock.advance(2_500);
    expect(await status()).toMatchObject({ state: 'Completed', stopVersion: 4n, files: 0 });
  });

  it('waits while an older epoch is unfinished', async () => {
    world.start(0);
    world.start(1);
    await world.submit('job');
    putMany(4);
    world.log.recover();
    await world.announce();
    world.start(0);
    world.start(1);
    putMany(4);
    await world.operator.discontinue('job');
    await world.clock.advance(60_000);
    expect(world.record('progress/2/0')).toMatchObject({ savedVersion: '8' });
    expect(world.record('progress/2/1')).toMatchObject({ savedVersion: '8' });
    expect(await status()).toMatchObject({ state: 'Stopping', stopVersion: 8n });
    world.log.setOldestBackupEpoch(2);
    await world.clock.advance(2_000);
    expect((await status()).state).toBe('Completed');
  });

  it('goes on in the next epoch with the stop version that was set', async () => {
    world.start(0, { uploadDelay: 1_000_000 });
    world.start(1, { uploadDelay: 1_000_000 });
    await world.submit('job');
    putMany(4);
    await world.operator.discontinue('job');
    await world.clock.advance(2_000);
    expect(await status()).toMatchObject({ state: 'Stopping', stopVersion: 4n });
    world.log.recover();
    putMany(4);
    await world.recruit();
    await world.clock.advance(15_000);
    await world.tellOldestEpoch();
    await world.clock.advance(15_000);
    expect(await status()).toMatchObject({ state: 'Completed', stopVersion: 4n });
    const stored = (await world.mutations('job')).filter((mutation) => Number(mutation.split('/')[1]) <= 4);
    expect(new Set(stored).size).toBe(4);
  });

  it("counts the current epoch's tags, however many there were before", async () => {
    world.start(0);
    world.start(1);
    await world.submit('job');
    putMany(4);
    await world.clock.advance(11_000);
    world.log.recover({ totalTags: 1 });
    await world.recruit();
    await world.clock.advance(2_000);
    await world.tellOldestEpoch();
    world.put(0, 'b');
    await world.operator.discontinue('job');
    await world.clock.advance(15_000);
    expect(await status()).toMatchObject({ state: 'Completed', stopVersion: 5n });
  });

  it('waits while the backup is paused, and status says so', async () => {
    world.start(0);
    world.start(1);
    await world.submit('job');
    putMany(2);
    await world.clock.advance(11_000);
    await world.operator.pause();
    await world.clock.settle();
    putMany(1); // answers the peeks that were in flight
    await world.clock.settle();
    putMany(19);
    await world.operator.discontinue('job');
    await world.clock.advance(60_000);
    const stopping = await status();
    expect(stopping).toMatchObject({ state: 'Stopping', stopVersion: 22n, paused: true });
    expect(stopping.reason).toMatch(/paused/);
    await world.operator.resume();
    await world.clock.advance(15_000);
    expect((await status()).state).toBe('Completed');
    expect((await world.mutations('job')).length).toBe(22);
  });

  it('leaves no file that ends beyond what was asked of other jobs: the others go on', async () => {
    world.start(0);
    world.start(1);
    await world.submit('job');
    await world.submit('other');
    putMany(4);
    await world.operator.discontinue('job');
    await world.clock.advance(20_000);
    putMany(4);
    await world.clock.advance(11_000);
    expect((await status()).state).toBe('Completed');
    expect((await world.mutations('job')).length).toBe(4);
    expect((await world.mutations('other')).length).toBe(8);
  });

  it('is Completed at once on a log that begins at version 0 and has nothing yet', async () => {
    const zero = new World({ begin: 0n });
    await zero.announce();
    const running = zero.start(0);
    await zero.submit('job');
    await zero.operator.discontinue('job');
    await zero.clock.advance(10_000);
    expect(await zero.operator.status('job')).toMatchObject({ state: 'Completed', stopVersion: -1n });
    expect(running.outcome()).toBeUndefined();
    expect(running.worker.state).toBe('NOOPMode.Waiting');
    expect(await zero.operator.list()).toHaveLength(1);
    await zero.end();
  });
});
