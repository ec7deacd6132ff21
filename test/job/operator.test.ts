// BackupOperator: every call, in every state of a job, with every error code; and what happens when the store's answers get lost.

import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { BackupError } from '../../src/core/errors.js';
import { utf8 } from '../../src/core/bytes.js';
import { BackupOperator, type SubmitRequest } from '../../src/job/operator.js';
import { announceEpoch } from '../../src/job/recruiter-transactions.js';
import type { ProgressStore } from '../../src/ports/progress-store.js';
import { MemoryProgressStore } from '../../src/progress/memory-progress-store.js';
import { GatedStore, unavailable, writesTo } from '../worker/gates.js';
import { World, countedRandom } from '../worker/world.js';

/** Runs a body again when the outcome of its transaction is unknown, as a store with a network between does. */
function persistent(store: ProgressStore): ProgressStore {
  return {
    watch: (key, seen, signal) => store.watch(key, seen, signal),
    acquireLease: (request) => store.acquireLease(request),
    transact: async (body) => {
      for (;;) {
        try {
          return await store.transact(body);
        } catch (error) {
          if (!BackupError.is(error, 'STORE_UNAVAILABLE')) throw error;
        }
      }
    },
  };
}

describe('BackupOperator', () => {
  let world: World;
  let store: GatedStore;
  let operator: BackupOperator;
  beforeEach(async () => {
    world = new World();
    store = new GatedStore(world.store);
    operator = new BackupOperator(store, { clock: world.clock });
    await world.announce();
  });
  afterEach(() => world.end());

  const state = async (uid = 'job') => (await operator.status(uid)).state;
  /** What a worker or an operator of another process does. */
  const become = (values: Record<string, unknown>, uid = 'job') =>
    world.write(`job/${uid}`, { ...world.record(`job/${uid}`), ...values });
  /** Puts `job` into a state without any worker. */
  const reach = async (wanted: string) => {
    void world.request('job', {}, operator);
    await world.clock.settle();
    if (wanted === 'Submitted') return;
    await become({ state: 'Running', completeFrom: '1' });
    if (wanted === 'Running') return;
    if (wanted === 'Aborted') return operator.abort('job');
    await become({ state: wanted });
    if (wanted === 'Stopping') return;
    if (wanted === 'Failed') {
      await become({ failure: { code: 'TIMEOUT', message: 'disk full', tag: 3, lastGoodVersion: '7' } });
    }
    await world.write('started', { jobs: [] });
  };

  describe('submit', () => {
    it('resolves with the uid and the version from which the job is complete', async () => {
      world.put(0, 'a');
      world.start(0);
      await world.clock.advance(1_000);
      expect(await world.submit('job', {})).toEqual({ uid: 'job', completeFrom: 2n });
    });

    it('records the job as it was asked for', async () => {
      const ranges = [{ begin: utf8('a'), end: utf8('b') }];
      void world.request(
        'job',
        { url: 'memory:x', ranges, startVersion: 5n, logOnly: true, firstVersion: 3n },
        operator,
      );
      await world.clock.settle();
      expect(world.record('job/job')).toEqual({
        uid: 'job',
        submission: expect.stringMatching(/^[0-9a-f]{32}$/) as string,
        state: 'Submitted',
        url: 'memory:x',
        ranges: [['61', '62']],
        logOnly: true,
        firstVersion: '3',
        startVersion: '5',
      });
      expect(world.record('started')).toEqual({ jobs: [{ uid: 'job', startVersion: '5' }] });
    });

    it('chooses a random uid when none is given', async () => {
      const own = new BackupOperator(store, { clock: world.clock, random: countedRandom('c') });
      world.start(0);
      const submitted = own.submit({ url: 'memory:x', startVersion: 0n });
      await world.clock.advance(2_000);
      expect((await submitted).uid).toBe(`${'c'.repeat(28)}0000`);
    });

    for (const existing of ['Submitted', 'Running', 'Stopping', 'Completed', 'Failed', 'Aborted']) {
      it(`rejects with JOB_EXISTS for a uid that a job has which is ${existing}: it is never used twice`, async () => {
        await reach(existing);
        const before = world.record('job/job');
        await expect(operator.submit({ uid: 'job', url: 'memory:other', startVersion: 0n })).rejects.toMatchObject({
          code: 'JOB_EXISTS',
          jobUid: 'job',
        });
        expect(world.record('job/job')).toEqual(before);
      });
    }

    it('lets one of two submissions of a uid win', async () => {
      const gate = store.hold('transact', { match: writesTo('job/job') });
      const late = operator.submit({ uid: 'job', url: 'memory:late', startVersion: 0n });
      await gate.reached;
      void world.request('job', { url: 'memory:first' });
      await world.clock.settle();
      gate.open();
      await expect(late).rejects.toMatchObject({ code: 'JOB_EXISTS' });
      expect(world.record('job/job')).toMatchObject({ url: 'memory:first' });
      expect(world.record('started')).toMatchObject({ jobs: [{ uid: 'job' }] });
    });

    it('knows its own job when the body runs again after it has committed', async () => {
      const own = new BackupOperator(persistent(store), { clock: world.clock });
      store.fail('transact', unavailable(), { at: 'after', match: writesTo('job/job') });
      const submitted = own.submit({ uid: 'job', url: 'memory:job', startVersion: 0n });
      world.start(0);
      await world.clock.advance(2_000);
      expect(await submitted).toEqual({ uid: 'job', completeFrom: 1n });
      expect(world.record('started')?.['jobs']).toHaveLength(1);
    });

    it('does not take a job that was aborted after a lost answer for one that it may start again', async () => {
      const own = new BackupOperator(persistent(store), { clock: world.clock });
      store.on(
        'transact',
        async () => {
          await operator.abort('job');
          throw unavailable();
        },
        { at: 'after', match: writesTo('job/job') },
      );
      await expect(own.submit({ uid: 'job', url: 'memory:job', startVersion: 0n })).rejects.toMatchObject({
        code: 'JOB_ABORTED',
      });
      expect(world.record('started')).toEqual({ jobs: [] });
    });

    it('passes on that the store gave up: the outcome is unknown, and status tells it', async () => {
      store.fail('transact', unavailable(), { at: 'after', match: writesTo('job/job') });
      await expect(operator.submit({ uid: 'job', url: 'memory:job', startVersion: 0n })).rejects.toMatchObject({
        code: 'STORE_UNAVAILABLE',
        retryable: true,
      });
      expect(await state()).toBe('Submitted');
    });

    it('goes on waiting while the store cannot be asked: the job is there', async () => {
      const submitted = world.request('job', {}, operator);
      await world.clock.settle();
      store.fail('transact', unavailable(), { match: ({ writes }) => writes.size === 0, count: 3 });
      store.fail('watch', unavailable(), { count: 3 });
      world.start(0);
      await world.clock.advance(10_000);
      expect(await submitted).toEqual({ uid: 'job', completeFrom: 1n });
    });

    it('rejects when the store fails for good while it waits', async () => {
      const submitted = world.request('job', {}, operator);
      await world.clock.settle();
      store.fail('transact', new BackupError('STORE_CORRUPT', 'damaged'), { match: ({ writes }) => writes.size === 0 });
      await world.clock.advance(2_000);
      await expect(submitted).rejects.toMatchObject({ code: 'STORE_CORRUPT' });
    });

    it('hears of the start by the watch, without waiting for a poll', async () => {
      const patient = new BackupOperator(store, { clock: world.clock, pollInterval: 1_000_000 });
      const submitted = world.request('job', {}, patient);
      world.start(0);
      await world.clock.advance(500);
      expect(await submitted).toEqual({ uid: 'job', completeFrom: 1n });
    });

    it('hears of the start by the poll when no watch fires', async () => {
      store.hold('watch', { count: 1_000 });
      const submitted = world.request(
        'job',
        {},
        new BackupOperator(store, { clock: world.clock, pollInterval: 3_000 }),
      );
      world.start(0);
      await world.clock.advance(3_100);
      expect(await submitted).toEqual({ uid: 'job', completeFrom: 1n });
    });

    it('rejects with JOB_ABORTED or JOB_FAILED when that becomes of the job first', async () => {
      const aborted = world.request('job', {}, operator);
      const failed = world.request('other', {}, operator);
      await world.clock.settle();
      await operator.abort('job');
      await become(
        { state: 'Failed', failure: { code: 'TIMEOUT', message: 'disk full', tag: 0, lastGoodVersion: '0' } },
        'other',
      );
      await world.clock.advance(2_000);
      await expect(aborted).rejects.toMatchObject({ code: 'JOB_ABORTED', jobUid: 'job' });
      await expect(failed).rejects.toMatchObject({ code: 'JOB_FAILED', jobUid: 'other' });
      await expect(failed).rejects.toThrow(/disk full/);
    });

    it('resolves for a job that has started and ended before anyone looked', async () => {
      const gate = store.hold('transact', { at: 'after', match: writesTo('job/job') });
      const submitted = world.request('job', {}, operator);
      await gate.reached;
      gate.open();
      await become({ state: 'Completed', completeFrom: '4' });
      await world.clock.advance(2_000);
      expect(await submitted).toEqual({ uid: 'job', completeFrom: 4n });
    });

    it("stops waiting, and rejects with the signal's reason, when the signal aborts; the job stays", async () => {
      const stop = new AbortController();
      const submitted = world.request('job', { signal: stop.signal }, operator);
      await world.clock.settle();
      stop.abort(new Error('enough'));
      await expect(submitted).rejects.toThrow('enough');
      expect(await state()).toBe('Submitted');
      expect(world.clock.pendingTimers).toBe(0);
      expect(world.store.watches).toBe(0);
    });

    it('leaves no timer and no watch behind when it resolves', async () => {
      const running = world.start(0);
      await world.submit('job');
      await running.stop();
      expect(world.clock.pendingTimers).toBe(0);
      expect(world.store.watches).toBe(0);
    });

    const refused: [name: string, request: Partial<Record<keyof SubmitRequest, unknown>>, shown: string][] = [
      ['uid', { uid: '' }, '""'],
      ['uid', { uid: 'a/b' }, '"a/b"'],
      ['uid', { uid: 7 }, '7'],
      ['logOnly', { logOnly: 'true' }, '"true"'],
      ['logOnly', { logOnly: 1 }, '1'],
      ['ranges', { ranges: 'all' }, 'string'],
      ['ranges', { ranges: {} }, 'object'],
      ['url', { url: 7 }, '7'],
      ['uid', { uid: 'x'.repeat(65) }, 'xxx'],
      ['url', { url: '' }, 'url'],
      ['url', { url: undefined }, 'undefined'],
      ['startVersion', { startVersion: -1n }, '-1'],
      ['startVersion', { startVersion: 5 }, '5'],
      ['firstVersion', { firstVersion: -2n }, '-2'],
      [
        'ranges[1]',
        {
          ranges: [
            { begin: utf8('a'), end: utf8('b') },
            { begin: utf8('b'), end: utf8('a') },
          ],
        },
        'ranges[1]',
      ],
    ];
    for (const [name, request, shown] of refused) {
      it(`refuses ${name} = ${shown} with INVALID_OPTION, and records nothing`, async () => {
        const call = operator.submit({ uid: 'job', url: 'memory:job', startVersion: 0n, ...request } as SubmitRequest);
        await expect(call).rejects.toMatchObject({ code: 'INVALID_OPTION' });
        await expect(call).rejects.toThrow(name);
        await expect(call).rejects.toThrow(shown);
        expect(store.committed).toEqual([]);
        expect(await operator.list()).toEqual([]);
      });
    }
  });

  describe('announceEpoch', () => {
    it('refuses what no reader could make sense of, and records nothing', async () => {
      const empty = new GatedStore(new MemoryProgressStore());
      const epoch = { epoch: 1, begin: 1n, totalTags: 1 };
      const refused: [name: string, fields: Record<string, unknown>][] = [
        ['epoch.epoch', { epoch: 1.5 }],
        ['epoch.epoch', { epoch: -1 }],
        ['epoch.epoch', { epoch: '1' }],
        ['epoch.begin', { begin: -1n }],
        ['epoch.begin', { begin: 1 }],
        ['epoch.totalTags', { totalTags: undefined }],
        ['epoch.totalTags', { totalTags: 0 }],
      ];
      for (const [name, fields] of refused) {
        const call = announceEpoch(empty, { ...epoch, ...fields });
        await expect(call).rejects.toMatchObject({ code: 'INVALID_OPTION' });
        await expect(call).rejects.toThrow(name);
      }
      expect(empty.committed).toEqual([]);
      await announceEpoch(empty, epoch);
      expect(empty.writesOf('epoch')).toHaveLength(1);
    });

    it('writes nothing when the epoch is known already', async () => {
      await announceEpoch(store, { epoch: 1, begin: 1n, totalTags: 1 });
      await announceEpoch(store, { epoch: 1, begin: 1n, totalTags: 1 });
      expect(store.committed.map(({ writes }) => writes.size)).toEqual([0, 0]);
      await announceEpoch(store, { epoch: 2, begin: 5n, totalTags: 1 });
      expect(store.writesOf('epoch')).toHaveLength(1);
      expect(world.record('epoch')).toEqual({ epoch: 2, begin: '5', totalTags: 1 });
    });
  });

  it('refuses a pollInterval that is no number of ms', () => {
    for (const pollInterval of [0, -1, Number.NaN]) {
      expect(() => new BackupOperator(store, { pollInterval })).toThrow(/pollInterval.*(0|-1|NaN)/);
    }
  });

  describe('status', () => {
    it('rejects with JOB_NOT_FOUND for a uid that nobody has submitted', async () => {
      await expect(operator.status('none')).rejects.toMatchObject({ code: 'JOB_NOT_FOUND', jobUid: 'none' });
    });

    const reasons: Record<string, RegExp> = {
      Submitted: /waiting until the worker of every tag has registered/,
      Running: /complete from version 1, stored to nothing yet/,
      Stopping: /waiting for the worker of tag 0 to choose the stop version/,
      Completed: /stored up to its stop version/,
      Failed: /failed on tag 3: disk full/,
      Aborted: /aborted by an operator/,
    };
    for (const [wanted, reason] of Object.entries(reasons)) {
      it(`says ${wanted}, and why`, async () => {
        await reach(wanted);
        const status = await operator.status('job');
        expect(status.state).toBe(wanted);
        expect(status.reason).toMatch(reason);
      });
    }

    it('says how far a job is that is being stopped', async () => {
      await reach('Stopping');
      await become({ stopVersion: '20' });
      await world.write('registered/job/1/0', { version: '1' });
      await world.write('progress/1/0', { savedVersion: '12', totalTags: 1, jobs: [] });
      expect(await operator.status('job')).toMatchObject({ stopVersion: 20n, savedVersion: 12n });
      expect((await operator.status('job')).reason).toMatch(/up to version 20, at 12/);
    });

    for (const wanted of ['Submitted', 'Running', 'Stopping']) {
      it(`says of a job that is ${wanted} that the backup is paused`, async () => {
        await reach(wanted);
        expect(await operator.status('job')).toMatchObject({ paused: false });
        await operator.pause();
        const status = await operator.status('job');
        expect(status.paused).toBe(true);
        expect(status.reason).toMatch(/paused, resume\(\)/);
      });
    }

    it('tells the failure', async () => {
      await reach('Failed');
      const failure = { code: 'TIMEOUT', message: 'disk full', tag: 3, lastGoodVersion: 7n };
      expect((await operator.status('job')).failure).toEqual(failure);
    });

    it('gives the saved version, bytes and files of every tag, and of the job as a whole', async () => {
      const two = new World({ totalTags: 2 });
      await two.announce();
      void two.request('job');
      await two.clock.settle();
      const job = (nextBegin: string, bytes: number, files: number) => [{ uid: 'job', nextBegin, bytes, files }];
      await two.write('registered/job/1/0', { version: '3' });
      expect(await two.operator.status('job')).toMatchObject({ savedVersion: undefined, lag: 0n });
      await two.write('registered/job/1/1', { version: '30' });
      await two.write('progress/1/0', { savedVersion: '12', totalTags: 2, jobs: job('13', 100, 2) });
      await two.write('progress/1/1', { savedVersion: '20', totalTags: 2, jobs: [] });
      const status = await two.operator.status('job');
      expect(status.tags).toEqual([
        { epoch: 1, tag: 0, savedVersion: 12n, drained: false, firstVersion: 3n, bytes: 100, files: 2 },
        { epoch: 1, tag: 1, savedVersion: 20n, drained: false, firstVersion: 30n, bytes: 0, files: 0 },
      ]);
      expect(status).toMatchObject({ savedVersion: 12n, bytes: 100, files: 2, lag: 8n });
      await two.end();
    });

    describe('after a recovery', () => {
      const saved = (savedVersion: string, nextBegin: string, bytes: number, files: number) => ({
        savedVersion,
        totalTags: 1,
        jobs: [{ uid: 'job', nextBegin, bytes, files }],
      });
      /** Epoch 1 ended with version 9, and its tag has stored 7; epoch 2 has stored 15. */
      beforeEach(async () => {
        void world.request('job', { logOnly: true }, operator);
        await world.clock.settle();
        await become({ state: 'Running', completeFrom: '1' });
        await world.write('registered/job/1/0', { version: '1' });
        await world.write('progress/1/0', saved('7', '8', 100, 2));
        await world.write('epoch', { epoch: 2, begin: '10', totalTags: 1 });
        await world.write('registered/job/2/0', { version: '10' });
        await world.write('progress/2/0', saved('15', '16', 50, 1));
      });
      const tagsOf = async () =>
        (await operator.status('job')).tags.map(({ epoch, savedVersion, drained }) => [epoch, savedVersion, drained]);

      it('an older epoch that is not drained holds the saved version back to what its tags have stored', async () => {
        await become({ savedVersion: '7' });
        expect(await tagsOf()).toEqual([
          [1, 7n, false],
          [2, 15n, false],
        ]);
        const status = await operator.status('job');
        expect(status).toMatchObject({ savedVersion: 7n, restorable: true, bytes: 150, files: 3, lag: 0n });
        expect(status.reason).toMatch(/stored to 7; an older epoch is not drained yet/);
      });

      it('an older epoch that is not called done yet holds it back even when its tags have stored all of it', async () => {
        await world.write('progress/1/0', saved('9', '10', 100, 2));
        await become({ savedVersion: '9' });
        expect(await operator.status('job')).toMatchObject({ savedVersion: 9n, restorable: true });
      });

      it('an older epoch of which nothing is stored makes the job not restorable', async () => {
        await become({ savedVersion: '0' });
        await world.store.transact(async (tx) => tx.clear('progress/1/0'));
        const status = await operator.status('job');
        expect(status).toMatchObject({ savedVersion: 0n, restorable: false });
        expect(await tagsOf()).toEqual([
          [1, -1n, false],
          [2, 15n, false],
        ]);
      });

      it('an older epoch that no worker has come to holds it back to what tag 0 has recorded', async () => {
        for (const key of ['registered/job/1/0', 'progress/1/0']) {
          await world.store.transact(async (tx) => tx.clear(key));
        }
        expect(await operator.status('job')).toMatchObject({ savedVersion: 0n, restorable: false });
        await become({ savedVersion: '4' });
        expect(await operator.status('job')).toMatchObject({ savedVersion: 4n, restorable: true });
      });

      it('one that is drained does not, once tag 0 has recorded so; what it has stored is counted', async () => {
        await world.write('progress/1/0', saved('9', '10', 100, 2));
        await world.write('done/1/0', { done: true });
        // Two epochs may lie between: only tag 0 of the newest knows that all of them are drained.
        expect(await operator.status('job')).toMatchObject({ savedVersion: 0n });
        await become({ savedVersion: '12' });
        expect(await tagsOf()).toEqual([
          [1, 9n, true],
          [2, 15n, false],
        ]);
        const status = await operator.status('job');
        expect(status).toMatchObject({ savedVersion: 15n, restorable: true, bytes: 150, files: 3 });
        expect(status.reason).toBe('complete from version 1, stored to 15');
      });
    });

    it('keeps the totals of a job that has ended', async () => {
      world.start(0);
      await world.submit('job');
      world.put(0, 'a');
      await world.clock.advance(11_000);
      const before = await operator.status('job');
      expect(before.bytes).toBeGreaterThan(0);
      await operator.abort('job');
      world.put(0, 'b');
      await world.clock.advance(30_000);
      expect(await operator.status('job')).toMatchObject({ bytes: before.bytes, files: before.files });
    });

    it('calls only a logOnly job restorable, and only when every tag has stored what it is complete from', async () => {
      for (const logOnly of [true, false]) {
        const uid = logOnly ? 'log' : 'snapshot';
        void world.request(uid, { logOnly }, operator);
        await world.clock.settle();
        expect((await operator.status(uid)).restorable).toBe(false);
        await become({ state: 'Running', completeFrom: '1' }, uid);
        await world.write(`registered/${uid}/1/0`, { version: '1' });
        expect((await operator.status(uid)).restorable).toBe(false);
        await world.write('progress/1/0', { savedVersion: '1', totalTags: 1, jobs: [] });
        expect((await operator.status(uid)).restorable).toBe(logOnly);
        await world.store.transact(async (tx) => tx.clear('progress/1/0'));
      }
    });

    it('does not call a logOnly job restorable whose log begins after the first version of the database', async () => {
      void world.request('job', { logOnly: true, firstVersion: 1n }, operator);
      await world.clock.settle();
      await become({ state: 'Running', completeFrom: '11' });
      await world.write('registered/job/1/0', { version: '11' });
      await world.write('progress/1/0', { savedVersion: '20', totalTags: 1, jobs: [] });
      expect((await operator.status('job')).restorable).toBe(false);
    });

    it('rejects with STORE_CORRUPT, naming the key, when the record is damaged', async () => {
      await world.write('job/job', { uid: 'job', state: 'Sleeping' });
      await expect(operator.status('job')).rejects.toMatchObject({ code: 'STORE_CORRUPT' });
      await expect(operator.status('job')).rejects.toThrow(/job\/job/);
    });

    it('records nothing', async () => {
      await reach('Running');
      const before = world.store.entries();
      await operator.status('job');
      await operator.list();
      expect(world.store.entries()).toEqual(before);
    });
  });

  describe('list', () => {
    it('is empty at first', async () => {
      expect(await operator.list()).toEqual([]);
    });

    it('gives every job that was ever submitted, by uid', async () => {
      for (const uid of ['b', 'a', 'C', 'a-1']) void world.request(uid, {}, operator);
      await world.clock.settle();
      await operator.abort('a');
      expect((await operator.list()).map(({ uid, state: is }) => `${uid} ${is}`)).toEqual([
        'C Submitted',
        'a Aborted',
        'a-1 Submitted',
        'b Submitted',
      ]);
      expect(await operator.list()).toEqual(
        await Promise.all(['C', 'a', 'a-1', 'b'].map((uid) => operator.status(uid))),
      );
    });
  });

  describe('pause and resume', () => {
    it('set and clear the flag, and may be called twice', async () => {
      await operator.resume();
      expect(world.record('paused')).toBeUndefined();
      await operator.pause();
      await operator.pause();
      expect(world.record('paused')).toBeDefined();
      await operator.resume();
      await operator.resume();
      expect(world.record('paused')).toBeUndefined();
    });

    it('stop the pulling of a worker, and let it go on', async () => {
      const { worker } = world.start(0);
      await world.submit('job');
      await operator.pause();
      await world.clock.settle();
      world.put(0, 'answers the peek in flight');
      await world.clock.settle();
      world.put(0, 'a');
      await world.clock.advance(60_000);
      expect(worker.metrics()).toMatchObject({ pulledEnd: 2n, savedVersion: 1n, paused: true });
      await operator.resume();
      await world.clock.settle();
      expect(worker.metrics()).toMatchObject({ pulledEnd: 3n, paused: false });
    });
  });

  describe('discontinue', () => {
    it('rejects with JOB_NOT_FOUND for a uid that nobody has submitted', async () => {
      await expect(operator.discontinue('none')).rejects.toMatchObject({ code: 'JOB_NOT_FOUND', jobUid: 'none' });
    });

    for (const [before, after] of [
      ['Submitted', 'Aborted'],
      ['Running', 'Stopping'],
      ['Stopping', 'Stopping'],
      ['Completed', 'Completed'],
    ] as const) {
      it(`makes a job that is ${before} ${after}, and may be called twice`, async () => {
        await reach(before);
        await operator.discontinue('job');
        expect(await state()).toBe(after);
        await operator.discontinue('job');
        expect(await state()).toBe(after);
        const isActive = after === 'Stopping';
        expect(world.record('started')?.['jobs']).toHaveLength(isActive ? 1 : 0);
      });
    }

    for (const [before, code] of [
      ['Aborted', 'JOB_ABORTED'],
      ['Failed', 'JOB_FAILED'],
    ] as const) {
      it(`rejects with ${code} for a job that is ${before}`, async () => {
        await reach(before);
        await expect(operator.discontinue('job')).rejects.toMatchObject({ code, jobUid: 'job' });
        expect(await state()).toBe(before);
      });
    }

    it('stops a job that starts while the call is under way, rather than aborting it', async () => {
      await reach('Submitted');
      const gate = store.hold('transact', { match: writesTo('job/job') });
      const call = operator.discontinue('job');
      await gate.reached;
      await become({ state: 'Running', completeFrom: '1' });
      gate.open();
      await call;
      expect(await state()).toBe('Stopping');
      expect(world.record('started')?.['jobs']).toHaveLength(1);
    });

    for (const before of ['Submitted', 'Running']) {
      it(`succeeds when its body runs again after it has committed (${before})`, async () => {
        await reach(before);
        const own = new BackupOperator(persistent(store), { clock: world.clock });
        store.fail('transact', unavailable(), { at: 'after', match: writesTo('job/job') });
        await own.discontinue('job');
        expect(await state()).toBe(before === 'Running' ? 'Stopping' : 'Aborted');
      });
    }
  });

  describe('abort', () => {
    it('rejects with JOB_NOT_FOUND for a uid that nobody has submitted', async () => {
      await expect(operator.abort('none')).rejects.toMatchObject({ code: 'JOB_NOT_FOUND', jobUid: 'none' });
    });

    for (const before of ['Submitted', 'Running', 'Stopping', 'Aborted']) {
      it(`makes a job that is ${before} Aborted and takes it from started; twice is fine`, async () => {
        await reach(before);
        await operator.abort('job');
        await operator.abort('job');
        expect(await state()).toBe('Aborted');
        expect(world.record('started')).toEqual({ jobs: [] });
      });
    }

    for (const before of ['Completed', 'Failed']) {
      it(`leaves a job alone that is ${before}`, async () => {
        await reach(before);
        const record = world.record('job/job');
        await operator.abort('job');
        expect(world.record('job/job')).toEqual(record);
      });
    }

    it('leaves other jobs in started', async () => {
      await reach('Running');
      void world.request('other', {}, operator);
      await world.clock.settle();
      await operator.abort('job');
      expect(world.record('started')).toMatchObject({ jobs: [{ uid: 'other' }] });
    });

    it('succeeds when its body runs again after it has committed', async () => {
      await reach('Running');
      const own = new BackupOperator(persistent(store), { clock: world.clock });
      store.fail('transact', unavailable(), { at: 'after', match: writesTo('job/job'), count: 2 });
      await own.abort('job');
      expect(await state()).toBe('Aborted');
    });

    it('passes on that the store is away', async () => {
      await reach('Running');
      store.fail('transact', unavailable(), { match: writesTo('job/job') });
      await expect(operator.abort('job')).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE', retryable: true });
      expect(await state()).toBe('Running');
    });
  });
});
