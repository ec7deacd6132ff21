// Rules S1 to S7 of docs/protocol.md: snapshots on a schedule. (With a real snapshot, and restored from: s-snapshots-whole.test.ts.)

import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { MemoryContainer } from '../../src/container/memory-container.js';
import { BackupError } from '../../src/core/errors.js';
import { encodeSnapshotLease } from '../../src/job/snapshot-record.js';
import type { Lease, LeaseRequest, ProgressStore, ProgressTransaction } from '../../src/ports/progress-store.js';
import { ManualClock } from '../../src/testing/manual-clock.js';
import { GatedContainer, GatedStore, readsFrom, unavailable, writesTo } from './gates.js';
import type { RunningSnapshots } from './snapshot-fakes.js';
import { FakeTake, RESULT, errorOf, startSnapshots } from './snapshot-fakes.js';
import { World } from './world.js';

const LEASE = 'lease/snapshot/job';
const INTERVAL = 100_000;

describe('snapshots on a schedule', () => {
  let world: World;
  let take: FakeTake;
  let runners: RunningSnapshots[];
  beforeEach(async () => {
    world = new World();
    take = new FakeTake();
    runners = [];
    await world.announce();
    world.start(0);
  });
  afterEach(async () => {
    for (const runner of runners) await runner.stop();
    await world.end();
  });

  const start = (options: Parameters<typeof startSnapshots>[2] = {}, fake = take) => {
    const runner = startSnapshots(world, fake.take, options);
    runners.push(runner);
    return runner;
  };
  const submit = (uid = 'job', snapshotInterval: number | 'none' = INTERVAL) =>
    world.submit(uid, snapshotInterval === 'none' ? {} : { snapshotInterval });
  const snapshot = async (uid = 'job') => (await world.operator.status(uid)).snapshot;
  /** Completes the one that is being taken. */
  const succeed = async (result: Partial<typeof RESULT> = {}) => {
    take.last.succeed(result);
    await world.clock.settle();
  };

  describe('S1 when one is taken', () => {
    it('the first as soon as the job is Running, not before', async () => {
      start();
      world.put(0, 'a');
      // A second tag that nobody serves: the job stays Submitted.
      const other = new World({ totalTags: 2 });
      await other.announce();
      other.start(0);
      const late = startSnapshots(other, take.take);
      void other.request('job', { snapshotInterval: INTERVAL });
      await other.clock.advance(20_000);
      expect(take.calls.length).toBe(0);
      await late.stop();
      await other.end();
      await submit();
      await world.clock.advance(1_000);
      expect(take.calls.length).toBe(1);
      expect(take.last.options.ranges).toEqual([]);
    });

    it('the next one interval after the begin of the last, however long that took', async () => {
      start();
      await submit();
      await world.clock.advance(2_000);
      await world.clock.advance(INTERVAL / 2);
      await succeed();
      await world.clock.advance(INTERVAL / 2 - 10_000);
      expect(take.calls.length).toBe(1);
      await world.clock.advance(11_000);
      expect(take.calls.length).toBe(2);
      await world.clock.advance(2 * INTERVAL);
      await succeed();
      await world.clock.advance(2_000);
      expect(take.calls.length).toBe(3);
    });

    it('none for a job without an interval, until somebody asks', async () => {
      start();
      await submit('job', 'none');
      await world.clock.advance(10 * INTERVAL);
      expect(take.calls.length).toBe(0);
      expect((await snapshot()).nextDue).toBeUndefined();
      await world.operator.requestSnapshot('job');
      expect(await snapshot()).toMatchObject({ requested: true, nextDue: 'now' });
      await world.clock.advance(1_000);
      expect(take.calls.length).toBe(1);
      await succeed();
      await world.clock.advance(10 * INTERVAL);
      expect(take.calls.length).toBe(1);
    });

    it('one that is asked for while another is being taken follows it', async () => {
      start();
      await submit();
      await world.clock.advance(2_000);
      await world.operator.requestSnapshot('job');
      await world.clock.advance(10_000);
      expect(take.calls.length).toBe(1);
      await succeed();
      await world.clock.advance(1_000);
      expect(take.calls.length).toBe(2);
      await succeed();
      await world.clock.advance(10_000);
      expect(take.calls.length).toBe(2);
    });

    it('none is begun while the backup is paused; one that is under way goes on', async () => {
      start();
      await world.operator.pause();
      await submit();
      await world.operator.requestSnapshot('job');
      await world.clock.advance(10_000);
      expect(take.calls.length).toBe(0);
      await world.operator.resume();
      await world.clock.advance(1_000);
      expect(take.calls.length).toBe(1);
      await world.operator.pause();
      await world.clock.advance(10_000);
      await succeed();
      expect((await snapshot()).last?.name).toBe(RESULT.name);
    });

    it('not for a logOnly job: submit and requestSnapshot refuse', async () => {
      await expect(world.request('job', { snapshotInterval: INTERVAL, logOnly: true })).rejects.toMatchObject({
        code: 'INVALID_OPTION',
      });
      for (const snapshotInterval of [0, -1, 1.5, Number.NaN, '5' as never]) {
        await expect(world.request('job', { snapshotInterval })).rejects.toThrow(
          `snapshotInterval must be a whole number of ms from 1 on, got ${String(snapshotInterval)}`,
        );
      }
      await world.submit('log', { logOnly: true });
      await expect(world.operator.requestSnapshot('log')).rejects.toMatchObject({ code: 'INVALID_STATE' });
      await expect(world.operator.requestSnapshot('none')).rejects.toMatchObject({ code: 'JOB_NOT_FOUND' });
      await world.operator.abort('log');
      await expect(world.operator.requestSnapshot('log')).rejects.toMatchObject({ code: 'JOB_ABORTED' });
    });

    it('at most concurrentSnapshots at a time in a process; who waits the longest comes first', async () => {
      start({ concurrentSnapshots: 2 });
      for (const uid of ['a', 'b', 'c']) await submit(uid);
      await world.clock.advance(5_000);
      expect(take.calls.length).toBe(2);
      take.calls[0]?.succeed();
      await world.clock.settle();
      expect(take.calls.length).toBe(3);
      for (const call of take.calls) call.succeed();
      await world.clock.settle();
      expect((await snapshot('c')).last).toBeDefined();
    });

    it('too early rather than a year late, when a clock that was ahead has written when it is due', async () => {
      await submit();
      const ahead = world.clock.wallTime() + 365 * 24 * INTERVAL;
      await world.write('snapshot/job', { due: ahead });
      start();
      await world.clock.advance(1_000);
      expect(take.calls.length).toBe(1);
    });
  });

  describe('S2 the lease', () => {
    it('of two processes one takes the snapshot, and the other does when that one is gone', async () => {
      const [left, right] = [new FakeTake(), new FakeTake()];
      const first = start({ name: 'left' }, left);
      start({ name: 'right' }, right);
      await submit();
      await world.clock.advance(20_000);
      expect(left.calls.length + right.calls.length).toBe(1);
      const [holder, other] = left.calls.length === 1 ? [left, right] : [right, left];
      const by = holder === left ? 'left' : 'right';
      expect((await snapshot()).running).toMatchObject({ by });
      await (holder === left ? first : runners[1])?.stop();
      expect(holder.last.isOver()).toBe(true);
      await world.clock.advance(1_000);
      expect(other.calls.length).toBe(1);
      expect((await snapshot()).running?.by).not.toBe(by);
    });

    it('is renewed for as long as the snapshot takes, and given back at the end', async () => {
      const store = new GatedStore(world.store);
      let renewed = 0;
      const count = () => {
        renewed++;
      };
      store.on('renewLease', count, { count: 1_000 });
      start({ progressStore: store });
      await submit();
      await world.clock.advance(30_500);
      expect(take.last.isOver()).toBe(false);
      expect(renewed).toBeGreaterThanOrEqual(28);
      expect(renewed).toBeLessThanOrEqual(31);
      await succeed();
      expect(world.store.entries().map(({ key }) => key)).not.toContain(LEASE);
    });

    it('is read by every transaction that the holder makes', async () => {
      const store = new GatedStore(world.store);
      start({ progressStore: store });
      await submit();
      await world.clock.advance(3_000);
      take.last.fail(new BackupError('SNAPSHOT_INCOMPLETE', 'some ranges'));
      await world.clock.advance(20_000);
      await succeed();
      await world.operator.requestSnapshot('job');
      await world.clock.advance(2_000);
      await world.operator.discontinue('job');
      await world.clock.advance(2_000);
      const writes = store.writesOf('snapshot/job');
      expect(writes.length).toBe(6);
      for (const { reads } of writes) expect(reads).toContain(LEASE);
    });

    it('lost because the store cannot be asked: the snapshot stops before another process can begin', async () => {
      const store = new GatedStore(world.store);
      const runner = start({ progressStore: store, name: 'left' });
      await submit();
      await world.clock.advance(1_000);
      expect(take.calls.length).toBe(1);
      for (const call of ['renewLease', 'releaseLease', 'acquireLease', 'transact'] as const) {
        store.fail(call, unavailable(), { count: 1_000 });
      }
      const right = new FakeTake();
      start({ name: 'right' }, right);
      for (let waited = 0; right.calls.length === 0; waited += 50) {
        expect(waited).toBeLessThan(6_000);
        await world.clock.advance(50);
      }
      expect(take.last.isOver()).toBe(true);
      expect(runner.kinds).toContain('leaseLost job');
    });

    it('a renewal that is never answered is no renewal', async () => {
      const store = new GatedStore(world.store);
      const runner = start({ progressStore: store });
      await submit();
      await world.clock.advance(1_000);
      store.hold('renewLease', { at: 'after' });
      await world.clock.advance(3_100);
      expect(take.calls[0]?.isOver()).toBe(true);
      expect(runner.kinds).toContain('leaseLost job');
    });

    it('lost in the middle: the holder stops at once and records nothing', async () => {
      const store = new LeaseEndingStore(world.store);
      const runner = start({ name: 'left', progressStore: store });
      await submit();
      await world.clock.advance(1_100);
      const before = world.record('snapshot/job');
      await store.endLeases();
      await world.clock.advance(1_000);
      expect(take.calls[0]?.isOver()).toBe(true);
      expect(runner.kinds.slice(0, 2)).toEqual(['started job', 'leaseLost job']);
      expect(errorOf(runner.events[1])?.code).toBe('LEASE_LOST');
      expect(before).toMatchObject({ running: { by: 'left' } });
    });

    it('a holder that was frozen, and finishes its snapshot without knowing, records nothing', async () => {
      const frozenClock = new ManualClock();
      const frozen = start({ clock: frozenClock, name: 'frozen' });
      await submit();
      await frozenClock.advance(1_000);
      expect(take.calls.length).toBe(1);
      const right = new FakeTake();
      start({ name: 'right' }, right);
      await world.clock.advance(5_000);
      expect(right.calls.length).toBe(1);
      expect(right.last.options.ranges).toEqual([]);
      // Its timers have not fired, its lease is gone.
      take.last.succeed({ name: 'snapshots/snapshot,1,1,1' });
      await world.clock.settle();
      expect(frozen.kinds).toEqual(['started job', 'leaseLost job']);
      expect(await snapshot()).toMatchObject({ last: undefined, running: { by: 'right' } });
      right.last.succeed();
      await world.clock.settle();
      expect((await snapshot()).last).toMatchObject({ name: RESULT.name, by: 'right' });
      await frozen.stop();
      await frozenClock.advance(10_000);
    });

    it('an unknown outcome of taking it costs its time to live, and nothing else', async () => {
      const store = new GatedStore(world.store);
      store.fail('acquireLease', unavailable(), { at: 'after' });
      start({ progressStore: store });
      await submit();
      await world.clock.advance(1_500);
      expect(take.calls.length).toBe(0);
      await world.clock.advance(4_000);
      expect(take.calls.length).toBe(1);
    });
  });

  describe('S3 the begin', () => {
    it('looks again under the lease: what another process has done meanwhile is not done twice', async () => {
      const store = new GatedStore(world.store);
      const gate = store.hold('acquireLease');
      start({ progressStore: store, name: 'slow' });
      await submit();
      await world.clock.advance(1_000);
      expect(gate.isReached).toBe(true);
      const right = new FakeTake();
      start({ name: 'right' }, right);
      await world.clock.advance(1_000);
      right.last.succeed();
      await world.clock.advance(1_000);
      gate.open();
      await world.clock.advance(10_000);
      expect(take.calls.length).toBe(0);
      expect(right.calls.length).toBe(1);
    });

    it('asks for a version at or above the one from which the job is complete (P3)', async () => {
      for (let i = 0; i < 7; i++) world.put(0, `${i}`);
      await world.clock.advance(20_000);
      const { completeFrom } = await submit();
      expect(completeFrom).toBeGreaterThan(1n);
      start();
      await world.clock.advance(1_000);
      expect(take.last.options.atLeast).toBe(completeFrom);
    });

    it('opens the container like a worker: one that belongs to another job is not touched', async () => {
      const container = new MemoryContainer({ url: 'memory:job' });
      world.containers.set('memory:job', container);
      const runner = start();
      await world.submit('job');
      world.put(0, 'a');
      await world.clock.advance(15_000);
      // Another store, another job, the same container.
      const other = new World();
      await other.announce();
      const second = startSnapshots(other, take.take, { openContainer: () => container });
      void other.request('thief', { snapshotInterval: INTERVAL });
      other.start(0, { openContainer: () => new MemoryContainer() });
      await other.clock.advance(5_000);
      expect(second.kinds).toContain('failed thief');
      expect(errorOf(second.events.find(({ kind }) => kind === 'failed'))?.code).toBe('CONTAINER_IN_USE');
      expect(take.calls.length).toBe(0);
      expect(runner.kinds).toEqual([]);
      await second.stop();
      await other.end();
    });

    it('a begin whose answer is lost is begun once', async () => {
      const store = new GatedStore(world.store);
      const runner = start({ progressStore: store });
      store.fail('transact', unavailable(), { at: 'after', match: writesTo('snapshot/job') });
      await submit();
      await world.clock.advance(3_000);
      expect(take.calls.length).toBe(1);
      expect(runner.events.filter(({ kind }) => kind !== 'retry')).toEqual([
        { kind: 'started', jobUid: 'job', isResumed: false },
      ]);
    });
  });

  describe('S4 only for a job that is Running', () => {
    it.each([
      ['discontinue', 'Stopping'],
      ['abort', 'Aborted'],
    ] as const)('%s stops it at once, and the record says that nothing is running', async (call, state) => {
      const runner = start({ pollInterval: 60_000 });
      await submit();
      await world.clock.advance(61_000);
      expect(take.calls.length).toBe(1);
      await world.operator[call]('job');
      await world.clock.settle();
      expect(take.last.isOver()).toBe(true);
      expect(runner.events.at(-1)).toEqual({ kind: 'dropped', jobUid: 'job', state });
      expect(await snapshot()).toMatchObject({ running: undefined, cutOff: undefined, nextDue: undefined });
      await world.clock.advance(2 * INTERVAL);
      expect(take.calls.length).toBe(1);
    });

    it('so does a job that fails', async () => {
      const container = new GatedContainer(world.container('memory:job'));
      world.containers.set('memory:job', container);
      const runner = start();
      await submit();
      await world.clock.advance(1_000);
      container.fail('writeFile', new BackupError('INVALID_NAME', 'gone for good'), { count: 100 });
      world.put(0, 'a');
      await world.clock.advance(15_000);
      expect((await world.operator.status('job')).state).toBe('Failed');
      expect(take.last.isOver()).toBe(true);
      expect(runner.kinds.at(-1)).toBe('dropped job');
    });

    it('a request is refused while the job is being stopped', async () => {
      start();
      await submit();
      await world.operator.discontinue('job');
      await expect(world.operator.requestSnapshot('job')).rejects.toMatchObject({ code: 'INVALID_STATE' });
    });
  });

  describe('S5 what others would rely on', () => {
    const publish = async (name: string) => {
      const file = await take.last.options.container.writeFile(name);
      await file.append([new Uint8Array(3)]);
      await file.finish();
    };

    it('a manifest is finished, and a range file deleted, only under the lease', async () => {
      const store = new LeaseEndingStore(world.store);
      start({ progressStore: store });
      await submit();
      await world.clock.advance(1_000);
      await publish('kvranges/snapshot.000000000000000010/0/range,10,a,1000000');
      await publish('snapshots/snapshot,10,10,3');
      await store.endLeases();
      await expect(publish('snapshots/snapshot,10,10,4')).rejects.toMatchObject({ code: 'LEASE_LOST' });
      const { container } = take.last.options;
      await expect(
        container.deleteFile('kvranges/snapshot.000000000000000010/0/range,10,a,1000000'),
      ).rejects.toMatchObject({ code: 'LEASE_LOST' });
      expect(await world.names('memory:job', 'snapshots/')).toEqual(['snapshots/snapshot,10,10,3']);
      expect((await world.names('memory:job', 'kvranges/')).length).toBe(1);
    });

    it('nor once the job is not Running', async () => {
      const store = new GatedStore(world.store);
      take.isDeaf = true;
      start({ progressStore: store });
      await submit();
      await world.clock.advance(1_000);
      await world.operator.discontinue('job');
      await expect(publish('snapshots/snapshot,10,10,4')).rejects.toMatchObject({ code: 'STOPPED' });
      take.last.fail(new Error('it heard at last'));
      await world.clock.settle();
    });
  });

  describe('S6 failures', () => {
    it('are recorded, leave the job alone, and are tried again after a while that doubles', async () => {
      const runner = start({ failureDelay: 10_000 });
      await submit();
      await world.clock.advance(1_000);
      const began: number[] = [];
      for (let tries = 1; tries <= 4; tries++) {
        const { last } = take;
        began.push(world.clock.now());
        last.fail(new BackupError('SNAPSHOT_INCOMPLETE', `range ${tries} could not be stored`));
        await world.clock.settle();
        expect((await snapshot()).failure).toMatchObject({
          code: 'SNAPSHOT_INCOMPLETE',
          message: `range ${tries} could not be stored`,
          tries,
          by: 'host',
        });
        for (let waited = 0; take.last === last; waited++) {
          expect(waited).toBeLessThan(200);
          await world.clock.advance(1_000);
        }
      }
      began.push(world.clock.now());
      const waits = began.slice(1).map((time, index) => Math.round((time - (began[index] ?? 0)) / 10_000));
      expect(waits).toEqual([1, 2, 4, 8]);
      expect((await world.operator.status('job')).state).toBe('Running');
      await succeed();
      expect(await snapshot()).toMatchObject({ failure: undefined, last: { name: RESULT.name } });
      expect(runner.kinds.filter((kind) => kind === 'failed job').length).toBe(4);
    });

    it('of one job hold up no other', async () => {
      start();
      await submit('bad');
      await world.clock.advance(1_000);
      take.last.fail(new Error('a broken connection'));
      await submit('good');
      await world.clock.advance(1_000);
      await succeed();
      expect((await snapshot('good')).last).toBeDefined();
      expect((await snapshot('bad')).failure).toMatchObject({ code: 'CONTAINER_UNAVAILABLE' });
    });

    it('one without a sign of life is given up after stallTimeout', async () => {
      const runner = start({ stallTimeout: 20_000 });
      await submit();
      await world.clock.advance(1_000);
      const container = take.last.options.container;
      for (let i = 0; i < 10; i++) {
        await world.clock.advance(15_000);
        expect(take.calls.length).toBe(1);
        await container.exists();
      }
      await world.clock.advance(23_000);
      expect(errorOf(runner.events.find(({ kind }) => kind === 'failed'))?.code).toBe('TIMEOUT');
    });

    it('of the store that pass are waited for; others end runSnapshots', async () => {
      const store = new GatedStore(world.store);
      const runner = start({ progressStore: store });
      store.fail('transact', unavailable(), { count: 3 });
      await submit();
      await world.clock.advance(3_000);
      expect(take.calls.length).toBe(1);
      store.fail('transact', new BackupError('STORE_CORRUPT', 'not ours'), { match: writesTo('snapshot/job') });
      take.last.succeed();
      await world.clock.advance(2_000);
      expect(runner.outcome()).toMatchObject({ error: { code: 'STORE_CORRUPT' } });
    });
  });

  describe('S7 a process that is gone', () => {
    it('leaves a snapshot that another goes on with when its lease has ended', async () => {
      await submit();
      const run = { leaseId: 'dead', by: 'dead host' };
      await world.store.acquireLease({ key: LEASE, value: encodeSnapshotLease(run), ttl: 3_000 });
      await world.write('snapshot/job', { running: { ...run, since: 1 }, due: world.clock.wallTime() + INTERVAL });
      expect(await snapshot()).toMatchObject({ running: { by: 'dead host', since: 1 }, cutOff: undefined });
      const runner = start();
      await world.clock.advance(2_000);
      expect(take.calls.length).toBe(0);
      await world.clock.advance(1_500);
      expect(take.calls.length).toBe(1);
      expect(runner.events).toEqual([{ kind: 'started', jobUid: 'job', isResumed: true }]);
      expect((await snapshot()).running).toMatchObject({ by: 'host' });
    });

    it('one that is stopped in good order gives the lease back: the next goes on at once', async () => {
      const first = start({ name: 'first' });
      await submit();
      await world.clock.advance(1_000);
      await first.stop();
      expect(first.outcome()).toBe('ended');
      expect(await snapshot()).toMatchObject({ running: undefined, cutOff: { by: 'first' }, nextDue: 'now' });
      const second = start({ name: 'second' });
      await world.clock.settle();
      expect(take.calls.length).toBe(2);
      expect(second.events).toEqual([{ kind: 'started', jobUid: 'job', isResumed: true }]);
    });

    it('leaves no timer, no lease and no transaction when it is stopped', async () => {
      const store = new GatedStore(world.store);
      const idle = world.clock.pendingTimers;
      const runner = start({ progressStore: store });
      await submit();
      await world.clock.advance(1_000);
      await runner.stop();
      const reads = store.committed.filter(readsFrom('started')).length;
      await world.clock.advance(10_000);
      expect(store.committed.filter(readsFrom('started')).length).toBe(reads);
      expect(world.store.entries().map(({ key }) => key)).not.toContain(LEASE);
      expect(idle).toBeGreaterThanOrEqual(0);
    });
  });

  describe('status', () => {
    it('shows the last snapshot, and calls the job restorable once its log reaches that', async () => {
      await submit();
      expect(await snapshot()).toMatchObject({ interval: INTERVAL, nextDue: 'now', last: undefined });
      start({ name: 'host a' });
      await world.clock.advance(1_000);
      const startedAt = (await snapshot()).running?.since ?? 0;
      await world.clock.advance(5_000);
      await succeed({ endVersion: 2n, beginVersion: 2n });
      expect(await snapshot()).toEqual({
        interval: INTERVAL,
        last: {
          name: RESULT.name,
          beginVersion: 2n,
          endVersion: 2n,
          startedAt,
          finishedAt: world.clock.wallTime(),
          by: 'host a',
          files: 0,
          rows: 3,
          bytes: 100,
        },
        running: undefined,
        cutOff: undefined,
        requested: false,
        failure: undefined,
        nextDue: startedAt + INTERVAL,
      });
      expect((await world.operator.status('job')).restorable).toBe(false);
      world.put(0, 'a');
      world.put(0, 'b');
      await world.clock.advance(15_000);
      expect((await world.operator.status('job')).restorable).toBe(true);
    });
  });

  it.each([
    ['leaseTtl', 2],
    ['leaseTtl', 10.5],
    ['pollInterval', 0],
    ['concurrentSnapshots', 0],
    ['stallTimeout', -1],
    ['failureDelay', 600_001],
    ['name', ''],
  ] as const)('refuses %s: %s at the door', async (option, value) => {
    const runner = start({ [option]: value });
    await world.clock.settle();
    expect(runner.outcome()).toMatchObject({ error: { code: 'INVALID_OPTION' } });
    expect((runner.outcome() as { error: Error }).error.message).toContain(option);
  });

  it('refuses what takeSnapshot would refuse at the door', async () => {
    const runner = start({ snapshot: { numThreads: 0 } });
    await world.clock.settle();
    expect(runner.outcome()).toMatchObject({ error: { code: 'INVALID_OPTION' } });
  });
});

/** A store whose leases a test can end, as if their time had run out. */
class LeaseEndingStore implements ProgressStore {
  readonly #inner: ProgressStore;
  readonly #leases: Lease[] = [];

  constructor(inner: ProgressStore) {
    this.#inner = inner;
  }

  transact<T>(body: (tx: ProgressTransaction) => Promise<T>): Promise<T> {
    return this.#inner.transact(body);
  }

  watch(key: string, seen: Uint8Array | undefined, signal: AbortSignal): Promise<void> {
    return this.#inner.watch(key, seen, signal);
  }

  async acquireLease(request: LeaseRequest): Promise<Lease | undefined> {
    const lease = await this.#inner.acquireLease(request);
    if (lease !== undefined) this.#leases.push(lease);
    return lease;
  }

  async endLeases(): Promise<void> {
    for (const lease of this.#leases) await lease.release();
  }
}
