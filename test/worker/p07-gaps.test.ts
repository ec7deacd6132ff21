// Rule P7 of docs/protocol.md: what the log has discarded before it was asked is explained by a record, or it is a loud error.

import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { logRouterTag } from '../../src/core/version.js';
import { BackupError } from '../../src/core/errors.js';
import { GatedLog, GatedStore, unavailable } from './gates.js';
import { World } from './world.js';

describe('P7 gaps', () => {
  let world: World;
  let store: GatedStore;
  let log: GatedLog;
  beforeEach(async () => {
    world = new World();
    store = new GatedStore(world.store);
    log = new GatedLog(world.log);
    await world.announce();
    for (let i = 0; i < 10; i++) world.put(0, `a${i}`);
  });
  afterEach(() => world.end());

  const pop = (upTo: bigint) => world.log.pop({ epoch: 1, tag: logRouterTag(0), upTo });

  /** A run whose first peek finds the log popped, after its claim has read an empty store. */
  const startAndPop = async (upTo: bigint, options: { startVersion: bigint; noop?: Record<string, string> }) => {
    void world.request('job', { startVersion: options.startVersion });
    const gate = log.hold('peek');
    const running = world.start(0, { store, log });
    await gate.reached;
    for (const [key, version] of Object.entries(options.noop ?? {})) await world.write(key, { version });
    await pop(upTo);
    gate.open();
    await world.clock.settle();
    return running;
  };

  it('accepts a gap at the first peek of a pull, up to the noop record of this epoch and tag', async () => {
    const running = await startAndPop(5n, { startVersion: 6n, noop: { 'noop/1/0': '5' } });
    expect(running.outcome()).toBeUndefined();
    await world.clock.advance(11_000);
    expect(await world.stretches('job')).toEqual(['0:[6, 11)']);
  });

  it('moves nextVersion past an accepted gap, so that no file of any job claims it', async () => {
    const running = await startAndPop(5n, { startVersion: 8n, noop: { 'noop/1/0': '7' } });
    await world.submit('other');
    expect(running.outcome()).toBeUndefined();
    expect(world.record('registered/other/1/0')).toEqual({ version: '6' });
    await world.clock.advance(11_000);
    expect((await world.stretches('other'))[0]).toBe('0:[6, 11)');
    expect((await world.mutations('other')).length).toBe(5);
  });

  it('never accepts a gap that reaches the firstVersion of an active job of this tag', async () => {
    const running = await startAndPop(6n, { startVersion: 6n, noop: { 'noop/1/0': '9' } });
    expect(running.outcome()).toMatchObject({ outcome: 'failed', error: { code: 'LOG_GAP' } });
  });

  it('accepts no gap above the noop record', async () => {
    const running = await startAndPop(6n, { startVersion: 9n, noop: { 'noop/1/0': '5' } });
    expect(running.outcome()).toMatchObject({ outcome: 'failed', error: { code: 'LOG_GAP' } });
  });

  it('accepts no gap without a noop record', async () => {
    const running = await startAndPop(5n, { startVersion: 9n });
    expect(running.outcome()).toMatchObject({ outcome: 'failed', error: { code: 'LOG_GAP' } });
  });

  it("takes no other tag's and no other epoch's noop record for an explanation", async () => {
    const running = await startAndPop(5n, {
      startVersion: 9n,
      noop: { 'noop/1/1': '9', 'noop/2/0': '9', 'noop/0/0': '9' },
    });
    expect(running.outcome()).toMatchObject({ outcome: 'failed', error: { code: 'LOG_GAP' } });
  });

  it('accepts a gap at the first peek only', async () => {
    void world.request('job', { startVersion: 100n });
    const running = world.start(0, { store, log });
    await world.clock.settle();
    expect(running.worker.metrics()?.pulledEnd).toBe(11n);
    const gate = log.hold('peek', { at: 'before' });
    world.put(0, 'b');
    await world.clock.settle();
    await gate.reached;
    world.put(0, 'c');
    world.put(0, 'd');
    await world.write('noop/1/0', { version: '13' });
    await pop(13n);
    gate.open();
    await world.clock.settle();
    expect(running.outcome()).toMatchObject({ outcome: 'failed', error: { code: 'LOG_GAP' } });
  });

  it('names the gap: epoch, tag and versions, and in words what to do; then nothing more is popped', async () => {
    const running = await startAndPop(5n, { startVersion: 3n });
    const outcome = running.outcome();
    const error = outcome?.outcome === 'failed' ? outcome.error : undefined;
    expect(error).toBeInstanceOf(BackupError);
    expect(error).toMatchObject({
      code: 'LOG_GAP',
      epoch: 1,
      tag: { locality: -2, id: 0 },
      versions: { begin: 1n, end: 6n },
    });
    expect((error as BackupError).message).toMatch(/epoch 1, tag 0.* 1 to 5/);
    expect((error as BackupError).message).toMatch(
      /abort them, let the workers reach NOOP mode, then submit new ones$/,
    );
    await world.clock.advance(60_000);
    expect(running.worker.state).toBe('Failed');
    expect(log.pops).toEqual([]);
    expect(world.record('progress/1/0')).toBeUndefined();
    expect(await world.files('job')).toEqual([]);
  });

  it('ends as displaced when another run has claimed the tag, and so has popped', async () => {
    void world.request('job');
    const gate = log.hold('peek');
    const running = world.start(0, { store, log });
    await gate.reached;
    await world.write('owner/1/0', { runId: 'another' });
    await pop(5n);
    gate.open();
    await world.clock.settle();
    expect(running.outcome()).toMatchObject({ outcome: 'displaced', error: { code: 'DISPLACED' } });
    expect(running.worker.state).toBe('Displaced');
  });

  it('ends as displaced when the tag is recorded as drained (a worker that has not been told yet)', async () => {
    void world.request('job');
    const gate = log.hold('peek');
    const running = world.start(0, { store, log });
    await gate.reached;
    await world.write('done/1/0', { done: true });
    await pop(10n);
    gate.open();
    await world.clock.settle();
    expect(running.outcome()).toMatchObject({ outcome: 'displaced', error: { code: 'DISPLACED' } });
    expect(running.events).toContain('displaced DISPLACED');
  });

  it('asks the store again when it is away, and decides nothing without it', async () => {
    void world.request('job', { startVersion: 6n });
    const gate = log.hold('peek');
    const running = world.start(0, { store, log });
    await gate.reached;
    await world.write('noop/1/0', { version: '5' });
    await pop(5n);
    store.fail('transact', unavailable(), {
      match: ({ reads }) => reads.has('done/1/0') && reads.has('noop/1/0'),
      count: 2,
    });
    gate.open();
    await world.clock.advance(5_000);
    expect(running.events.filter((event) => event.startsWith('retry look for')).length).toBe(2);
    expect(running.outcome()).toBeUndefined();
    expect(running.worker.metrics()?.pulledEnd).toBe(11n);
  });

  it('takes what was popped below the begin of a peek for no gap', async () => {
    const running = world.start(0, { store, log });
    await world.clock.advance(1_000);
    await world.submit('job');
    world.put(0, 'b');
    await world.clock.advance(11_000);
    expect(log.pops).toContain(10n);
    expect(running.outcome()).toBeUndefined();
    expect(await world.stretches('job')).toEqual(['0:[11, 12)']);
  });

  it('is passed in NOOP mode once the jobs that it concerns are aborted: one that is submitted then is stored', async () => {
    const lost = await startAndPop(5n, { startVersion: 3n });
    expect(lost.outcome()).toMatchObject({ outcome: 'failed', error: { code: 'LOG_GAP' } });
    await world.operator.abort('job');
    const running = world.start(0);
    await world.clock.advance(6_000);
    expect(world.record('noop/1/0')).toEqual({ version: '10' });
    await world.submit('next');
    world.put(0, 'b');
    await world.clock.advance(11_000);
    expect(running.outcome()).toBeUndefined();
    expect(await world.mutations('next')).toEqual(['0/11/1/b=v']);
  });
});
