// Rule P17 of docs/protocol.md: who gets a file in a round, and when a round is worth it although nothing was written.

import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { logRouterTag } from '../../src/core/version.js';
import { World } from './world.js';

const TAG_0 = logRouterTag(0);

describe('P17 first files and idle rounds', () => {
  let world: World;
  beforeEach(async () => {
    world = new World();
    await world.announce();
  });
  afterEach(() => world.end());

  it('a job whose first version is above the cut gets no file in this round', async () => {
    const { clock } = world;
    const { worker } = world.start(0);
    await world.submit('now');
    expect(await world.submit('later', { startVersion: 8n })).toMatchObject({ completeFrom: 8n });
    for (let version = 1; version <= 5; version++) world.put(0, `a${version}`);
    await clock.advance(11_000);
    expect(worker.metrics()?.savedVersion).toBe(5n);
    expect(await world.stretches('now')).toEqual(['0:[1, 6)']);
    expect(await world.stretches('later')).toEqual([]);
    for (let version = 6; version <= 10; version++) world.put(0, `a${version}`);
    await clock.advance(11_000);
    expect(await world.stretches('later')).toEqual(['0:[8, 11)']);
    expect(await world.mutations('later')).toEqual(['0/8/1/a8=v', '0/9/1/a9=v', '0/10/1/a10=v']);
  });

  it('a job whose first version is the cut itself gets a file of one version', async () => {
    world.start(0);
    await world.submit('job', { startVersion: 5n });
    for (let version = 1; version <= 5; version++) world.put(0, `a${version}`);
    await world.clock.advance(11_000);
    expect(await world.stretches('job')).toEqual(['0:[5, 6)']);
  });

  it('a job’s first file is written at the first cut that reaches it, though nothing was written since', async () => {
    const { clock, log } = world;
    world.start(0, { uploadDelay: 10_000, idleUploadDelay: 1_000_000 });
    await world.submit('job');
    log.advance(30n);
    await clock.advance(11_000);
    expect(await world.stretches('job')).toEqual(['0:[1, 31)']);
    // The next one waits for the idle delay.
    log.advance(60n);
    await clock.advance(500_000);
    expect(await world.stretches('job')).toEqual(['0:[1, 31)']);
    await clock.advance(500_000);
    expect(await world.stretches('job')).toEqual(['0:[1, 31)', '0:[31, 61)']);
  });

  it('so is that of a job that joins while others wait for the idle delay', async () => {
    const { clock, log } = world;
    world.start(0, { uploadDelay: 10_000, idleUploadDelay: 1_000_000 });
    await world.submit('first');
    log.advance(30n);
    await clock.advance(11_000);
    await world.submit('second');
    log.advance(60n);
    await clock.advance(11_000);
    expect(await world.stretches('second')).toEqual(['0:[31, 61)']);
    expect(await world.stretches('first')).toEqual(['0:[1, 31)', '0:[31, 61)']);
  });

  it('an idle tag writes one empty file per job and idle delay, up to the cut; saves and pops like any other', async () => {
    const { clock, log } = world;
    const running = world.start(0, { uploadDelay: 10_000, idleUploadDelay: 60_000 });
    await world.submit('one');
    await world.submit('two');
    world.put(0, 'a');
    await clock.advance(11_000);
    for (let second = 0; second < 180; second++) {
      log.advance(log.knownVersion + 10n);
      // The last ten are not committed yet.
      log.advance(log.knownVersion + 10n, { uncommitted: true });
      await clock.advance(1_000);
    }
    for (const uid of ['one', 'two']) {
      const files = await world.files(uid);
      expect(files, uid).toHaveLength(1 + 3);
      expect(files.slice(1).map(({ begin }) => begin)).toEqual(files.slice(0, -1).map(({ end }) => end));
      expect(await world.mutations(uid)).toEqual(['0/1/1/a=v']);
    }
    const saves = running.events.filter((event) => event.startsWith('saved'));
    expect(new Set(saves).size).toBe(saves.length);
    const saved = running.worker.metrics()?.savedVersion ?? 0n;
    expect((await world.files('one')).at(-1)?.end).toBe(saved + 1n);
    expect(saved).toBeLessThanOrEqual(log.committed);
    expect(world.record('progress/1/0')).toMatchObject({ savedVersion: saved.toString() });
    expect(log.popped(1, TAG_0)).toBe(saved);
  });

  it('a log that stands still gets no files at all', async () => {
    const { clock } = world;
    world.start(0);
    await world.submit('job');
    world.put(0, 'a');
    await clock.advance(11_000);
    await clock.advance(600_000);
    expect(await world.stretches('job')).toEqual(['0:[1, 2)']);
  });

  it('neither does one of which nothing more is committed, and nothing is saved again', async () => {
    const { clock, log } = world;
    const running = world.start(0);
    await world.submit('job');
    world.put(0, 'a');
    await clock.advance(11_000);
    log.advance(50n, { uncommitted: true });
    await clock.advance(300_000);
    expect(await world.stretches('job')).toEqual(['0:[1, 2)']);
    expect(running.events.filter((event) => event.startsWith('saved'))).toEqual(['saved 1']);
    expect(running.outcome()).toBeUndefined();
  });

  it('messages of another job make a round, in which every job’s file goes on to the same end', async () => {
    const { clock } = world;
    world.start(0, { idleUploadDelay: 1_000_000 });
    const range = (begin: string, end: string) => [{ begin: Buffer.from(begin), end: Buffer.from(end) }];
    await world.submit('left', { ranges: range('a', 'm') });
    await world.submit('right', { ranges: range('m', 'z') });
    world.put(0, 'b');
    await clock.advance(11_000);
    world.put(0, 'c');
    await clock.advance(11_000);
    expect(await world.stretches('left')).toEqual(['0:[1, 2)', '0:[2, 3)']);
    expect(await world.stretches('right')).toEqual(['0:[1, 2)', '0:[2, 3)']);
    expect(await world.mutations('right')).toEqual([]);
  });

  it('an idle log that begins at version 0 leaves records that can be read: the store of all jobs goes on working', async () => {
    const zero = new World({ begin: 0n });
    await zero.announce();
    const running = zero.start(0);
    await zero.submit('job', { logOnly: true, firstVersion: 0n });
    await zero.clock.advance(60_000);
    expect(zero.record('job/job')).toMatchObject({ completeFrom: '0', savedVersion: '-1' });
    expect(await zero.operator.status('job')).toMatchObject({ savedVersion: -1n, restorable: false });
    zero.put(0, 'a');
    await zero.clock.advance(60_000);
    expect(await zero.mutations('job')).toEqual(['0/0/1/a=v']);
    expect(await zero.operator.status('job')).toMatchObject({ savedVersion: 0n, restorable: true });
    await running.stop();
    const again = zero.start(0);
    zero.put(0, 'b');
    await zero.clock.advance(20_000);
    expect(again.outcome()).toBeUndefined();
    expect(await zero.stretches('job')).toEqual(['0:[0, 1)', '0:[1, 2)']);
    await zero.end();
  });
});
