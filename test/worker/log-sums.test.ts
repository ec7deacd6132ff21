// Checksums of log files: rule P25 of docs/protocol.md. A log file that is not empty is never seen without them, and they change nothing of the rules before.

import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { MemoryContainer } from '../../src/container/memory-container.js';
import { utf8 } from '../../src/core/bytes.js';
import { BackupError } from '../../src/core/errors.js';
import { SUMS_FOLDER, checkBlocks, parseFileSums, sumsFileName } from '../../src/format/fdb/file-sums.js';
import { GatedContainer, logFiles, sumsFiles } from './gates.js';
import { World } from './world.js';

const away = () => new BackupError('CONTAINER_UNAVAILABLE', 'back soon', { retryable: true });
const gone = () => new BackupError('INVALID_NAME', 'gone for good');

describe('P25 checksums of log files', () => {
  let world: World;
  let container: GatedContainer;
  beforeEach(async () => {
    world = new World();
    container = new GatedContainer(new MemoryContainer({ url: 'memory:job' }));
    world.containers.set('memory:job', container);
    await world.announce();
  });
  afterEach(() => world.end());

  const putMany = (count: number, prefix = 'a') => {
    for (let i = 0; i < count; i++) world.put(0, `${prefix}${i}`);
  };
  /** A worker with the jobs `job` and `other` and three versions; the next round is due 10 s after the last one. */
  const startWithJobs = async (options: Parameters<World['start']>[1] = {}) => {
    const running = world.start(0, { jobStallTimeout: 20_000, ...options });
    await world.submit('job');
    await world.submit('other');
    putMany(3);
    return running;
  };
  const logNames = () => world.names('memory:job', 'plogs/');
  const sumsNames = () => world.names('memory:job', SUMS_FOLDER);
  const status = () => world.operator.status('job');

  it('every file with messages has those of its bytes, an empty one has none', async () => {
    world.start(0, { blockSize: 64 });
    await world.submit('job', { ranges: [{ begin: utf8('a'), end: utf8('b') }] });
    for (const [count, prefix] of [[3, 'a'] as const, [3, 'z'] as const, [40, 'aa'] as const]) {
      putMany(count, prefix);
      await world.clock.advance(11_000);
    }
    let filled = 0;
    let empty = 0;
    for await (const { name, size } of container.listFiles('plogs/')) {
      const sumsName = sumsFileName(name);
      if (size === 0) {
        empty++;
        expect(await sumsNames()).not.toContain(sumsName);
        continue;
      }
      filled++;
      const sums = parseFileSums(await container.readFile(sumsName, 0, 1 << 20), sumsName);
      expect(sums.size).toBe(size);
      checkBlocks(sums, name, 0, await container.readFile(name, 0, size));
    }
    expect([filled, empty]).toEqual([2, 1]);
    expect((await sumsNames()).length).toBe(2);
  });

  it('are finished before their file is, for as long as that takes', async () => {
    await startWithJobs();
    const gate = container.hold('finish', { match: sumsFiles });
    await world.clock.advance(11_000);
    expect(gate.isReached).toBe(true);
    expect((await status()).savedVersion).toBe(0n);
    const before = await logNames();
    let wasThere: boolean | undefined;
    container.on('finish', async () => void (wasThere = (await sumsNames()).length === 1), { match: logFiles });
    gate.open();
    await world.clock.settle();
    expect((await logNames()).length).toBe(before.length + 1);
    expect(wasThere).toBe(true);
  });

  it('are written while the last append is under way', async () => {
    await startWithJobs();
    const gate = container.hold('append', { match: logFiles });
    await world.clock.advance(11_000);
    expect(gate.isReached).toBe(true);
    expect((await sumsNames()).length).toBe(1);
    const before = await logNames();
    gate.open();
    await world.clock.settle();
    expect((await logNames()).length).toBe(before.length + 1);
  });

  it.each(['writeFile', 'append', 'finish'] as const)(
    'a job that leaves in the middle of their %s gets neither them nor its file (P9)',
    async (call) => {
      const running = await startWithJobs();
      const gate = container.hold(call, { match: sumsFiles });
      await world.clock.advance(11_000);
      expect(gate.isReached).toBe(true);
      const before = await logNames();
      await world.operator.abort('job');
      await world.clock.settle();
      // The round does not wait for a container that nobody needs any more.
      expect(running.worker.metrics()?.savedVersion).toBe(3n);
      gate.open();
      await world.clock.advance(1_000);
      expect(await logNames()).toEqual(before);
      // What has been asked of the container already takes place.
      expect((await sumsNames()).length).toBe(call === 'finish' ? 1 : 0);
      expect(container.unfinished).toEqual([]);
    },
  );

  it('that cannot be written are written again, with a file of another name; what was left is an orphan', async () => {
    const running = await startWithJobs();
    container.fail('finish', away(), { match: sumsFiles, at: 'after' });
    container.fail('finish', away(), { match: logFiles });
    await world.clock.advance(15_000);
    expect(running.events.filter((event) => event.startsWith('retry write files of job job')).length).toBe(2);
    expect((await world.mutations('job')).length).toBe(3);
    // Of the try whose answer was lost, of the one whose log file failed, and of the third.
    expect((await sumsNames()).length).toBe(3);
    const names = await logNames();
    const filled = (await sumsNames()).filter((sums) => names.some((name) => sumsFileName(name) === sums));
    expect(filled.length).toBe(1);
    expect(container.unfinished).toEqual([]);
  });

  it('that fail for good fail the job, and the others go on (P10)', async () => {
    const running = await startWithJobs();
    container.fail('append', gone(), { match: sumsFiles });
    const before = await logNames();
    await world.clock.advance(11_000);
    expect(await status()).toMatchObject({ state: 'Failed', failure: { code: 'INVALID_NAME' } });
    expect(running.worker.metrics()?.savedVersion).toBe(3n);
    expect(await logNames()).toEqual(before);
  });

  it('that hang hold the others up for jobStallTimeout at most (P10)', async () => {
    const running = await startWithJobs();
    const gate = container.hold('append', { match: sumsFiles });
    await world.clock.advance(11_000);
    expect(gate.isReached).toBe(true);
    await world.clock.advance(14_000);
    expect((await status()).state).toBe('Running');
    await world.clock.advance(8_000);
    expect(running.events).toContain('jobFailed job TIMEOUT');
    expect(running.worker.metrics()?.savedVersion).toBe(3n);
  });

  it('that keep failing at the same place are no progress (P10)', async () => {
    await startWithJobs();
    container.fail('finish', away(), { match: sumsFiles, count: 1_000 });
    await world.clock.advance(35_000);
    expect((await status()).state).toBe('Failed');
  });

  it('that are slow but get on are waited for (P10)', async () => {
    await startWithJobs({ jobStallTimeout: 10_000 });
    for (const match of [logFiles, sumsFiles]) {
      for (const call of ['append', 'finish'] as const) container.on(call, () => world.clock.sleep(6_000), { match });
    }
    await world.clock.advance(40_000);
    expect((await status()).state).toBe('Running');
    expect((await world.mutations('job')).length).toBe(3);
  });

  it('count neither as files nor as bytes of the job', async () => {
    const running = await startWithJobs();
    await world.clock.advance(11_000);
    const names = await logNames();
    let bytes = 0;
    for await (const { size } of container.listFiles('plogs/')) bytes += size;
    expect(await status()).toMatchObject({ files: names.length, bytes });
    expect(running.worker.metrics()?.filesWritten).toBe(names.length + (await world.files('other')).length);
  });
});
