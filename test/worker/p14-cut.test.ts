// Rule P14 of docs/protocol.md: how far a round goes.

import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Version } from '../../src/core/version.js';
import type { LogSource, PeekRequest } from '../../src/ports/log-source.js';
import type { MemoryLog } from '../../src/testing/memory-log.js';
import { workerRules } from '../../src/worker/rules.js';
import { World, set } from './world.js';

/** The same log, but what it says of its committed version is the test's. */
function withCommitted(log: MemoryLog, committed: (epoch: number) => Version): Required<LogSource> {
  return {
    peek: async (request: PeekRequest) => ({
      ...(await log.peek(request)),
      minKnownCommittedVersion: committed(request.epoch),
    }),
    pop: (request) => log.pop(request),
    minKnownCommittedVersion: ({ epoch }) => Promise.resolve(committed(epoch)),
    committedVersion: (signal) => log.committedVersion(signal),
    logSystem: (signal) => log.logSystem(signal),
  };
}

describe('P14 the cut', () => {
  let world: World;
  beforeEach(async () => {
    world = new World();
    await world.announce();
  });
  afterEach(() => world.end());

  it('is the smaller of what was pulled and what is committed; endVersion once an old epoch is pulled', () => {
    const cut = (pulledEnd: Version, minKnownCommittedVersion: Version, endVersion?: Version) =>
      workerRules.cut({ pulledEnd, minKnownCommittedVersion, endVersion });
    expect(cut(11n, 7n)).toBe(7n);
    expect(cut(11n, 10n)).toBe(10n);
    expect(cut(11n, 70n)).toBe(10n);
    expect(cut(11n, 7n, 20n)).toBe(7n);
    expect(cut(20n, 70n, 20n)).toBe(19n);
    expect(cut(21n, 7n, 20n)).toBe(20n);
    expect(cut(30n, 70n, 20n)).toBe(20n);
  });

  it('stores nothing above the min known committed version, although it has pulled it', async () => {
    const { clock, log } = world;
    const { worker } = world.start(0);
    await world.submit('job');
    for (let version = 1; version <= 5; version++) world.put(0, `a${version}`);
    for (let version = 6; version <= 9; version++) {
      log.commit([{ tag: 0, mutation: set(`a${version}`) }], { uncommitted: true });
    }
    await clock.advance(11_000);
    expect(worker.metrics()).toMatchObject({ pulledEnd: 10n, savedVersion: 5n, queuedMessages: 4 });
    expect(await world.stretches('job')).toEqual(['0:[1, 6)']);
    log.setCommitted(7n);
    await clock.advance(11_000);
    expect(await world.stretches('job')).toEqual(['0:[1, 6)', '0:[6, 8)']);
  });

  it('does not hold the last pulled version back', async () => {
    world.start(0);
    await world.submit('job');
    world.put(0, 'a', 'b', 'c');
    await world.clock.advance(11_000);
    expect(await world.mutations('job')).toEqual(['0/1/1/a=v', '0/1/2/b=v', '0/1/3/c=v']);
  });

  it('is the end version once an old epoch is fully pulled, whatever the log still says of its committed version', async () => {
    const { clock, log } = world;
    const first = world.start(0);
    await world.submit('job');
    await first.stop();
    for (let version = 1; version <= 9; version++) world.put(0, `a${version}`);
    log.recover();
    await world.announce();
    const drainer = world.start(0, { epoch: 1, endVersion: 9n, log: withCommitted(log, () => 0n) });
    await clock.advance(5_000);
    expect(drainer.outcome()).toEqual({ outcome: 'completed' });
    expect(await world.stretches('job')).toEqual(['0:[1, 10)']);
  });

  it('while an old epoch is not fully pulled, stays at what is committed', async () => {
    const { clock, log } = world;
    const first = world.start(0);
    await world.submit('job');
    await first.stop();
    for (let version = 1; version <= 9; version++) world.put(0, `a${version}`);
    log.recover();
    await world.announce();
    let committed = 3n;
    // The lock takes two versions: the old epoch cannot be pulled as a whole.
    const knobs = { lockBytes: 70, peekBytes: 35, uploadBytes: 70 };
    const { worker } = world.start(0, { epoch: 1, endVersion: 9n, log: withCommitted(log, () => committed), ...knobs });
    await clock.advance(5_000);
    expect(worker.metrics()?.savedVersion).toBe(3n);
    committed = 9n;
    await clock.advance(5_000);
    expect(worker.metrics()?.savedVersion).toBe(9n);
  });

  it('no file’s end is above the end of an old epoch, whatever its log serves', async () => {
    const { clock, log } = world;
    const first = world.start(0);
    await world.submit('job');
    await first.stop();
    for (let version = 1; version <= 20; version++) world.put(0, `a${version}`);
    await world.write('epoch', { epoch: 2, begin: '8', totalTags: 1 });
    // The log of epoch 1 goes on to 20; this worker is told that it ends with 7.
    const drainer = world.start(0, { epoch: 1, recruitedEpoch: 2, endVersion: 7n });
    await clock.advance(5_000);
    expect(drainer.outcome()).toEqual({ outcome: 'completed' });
    expect(await world.stretches('job')).toEqual(['0:[1, 8)']);
    expect(await world.mutations('job')).toHaveLength(7);
    expect(log.versions(1, { locality: -2, id: 0 }).length).toBeGreaterThanOrEqual(13);
  });

  it('asks for the committed version of the epoch it drains, not of the newest one', async () => {
    const { clock, log } = world;
    const asked: number[] = [];
    const spy = withCommitted(log, (epoch) => {
      asked.push(epoch);
      return epoch === 1 ? 9n : 99n;
    });
    const first = world.start(0, { log: spy });
    await world.submit('job');
    for (let version = 1; version <= 9; version++) world.put(0, `a${version}`);
    log.commit([{ tag: 0, mutation: set('lost') }], { uncommitted: true });
    await clock.advance(1_000);
    log.recover({ announce: false });
    world.put(0, 'kept');
    await clock.advance(30_000);
    expect(first.worker.metrics()?.savedVersion).toBe(9n);
    expect(new Set(asked)).toEqual(new Set([1]));
  });

  it('never splits the messages of one version over two files, however little a peek may bring', async () => {
    const { clock, log } = world;
    world.start(0, { peekBytes: 30, uploadBytes: 30, lockBytes: 300 });
    await world.submit('job');
    for (let version = 1; version <= 20; version++)
      world.put(0, ...Array.from({ length: (version % 4) + 1 }, (_, i) => `k${i}`));
    await clock.advance(30_000);
    const files = await world.files('job');
    expect(files.length).toBeGreaterThan(3);
    expect(files.slice(1).map(({ begin }) => begin)).toEqual(files.slice(0, -1).map(({ end }) => end));
    expect(await world.mutations('job')).toHaveLength(5 * (2 + 3 + 4 + 1));
    expect(log.popped(1, { locality: -2, id: 0 })).toBe(20n);
  });
});
