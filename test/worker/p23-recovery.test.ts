// Rule P23 of docs/protocol.md, carried out by workers: what an old epoch left is drained, and no version falls between epochs. (The plan by itself: test/job/plan.test.ts.)

import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { describeBackup } from '../../src/restore/describe.js';
import { World, set, type Running } from './world.js';

describe('P23 recovery', () => {
  let world: World;
  beforeEach(async () => {
    world = new World({ totalTags: 2 });
    await world.announce();
  });
  afterEach(() => world.end());

  /** Commits versions up to `last`, over all tags of the current epoch in turn. */
  function write(last: bigint): void {
    const { log } = world;
    while (log.knownVersion < last) {
      const version = log.knownVersion + 1n;
      log.commit([{ tag: Number(version) % log.totalTags, mutation: set(`k${version}`) }]);
    }
  }

  /** The recorded place of each worker that runs: "epoch.tag". */
  function placesOf(workers: readonly Running[]): string[] {
    return workers.map(({ worker }) => `${worker.metrics()?.backupEpoch}.${worker.metrics()?.tag.id}`);
  }

  async function versionsOf(uid: string): Promise<number[]> {
    const versions = new Set((await world.mutations(uid)).map((mutation) => Number(mutation.split('/')[1])));
    return [...versions].sort((a, b) => a - b);
  }

  const upTo = (last: number, first = 1) => Array.from({ length: last - first + 1 }, (_, index) => first + index);

  /** Lets everyone work, and the log hear what is drained. */
  async function finish(): Promise<void> {
    await world.clock.advance(11_000);
    await world.tellOldestEpoch();
    await world.clock.advance(11_000);
  }

  it('each tag of an old epoch is drained from what it has saved itself to the epoch’s last version', async () => {
    const { clock, log } = world;
    const first = [world.start(0), world.start(1, { uploadDelay: 1_000_000 })];
    await world.submit('job', { logOnly: true });
    write(10n);
    await clock.advance(11_000);
    expect(world.record('progress/1/0')).toMatchObject({ savedVersion: '10' });
    expect(world.record('progress/1/1')).toBeUndefined();
    await Promise.all(first.map((running) => running.stop()));
    write(15n);
    log.recover();
    write(20n);
    const workers = await world.recruit();
    await clock.settle();
    expect(placesOf(workers)).toEqual(['1.0', '1.1', '2.0', '2.1']);
    await finish();
    expect(workers.slice(0, 2).map(({ outcome }) => outcome())).toEqual([
      { outcome: 'completed' },
      { outcome: 'completed' },
    ]);
    expect((await world.stretches('job')).filter((text) => text.endsWith(', 16)'))).toEqual([
      '0:[11, 16)',
      '1:[1, 16)',
    ]);
    expect(await versionsOf('job')).toEqual(upTo(20));
    const description = await describeBackup(world.container('memory:job'), { deep: true });
    expect(description).toMatchObject({ minRestorable: 1n, maxRestorable: 20n, gaps: [] });
  });

  it('epochs with other numbers of tags are drained one by one, and the files touch without a gap', async () => {
    const { clock, log } = world;
    world.start(0);
    world.start(1);
    await world.submit('job', { logOnly: true });
    write(10n);
    log.recover({ totalTags: 3 });
    write(20n);
    // Nobody has been started for epoch 2 when it is over too.
    log.recover({ totalTags: 1 });
    write(30n);
    const workers = await world.recruit();
    await clock.settle();
    await finish();
    await finish();
    expect(workers.map(({ outcome }) => outcome()?.outcome)).toEqual([
      ...Array<string>(workers.length - 1).fill('completed'),
      undefined,
    ]);
    expect(await versionsOf('job')).toEqual(upTo(30));
    const description = await describeBackup(world.container('memory:job'), { deep: true });
    expect(description).toMatchObject({ minRestorable: 1n, maxRestorable: 30n, gaps: [] });
    expect(description.stretches.map(({ begin, end, totalTags }) => `${totalTags}:[${begin}, ${end})`)).toEqual([
      '2:[1, 11)',
      '3:[11, 21)',
      '1:[21, 31)',
    ]);
  });

  it('a tag without any record is drained from the epoch’s begin', async () => {
    const { log } = world;
    void world.request('job');
    write(10n);
    log.recover();
    write(20n);
    const workers = await world.recruit();
    await finish();
    expect(workers).toHaveLength(4);
    expect((await world.stretches('job')).filter((text) => text.endsWith(', 11)'))).toEqual(['0:[1, 11)', '1:[1, 11)']);
    expect(await versionsOf('job')).toEqual(upTo(20));
  });

  it('without an active job there is nothing to drain: only the current epoch gets workers', async () => {
    const { log } = world;
    write(10n);
    log.recover();
    const workers = await world.recruit();
    await world.clock.settle();
    expect(placesOf(workers)).toEqual(['2.0', '2.1']);
    expect([world.record('done/1/0'), world.record('done/1/1')]).toEqual([{ done: true }, { done: true }]);
  });

  it('when every job starts after the epoch, nothing of it is read', async () => {
    const { log } = world;
    void world.request('job', { startVersion: 11n });
    write(10n);
    log.recover();
    write(20n);
    const workers = await world.recruit();
    await finish();
    expect(placesOf(workers)).toEqual(['2.0', '2.1']);
    expect(await versionsOf('job')).toEqual(upTo(20, 11));
  });

  it('what NOOP mode has covered of an old epoch is skipped, and the rest is drained', async () => {
    const { clock, log } = world;
    const first = [world.start(0), world.start(1)];
    write(6n);
    await clock.advance(6_000);
    expect(world.record('noop/1/0')).toEqual({ version: '6' });
    expect(await world.submit('job')).toMatchObject({ completeFrom: 7n });
    write(12n);
    await Promise.all(first.map((running) => running.stop()));
    log.recover();
    write(20n);
    await world.recruit();
    await finish();
    expect(await versionsOf('job')).toEqual(upTo(20, 7));
    expect((await world.stretches('job')).slice(0, 2)).toEqual(['0:[7, 13)', '0:[13, 21)']);
  });

  it('a recovery during a recovery: the plan is made again, and the drainers of the drained epoch go on', async () => {
    const { clock, log } = world;
    const first = [world.start(0), world.start(1)];
    await world.submit('job', { logOnly: true });
    write(10n);
    await Promise.all(first.map((running) => running.stop()));
    log.recover();
    write(15n);
    log.delay('peek', 2_000);
    const second = await world.recruit();
    await clock.advance(1_000);
    log.recover();
    write(20n);
    await clock.settle();
    const third = await world.recruit();
    await clock.advance(20_000);
    expect(second.map(({ outcome }) => outcome()?.outcome)).toEqual(Array(4).fill('displaced'));
    await finish();
    expect(third.map(({ outcome }) => outcome()?.outcome)).toEqual([
      ...Array<string>(4).fill('completed'),
      undefined,
      undefined,
    ]);
    expect(await versionsOf('job')).toEqual(upTo(20));
    const description = await describeBackup(world.container('memory:job'), { deep: true });
    expect(description).toMatchObject({ minRestorable: 1n, maxRestorable: 20n, gaps: [] });
  });
});
