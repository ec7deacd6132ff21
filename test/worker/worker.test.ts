// A worker as its host sees it: states in order, events, metrics, options, how it stops and how it fails.

import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { DirectoryContainer } from '../../src/container/directory-container.js';
import { BackupError } from '../../src/core/errors.js';
import { logRouterTag } from '../../src/core/version.js';
import { BackupWorker } from '../../src/worker/backup-worker.js';
import type { WorkerMetrics } from '../../src/worker/events.js';
import type { BackupWorkerOptions } from '../../src/worker/options.js';
import { GatedContainer, GatedLog, GatedStore, logFiles, unavailable, writesTo } from './gates.js';
import { World, countedRandom } from './world.js';

const forGood = () => new BackupError('ADAPTER_CONTRACT', 'broken for good');
const passing = () => new BackupError('TIMEOUT', 'slow', { retryable: true });

describe('a worker', () => {
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

  describe('state', () => {
    it('goes from Initializing through CheckingBackupKey to NOOP mode, from there to pull mode, and back', async () => {
      putMany(1);
      const running = world.start(0);
      expect(running.worker.state).toBe('Initializing');
      await world.clock.advance(1_000);
      expect(running.states).toEqual(['Initializing', 'CheckingBackupKey', 'NOOPMode.Popping', 'NOOPMode.Waiting']);
      await world.submit('job');
      putMany(2);
      await world.clock.advance(9_000);
      expect(running.states.slice(4)).toEqual([
        'CheckingBackupKey',
        'PullMode.Pulling',
        'PullMode.Uploading',
        'PullMode.Pulling',
      ]);
      await world.operator.abort('job');
      await world.clock.settle();
      expect(running.states.slice(8)).toEqual(['CheckingBackupKey', 'NOOPMode.Popping', 'NOOPMode.Waiting']);
      await running.stop();
      expect(running.states.at(-1)).toBe('Stopped');
    });

    it('is Uploading exactly while a round is under way', async () => {
      const running = world.start(0, { store });
      await world.submit('job');
      putMany(2);
      const gate = store.hold('transact', { match: writesTo('progress/1/0') });
      await world.clock.advance(9_000);
      expect(running.worker.state).toBe('PullMode.Uploading');
      gate.open();
      await world.clock.settle();
      expect(running.worker.state).toBe('PullMode.Pulling');
    });

    it('tells the state before it with every change', async () => {
      const running = world.start(0);
      const changes: string[] = [];
      running.worker.on('state', (state, previous) => changes.push(`${previous} -> ${state}`));
      await world.clock.settle();
      expect(changes).toEqual([
        'Initializing -> CheckingBackupKey',
        'CheckingBackupKey -> NOOPMode.Popping',
        'NOOPMode.Popping -> NOOPMode.Waiting',
      ]);
    });

    it('ends in Completed, Displaced, Stopped or Failed', async () => {
      putMany(2);
      const displaced = world.start(0);
      await world.clock.settle();
      world.log.recover();
      await world.announce();
      await world.clock.settle();
      const completed = world.start(0, { epoch: 1, endVersion: 2n });
      const stopped = world.start(0);
      await world.clock.settle();
      await stopped.stop();
      log.fail('minKnownCommittedVersion', forGood());
      const failed = world.start(0, { log });
      await world.clock.settle();
      expect([displaced, completed, stopped, failed].map(({ worker }) => worker.state)).toEqual([
        'Displaced',
        'Completed',
        'Stopped',
        'Failed',
      ]);
    });
  });

  it('emits what happens to the data in the order in which it happens', async () => {
    const running = world.start(0);
    await world.clock.settle();
    await world.submit('job');
    putMany(2);
    await world.clock.advance(9_000);
    await world.operator.discontinue('job');
    await world.clock.advance(15_000);
    expect(running.events).toEqual([
      'noop 0',
      'popped 0',
      'jobJoined job 1',
      'jobStarted job 1',
      'fileWritten job:[1, 3)',
      'saved 2',
      'popped 2',
      'jobCompleted job',
      'jobLeft job',
    ]);
  });

  it('says what was written in fileWritten', async () => {
    const running = world.start(0);
    const files: unknown[] = [];
    running.worker.on('fileWritten', (file) => files.push(file));
    await world.submit('job');
    putMany(2);
    await world.clock.advance(11_000);
    const [name = ''] = await world.names('memory:job', 'plogs/');
    const size = (await world.container('memory:job').readFile(name, 0, 1 << 20)).length;
    expect(files).toEqual([{ jobUid: 'job', name, begin: 1n, end: 3n, bytes: size, messages: 2 }]);
  });

  it('tells when it is paused and when it goes on', async () => {
    const running = world.start(0);
    await world.clock.settle();
    await world.operator.pause();
    await world.clock.settle();
    expect(running.worker.metrics()?.paused).toBe(true);
    await world.operator.resume();
    await world.clock.settle();
    expect(running.worker.metrics()?.paused).toBe(false);
    expect(running.events.filter((event) => event.startsWith('paused'))).toEqual(['paused true', 'paused false']);
  });

  describe('metrics', () => {
    it('are undefined until the tag is claimed', async () => {
      const gate = store.hold('transact');
      const { worker } = world.start(0, { store });
      await world.clock.settle();
      expect(worker.metrics()).toBeUndefined();
      gate.open();
      await world.clock.settle();
      expect(worker.metrics()).toBeDefined();
    });

    it('say where the worker is', async () => {
      const { worker } = world.start(0, { store, lockBytes: 10_000 });
      putMany(4);
      await world.clock.advance(1_000);
      await world.submit('job');
      putMany(3);
      await world.clock.settle();
      const metrics = worker.metrics();
      expect(metrics).toEqual({
        tag: logRouterTag(0),
        backupEpoch: 1,
        state: 'PullMode.Pulling',
        paused: false,
        savedVersion: 0n,
        noopVersion: 4n,
        pulledEnd: 8n,
        minKnownCommittedVersion: 7n,
        poppedVersion: 4n,
        lag: 3n,
        queuedMessages: 3,
        bufferedBytes: expect.any(Number) as number,
        availableBytes: 10_000 - (metrics?.bufferedBytes ?? 0),
        bytesWritten: 0,
        filesWritten: 0,
        rounds: 0,
        retries: 0,
        activeJobs: 1,
      });
      expect(metrics?.bufferedBytes).toBeGreaterThan(0);
      await world.clock.advance(11_000);
      expect(worker.metrics()).toMatchObject({
        savedVersion: 7n,
        poppedVersion: 7n,
        lag: 0n,
        queuedMessages: 0,
        bufferedBytes: 0,
        availableBytes: 10_000,
        filesWritten: 1,
        rounds: 1,
      });
    });

    it('come as an event every metricsInterval, default 5 s', async () => {
      const received: WorkerMetrics[] = [];
      const { worker } = world.start(0);
      worker.on('metrics', (metrics) => received.push(metrics));
      await world.clock.advance(16_000);
      expect(received.length).toBe(3);
      expect(received[0]).toMatchObject({ tag: logRouterTag(0), state: worker.state });
      const other = world.start(0, { metricsInterval: 1_000 });
      let count = 0;
      other.worker.on('metrics', () => count++);
      await world.clock.advance(4_500);
      expect(count).toBe(4);
    });

    it('count retries', async () => {
      log.fail('minKnownCommittedVersion', passing(), { count: 2 });
      const { worker } = world.start(0, { log });
      await world.clock.advance(2_000);
      expect(worker.metrics()?.retries).toBe(2);
    });
  });

  describe('options', () => {
    const make = (options: Partial<Record<keyof BackupWorkerOptions, unknown>>) => () =>
      new BackupWorker({
        logSource: world.log,
        progressStore: world.store,
        openContainer: (url: string) => world.container(url),
        tag: logRouterTag(0),
        totalTags: 1,
        startVersion: 1n,
        recruitedEpoch: 1,
        backupEpoch: 1,
        ...options,
      } as BackupWorkerOptions);

    it('are fine by default', () => {
      expect(make({})).not.toThrow();
    });

    const refused: [name: string, value: unknown, shown: string, others?: Record<string, unknown>][] = [
      ['lockBytes', 0, '0'],
      ['lockBytes', Number.NaN, 'NaN'],
      ['peekBytes', 0, '0'],
      ['peekBytes', 2_000, '2000', { lockBytes: 1_000 }],
      ['uploadBytes', 2_000, '2000', { lockBytes: 1_000 }],
      ['uploadDelay', 0, '0'],
      ['uploadDelay', Infinity, 'Infinity'],
      ['uploadDelay', '10', '10'],
      ['uploadDelay', 2 ** 31, '2147483648'],
      ['idleUploadDelay', -1, '-1'],
      ['blockSize', 63, '63'],
      ['blockSize', 2 ** 31, '2147483648'],
      ['concurrentWrites', 0, '0'],
      ['noopPopDelay', -5, '-5'],
      ['jobStallTimeout', 0, '0'],
      ['metricsInterval', 0, '0'],
      ['pollInterval', 0, '0'],
      ['coordinationInterval', 0, '0'],
      ['retryMinDelay', -1, '-1'],
      ['retryMaxDelay', 10, '10', { retryMinDelay: 20 }],
      ['totalTags', 0, '0'],
      ['totalTags', 1.5, '1.5'],
      ['tag', logRouterTag(1), '-2:1'],
      ['tag', { locality: 0, id: 0 }, '0:0'],
      ['tag', undefined, 'undefined'],
      ['startVersion', -1n, '-1'],
      ['startVersion', 5, '5'],
      ['endVersion', -1n, '-1', { backupEpoch: 0 }],
      ['endVersion', undefined, 'backupEpoch 0', { backupEpoch: 0 }],
      ['endVersion', 7n, '7'],
      ['recruitedEpoch', -1, '-1'],
      ['backupEpoch', 2, '2'],
      ['logSource', undefined, 'undefined'],
      ['progressStore', {}, 'undefined'],
      ['openContainer', 'memory:', 'string'],
    ];
    for (const [name, value, shown, others = {}] of refused) {
      it(`refuse ${name} = ${shown} with INVALID_OPTION that names both`, () => {
        let error: unknown;
        try {
          make({ [name]: value, ...others })();
        } catch (thrown) {
          error = thrown;
        }
        expect(error).toBeInstanceOf(BackupError);
        expect((error as BackupError).code).toBe('INVALID_OPTION');
        expect((error as BackupError).message).toContain(name);
        expect((error as BackupError).message).toContain(shown);
      });
    }

    it('refuse a number of bytes that is no whole number', () => {
      for (const name of ['lockBytes', 'blockSize', 'concurrentWrites']) {
        expect(make({ [name]: 1_000.5 }), name).toThrow(name);
      }
    });
  });

  it('runs once: a second run() is INVALID_STATE', async () => {
    const running = world.start(0);
    await expect(running.worker.run()).rejects.toMatchObject({ code: 'INVALID_STATE' });
    await world.clock.settle();
    expect(running.worker.state).toBe('NOOPMode.Waiting');
    await running.stop();
    await expect(running.worker.run()).rejects.toMatchObject({ code: 'INVALID_STATE' });
  });

  describe('stop', () => {
    it('never starts when the signal has aborted before', async () => {
      const worker = new BackupWorker({
        logSource: log,
        progressStore: store,
        openContainer: (url) => world.container(url),
        tag: logRouterTag(0),
        totalTags: 1,
        startVersion: 1n,
        recruitedEpoch: 1,
        backupEpoch: 1,
        clock: world.clock,
      });
      expect(await worker.run({ signal: AbortSignal.abort() })).toEqual({ outcome: 'stopped' });
      expect(worker.state).toBe('Stopped');
      expect(store.committed).toEqual([]);
    });

    interface Situation {
      readonly running: ReturnType<World['start']>;
      /** A container call is under way that does not end: the run waits for it for a while. */
      readonly hangs?: boolean;
      readonly open?: () => void;
    }
    /** Brings a worker into a situation, and says when it is there. */
    const situations: Record<string, () => Promise<Situation>> = {
      'in NOOP mode': async () => {
        const running = world.start(0, { store, log });
        await world.clock.settle();
        return { running };
      },
      'while it claims': async () => {
        const gate = store.hold('transact');
        const running = world.start(0, { store, log });
        await gate.reached;
        return { running, open: () => gate.open() };
      },
      'while it pulls': async () => {
        const running = world.start(0, { store, log });
        await world.submit('job');
        return { running };
      },
      'with messages in the queue': async () => {
        const running = world.start(0, { store, log });
        await world.submit('job');
        putMany(5);
        await world.clock.settle();
        expect(running.worker.metrics()?.bufferedBytes).toBeGreaterThan(0);
        return { running };
      },
      'while a batch waits for the lock': async () => {
        const running = world.start(0, { store, log, lockBytes: 100, peekBytes: 100, uploadBytes: 100 });
        const container = new GatedContainer(world.container('memory:job'));
        world.containers.set('memory:job', container);
        const gate = container.hold('append', { match: logFiles });
        await world.submit('job');
        putMany(20);
        await world.clock.advance(2_000);
        expect(gate.isReached).toBe(true);
        expect(running.worker.metrics()?.bufferedBytes).toBeGreaterThan(0);
        return { running, hangs: true, open: () => gate.open() };
      },
      'while a container hangs': async () => {
        const running = world.start(0, { store, log });
        const container = new GatedContainer(world.container('memory:job'));
        world.containers.set('memory:job', container);
        const gate = container.hold('finish', { match: logFiles });
        await world.submit('job');
        putMany(5);
        await world.clock.advance(11_000);
        expect(gate.isReached).toBe(true);
        return { running, hangs: true };
      },
      'while a save is under way': async () => {
        const running = world.start(0, { store, log });
        await world.submit('job');
        putMany(5);
        const gate = store.hold('transact', { at: 'after', match: writesTo('progress/1/0') });
        await world.clock.advance(11_000);
        expect(gate.isReached).toBe(true);
        return { running };
      },
      'while it waits to try again': async () => {
        store.fail('transact', unavailable(), { count: 1_000 });
        const running = world.start(0, { store, log, retryMinDelay: 5_000 });
        await world.clock.advance(100);
        return { running };
      },
      'while it is paused': async () => {
        await world.operator.pause();
        const running = world.start(0, { store, log });
        await world.submit('job');
        return { running };
      },
      'while a log hangs': async () => {
        const gate = log.hold('minKnownCommittedVersion');
        const running = world.start(0, { store, log });
        await gate.reached;
        return { running };
      },
    };
    for (const [name, reach] of Object.entries(situations)) {
      it(`leaves no timer, no watch and no permit behind: ${name}`, async () => {
        const { running, hangs = false, open } = await reach();
        running.abort();
        await world.clock.settle();
        if (hangs) {
          await world.clock.advance(999);
          expect(running.outcome()).toBeUndefined();
          await world.clock.advance(1);
        }
        const wasOver = running.outcome() !== undefined;
        open?.();
        expect(wasOver).toBe(true);
        expect(running.outcome()).toEqual({ outcome: 'stopped' });
        expect(running.worker.state).toBe('Stopped');
        expect(world.clock.pendingTimers).toBe(0);
        expect(world.store.watches).toBe(0);
        expect(running.worker.metrics()?.bufferedBytes ?? 0).toBe(0);
        expect(running.worker.metrics()?.queuedMessages ?? 0).toBe(0);
        await world.clock.settle();
        expect(world.clock.pendingTimers).toBe(0);
      });
    }

    it('does not hide a failure that came before it', async () => {
      const running = world.start(0, { store, log });
      const container = new GatedContainer(world.container('memory:job'));
      world.containers.set('memory:job', container);
      const gate = container.hold('append', { match: logFiles });
      await world.submit('job');
      putMany(5);
      await world.clock.advance(11_000);
      expect(gate.isReached).toBe(true);
      log.fail('peek', new BackupError('ADAPTER_CONTRACT', 'the test says so'));
      putMany(5);
      await world.clock.settle();
      // It has failed, and waits for the container call that is under way.
      expect(running.outcome()).toBeUndefined();
      running.abort();
      await world.clock.advance(1_000);
      expect(running.outcome()).toMatchObject({ outcome: 'failed', error: { code: 'ADAPTER_CONTRACT' } });
      expect(running.worker.state).toBe('Failed');
    });

    it.each(['append', 'finish'] as const)(
      'waits for a %s that is under way, and leaves no file open',
      async (call) => {
        const folder = await mkdtemp(join(tmpdir(), 'tidemark-stop-'));
        try {
          const running = world.start(0, { store, log });
          const container = new GatedContainer(new DirectoryContainer(folder));
          world.containers.set('memory:job', container);
          const gate = container.hold(call, { match: logFiles });
          await world.submit('job');
          putMany(5);
          const passing = world.clock.advance(11_000);
          await gate.reached;
          await passing;
          const unfinished = async () =>
            (await readdir(folder, { recursive: true })).filter((name) => name.endsWith('.temp'));
          expect(await unfinished()).toHaveLength(1);
          running.abort();
          await world.clock.settle();
          expect(running.outcome()).toBeUndefined();
          gate.open();
          expect(await running.result).toEqual({ outcome: 'stopped' });
          expect(await unfinished()).toEqual([]);
          expect(container.unfinished).toEqual([]);
          // A file that was being finished may have become visible; it is whole, and a new run writes its versions again.
          expect(await world.mutations('job')).toHaveLength(call === 'finish' ? 5 : 0);
          await world.clock.settle();
          expect(running.events.filter((event) => event.startsWith('fileWritten'))).toEqual([]);
          expect(world.clock.pendingTimers).toBe(0);
        } finally {
          await rm(folder, { recursive: true, force: true });
        }
      },
    );

    it('emits no fileWritten for a file that is finished too late', async () => {
      const running = world.start(0, { store, log });
      const container = new GatedContainer(world.container('memory:job'));
      world.containers.set('memory:job', container);
      const gate = container.hold('finish', { match: logFiles });
      await world.submit('job');
      putMany(5);
      await world.clock.advance(11_000);
      await running.stop();
      gate.open();
      await world.clock.settle();
      expect(running.events.filter((event) => event.startsWith('fileWritten'))).toEqual([]);
      expect(world.record('progress/1/0')).toBeUndefined();
    });

    it('makes no file visible after it has resolved', async () => {
      const running = world.start(0);
      const container = new GatedContainer(world.container('memory:job'));
      world.containers.set('memory:job', container);
      const gate = container.hold('append', { match: logFiles });
      await world.submit('job');
      putMany(5);
      await world.clock.advance(11_000);
      expect(gate.isReached).toBe(true);
      await running.stop();
      gate.open();
      await world.clock.settle();
      expect(await world.files('job')).toEqual([]);
      expect(container.unfinished).toEqual([]);
    });
  });

  it('leaves no timer, no watch and no permit behind when it fails', async () => {
    const running = world.start(0, { log });
    await world.submit('job');
    putMany(5);
    await world.clock.settle();
    log.fail('peek', forGood(), { at: 'after' });
    putMany(1);
    await world.clock.advance(1_000);
    putMany(1);
    await world.clock.advance(1_000);
    expect(running.outcome()).toMatchObject({ outcome: 'failed', error: { code: 'ADAPTER_CONTRACT' } });
    expect(world.clock.pendingTimers).toBe(0);
    expect(world.store.watches).toBe(0);
    expect(running.worker.metrics()?.bufferedBytes).toBe(0);
  });

  it('goes on when a listener throws; the error surfaces as an uncaught one of the host', async () => {
    const uncaught: unknown[] = [];
    const microtask = vi.spyOn(globalThis, 'queueMicrotask').mockImplementation((callback) => {
      try {
        callback();
      } catch (error) {
        uncaught.push(error);
      }
    });
    try {
      const running = world.start(0);
      for (const name of ['state', 'saved', 'popped', 'fileWritten', 'jobJoined'] as const) {
        running.worker.on(name, () => {
          throw new Error(`listener of ${name}`);
        });
      }
      await world.submit('job');
      putMany(2);
      await world.clock.advance(11_000);
      expect(running.outcome()).toBeUndefined();
      expect(running.worker.metrics()).toMatchObject({ savedVersion: 2n, poppedVersion: 2n });
      expect(uncaught.map(String)).toEqual(
        expect.arrayContaining(['Error: listener of saved', 'Error: listener of popped']),
      );
      await running.stop();
    } finally {
      microtask.mockRestore();
    }
  });

  describe('transient errors', () => {
    it('are tried again after a delay that doubles up to retryMaxDelay, less a jitter of up to a half', async () => {
      for (const [next, delays] of [
        [0, [100, 200, 400, 800, 1_000, 1_000]],
        [0.5, [75, 150, 300, 600, 750, 750]],
        [0.999_999, [50, 100, 200, 400, 500, 500]],
      ] as const) {
        const own = new GatedStore(world.store);
        own.fail('transact', unavailable(), { count: 6 });
        const running = world.start(0, { store: own, random: countedRandom('b', next), retryMaxDelay: 1_000 });
        await world.clock.advance(10_000);
        const tried = running.events
          .filter((event) => event.startsWith('retry'))
          .map((event) => Number(event.split(' ').at(-1)));
        expect(tried.map(Math.round)).toEqual(delays);
        await running.stop();
      }
    });

    for (const [call, error] of [
      ['peek', new Error('ECONNRESET')],
      ['minKnownCommittedVersion', passing()],
      ['committedVersion', passing()],
      ['pop', new Error('ECONNRESET')],
    ] as const) {
      it(`of the log (${call}) change nothing but the time`, async () => {
        const running = world.start(0, { log });
        log.fail(call, error, { count: 3 });
        await world.submit('job');
        putMany(3);
        await world.clock.advance(13_000);
        await world.operator.discontinue('job');
        await world.clock.advance(20_000);
        expect(running.events.filter((event) => event.startsWith('retry')).length).toBe(3);
        expect((await world.operator.status('job')).state).toBe('Completed');
        expect((await world.mutations('job')).length).toBe(3);
      });

      it(`of the log (${call}) whose effect has happened change nothing but the time`, async () => {
        world.start(0, { log });
        log.fail(call, error, { at: 'after', count: 3 });
        await world.submit('job');
        putMany(3);
        await world.clock.advance(13_000);
        await world.operator.discontinue('job');
        await world.clock.advance(20_000);
        expect((await world.operator.status('job')).state).toBe('Completed');
        expect((await world.mutations('job')).length).toBe(3);
        expect((await world.stretches('job')).length).toBeLessThanOrEqual(2);
      });
    }

    it('of the store, before and after the commit, change nothing but the time', async () => {
      for (const at of ['before', 'after'] as const) {
        for (const key of ['owner/', 'registered/', 'progress/', 'noop/', 'job/']) {
          store.fail('transact', unavailable(), { at, match: writesTo(key), count: 2 });
        }
      }
      world.start(0, { store, retryMaxDelay: 500 });
      putMany(1);
      await world.clock.advance(10_000);
      await world.submit('job');
      putMany(3);
      await world.clock.advance(13_000);
      await world.operator.discontinue('job');
      await world.clock.advance(20_000);
      expect((await world.operator.status('job')).state).toBe('Completed');
      expect((await world.mutations('job')).length).toBe(3);
      expect(world.log.popped(1, logRouterTag(0))).toBe(4n);
    });

    it('of a watch are made good by the poll', async () => {
      store.fail('watch', unavailable(), { count: 1_000 });
      const running = world.start(0, { store, pollInterval: 2_000 });
      await world.clock.settle();
      void world.request('job');
      await world.clock.advance(2_500);
      expect(running.worker.state).toBe('PullMode.Pulling');
      expect(running.outcome()).toBeUndefined();
    });

    it("of the log system's stream, and its end, open it again", async () => {
      let opened = 0;
      const source = {
        peek: log.peek.bind(log),
        pop: log.pop.bind(log),
        minKnownCommittedVersion: log.minKnownCommittedVersion.bind(log),
        committedVersion: log.committedVersion.bind(log),
        async *logSystem(signal: AbortSignal) {
          opened++;
          if (opened === 1) throw new Error('ECONNRESET');
          if (opened === 2) return;
          yield* log.logSystem(signal);
        },
      };
      const running = world.start(0, { log: source });
      await world.clock.advance(15_000);
      expect(opened).toBe(3);
      expect(running.worker.metrics()?.poppedVersion).toBe(0n);
      world.log.recover();
      await world.clock.settle();
      expect(running.outcome()).toMatchObject({ outcome: 'displaced' });
    });
  });

  describe('permanent errors', () => {
    const failing: Record<string, () => void> = {
      'of a peek': () => log.fail('peek', forGood()),
      'of minKnownCommittedVersion': () => log.fail('minKnownCommittedVersion', forGood(), { count: 100 }),
      'of a save': () => store.fail('transact', forGood(), { match: writesTo('progress/1/0') }),
      'of a save that has committed': () =>
        store.fail('transact', forGood(), { at: 'after', match: writesTo('progress/1/0') }),
      'of a registration': () => store.fail('transact', forGood(), { match: writesTo('registered/') }),
      'of a watch': () => store.fail('watch', forGood()),
    };
    for (const [name, order] of Object.entries(failing)) {
      it(`${name} end the worker with that error, and nothing more is popped`, async () => {
        order();
        const running = world.start(0, { store, log });
        await world.clock.settle();
        void world.request('job');
        await world.clock.advance(1_000);
        putMany(3);
        await world.clock.advance(30_000);
        expect(running.outcome()).toMatchObject({ outcome: 'failed', error: { code: 'ADAPTER_CONTRACT' } });
        await expect(running.result).rejects.toThrow('broken for good');
        expect(running.worker.state).toBe('Failed');
        const pops = log.pops.length;
        expect(log.pops.filter((upTo) => upTo > 0n)).toEqual([]);
        await world.clock.advance(60_000);
        expect(log.pops.length).toBe(pops);
      });
    }

    it('show a log that answers what was not asked: ADAPTER_CONTRACT', async () => {
      const source = new GatedLog(world.log);
      const peek = source.peek.bind(source);
      source.peek = async (request) => ({ ...(await peek(request)), end: request.begin - 1n });
      const running = world.start(0, { log: source });
      void world.request('job');
      await world.clock.advance(1_000);
      putMany(1);
      await world.clock.advance(1_000);
      expect(running.outcome()).toMatchObject({ outcome: 'failed', error: { code: 'ADAPTER_CONTRACT' } });
    });

    it('show a store that holds something else: STORE_CORRUPT', async () => {
      await world.write('started', { jobs: 'none' });
      const running = world.start(0);
      await expect(running.result).rejects.toMatchObject({ code: 'STORE_CORRUPT' });
    });
  });
});
