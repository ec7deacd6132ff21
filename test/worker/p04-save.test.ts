// Rule P4 of docs/protocol.md: what a round records, and that nothing is forgotten before that has committed.

import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { GatedContainer, GatedLog, GatedStore, logFiles, unavailable, writesTo } from './gates.js';
import { World } from './world.js';

const PROGRESS = 'progress/1/0';

describe('P4 save', () => {
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

  const putMany = (count: number, prefix = 'a') => {
    for (let i = 0; i < count; i++) world.put(0, `${prefix}${i}`);
  };
  /** A worker in pull mode, past the empty first file of its job. */
  const startWithJob = async () => {
    const running = world.start(0, { store, log });
    await world.submit('job');
    return running;
  };

  it('writes savedVersion and the counters of every job in one transaction that reads owner and started', async () => {
    await startWithJob();
    await world.submit('late', { startVersion: 100n });
    putMany(5);
    await world.clock.advance(11_000);
    const saves = store.writesOf(PROGRESS);
    const save = saves.at(-1);
    expect([...(save?.reads ?? [])]).toEqual(expect.arrayContaining(['owner/1/0', 'started']));
    expect([...(save?.writes.keys() ?? [])]).toEqual([PROGRESS]);
    const files = await world.files('job');
    expect(world.record(PROGRESS)).toEqual({
      savedVersion: '5',
      totalTags: 1,
      jobs: [{ uid: 'job', nextBegin: '6', bytes: expect.any(Number) as number, files: files.length }],
    });
  });

  it('counts bytes and files as absolute values: a body that runs again after it has committed counts nothing twice', async () => {
    const running = await startWithJob();
    putMany(5);
    store.fail('transact', unavailable(), { at: 'after', match: writesTo(PROGRESS), count: 3 });
    await world.clock.advance(12_000);
    expect(store.writesOf(PROGRESS).length).toBe(4);
    let bytes = 0;
    for await (const { name, size } of world.container('memory:job').listFiles('plogs/'))
      bytes += name === '' ? 0 : size;
    const { files, metrics } = { files: await world.files('job'), metrics: running.worker.metrics() };
    expect(world.record(PROGRESS)).toMatchObject({ savedVersion: '5', jobs: [{ bytes, files: files.length }] });
    expect(metrics).toMatchObject({ savedVersion: 5n, rounds: 1, filesWritten: files.length, bytesWritten: bytes });
  });

  it('finishes the files first, then saves, then pops', async () => {
    const running = await startWithJob();
    putMany(5);
    await world.clock.advance(11_000);
    const order = running.events.filter((event) => /^(fileWritten|saved|popped)/.test(event));
    expect(order.slice(-3)).toEqual(['fileWritten job:[1, 6)', 'saved 5', 'popped 5']);
  });

  for (const at of ['before', 'after'] as const) {
    it(`keeps messages, permits, savedVersion and the pop until the answer to the save has come (held ${at} the commit)`, async () => {
      const running = await startWithJob();
      putMany(5);
      const gate = store.hold('transact', { at, match: writesTo(PROGRESS) });
      await world.clock.advance(11_000);
      expect(gate.isReached).toBe(true);
      const held = running.worker.metrics();
      expect(held).toMatchObject({ savedVersion: 0n, queuedMessages: 5 });
      expect(held?.bufferedBytes).toBeGreaterThan(0);
      expect(log.pops.filter((upTo) => upTo > 0n)).toEqual([]);
      expect(running.events).not.toContain('saved 5');
      gate.open();
      await world.clock.settle();
      expect(running.worker.metrics()).toMatchObject({ savedVersion: 5n, queuedMessages: 0, bufferedBytes: 0 });
      expect(log.pops.at(-1)).toBe(5n);
    });
  }

  it('pops nothing while the store is away, and goes on by itself when it is back', async () => {
    const running = await startWithJob();
    putMany(5);
    store.fail('transact', unavailable(), { match: writesTo(PROGRESS), count: 4 });
    await world.clock.advance(8_500);
    expect(running.events.filter((event) => event.startsWith('retry save')).length).toBeGreaterThan(1);
    expect(log.pops.filter((upTo) => upTo > 0n)).toEqual([]);
    await world.clock.advance(10_000);
    expect(log.pops.at(-1)).toBe(5n);
    expect((await world.mutations('job')).length).toBe(5);
  });

  it('records nothing and redoes the round when an active job whose firstVersion is at or below the cut was not part of it', async () => {
    const container = new GatedContainer(world.container('memory:job'));
    world.containers.set('memory:job', container);
    const running = await startWithJob();
    putMany(5);
    // The worker hears of nothing while it writes its file.
    const gate = container.hold('finish', { match: logFiles });
    await world.clock.advance(9_000);
    expect(gate.isReached).toBe(true);
    const reads = store.hold('transact', { match: ({ reads, writes }) => reads.has('started') && writes.size === 0 });
    void world.request('other');
    await world.write('registered/other/1/0', { version: '3' });
    await reads.reached;
    const before = store.writesOf(PROGRESS).length;
    gate.open();
    await world.clock.settle();
    expect(store.writesOf(PROGRESS).length).toBe(before);
    expect(running.worker.metrics()?.savedVersion).toBe(0n);
    expect(log.pops.filter((upTo) => upTo > 0n)).toEqual([]);
    reads.open();
    await world.clock.settle();
    const order = running.events.filter((event) => /^(jobJoined other|saved)/.test(event));
    expect(order).toEqual(['jobJoined other 6', 'saved 5']);
    // What the worker fixes itself counts: nothing at or below the cut.
    expect(world.record('registered/other/1/0')).toEqual({ version: '6' });
  });

  it('is not held up by an active job that is not registered: it begins above the cut', async () => {
    const running = await startWithJob();
    putMany(5);
    // The worker does not get to know of it.
    const reads = store.hold('transact', { match: ({ reads, writes }) => reads.has('started') && writes.size === 0 });
    const submitted = world.request('other');
    await reads.reached;
    await world.clock.advance(11_000);
    expect(running.worker.metrics()?.savedVersion).toBe(5n);
    reads.open();
    await world.clock.advance(2_000);
    expect(await submitted).toEqual({ uid: 'other', completeFrom: 6n });
  });

  it('is not held up by an active job that begins above the cut', async () => {
    const running = await startWithJob();
    await world.submit('late', { startVersion: 100n });
    putMany(5);
    await world.clock.advance(11_000);
    expect(running.worker.metrics()?.savedVersion).toBe(5n);
    expect(await world.files('late')).toEqual([]);
  });

  it('leaves files after a crash before the save that the next owner writes again, from the same begin', async () => {
    const first = await startWithJob();
    putMany(5);
    const gate = store.hold('transact', { match: writesTo(PROGRESS) });
    await world.clock.advance(11_000);
    expect(gate.isReached).toBe(true);
    await first.stop();
    putMany(2, 'b');
    const second = world.start(0);
    await world.clock.advance(11_000);
    expect(second.worker.metrics()?.savedVersion).toBe(7n);
    expect((await world.stretches('job')).sort()).toEqual(['0:[1, 6)', '0:[1, 8)']);
    expect(new Set(await world.mutations('job')).size).toBe(7);
    expect(world.record(PROGRESS)).toMatchObject({ savedVersion: '7', jobs: [{ nextBegin: '8', files: 1 }] });
  });

  it('joins a save that is in flight when the last job leaves, and pops what it has recorded', async () => {
    const running = await startWithJob();
    putMany(5);
    const gate = store.hold('transact', { at: 'after', match: writesTo(PROGRESS) });
    await world.clock.advance(11_000);
    expect(gate.isReached).toBe(true);
    await world.operator.abort('job');
    await world.clock.settle();
    expect(running.worker.state).toMatch(/^PullMode/);
    gate.open();
    await world.clock.settle();
    expect(running.worker.state).toBe('NOOPMode.Waiting');
    expect(log.pops.at(-1)).toBe(5n);
    expect(running.worker.metrics()).toMatchObject({ savedVersion: 5n, bufferedBytes: 0, queuedMessages: 0 });
  });

  it('drops the counters of a job that has ended from the record', async () => {
    await startWithJob();
    await world.submit('other');
    putMany(2);
    await world.clock.advance(11_000);
    await world.operator.abort('other');
    putMany(2, 'b');
    await world.clock.advance(11_000);
    expect(world.record(PROGRESS)).toMatchObject({ savedVersion: '4', jobs: [{ uid: 'job' }] });
    expect((world.record(PROGRESS)?.['jobs'] as unknown[]).length).toBe(1);
  });
});
