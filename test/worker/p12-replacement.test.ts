// Rule P12 of docs/protocol.md: a worker that replaces another goes on from what is recorded.

import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { World } from './world.js';

describe('P12 replacement', () => {
  let world: World;
  beforeEach(async () => {
    world = new World();
    await world.announce();
    for (let i = 1; i <= 20; i++) world.put(0, `k${i}`);
  });
  afterEach(() => world.end());

  const begin = async (options: Parameters<World['start']>[1] = {}) => {
    const { worker } = world.start(0, { uploadDelay: 1_000_000, ...options });
    await world.clock.settle();
    return worker.metrics();
  };
  const progress = (
    savedVersion: string,
    ...jobs: { uid: string; nextBegin: string; bytes: number; files: number }[]
  ) => world.write('progress/1/0', { savedVersion, totalTags: 1, jobs });

  describe('starts at', () => {
    // A job that starts later than everything keeps the worker in pull mode and claims nothing.
    beforeEach(() => void world.request('late', { startVersion: 1_000n }));

    it("the epoch's begin when nothing is recorded", async () => {
      expect(await begin()).toMatchObject({ savedVersion: 0n, noopVersion: undefined });
    });

    it('progress + 1', async () => {
      await progress('7');
      expect(await begin()).toMatchObject({ savedVersion: 7n });
    });

    it('noop + 1', async () => {
      await world.write('noop/1/0', { version: '9' });
      expect(await begin()).toMatchObject({ savedVersion: 9n, noopVersion: 9n });
    });

    it('the larger of both, when that is the progress', async () => {
      await progress('12');
      await world.write('noop/1/0', { version: '9' });
      expect(await begin()).toMatchObject({ savedVersion: 12n, noopVersion: 9n });
    });

    it('the larger of both, when that is the noop', async () => {
      await progress('7');
      await world.write('noop/1/0', { version: '9' });
      expect(await begin()).toMatchObject({ savedVersion: 9n });
    });

    it('what is recorded for its own epoch and tag, not for another', async () => {
      for (const place of ['0/0', '1/1', '2/0']) {
        await world.write(`progress/${place}`, { savedVersion: '15', totalTags: 2, jobs: [] });
        await world.write(`noop/${place}`, { version: '15' });
      }
      expect(await begin()).toMatchObject({ savedVersion: 0n, noopVersion: undefined });
    });
  });

  it('goes on with each job at its recorded next begin: no version twice, none missing', async () => {
    const first = world.start(0, { uploadDelay: 1_000 });
    await world.submit('job');
    await world.clock.advance(3_000);
    await first.stop();
    for (let i = 21; i <= 25; i++) world.put(0, `k${i}`);
    world.start(0, { uploadDelay: 1_000 });
    await world.clock.advance(3_000);
    const files = await world.files('job');
    files.forEach((file, index) => {
      if (index > 0) expect(file.begin).toBe(files[index - 1]?.end);
    });
    const versions = (await world.mutations('job')).map((mutation) => Number(mutation.split('/')[1]));
    expect(versions).toEqual(Array.from({ length: versions.length }, (_, i) => i + (versions[0] ?? 0)));
    expect(versions.at(-1)).toBe(25);
  });

  it('goes on with a job at its next begin and with another that has no progress at its registered firstVersion', async () => {
    void world.request('old');
    void world.request('new', { startVersion: 15n });
    await world.clock.settle();
    await world.write('registered/old/1/0', { version: '3' });
    await world.write('registered/new/1/0', { version: '15' });
    await progress('10', { uid: 'old', nextBegin: '11', bytes: 100, files: 2 });
    world.start(0);
    await world.clock.advance(11_000);
    expect(await world.stretches('old')).toEqual(['0:[11, 21)']);
    expect(await world.stretches('new')).toEqual(['0:[15, 21)']);
  });

  it('counts on from what older runs have recorded', async () => {
    void world.request('old');
    await world.clock.settle();
    await world.write('registered/old/1/0', { version: '3' });
    await progress('10', { uid: 'old', nextBegin: '11', bytes: 100, files: 2 });
    const { worker } = world.start(0);
    await world.clock.advance(11_000);
    const record = world.record('progress/1/0') as { jobs: { bytes: number; files: number; nextBegin: string }[] };
    expect(record.jobs[0]).toMatchObject({ nextBegin: '21', files: 3 });
    expect(record.jobs[0]?.bytes).toBe(100 + (worker.metrics()?.bytesWritten ?? 0));
  });

  it('forgets nothing that the dead worker held in memory: what was not saved is pulled again', async () => {
    const first = world.start(0, { uploadDelay: 1_000_000 });
    await world.submit('job');
    await world.clock.advance(5_000);
    for (let i = 21; i <= 30; i++) world.put(0, `k${i}`);
    await world.clock.settle();
    expect(first.worker.metrics()?.queuedMessages).toBe(30);
    await first.stop();
    world.start(0, { uploadDelay: 1_000 });
    await world.clock.advance(3_000);
    expect((await world.mutations('job')).length).toBe(30);
  });

  it('refuses a begin that would leave a gap in a job', async () => {
    void world.request('old');
    await world.clock.settle();
    await world.write('registered/old/1/0', { version: '3' });
    await progress('10', { uid: 'old', nextBegin: '11', bytes: 100, files: 2 });
    const running = world.start(0, { startVersion: 15n });
    await expect(running.result).rejects.toMatchObject({
      code: 'INVALID_OPTION',
      jobUid: 'old',
      versions: { begin: 11n, end: 15n },
    });
    expect(world.record('owner/1/0')).toBeUndefined();
  });

  it('takes no job that has ended from the record', async () => {
    await progress('10', { uid: 'gone', nextBegin: '11', bytes: 100, files: 2 });
    const running = world.start(0);
    await world.clock.settle();
    expect(running.worker.metrics()?.activeJobs).toBe(0);
    expect(running.worker.state).toBe('NOOPMode.Waiting');
  });

  it("goes on in the middle of a drain, with the old epoch's own record", async () => {
    void world.request('job');
    await world.clock.settle();
    await world.write('registered/job/1/0', { version: '1' });
    await progress('10', { uid: 'job', nextBegin: '11', bytes: 100, files: 1 });
    world.log.recover();
    await world.announce();
    const old = world.start(0, { epoch: 1, endVersion: 20n });
    await world.clock.advance(1_000);
    expect(old.outcome()).toEqual({ outcome: 'completed' });
    expect(await world.stretches('job')).toEqual(['0:[11, 21)']);
    expect(world.record('progress/1/0')).toMatchObject({ savedVersion: '20' });
  });
});
