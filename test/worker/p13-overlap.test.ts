// Rule P13 of docs/protocol.md, the writing side: how files come to overlap, and that what they share is the same. (Readers: test/restore.)

import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { describeBackup } from '../../src/restore/describe.js';
import { GatedStore, writesTo } from './gates.js';
import { World } from './world.js';

describe('P13 overlap', () => {
  let world: World;
  beforeEach(async () => {
    world = new World();
    await world.announce();
  });
  afterEach(() => world.end());

  it('a worker that dies between its files and the record leaves files that the next owner writes again', async () => {
    const { clock } = world;
    const store = new GatedStore(world.store);
    const first = world.start(0, { store });
    await world.submit('job', { logOnly: true });
    for (let version = 1; version <= 3; version++) world.put(0, `a${version}`);
    const save = store.hold('transact', { match: writesTo('progress/1/0') });
    await clock.advance(11_000);
    expect(save.isReached).toBe(true);
    await first.stop();
    for (let version = 4; version <= 5; version++) world.put(0, `a${version}`);
    world.start(0);
    await clock.settle();
    // What the dead run had sent arrives after the claim: it records nothing.
    save.open();
    await clock.advance(11_000);
    expect(await world.stretches('job')).toEqual(['0:[1, 4)', '0:[1, 6)']);
    const mutations = await world.mutations('job');
    expect(mutations.filter((mutation) => mutation.startsWith('0/2/'))).toEqual(['0/2/1/a2=v', '0/2/1/a2=v']);

    const description = await describeBackup(world.container('memory:job'), { deep: true });
    expect(description).toMatchObject({ minRestorable: 1n, maxRestorable: 5n, gaps: [], problems: [] });
  });

  it('so does one whose epoch has ended, when another drains the epoch while it finishes what it holds', async () => {
    const { clock, log } = world;
    const store = new GatedStore(world.store);
    const old = world.start(0, { store });
    await world.submit('job', { logOnly: true });
    for (let version = 1; version <= 3; version++) world.put(0, `a${version}`);
    await clock.advance(1_000);
    // Displaced, it stores what it holds at once; before it can record that, the drainer claims the tag.
    const save = store.hold('transact', { match: writesTo('progress/1/0') });
    log.recover();
    await clock.advance(1_000);
    expect(save.isReached).toBe(true);
    const [drainer] = await world.recruit();
    await clock.advance(1_000);
    save.open();
    await clock.advance(20_000);
    expect(old.outcome()).toMatchObject({ outcome: 'displaced' });
    expect(drainer?.outcome()).toEqual({ outcome: 'completed' });
    expect(await world.stretches('job')).toEqual(['0:[1, 4)', '0:[1, 4)']);
    // Recorded once: by the drainer.
    expect(world.record('progress/1/0')).toMatchObject({ savedVersion: '3', jobs: [{ uid: 'job', files: 1 }] });

    world.put(0, 'b');
    await world.tellOldestEpoch();
    await clock.advance(11_000);
    const description = await describeBackup(world.container('memory:job'), { deep: true });
    expect(description).toMatchObject({ minRestorable: 1n, maxRestorable: 4n, gaps: [], problems: [] });
  });
});
