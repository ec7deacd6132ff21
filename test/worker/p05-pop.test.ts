// Rule P5 of docs/protocol.md: when the log may be told to forget.

import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { BackupError } from '../../src/core/errors.js';
import type { LogSource } from '../../src/ports/log-source.js';
import { GatedLog, GatedStore, writesTo } from './gates.js';
import { World } from './world.js';

describe('P5 pop', () => {
  let world: World;
  let log: GatedLog;
  beforeEach(async () => {
    world = new World();
    log = new GatedLog(world.log);
    await world.announce();
  });
  afterEach(() => world.end());

  const putMany = (count: number) => {
    for (let i = 0; i < count; i++) world.put(0, `a${i}`);
  };
  const newEpoch = async () => {
    world.log.recover();
    await world.announce();
  };

  it('pops what is saved while the backup epoch is the oldest unfinished one', async () => {
    world.start(0, { log });
    await world.submit('job');
    putMany(3);
    await world.clock.advance(11_000);
    expect(log.pops.at(-1)).toBe(3n);
  });

  it('withholds the pop of the current epoch while an older one is unfinished, and issues it when that moves', async () => {
    putMany(3);
    await newEpoch();
    const running = world.start(0, { log });
    await world.submit('job');
    putMany(3);
    await world.clock.advance(11_000);
    expect(running.worker.metrics()).toMatchObject({ savedVersion: 6n, poppedVersion: undefined });
    expect(log.pops).toEqual([]);
    expect(world.log.versions(1, { locality: -2, id: 0 })).toEqual([1n, 2n, 3n]);
    world.log.setOldestBackupEpoch(2);
    await world.clock.settle();
    expect(log.pops).toEqual([6n]);
    expect(running.worker.metrics()?.poppedVersion).toBe(6n);
  });

  it('withholds it in NOOP mode too', async () => {
    putMany(3);
    await newEpoch();
    world.start(0, { log });
    putMany(2);
    await world.clock.advance(6_000);
    expect(world.record('noop/2/0')).toEqual({ version: '5' });
    expect(log.pops).toEqual([]);
    world.log.setOldestBackupEpoch(2);
    await world.clock.settle();
    expect(log.pops).toEqual([5n]);
  });

  it('takes an unknown oldest epoch for not yet', async () => {
    world.log.setOldestBackupEpoch(undefined);
    world.start(0, { log });
    await world.submit('job');
    putMany(3);
    await world.clock.advance(11_000);
    expect(world.record('progress/1/0')).toMatchObject({ savedVersion: '3' });
    expect(log.pops).toEqual([]);
    world.log.setOldestBackupEpoch(1);
    await world.clock.settle();
    expect(log.pops).toEqual([3n]);
  });

  it('withholds the pop of an old epoch while a still older one is unfinished', async () => {
    void world.request('job');
    putMany(2);
    await newEpoch();
    putMany(2);
    await newEpoch();
    const middle = world.start(0, { log, epoch: 2, endVersion: 4n });
    await world.clock.advance(1_000);
    expect(middle.outcome()).toEqual({ outcome: 'completed' });
    expect(world.record('progress/2/0')).toMatchObject({ savedVersion: '4' });
    expect(log.pops).toEqual([]);
    expect(world.log.versions(1, { locality: -2, id: 0 })).toEqual([1n, 2n]);
    const oldest = world.start(0, { log, epoch: 1, endVersion: 2n });
    await world.clock.advance(1_000);
    expect(oldest.outcome()).toEqual({ outcome: 'completed' });
    expect(log.pops).toEqual([2n]);
  });

  it('pops an old epoch to its end before it is called done', async () => {
    void world.request('job');
    putMany(2);
    await newEpoch();
    const gate = log.hold('pop', { match: ({ upTo }) => upTo === 2n });
    const old = world.start(0, { log, epoch: 1, endVersion: 2n });
    await world.clock.advance(1_000);
    expect(gate.isReached).toBe(true);
    expect(world.record('progress/1/0')).toMatchObject({ savedVersion: '2' });
    expect(world.record('done/1/0')).toBeUndefined();
    gate.open();
    await world.clock.settle();
    expect(world.record('done/1/0')).toBeDefined();
    expect(old.outcome()).toEqual({ outcome: 'completed' });
  });

  it('never pops above what a save has recorded', async () => {
    const store = new GatedStore(world.store);
    world.start(0, { log, store });
    await world.submit('job');
    putMany(3);
    await world.clock.advance(11_000);
    putMany(3);
    const gate = store.hold('transact', { match: writesTo('progress/1/0') });
    await world.clock.advance(11_000);
    expect(gate.isReached).toBe(true);
    expect(log.pops.at(-1)).toBe(3n);
    gate.open();
    await world.clock.settle();
    expect(log.pops.at(-1)).toBe(6n);
  });

  it('never pops above what a noop transaction has recorded', async () => {
    const store = new GatedStore(world.store);
    world.start(0, { log, store });
    await world.clock.advance(1_000);
    putMany(3);
    const gate = store.hold('transact', { match: writesTo('noop/1/0') });
    await world.clock.advance(6_000);
    expect(gate.isReached).toBe(true);
    expect(log.pops.filter((upTo) => upTo > 0n)).toEqual([]);
    gate.open();
    await world.clock.settle();
    expect(log.pops.at(-1)).toBe(3n);
  });

  it("never pops on the plan's word: a begin that nobody has recorded is not popped up to", async () => {
    putMany(5);
    world.start(0, { log, startVersion: 4n, uploadDelay: 1_000_000 });
    void world.request('job');
    await world.clock.advance(5_000);
    expect(log.pops.filter((upTo) => upTo > 0n)).toEqual([]);
  });

  it('pops what an earlier run has recorded and could not pop any more', async () => {
    putMany(5);
    await world.write('progress/1/0', { savedVersion: '4', totalTags: 1, jobs: [] });
    world.start(0, { log, uploadDelay: 1_000_000, noopPopDelay: 1_000_000 });
    void world.request('job');
    await world.clock.advance(1_000);
    expect(log.pops).toEqual([4n]);
  });

  it('does not pop when it is displaced: what it still saves is popped by the new owner', async () => {
    const store = new GatedStore(world.store);
    const running = world.start(0, { log, store });
    await world.submit('job');
    putMany(3);
    const gate = store.hold('transact', { match: writesTo('progress/1/0') });
    await world.clock.advance(11_000);
    expect(gate.isReached).toBe(true);
    const pops = log.pops.length;
    world.log.recover();
    await world.clock.settle();
    gate.open();
    await world.clock.advance(1_000);
    expect(running.outcome()).toMatchObject({ outcome: 'displaced' });
    expect(world.record('progress/1/0')).toMatchObject({ savedVersion: '3' });
    expect(log.pops.length).toBe(pops);
  });

  it('does not issue a withheld pop when it is displaced', async () => {
    putMany(1);
    await newEpoch();
    const running = world.start(0, { log });
    await world.clock.advance(1_000);
    expect(world.record('noop/2/0')).toEqual({ version: '1' });
    world.log.recover({ announce: false });
    world.log.setOldestBackupEpoch(2);
    world.log.announce();
    await world.clock.advance(1_000);
    expect(running.outcome()).toMatchObject({ outcome: 'displaced' });
    expect(log.pops).toEqual([]);
  });

  it('does not try a pop again that has failed when it has been displaced meanwhile', async () => {
    const store = new GatedStore(world.store);
    const running = world.start(0, { log, store, retryMinDelay: 2_000 });
    await world.submit('job');
    putMany(3);
    log.fail('pop', new Error('connection reset'), { match: ({ upTo }) => upTo === 3n });
    await world.clock.advance(8_000);
    expect(log.pops.at(-1)).toBe(3n);
    const pops = log.pops.length;
    // It is busy saving what it holds, and so has not ended yet.
    putMany(1);
    const gate = store.hold('transact', { match: writesTo('progress/1/0') });
    await world.clock.settle();
    world.log.recover();
    await world.clock.advance(20_000);
    expect(gate.isReached).toBe(true);
    expect(running.events).toContain('displaced DISPLACED');
    expect(log.pops.length).toBe(pops);
    gate.open();
    await world.clock.settle();
  });

  it('tries again when the log fails, and a pop whose answer was lost does no harm', async () => {
    const running = world.start(0, { log });
    await world.submit('job');
    putMany(3);
    log.fail('pop', new BackupError('TIMEOUT', 'slow', { retryable: true }));
    log.fail('pop', new Error('connection reset'), { at: 'after' });
    await world.clock.advance(12_000);
    expect(log.pops.slice(-3)).toEqual([3n, 3n, 3n]);
    expect(running.worker.metrics()?.poppedVersion).toBe(3n);
    expect(running.events.filter((event) => event.startsWith('retry pop')).length).toBe(2);
  });

  it('ends with the error of a pop that fails for good', async () => {
    const running = world.start(0, { log });
    await world.submit('job');
    putMany(3);
    log.fail('pop', new BackupError('ADAPTER_CONTRACT', 'no such tag'), { match: ({ upTo }) => upTo === 3n });
    await world.clock.advance(12_000);
    expect(running.outcome()).toMatchObject({ outcome: 'failed', error: { code: 'ADAPTER_CONTRACT' } });
    expect(running.worker.state).toBe('Failed');
  });

  it('needs no word about older epochs from a log that never changes hands', async () => {
    const pops: bigint[] = [];
    const simple: LogSource = {
      peek: (request) => world.log.peek(request),
      pop: async (request) => {
        pops.push(request.upTo);
        await world.log.pop(request);
      },
      minKnownCommittedVersion: (request) => world.log.minKnownCommittedVersion(request),
      committedVersion: (signal) => world.log.committedVersion(signal),
    };
    world.start(0, { log: simple });
    await world.submit('job');
    putMany(3);
    await world.clock.advance(11_000);
    expect(pops.at(-1)).toBe(3n);
  });
});
