// The scenarios at the end of docs/protocol.md, each with its interleaving scripted: earlier wordings of the rules failed in these ways.

import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { BackupError } from '../../src/core/errors.js';
import { logRouterTag } from '../../src/core/version.js';
import { MemoryContainer } from '../../src/container/memory-container.js';
import { planFromStore } from '../../src/job/recruiter-transactions.js';
import type { ProgressStore } from '../../src/ports/progress-store.js';
import { GatedContainer, GatedLog, GatedStore, logFiles, readsFrom, unavailable, writesTo } from './gates.js';
import { World, set } from './world.js';

const TAG_0 = logRouterTag(0);

const DEAF = { pollInterval: 1_000_000, uploadDelay: 1_000_000, coordinationInterval: 1_000_000 };

/** Its watches never fire. */
function withoutWatches(store: ProgressStore): ProgressStore {
  return {
    transact: (body) => store.transact(body),
    acquireLease: (request) => store.acquireLease(request),
    watch: (_key, _seen, signal) =>
      new Promise((_resolve, reject) => {
        signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
      }),
  };
}

describe('the scenarios of the protocol', () => {
  let world: World;
  beforeEach(async () => {
    world = new World();
    await world.announce();
  });
  afterEach(() => world.end());

  it('1. Rolled-back tail in a file: a worker that has not been told stores nothing above the end of its epoch', async () => {
    const { clock, log } = world;
    const old = world.start(0, { uploadDelay: 5_000, idleUploadDelay: 20_000 });
    await world.submit('job');
    for (let version = 1; version <= 9; version++) world.put(0, `kept${version}`);
    for (let version = 10; version <= 12; version++) {
      log.commit([{ tag: 0, mutation: set(`rolledBack${version}`) }], { uncommitted: true });
    }
    await clock.advance(100);
    expect(old.worker.metrics()).toMatchObject({ pulledEnd: 13n, queuedMessages: 12, savedVersion: 0n });

    log.recover({ end: 10n, announce: false });
    for (let version = 10; version <= 20; version++) world.put(0, `new${version}`);
    await clock.advance(60_000);
    expect(old.worker.metrics()).toMatchObject({ savedVersion: 9n, minKnownCommittedVersion: 9n });
    expect(await world.stretches('job')).toEqual(['0:[1, 10)']);

    log.announce();
    await world.recruit();
    await clock.advance(60_000);
    await world.tellOldestEpoch();
    await clock.advance(60_000);
    expect(old.outcome()).toMatchObject({ outcome: 'displaced' });
    const keys = (await world.mutations('job')).map((mutation) => mutation.split('/')[3]);
    const range = (name: string, from: number, to: number) =>
      Array.from({ length: to - from + 1 }, (_, index) => `${name}${from + index}=v`);
    expect(keys).toEqual([...range('kept', 1, 9), ...range('new', 10, 20)]);
  });

  it('2. Stopped too short: the stop version is the log’s, not that of an epoch which has ended', async () => {
    const { clock, log, operator } = world;
    world.start(0);
    await world.submit('job');
    for (let version = 1; version <= 10; version++) world.put(0, `old${version}`);
    await clock.advance(11_000);
    // The worker of epoch 1 hears nothing of the recovery, and the store neither.
    log.recover({ announce: false });
    for (let version = 11; version <= 20; version++) world.put(0, `new${version}`);
    await operator.discontinue('job');
    await clock.advance(5_000);
    expect(await operator.status('job')).toMatchObject({ state: 'Stopping', stopVersion: 20n });

    log.announce();
    await world.recruit();
    await clock.advance(30_000);
    await world.tellOldestEpoch();
    await clock.advance(30_000);
    expect(await operator.status('job')).toMatchObject({ state: 'Completed', savedVersion: 20n });
    expect(await world.mutations('job')).toHaveLength(20);
    expect(await world.stretches('job')).toEqual(['0:[1, 11)', '0:[11, 21)']);
  });

  it('3. Started by the wrong epoch: tag 0 of an epoch that is over starts no job', async () => {
    world = new World({ totalTags: 2, epoch: 3 });
    const { clock, log, operator } = world;
    await world.announce();
    const old = [world.start(0), world.start(1)];
    for (let version = 1; version <= 7; version++) world.put(version % 2, `a${version}`);
    await clock.advance(6_000);
    expect(old.map(({ worker }) => worker.metrics()?.noopVersion)).toEqual([7n, 7n]);

    log.recover({ announce: false });
    await world.announce();
    for (let version = 8; version <= 15; version++) world.put(version % 2, `b${version}`);
    const tagOne = world.start(1);
    await clock.advance(6_000);
    expect(tagOne.worker.metrics()?.noopVersion).toBe(15n);

    const submitted = world.request('job');
    await clock.advance(10_000);
    // All tags of epoch 3 are there, and its tag 0 has seen them.
    expect(world.record('registered/job/3/0')).toEqual({ version: '8' });
    expect(world.record('registered/job/3/1')).toEqual({ version: '8' });
    expect((await operator.status('job')).state).toBe('Submitted');

    world.start(0);
    await clock.advance(10_000);
    expect(await submitted).toEqual({ uid: 'job', completeFrom: 16n });
    expect(old[0]?.events.filter((event) => event.startsWith('jobStarted'))).toEqual([]);
  });

  it('3. Started by the wrong epoch: not even when the new epoch is announced while it is about to', async () => {
    const { clock, log, operator } = world;
    const store = new GatedStore(world.store);
    world.start(0, { store });
    const gate = store.hold('transact', { match: ({ writes }) => writes.has('job/job') });
    void world.request('job');
    await clock.advance(2_000);
    expect(gate.isReached).toBe(true);
    log.recover({ announce: false });
    await world.announce();
    gate.open();
    await clock.advance(10_000);
    expect((await operator.status('job')).state).toBe('Submitted');
  });

  it('4. True-up under a noop in flight: a job that joins meanwhile begins after what the noop discards', async () => {
    const { clock, log } = world;
    const store = new GatedStore(world.store);
    const running = world.start(0, { store });
    await clock.advance(1_000);
    world.put(0, 'a');
    world.put(0, 'b');
    const answer = store.hold('transact', { at: 'after', match: writesTo('noop/1/0') });
    await clock.advance(5_000);
    expect(world.record('noop/1/0')).toEqual({ version: '2' });
    expect(answer.isReached).toBe(true);

    const submitted = world.request('job');
    await clock.advance(20_000);
    expect(world.record('registered/job/1/0')).toBeUndefined();
    expect(running.events).not.toContain('jobJoined job 1');

    answer.open();
    await clock.advance(2_000);
    expect(await submitted).toEqual({ uid: 'job', completeFrom: 3n });
    expect(log.popped(1, TAG_0)).toBe(2n);
    world.put(0, 'c');
    await clock.advance(11_000);
    expect(await world.mutations('job')).toEqual(['0/3/1/c=v']);
    expect(await world.stretches('job')).toEqual(['0:[3, 4)']);
  });

  it('5. The retried noop: one that has committed has succeeded, even if a job is active when it is tried again', async () => {
    const { clock } = world;
    const store = new GatedStore(world.store);
    const first = world.start(0, { store, retryMinDelay: 1_000 });
    await clock.advance(1_000);
    for (let version = 1; version <= 30; version++) world.put(0, `a${version}`);
    store.fail('transact', unavailable(), { at: 'after', match: writesTo('noop/1/0') });
    await clock.advance(4_000);
    expect(world.record('noop/1/0')).toEqual({ version: '30' });
    expect(first.worker.metrics()?.noopVersion).not.toBe(30n);

    const submitted = world.request('job');
    await clock.advance(3_000);
    expect(await submitted).toEqual({ uid: 'job', completeFrom: 31n });
    expect(world.record('registered/job/1/0')).toEqual({ version: '31' });

    await first.stop();
    const second = world.start(0);
    world.put(0, 'b');
    await clock.advance(11_000);
    expect(second.outcome()).toBeUndefined();
    expect(await world.stretches('job')).toEqual(['0:[31, 32)']);
    expect(await world.mutations('job')).toEqual(['0/31/1/b=v']);
  });

  it('6. Nobody says done: what needs no worker is recorded as done by the recruiter, and pops go on', async () => {
    const { clock, log } = world;
    world.start(0);
    world.put(0, 'a');
    log.recover();
    world.put(0, 'b');
    const workers = await world.recruit();
    expect(workers).toHaveLength(1);
    await clock.advance(20_000);
    expect(world.record('noop/2/0')).toEqual({ version: '2' });
    expect(log.popped(2, TAG_0)).toBeUndefined();

    expect(world.record('done/1/0')).toEqual({ done: true });
    await world.tellOldestEpoch();
    await clock.settle();
    expect(log.popped(2, TAG_0)).toBe(2n);
  });

  it('7. The idle log: a job reaches its stop version over an empty stretch that is committed after it was pulled', async () => {
    const { clock, log, operator } = world;
    const running = world.start(0);
    await world.submit('job');
    for (let version = 1; version <= 5; version++) world.put(0, `a${version}`);
    await clock.advance(11_000);
    log.advance(9n, { uncommitted: true });
    await clock.advance(1_000);
    expect(running.worker.metrics()).toMatchObject({ savedVersion: 5n, pulledEnd: 10n, queuedMessages: 0 });
    // No peek will bring this: the next one waits for version 10, which never comes.
    log.setCommitted(9n);
    await operator.discontinue('job');
    await clock.advance(20_000);
    expect(await operator.status('job')).toMatchObject({ state: 'Completed', stopVersion: 9n, savedVersion: 9n });
    expect(await world.stretches('job')).toEqual(['0:[1, 6)', '0:[6, 10)']);
  });

  it('7. The idle log: a tag that was in NOOP mode beyond the stop version has nothing to store', async () => {
    world = new World({ totalTags: 2 });
    const { clock, operator } = world;
    await world.announce();
    world.start(0);
    world.start(1);
    for (let version = 1; version <= 20; version++) world.put(version % 2, `a${version}`);
    await clock.advance(6_000);
    expect(await world.submit('job')).toMatchObject({ completeFrom: 21n });
    await operator.discontinue('job');
    await clock.advance(5_000);
    expect(await operator.status('job')).toMatchObject({ state: 'Completed', stopVersion: 20n, savedVersion: 20n });
    expect(await world.stretches('job')).toEqual([]);
  });

  it('8. The job that came back: a late read of started does not bring in a job that was left out', async () => {
    const { clock, operator } = world;
    const bad = new GatedContainer(new MemoryContainer({ url: 'memory:bad' }));
    world.containers.set('memory:bad', bad);
    const store = new GatedStore(world.store);
    const running = world.start(0, { store });
    await world.submit('good');
    await world.submit('bad');
    world.put(0, 'a');
    await clock.advance(11_000);
    expect(await world.stretches('bad')).toEqual(['0:[1, 2)']);

    world.put(0, 'b');
    bad.fail('writeFile', new BackupError('CONTAINER_UNAVAILABLE', 'gone for good'), { match: logFiles });
    const lateRead = store.hold('transact', {
      at: 'after',
      match: (facts) => readsFrom('started')(facts) && facts.writes.size === 0 && facts.reads.has('job/bad'),
    });
    for (let wait = 0; wait < 10 && (await operator.status('bad')).state !== 'Failed'; wait++)
      await clock.advance(2_000);
    expect(lateRead.isReached).toBe(true);
    expect((await operator.status('bad')).state).toBe('Failed');
    expect(running.events).toContain('jobLeft bad');

    lateRead.open();
    world.put(0, 'c');
    await clock.advance(100_000);
    expect(await world.stretches('bad')).toEqual(['0:[1, 2)']);
    expect(await world.mutations('good')).toEqual(['0/1/1/a=v', '0/2/1/b=v', '0/3/1/c=v']);
    expect(running.events.filter((event) => event.startsWith('jobJoined bad'))).toHaveLength(1);
    expect(running.worker.metrics()?.activeJobs).toBe(1);
  });

  it('9. Planned before the claim: a replacement goes on after what the old run has saved and popped meanwhile', async () => {
    const { clock, log } = world;
    const old = world.start(0);
    await world.submit('job');
    for (let version = 1; version <= 10; version++) world.put(0, `a${version}`);
    const [planned] = (await planFromStore(world.store, log.epochs)).workers;
    expect(planned?.startVersion).toBe(1n);
    const store = new GatedStore(world.store);
    const claim = store.hold('transact', { match: writesTo('owner/1/0') });
    const replacement = world.start(0, { store, startVersion: 1n });
    await claim.reached;
    await clock.advance(11_000);
    expect(log.popped(1, TAG_0)).toBe(10n);

    claim.open();
    world.put(0, 'b');
    await clock.advance(11_000);
    expect(old.outcome()).toMatchObject({ outcome: 'displaced' });
    expect(replacement.outcome()).toBeUndefined();
    expect(await world.stretches('job')).toEqual(['0:[1, 11)', '0:[11, 12)']);
    expect(await world.mutations('job')).toHaveLength(11);
  });

  it('10. A false alarm: a worker that has not been told finds its epoch drained and popped by another, and is displaced', async () => {
    const { clock, log: shared } = world;
    const log = new GatedLog(shared);
    const old = world.start(0, { log });
    await world.submit('job');
    world.put(0, 'a');
    await clock.advance(11_000);
    log.freezeLogSystem();
    const peek = log.hold('peek');
    world.put(0, 'b');
    await clock.advance(1_000);
    // What it holds is the answer to a peek from 2; the next one is held.
    expect(peek.isReached).toBe(true);

    shared.recover();
    world.put(0, 'c');
    await world.recruit();
    await clock.advance(11_000);
    expect(world.record('done/1/0')).toEqual({ done: true });
    await world.tellOldestEpoch();
    peek.open();
    await clock.advance(5_000);
    expect(old.outcome()).toMatchObject({ outcome: 'displaced', error: { code: 'DISPLACED' } });
  });

  it('10. A false alarm: the same when nobody has claimed the tag since, but it is recorded as done', async () => {
    const { clock, log: shared, operator } = world;
    const log = new GatedLog(shared);
    void world.request('job');
    await clock.settle();
    // It hears of nothing but by its peeks: neither of recoveries nor of jobs that end.
    const late = world.start(0, { log, store: withoutWatches(world.store), ...DEAF });
    log.freezeLogSystem();
    const peek = log.hold('peek');
    await clock.advance(1_000);
    expect(peek.isReached).toBe(true);
    world.put(0, 'a');
    await operator.abort('job');
    shared.recover();
    await world.announce();
    await planFromStore(world.store, shared.epochs);
    await world.tellOldestEpoch();
    expect(shared.popped(1, TAG_0)).toBe(1n);

    peek.open();
    await clock.advance(5_000);
    expect(late.outcome()).toMatchObject({ outcome: 'displaced', error: { code: 'DISPLACED' } });
  });

  it('10. A false alarm: the same when another run has claimed the tag in the same epoch, and has popped', async () => {
    const { clock, log: shared } = world;
    const log = new GatedLog(shared);
    const old = world.start(0, { log, store: withoutWatches(world.store), ...DEAF });
    void world.request('job');
    await clock.settle();
    await old.stop();
    const late = world.start(0, { log, store: withoutWatches(world.store), ...DEAF });
    const peek = log.hold('peek');
    await clock.advance(1_000);
    expect(peek.isReached).toBe(true);
    const replacement = world.start(0);
    world.put(0, 'a');
    await clock.advance(11_000);
    expect(shared.popped(1, TAG_0)).toBe(1n);

    peek.open();
    await clock.settle();
    expect(late.outcome()).toMatchObject({ outcome: 'displaced', error: { code: 'DISPLACED' } });
    expect(replacement.outcome()).toBeUndefined();
  });

  it('11. A lock full of nothing: when the last job goes away, a batch that waits for the lock goes with it', async () => {
    const { clock, log, operator } = world;
    const { worker } = world.start(0, { lockBytes: 100, peekBytes: 50, uploadBytes: 100 });
    await world.submit('job');
    for (let version = 1; version <= 5; version++) {
      log.commit([{ tag: 0, mutation: set(`key=${'v'.repeat(40)}`) }], { uncommitted: true });
    }
    await clock.advance(5_000);
    // The first is queued, the second waits; nothing is committed.
    expect(worker.metrics()).toMatchObject({ queuedMessages: 1, pulledEnd: 2n, savedVersion: 0n });
    expect(worker.metrics()?.availableBytes).toBeLessThan(50);

    await operator.abort('job');
    await clock.advance(1_000);
    expect(worker.metrics()).toMatchObject({ queuedMessages: 0, bufferedBytes: 0, availableBytes: 100, activeJobs: 0 });
    expect(worker.state).toBe('NOOPMode.Waiting');
    log.setCommitted(5n);
    await clock.advance(6_000);
    expect(log.popped(1, TAG_0)).toBe(5n);

    expect(await world.submit('next')).toMatchObject({ completeFrom: 6n });
    world.put(0, 'after');
    await clock.advance(11_000);
    expect(await world.mutations('next')).toEqual(['0/6/1/after=v']);
  });
});
