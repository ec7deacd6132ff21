// Rule P10 of docs/protocol.md: a job that fails for good holds the others up for a bounded time, and then is recorded as failed.

import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { BackupError } from '../../src/core/errors.js';
import { MemoryContainer } from '../../src/container/memory-container.js';
import { logFileName } from '../../src/format/fdb/names.js';
import { encodeJobMarker, JOB_MARKER_NAME } from '../../src/format/fdb/properties.js';
import { GatedContainer, GatedLog, GatedStore, logFiles, writesTo } from './gates.js';
import { World } from './world.js';

const gone = () => new BackupError('INVALID_NAME', 'gone for good');
const away = () => new BackupError('CONTAINER_UNAVAILABLE', 'back soon', { retryable: true });

describe('P10 a job that fails for good', () => {
  let world: World;
  let store: GatedStore;
  let container: GatedContainer;
  beforeEach(async () => {
    world = new World();
    store = new GatedStore(world.store);
    container = new GatedContainer(new MemoryContainer({ url: 'memory:bad' }));
    world.containers.set('memory:bad', container);
    await world.announce();
  });
  afterEach(() => world.end());

  const putMany = (count: number, prefix = 'a') => {
    for (let i = 0; i < count; i++) world.put(0, `${prefix}${i}`);
  };
  const status = () => world.operator.status('bad');
  /** A worker with the jobs `bad` and `good` and three versions; the next round is due 10 s after the last one. */
  const startWithJobs = async (options: Parameters<World['start']>[1] = {}) => {
    const running = world.start(0, { store, jobStallTimeout: 20_000, ...options });
    await world.submit('bad');
    await world.submit('good');
    putMany(3);
    return running;
  };

  it('holds the others up for jobStallTimeout at most when its container hangs', async () => {
    const running = await startWithJobs();
    const gate = container.hold('append', { match: logFiles });
    await world.clock.advance(11_000);
    expect(gate.isReached).toBe(true);
    await world.clock.advance(14_000);
    expect(running.worker.metrics()?.savedVersion).toBe(0n);
    expect((await status()).state).toBe('Running');
    await world.clock.advance(2_000);
    expect(running.worker.metrics()?.savedVersion).toBe(3n);
    expect((await status()).state).toBe('Failed');
    expect(running.events).toContain('jobFailed bad TIMEOUT');
    expect((await world.mutations('good')).length).toBe(3);
  });

  it('holds the others up for jobStallTimeout at most when its container keeps failing, and says why', async () => {
    const running = await startWithJobs();
    container.fail('writeFile', away(), { match: logFiles, count: 1_000 });
    await world.clock.advance(25_000);
    expect((await status()).state).toBe('Running');
    await world.clock.advance(10_000);
    expect(await status()).toMatchObject({
      state: 'Failed',
      failure: { code: 'CONTAINER_UNAVAILABLE', message: 'back soon' },
    });
    expect(running.worker.metrics()?.savedVersion).toBe(3n);
  });

  it.each([
    ['for most of the time', 25_000, 'CONTAINER_UNAVAILABLE'],
    ['for a moment', 12_000, 'TIMEOUT'],
  ])(
    'says what it failed of when a container that was away %s does not answer at the end',
    async (_, hangsAt, code) => {
      await startWithJobs({ retryMaxDelay: 500 });
      let isHanging = false;
      const act = () => (isHanging ? new Promise<void>(() => undefined) : Promise.reject(away()));
      container.on('writeFile', act, { match: logFiles, count: 1_000 });
      await world.clock.advance(hangsAt);
      isHanging = true;
      await world.clock.advance(35_000 - hangsAt);
      expect(await status()).toMatchObject({ state: 'Failed', failure: { code } });
    },
  );

  it('does not count failing again at the same place as progress', async () => {
    await startWithJobs();
    // Every try gets as far as the end of the file, and no further.
    container.fail('finish', away(), { match: logFiles, count: 1_000 });
    await world.clock.advance(35_000);
    expect((await status()).state).toBe('Failed');
  });

  it('is patient with a container that is slow but gets on', async () => {
    await startWithJobs({ jobStallTimeout: 10_000 });
    for (const call of ['append', 'finish'] as const) {
      container.on(call, () => world.clock.sleep(6_000), { match: logFiles });
    }
    await world.clock.advance(30_000);
    expect((await status()).state).toBe('Running');
    expect((await world.mutations('bad')).length).toBe(3);
  });

  it('does not fail a job whose container comes back in time', async () => {
    const running = await startWithJobs();
    container.fail('writeFile', away(), { match: logFiles, count: 3 });
    await world.clock.advance(12_000);
    expect(running.events.filter((event) => event.startsWith('retry write files of job bad')).length).toBe(3);
    expect((await status()).state).toBe('Running');
    expect((await world.mutations('bad')).length).toBe(3);
  });

  it('is patient with a container that denies access for a while: keys are exchanged, rights come late', async () => {
    await startWithJobs();
    container.fail('writeFile', new BackupError('CONTAINER_ACCESS_DENIED', 'wrong key'), { match: logFiles, count: 3 });
    await world.clock.advance(25_000);
    expect((await status()).state).toBe('Running');
    expect((await world.mutations('bad')).length).toBe(3);
  });

  it('fails a job at once for an error that will not pass', async () => {
    const running = await startWithJobs();
    container.fail('writeFile', gone(), { match: logFiles });
    await world.clock.advance(11_000);
    expect(await status()).toMatchObject({
      state: 'Failed',
      failure: { code: 'INVALID_NAME', message: 'gone for good' },
    });
    expect(running.worker.metrics()?.savedVersion).toBe(3n);
  });

  it('is recorded as Failed, with code, tag and last good version, in a transaction before the next save', async () => {
    await startWithJobs();
    await world.clock.advance(11_000);
    expect(world.record('progress/1/0')).toMatchObject({ savedVersion: '3' });
    const before = store.committed.length;
    container.fail('writeFile', gone(), { match: logFiles });
    putMany(2, 'b');
    await world.clock.advance(11_000);
    const kinds = store.committed.slice(before).flatMap(({ writes }) => {
      if (writes.has('started')) return ['failed'];
      return writes.has('progress/1/0') ? ['saved'] : [];
    });
    expect(kinds).toEqual(['failed', 'saved']);
    expect(world.record('job/bad')).toMatchObject({
      state: 'Failed',
      failure: { code: 'INVALID_NAME', message: 'gone for good', tag: 0, lastGoodVersion: '3' },
    });
    expect(world.record('started')).toMatchObject({ jobs: [{ uid: 'good' }] });
  });

  it('does not save while the failure cannot be recorded', async () => {
    const running = await startWithJobs();
    container.fail('writeFile', gone(), { match: logFiles });
    const gate = store.hold('transact', { match: writesTo('started') });
    await world.clock.advance(30_000);
    expect(gate.isReached).toBe(true);
    expect(running.worker.metrics()?.savedVersion).toBe(0n);
    gate.open();
    await world.clock.settle();
    expect(running.worker.metrics()?.savedVersion).toBe(3n);
  });

  it('says its firstVersion - 1 is the last good version when not even its first file was written', async () => {
    world.start(0);
    await world.clock.advance(1_000);
    putMany(4);
    await world.clock.advance(5_000);
    await world.submit('bad');
    container.fail('writeFile', gone(), { match: logFiles });
    putMany(2);
    await world.clock.advance(11_000);
    expect((await status()).failure).toMatchObject({ lastGoodVersion: 4n });
  });

  it('keeps in the job what it had stored, for status and for a restore', async () => {
    await startWithJobs();
    await world.clock.advance(11_000);
    container.fail('writeFile', gone(), { match: logFiles });
    putMany(2, 'b');
    await world.clock.advance(11_000);
    const files = await world.files('bad');
    expect(await status()).toMatchObject({ state: 'Failed', files: files.length });
    expect((await status()).bytes).toBeGreaterThan(0);
    expect((await world.mutations('bad')).length).toBe(3);
  });

  it('fails a job whose URL openContainer refuses, and only that one', async () => {
    const openContainer = (url: string) => {
      if (url === 'nonsense:') throw new BackupError('INVALID_OPTION', 'no such scheme');
      return world.container(url);
    };
    const running = await startWithJobs({ openContainer });
    const submitted = world.request('third', { url: 'nonsense:' });
    await world.clock.advance(11_000);
    expect((await world.operator.status('third')).failure).toMatchObject({
      code: 'INVALID_OPTION',
      message: 'no such scheme',
    });
    expect(running.worker.metrics()?.savedVersion).toBe(3n);
    await submitted;
  });

  it('rejects submit with JOB_FAILED when a job fails before it has started', async () => {
    const two = new World({ totalTags: 2 });
    await two.announce();
    two.start(0, { uploadDelay: 100 });
    const submitted = two.request('job', { url: 'memory:job' });
    two.containers.set('memory:job', Object.assign(new MemoryContainer(), { create: () => Promise.reject(gone()) }));
    two.put(0, 'a');
    await two.clock.advance(5_000);
    await expect(submitted).rejects.toMatchObject({ code: 'JOB_FAILED', jobUid: 'job' });
    await two.end();
  });

  it('fails a job whose container belongs to another one', async () => {
    const marker = { uid: 'somebody', logOnly: false, ranges: [], startVersion: 0n, firstVersion: 1n };
    const file = await container.writeFile(JOB_MARKER_NAME);
    await file.append([encodeJobMarker(marker)]);
    await file.finish();
    await startWithJobs();
    await world.clock.advance(11_000);
    const { failure } = await status();
    expect(failure?.code).toBe('CONTAINER_IN_USE');
    expect(failure?.message).toMatch(/somebody/);
    expect(await world.files('bad')).toEqual([]);
    expect((await world.mutations('good')).length).toBe(3);
  });

  it('counts an error without a code, a broken connection say, as one that may pass', async () => {
    await startWithJobs();
    container.fail('writeFile', new Error('ECONNRESET'), { match: logFiles, count: 2 });
    await world.clock.advance(12_000);
    expect((await status()).state).toBe('Running');
    putMany(1, 'b');
    container.fail('writeFile', new Error('ECONNRESET'), { match: logFiles, count: 1_000 });
    await world.clock.advance(40_000);
    const { failure } = await status();
    expect(failure?.code).toBe('CONTAINER_UNAVAILABLE');
    expect(failure?.message).toMatch(/ECONNRESET/);
  });

  it('lets the others write while its own write hangs, even with one write at a time', async () => {
    const running = await startWithJobs({ concurrentWrites: 1 });
    container.hold('append', { match: logFiles });
    await world.clock.advance(14_000);
    expect(running.events).toContain('fileWritten good:[1, 4)');
    expect((await status()).state).toBe('Running');
  });

  it('does not count waiting for a turn as a stall', async () => {
    const slow = new GatedContainer(new MemoryContainer({ url: 'memory:good' }));
    world.containers.set('memory:good', slow);
    const running = await startWithJobs({ concurrentWrites: 1, jobStallTimeout: 1_500 });
    // Each gets on every 900 ms, so that no turn is lent; the second one waits for 1,800 ms.
    for (const each of [slow, container]) {
      for (const call of ['append', 'finish'] as const)
        each.on(call, () => world.clock.sleep(900), { match: logFiles });
    }
    await world.clock.advance(15_000);
    expect(running.worker.metrics()?.savedVersion).toBe(3n);
    expect((await status()).state).toBe('Running');
    expect((await world.operator.status('good')).state).toBe('Running');
  });

  it("does not withhold the pop: only the worker's own failures do", async () => {
    const log = new GatedLog(world.log);
    await startWithJobs({ log });
    container.fail('writeFile', gone(), { match: logFiles });
    await world.clock.advance(11_000);
    expect((await status()).state).toBe('Failed');
    expect(log.pops.at(-1)).toBe(3n);
  });

  it('leaves the worker in NOOP mode when it was the only job', async () => {
    const running = world.start(0);
    await world.submit('bad');
    container.fail('writeFile', gone(), { match: logFiles });
    putMany(3);
    await world.clock.advance(20_000);
    expect((await status()).state).toBe('Failed');
    expect(running.worker.state).toBe('NOOPMode.Waiting');
    expect(world.record('noop/1/0')).toEqual({ version: '3' });
    expect(running.worker.metrics()).toMatchObject({ bufferedBytes: 0, queuedMessages: 0 });
  });

  it('has no last good version, -1, when it fails at version 0: the others go on, and the record can be read', async () => {
    const zero = new World({ begin: 0n });
    await zero.announce();
    zero.containers.set('memory:bad', container);
    container.fail('create', gone());
    const running = zero.start(0);
    await zero.submit('bad');
    await zero.submit('good');
    zero.put(0, 'a');
    await zero.clock.advance(11_000);
    expect((await zero.operator.status('bad')).failure).toMatchObject({ code: 'INVALID_NAME', lastGoodVersion: -1n });
    expect(running.outcome()).toBeUndefined();
    expect(await zero.mutations('good')).toEqual(['0/0/1/a=v']);
    await zero.end();
  });

  it('fails a job whose container holds files of another backup, though nobody has marked it', async () => {
    const file = await container.writeFile(
      logFileName({ begin: 1n, end: 40n, uid: 'f'.repeat(32), tag: 0, totalTags: 1, blockSize: 1_048_576 }),
    );
    await file.finish();
    await startWithJobs();
    await world.clock.advance(11_000);
    expect((await status()).failure?.code).toBe('CONTAINER_IN_USE');
    expect(await world.stretches('bad')).toEqual(['0:[1, 40)']);
    expect((await world.mutations('good')).length).toBe(3);
  });
});
