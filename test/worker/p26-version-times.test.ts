// Rule P26 of docs/protocol.md: which version was current when.

import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { MemoryContainer } from '../../src/container/memory-container.js';
import { BackupError } from '../../src/core/errors.js';
import { VERSION_TIME_FOLDER, parseVersionTimeName } from '../../src/format/fdb/version-times.js';
import { VersionTimes } from '../../src/worker/version-times.js';
import { GatedContainer, GatedLog, logFiles } from './gates.js';
import { World } from './world.js';

const away = () => new BackupError('CONTAINER_UNAVAILABLE', 'back soon', { retryable: true });
const timeFiles = ({ name }: { name: string }) => name.startsWith(VERSION_TIME_FOLDER);

describe('P26 version times', () => {
  let world: World;
  let log: GatedLog;
  let container: GatedContainer;
  let start: number;
  beforeEach(async () => {
    world = new World();
    log = new GatedLog(world.log);
    container = new GatedContainer(new MemoryContainer({ url: 'memory:job' }));
    world.containers.set('memory:job', container);
    await world.announce();
    start = world.clock.wallTime();
  });
  afterEach(() => world.end());

  const run = (options: Parameters<World['start']>[1] = {}) =>
    world.start(0, { log, versionTimeInterval: 60_000, uploadDelay: 5_000, ...options });
  /** "version at s" of every pair that a container has, seconds since the test began. */
  const pairs = async (url = 'memory:job') =>
    (await world.names(url, VERSION_TIME_FOLDER)).map((name) => {
      const pair = parseVersionTimeName(name);
      return pair === undefined ? name : `${pair.version} at ${(pair.time - start) / 1_000}`;
    });
  const retries = (running: { readonly events: readonly string[] }) =>
    running.events.filter((event) => event.startsWith('retry write the time of version'));

  it('notes what was committed every versionTimeInterval, once the job has stored it', async () => {
    run();
    await world.submit('job');
    await world.clock.advance(8_000);
    world.put(0, 'a');
    world.put(0, 'b');
    await world.clock.advance(45_000);
    expect(await pairs()).toEqual([]);
    // The next question comes 60 s after the first one, which found nothing committed.
    await world.clock.advance(10_000);
    expect(await pairs()).toEqual(['2 at 60']);
    world.put(0, 'c');
    await world.clock.advance(48_000);
    const gate = container.hold('finish', { match: logFiles });
    world.put(0, 'd');
    await world.clock.advance(15_000);
    // Asked at 120 s, when version 4 was not stored yet.
    expect(await pairs()).toEqual(['2 at 60']);
    gate.open();
    await world.clock.advance(2_000);
    expect(await pairs()).toEqual(['2 at 60', '4 at 120']);
  });

  it('reads the time after the log has answered, however long that takes', async () => {
    run();
    await world.submit('job');
    const gate = log.hold('committedVersion', { at: 'after' });
    world.put(0, 'a');
    await world.clock.advance(60_000);
    expect(gate.isReached).toBe(true);
    world.put(0, 'b');
    await world.clock.advance(20_000);
    expect(await pairs()).toEqual([]);
    gate.open();
    await world.clock.advance(2_000);
    // Version 2 was committed before the time, and is not in the answer: that is what a restore to the time may lack.
    expect(await pairs()).toEqual(['1 at 82']);
  });

  it('does not note a version that another tag has not stored', async () => {
    world = new World({ totalTags: 2 });
    await world.announce();
    start = world.clock.wallTime();
    const away = new GatedContainer(world.container('memory:job'));
    world.start(0, { versionTimeInterval: 10_000, uploadDelay: 1_000 });
    world.start(1, { uploadDelay: 1_000, openContainer: () => away });
    await world.submit('job');
    world.put(1, 'first');
    await world.clock.advance(3_000);
    const gate = away.hold('append', { match: logFiles });
    world.put(0, 'a');
    world.put(1, 'b');
    await world.clock.advance(20_000);
    expect(gate.isReached).toBe(true);
    expect(await pairs()).toEqual([]);
    gate.open();
    await world.clock.advance(4_000);
    expect(await pairs()).toEqual(['3 at 10']);
  });

  it('does not note the same version twice: the earlier time says more', async () => {
    run();
    await world.submit('job');
    world.put(0, 'a');
    await world.clock.advance(300_000);
    expect(await pairs()).toEqual(['1 at 60']);
  });

  it('does not ask while there is no job, nor when the interval is 0', async () => {
    let asked = 0;
    log.on(
      'committedVersion',
      () => {
        asked++;
      },
      { count: 1_000 },
    );
    run();
    await world.clock.advance(200_000);
    expect(asked).toBe(0);
    await world.submit('job');
    expect(asked).toBe(1);
    await world.end();
    world = new World();
    const other = new GatedLog(world.log);
    asked = 0;
    other.on(
      'committedVersion',
      () => {
        asked++;
      },
      { count: 1_000 },
    );
    await world.announce();
    world.start(0, { log: other, versionTimeInterval: 0 });
    await world.submit('job');
    world.put(0, 'a');
    await world.clock.advance(200_000);
    expect(asked).toBe(0);
  });

  it('tries again when a write fails, and neither the job nor the round hears of it', async () => {
    const running = run();
    await world.submit('job');
    world.put(0, 'a');
    container.fail('writeFile', away(), { match: timeFiles, count: 3 });
    container.fail('finish', new BackupError('INVALID_NAME', 'not an error that passes'), { match: timeFiles });
    await world.clock.advance(64_000);
    expect(retries(running).length).toBe(4);
    expect(await pairs()).toEqual(['1 at 60']);
    expect(container.unfinished).toEqual([]);
    expect((await world.operator.status('job')).state).toBe('Running');
  });

  it('counts a name that is there already as written: an answer was lost', async () => {
    const running = run();
    await world.submit('job');
    world.put(0, 'a');
    const exists = new BackupError('FILE_EXISTS', 'as a container that never replaces says');
    const loseAnswer = () => {
      container.fail('finish', exists, { match: timeFiles });
      throw away();
    };
    container.on('finish', loseAnswer, { match: timeFiles, at: 'after' });
    await world.clock.advance(64_000);
    expect(retries(running).length).toBe(1);
    expect(await pairs()).toEqual(['1 at 60']);
  });

  it('a container that hangs delays no round, and the times of other jobs by a bounded time', async () => {
    const running = run();
    await world.submit('job');
    await world.submit('other');
    world.put(0, 'a');
    container.hold('writeFile', { match: timeFiles, count: 100 });
    await world.clock.advance(62_000);
    expect(await pairs('memory:other')).toEqual([]);
    world.put(0, 'b');
    await world.clock.advance(6_000);
    expect(running.worker.metrics()?.savedVersion).toBe(2n);
    await world.clock.advance(60_000);
    expect(await pairs('memory:other')).toEqual(['1 at 60', '2 at 120']);
    expect(await world.operator.status('job')).toMatchObject({ state: 'Running', savedVersion: 2n });
  });

  it('asks a container that hangs nothing more until it has answered: calls do not pile up', async () => {
    run();
    await world.submit('job');
    world.put(0, 'a');
    let asked = 0;
    let answer: () => void = () => undefined;
    const answered = new Promise<void>((resolve) => (answer = resolve));
    const hang = () => {
      asked++;
      return answered;
    };
    container.on('writeFile', hang, { match: timeFiles, count: 100 });
    await world.clock.advance(600_000);
    expect(asked).toBe(1);
    expect(await pairs()).toEqual([]);
    answer();
    await world.clock.advance(70_000);
    expect((await pairs()).length).toBeGreaterThan(0);
  });

  it('a log that does not answer, or fails, costs times and nothing else', async () => {
    const running = run();
    await world.submit('job');
    log.fail('committedVersion', new BackupError('ADAPTER_CONTRACT', 'not an error that passes'));
    world.put(0, 'a');
    await world.clock.advance(70_000);
    expect(running.outcome()).toBeUndefined();
    expect(running.worker.metrics()?.savedVersion).toBe(1n);
    expect(running.events).toContain('retry ask for a version and its time ADAPTER_CONTRACT 60000');
    await world.clock.advance(60_000);
    expect(await pairs()).toEqual(['1 at 120']);
  });

  it('writes nothing for a job that has left', async () => {
    run();
    await world.submit('job');
    const gate = container.hold('writeFile', { match: timeFiles });
    world.put(0, 'a');
    await world.clock.advance(64_000);
    expect(gate.isReached).toBe(true);
    await world.operator.abort('job');
    await world.clock.settle();
    gate.open();
    await world.clock.advance(100_000);
    expect(await pairs()).toEqual([]);
    expect(container.unfinished).toEqual([]);
  });

  it('ends with the run, which waits for a call that is under way for a second at most', async () => {
    const running = run();
    await world.submit('job');
    const gate = container.hold('writeFile', { match: timeFiles });
    world.put(0, 'a');
    await world.clock.advance(64_000);
    running.abort();
    await world.clock.advance(900);
    expect(running.outcome()).toBeUndefined();
    await world.clock.advance(200);
    expect(running.outcome()).toEqual({ outcome: 'stopped' });
    expect(world.clock.pendingTimers).toBe(0);
    gate.open();
    await world.clock.settle();
    expect(container.unfinished).toEqual([]);
  });

  it('is the work of tag 0 of the current epoch alone', async () => {
    world = new World({ totalTags: 2 });
    await world.announce();
    start = world.clock.wallTime();
    const second = new GatedLog(world.log);
    let asked = 0;
    second.on(
      'committedVersion',
      () => {
        asked++;
      },
      { count: 100 },
    );
    world.start(0, { versionTimeInterval: 10_000, uploadDelay: 1_000 });
    world.start(1, { log: second, versionTimeInterval: 10_000, uploadDelay: 1_000 });
    await world.submit('job');
    world.put(1, 'a');
    await world.clock.advance(15_000);
    expect(asked).toBe(0);
  });

  describe('what waits', () => {
    it('is bounded: every other time goes when there are too many, never the first nor the last', () => {
      const times = new VersionTimes();
      for (let i = 1; i <= 10_000; i++) times.add({ version: BigInt(i), time: i }, ['job']);
      times.noteStored('job', { completeFrom: 1n, savedVersion: 10_000n });
      const due: bigint[] = [];
      for (let pair = times.due('job'); pair !== undefined; pair = times.due('job')) {
        due.push(pair.version);
        times.written('job', pair);
      }
      expect(due.length).toBeLessThanOrEqual(64);
      expect([due[0], due.at(-1)]).toEqual([1n, 10_000n]);
    });

    it('is forgotten with its job, and below the version from which the job is complete', () => {
      const times = new VersionTimes();
      times.add({ version: 5n, time: 1 }, ['job', 'gone']);
      times.add({ version: 8n, time: 2 }, ['job']);
      times.noteStored('gone', { completeFrom: 1n, savedVersion: 9n });
      times.noteStored('job', { completeFrom: 6n, savedVersion: 9n });
      expect(times.due('gone')).toBeUndefined();
      expect(times.due('job')).toEqual({ version: 8n, time: 2 });
    });

    it('is nothing below that version which the log gives later: the job starts ahead of it', () => {
      const times = new VersionTimes();
      times.add({ version: 5n, time: 1 }, ['job']);
      times.noteStored('job', { completeFrom: 20n, savedVersion: 19n });
      times.add({ version: 8n, time: 2 }, ['job']);
      expect(times.due('job')).toBeUndefined();
      times.add({ version: 20n, time: 3 }, ['job']);
      times.noteStored('job', { completeFrom: 20n, savedVersion: 25n });
      expect(times.due('job')).toEqual({ version: 20n, time: 3 });
    });
  });
});
