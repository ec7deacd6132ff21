// Rule P9 of docs/protocol.md: a job that is aborted, or left out of a round, is gone at once and for good.

import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { BackupError } from '../../src/core/errors.js';
import { BackupOperator } from '../../src/job/operator.js';
import { type Gate, GatedContainer, GatedStore, logFiles, writesTo } from './gates.js';
import { World } from './world.js';

describe('P9 abort', () => {
  let world: World;
  let store: GatedStore;
  let container: GatedContainer;
  beforeEach(async () => {
    world = new World();
    store = new GatedStore(world.store);
    container = new GatedContainer(world.container('memory:job'));
    world.containers.set('memory:job', container);
    await world.announce();
  });
  afterEach(() => world.end());

  const putMany = (count: number, prefix = 'a') => {
    for (let i = 0; i < count; i++) world.put(0, `${prefix}${i}`);
  };

  /** Not later: a write that stalls lends its turn after a second. */
  const gateReached = async (gate: Gate) => {
    while (!gate.isReached) await world.clock.advance(100);
  };

  it('removes the job from started and makes it Aborted in one step', async () => {
    const gated = new GatedStore(world.store);
    world.start(0);
    await world.submit('job');
    await new BackupOperator(gated, { clock: world.clock }).abort('job');
    expect(gated.committed.length).toBe(1);
    expect(world.record('started')).toEqual({ jobs: [] });
    expect(world.record('job/job')).toMatchObject({ state: 'Aborted' });
  });

  it('makes the job leave the worker at once; what it has stored stays', async () => {
    const running = world.start(0);
    await world.submit('job');
    putMany(3);
    await world.clock.advance(11_000);
    const before = await world.stretches('job');
    expect(before.length).toBeGreaterThan(0);
    await world.operator.abort('job');
    await world.clock.settle();
    expect(running.events).toContain('jobLeft job');
    expect(running.worker.metrics()?.activeJobs).toBe(0);
    putMany(3, 'b');
    await world.clock.advance(70_000);
    expect(await world.stretches('job')).toEqual(before);
  });

  it('drops errors on files of a job that is no longer active, and the others go on', async () => {
    const running = world.start(0, { store });
    await world.submit('job');
    await world.submit('other');
    putMany(3);
    const gate = container.hold('append', { match: logFiles });
    container.fail('append', new BackupError('INVALID_NAME', 'gone for good'), { match: logFiles, count: 100 });
    await world.clock.advance(11_000);
    expect(gate.isReached).toBe(true);
    await world.operator.abort('job');
    await world.clock.settle();
    gate.open();
    await world.clock.advance(1_000);
    expect(running.outcome()).toBeUndefined();
    expect(running.events.filter((event) => event.startsWith('jobFailed'))).toEqual([]);
    expect((await world.operator.status('job')).state).toBe('Aborted');
    expect((await world.mutations('other')).length).toBe(3);
    expect(running.worker.metrics()?.savedVersion).toBe(3n);
  });

  it('makes no file visible of a job that leaves while it is being written', async () => {
    const running = world.start(0);
    await world.submit('job');
    await world.submit('other');
    putMany(3);
    const gate = container.hold('append', { match: logFiles });
    await world.clock.advance(11_000);
    expect(gate.isReached).toBe(true);
    await world.operator.abort('job');
    await world.clock.settle();
    // The round does not wait for a container that nobody needs any more.
    expect(running.worker.metrics()?.savedVersion).toBe(3n);
    gate.open();
    await world.clock.advance(1_000);
    expect(await world.files('job')).toEqual([]);
    expect(container.unfinished).toEqual([]);
    expect((await world.mutations('other')).length).toBe(3);
  });

  it('does not touch the container of a job that left while it waited for its turn to write', async () => {
    const busy = new GatedContainer(world.container('memory:busy'));
    world.containers.set('memory:busy', busy);
    world.start(0, { concurrentWrites: 1 });
    await world.submit('busy');
    await world.submit('job');
    putMany(3);
    const gate = busy.hold('append', { match: logFiles });
    await gateReached(gate);
    await world.operator.abort('job');
    await world.clock.settle();
    gate.open();
    await world.clock.advance(20_000);
    expect((await world.mutations('busy')).length).toBe(3);
    expect(await container.exists()).toBe(false);
    expect(await world.names('memory:job')).toEqual([]);
  });

  it('does not record progress for a job that left between its file and the save', async () => {
    world.start(0, { store });
    await world.submit('job');
    await world.submit('other');
    putMany(3);
    const gate = store.hold('transact', { match: writesTo('progress/1/0') });
    await world.clock.advance(11_000);
    expect(gate.isReached).toBe(true);
    await world.operator.abort('job');
    gate.open();
    await world.clock.advance(1_000);
    expect(world.record('progress/1/0')).toMatchObject({ savedVersion: '3', jobs: [{ uid: 'other' }] });
    expect((world.record('progress/1/0')?.['jobs'] as unknown[]).length).toBe(1);
  });

  describe('a job that was left out of a round because it failed', () => {
    /** `job` has failed in the round of the first three versions; that is not recorded yet. */
    const failInRound = async () => {
      const running = world.start(0, { store });
      await world.submit('job');
      await world.submit('other');
      const gate = store.hold('transact', { match: writesTo('started') });
      container.fail('writeFile', new BackupError('INVALID_NAME', 'gone for good'), { match: logFiles });
      putMany(3);
      await world.clock.advance(11_000);
      expect(gate.isReached).toBe(true);
      return { running, gate };
    };

    it('leaves the router in the step in which it is left out', async () => {
      const { running } = await failInRound();
      expect(running.events).toContain('jobLeft job');
      expect(running.worker.metrics()?.activeJobs).toBe(1);
    });

    it('never joins this run again, even if a late read of started still shows it (the job that came back)', async () => {
      const { running, gate } = await failInRound();
      // Something else makes the worker read the jobs, and `job` is still among them.
      void world.request('third');
      await world.clock.advance(6_000);
      expect(world.record('started')?.['jobs']).toMatchObject([{ uid: 'job' }, { uid: 'other' }, { uid: 'third' }]);
      expect(running.events.filter((event) => event === 'jobJoined third 4').length).toBe(1);
      expect(running.events.filter((event) => event.startsWith('jobJoined job')).length).toBe(1);
      gate.open();
      putMany(3, 'b');
      await world.clock.advance(20_000);
      expect(await world.files('job')).toEqual([]);
      expect((await world.operator.status('job')).state).toBe('Failed');
      expect((await world.mutations('other')).length).toBe(6);
    });
  });

  it('leaves the data of other jobs complete: no version twice, none missing', async () => {
    world.start(0, { uploadDelay: 1_000 });
    await world.submit('other');
    await world.submit('job');
    for (let i = 0; i < 5; i++) {
      putMany(2, `${i}-`);
      if (i === 2) await world.operator.abort('job');
      await world.clock.advance(700);
    }
    await world.clock.advance(10_000);
    const versions = (await world.mutations('other')).map((mutation) => mutation.split('/')[1]);
    expect(versions).toEqual(['1', '2', '3', '4', '5', '6', '7', '8', '9', '10']);
  });
});
