// What must always hold (docs/concepts.md), seen from outside of a whole worker, where no test of a single rule shows it. The number is the point's.

import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { utf8 } from '../../src/core/bytes.js';
import { BackupError } from '../../src/core/errors.js';
import { logRouterTag } from '../../src/core/version.js';
import { describeBackup } from '../../src/restore/describe.js';
import { restore } from '../../src/restore/restore.js';
import { MemoryRestoreTarget } from '../../src/testing/memory-restore-target.js';
import { GatedContainer, GatedLog, GatedStore, logFiles, writesTo } from './gates.js';
import { World, set } from './world.js';

const TAG_0 = logRouterTag(0);

describe('what must always hold', () => {
  let world: World;
  beforeEach(async () => {
    world = new World();
    await world.announce();
  });
  afterEach(() => world.end());

  function write(last: bigint): void {
    while (world.log.knownVersion < last) world.put(0, `k${world.log.knownVersion + 1n}`);
  }

  function gated(uid: string): GatedContainer {
    const container = new GatedContainer(world.container(`memory:${uid}`));
    world.containers.set(`memory:${uid}`, container);
    return container;
  }

  it('always 3: file finished, then progress saved, then saved version advanced, then log popped', async () => {
    const { clock } = world;
    const container = gated('job');
    const store = new GatedStore(world.store);
    const log = new GatedLog(world.log);
    const { worker } = world.start(0, { store, log });
    await world.submit('job');
    write(5n);
    const finish = container.hold('finish', { match: logFiles });
    const commit = store.hold('transact', { match: writesTo('progress/1/0') });
    const answer = store.hold('transact', { at: 'after', match: writesTo('progress/1/0') });
    const pop = log.hold('pop', { match: ({ upTo }) => upTo === 5n });
    const facts = async () => ({
      files: (await world.stretches('job')).length,
      recorded: world.record('progress/1/0')?.['savedVersion'],
      saved: worker.metrics()?.savedVersion,
      asksToPop: log.pops.includes(5n),
      queued: worker.metrics()?.queuedMessages,
    });
    await clock.advance(11_000);
    expect([finish.isReached, commit.isReached]).toEqual([true, false]);
    expect(await facts()).toEqual({ files: 0, recorded: undefined, saved: 0n, asksToPop: false, queued: 5 });
    finish.open();
    await clock.advance(1_000);
    expect([commit.isReached, answer.isReached]).toEqual([true, false]);
    expect(await facts()).toEqual({ files: 1, recorded: undefined, saved: 0n, asksToPop: false, queued: 5 });
    commit.open();
    await clock.advance(1_000);
    expect(answer.isReached).toBe(true);
    expect(await facts()).toEqual({ files: 1, recorded: '5', saved: 0n, asksToPop: false, queued: 5 });
    answer.open();
    await clock.advance(1_000);
    expect(await facts()).toEqual({ files: 1, recorded: '5', saved: 5n, asksToPop: true, queued: 0 });
    expect(world.log.popped(1, TAG_0)).toBeUndefined();
    pop.open();
    await clock.advance(1_000);
    expect(world.log.popped(1, TAG_0)).toBe(5n);
  });

  it('always 4: per tag and job files are contiguous, whatever comes and goes beside them', async () => {
    const { clock, operator, log } = world;
    const first = world.start(0, { uploadDelay: 3_000, idleUploadDelay: 7_000 });
    await world.submit('job');
    for (let step = 1; step <= 12; step++) {
      if (step % 3 === 0) log.advance(log.knownVersion + 1_000_000n);
      else write(log.knownVersion + 3n);
      if (step === 2) void world.request('beside');
      if (step === 5) await operator.abort('beside');
      if (step === 7) await operator.pause();
      if (step === 8) await operator.resume();
      if (step === 9) {
        await first.stop();
        world.start(0, { uploadDelay: 3_000, idleUploadDelay: 7_000 });
      }
      await clock.advance(4_000);
    }
    const files = await world.files('job');
    expect(files.length).toBeGreaterThan(6);
    // At most one more file for each jump over a million empty versions.
    expect(files.length).toBeLessThan(20);
    expect(files[0]?.begin).toBe(1n);
    expect(files.slice(1).map(({ begin }) => begin)).toEqual(files.slice(0, -1).map(({ end }) => end));
  });

  it('always 6: permits held are the bytes queued, whenever nothing is on its way; none after a drain, an error or a stop', async () => {
    const { clock, log } = world;
    const container = gated('job');
    const running = world.start(0, { lockBytes: 500, peekBytes: 120, uploadBytes: 300, uploadDelay: 700 });
    const { worker } = running;
    const check = () => {
      const metrics = worker.metrics();
      if (metrics === undefined) return;
      const { queuedMessages, bufferedBytes, availableBytes } = metrics;
      // Every message of this test is 28 bytes, or the one that is larger than the lock.
      expect(bufferedBytes % 28 === 0 || queuedMessages === 1).toBe(true);
      if (bufferedBytes % 28 === 0) expect(bufferedBytes).toBe(queuedMessages * 28);
      expect(availableBytes).toBe(Math.max(0, 500 - bufferedBytes));
    };
    await world.submit('job');
    container.fail('append', new BackupError('CONTAINER_UNAVAILABLE', 'back soon', { retryable: true }), {
      count: 2,
      match: logFiles,
    });
    for (let i = 0; i < 60; i++) {
      log.commit([{ tag: 0, mutation: set('ab=c') }], { uncommitted: i % 7 < 3 });
      if (i === 30) log.commit([{ tag: 0, mutation: set(`large=${'x'.repeat(2_000)}`) }]);
      await clock.advance(40);
      check();
    }
    log.setCommitted(log.knownVersion);
    await clock.advance(10_000);
    expect(worker.metrics()).toMatchObject({
      queuedMessages: 0,
      bufferedBytes: 0,
      availableBytes: 500,
      savedVersion: 61n,
    });
    log.commit([{ tag: 0, mutation: set('ab=c') }], { uncommitted: true });
    await clock.advance(100);
    expect(worker.metrics()?.bufferedBytes).toBe(28);
    await running.stop();
    expect(worker.metrics()).toMatchObject({ queuedMessages: 0, bufferedBytes: 0 });
  });

  it('always 7: a displaced worker stops pulling, finishes what it is writing, and does not pop', async () => {
    const { clock } = world;
    const container = gated('job');
    const log = new GatedLog(world.log);
    const running = world.start(0, { log });
    await world.submit('job');
    write(5n);
    const finish = container.hold('finish', { match: logFiles });
    await clock.advance(11_000);
    expect(finish.isReached).toBe(true);
    const pops = log.pops.length;
    world.log.recover();
    await clock.advance(100);
    const peeks = log.peeks.length;
    world.put(0, 'new');
    await clock.advance(5_000);
    expect(log.peeks.length).toBe(peeks);
    finish.open();
    await clock.advance(5_000);
    expect(running.outcome()).toMatchObject({ outcome: 'displaced' });
    expect(await world.stretches('job')).toEqual(['0:[1, 6)']);
    expect(world.record('progress/1/0')).toMatchObject({ savedVersion: '5' });
    expect(log.pops.length).toBe(pops);
    expect(log.peeks.length).toBe(peeks);
  });

  it('always 8: every worker, the current epoch’s most of all, withholds its pop while an older epoch is unfinished', async () => {
    const { clock, log } = world;
    const first = world.start(0);
    await world.submit('job');
    write(5n);
    await first.stop();
    log.recover();
    write(10n);
    await world.announce();
    const current = world.start(0);
    await clock.advance(30_000);
    expect(current.worker.metrics()).toMatchObject({ savedVersion: 10n });
    expect(log.pops.filter(({ epoch }) => epoch === 2)).toEqual([]);
    // A pop of epoch 2 would have discarded these.
    expect(log.versions(1, TAG_0)).toEqual([1n, 2n, 3n, 4n, 5n]);
    const [drainer] = await world.recruit();
    await clock.advance(5_000);
    expect(drainer?.outcome()).toEqual({ outcome: 'completed' });
    await world.tellOldestEpoch();
    await clock.advance(30_000);
    expect(log.popped(2, TAG_0)).toBe(10n);
  });

  it('always 10: leaving NOOP for pulling and back, again and again, skips and repeats nothing of an active job', async () => {
    const { clock, operator, log } = world;
    world.start(0, { noopPopDelay: 700, uploadDelay: 900 });
    for (let round = 0; round < 5; round++) {
      write(log.knownVersion + 4n);
      await clock.advance(333 * round);
      const uid = `job${round}`;
      const submitted = world.request(uid);
      write(log.knownVersion + 3n);
      await clock.advance(2_000);
      const { completeFrom } = await submitted;
      write(log.knownVersion + 3n);
      await operator.discontinue(uid);
      await clock.advance(500);
      write(log.knownVersion + 2n);
      await clock.advance(10_000);
      const status = await operator.status(uid);
      expect(status.state).toBe('Completed');
      const versions = (await world.mutations(uid)).map((mutation) => BigInt(mutation.split('/')[1] ?? 0));
      const wanted: bigint[] = [];
      for (let version = completeFrom; version <= (status.stopVersion ?? 0n); version++) wanted.push(version);
      expect(versions.filter((version) => version <= (status.stopVersion ?? 0n))).toEqual(wanted);
      expect(new Set(versions).size).toBe(versions.length);
    }
  });

  it('always 13: a job whose container hangs or goes away costs the others nothing but a bounded delay', async () => {
    const { clock, operator } = world;
    const hanging = gated('hanging');
    hanging.hold('append', { match: logFiles });
    const { worker } = world.start(0, { jobStallTimeout: 20_000 });
    await world.submit('good', { logOnly: true });
    await world.submit('hanging');
    write(5n);
    await clock.advance(11_000);
    write(9n);
    // The round began 10 s after the start at the latest; the stall is over 20 s later.
    await clock.advance(35_000);
    expect((await operator.status('hanging')).state).toBe('Failed');
    await operator.abort('hanging');
    expect(worker.metrics()).toMatchObject({ savedVersion: 9n, activeJobs: 1 });
    const description = await describeBackup(world.container('memory:good'), { deep: true });
    expect(description).toMatchObject({ minRestorable: 1n, maxRestorable: 9n, gaps: [] });
    expect(await world.mutations('good')).toHaveLength(9);
    expect(world.log.popped(1, TAG_0)).toBe(9n);
  });

  it('always 13: a permanent error of the worker’s own stops it with a typed error, and nothing more is popped', async () => {
    const { clock } = world;
    const store = new GatedStore(world.store);
    const running = world.start(0, { store });
    await world.submit('job');
    write(5n);
    store.fail('transact', new BackupError('STORE_CORRUPT', 'the test says so'), { match: writesTo('progress/1/0') });
    await clock.advance(60_000);
    expect(running.outcome()).toMatchObject({ outcome: 'failed', error: { code: 'STORE_CORRUPT' } });
    expect(running.worker.state).toBe('Failed');
    expect(world.log.pops.filter(({ upTo }) => upTo > 0n)).toEqual([]);
    expect(clock.pendingTimers).toBe(0);
  });

  it('always 15: every version that describe calls restorable is restored exactly, and any other is refused with the reason', async () => {
    world = new World({ totalTags: 2 });
    const { clock, log } = world;
    await world.announce();
    world.start(0, { uploadDelay: 1_000 });
    world.start(1, { uploadDelay: 1_500 });
    await world.submit('job', { logOnly: true });
    const states = new Map<bigint, ReadonlyMap<string, string>>();
    let rows = new Map<string, string>();
    for (let i = 0; i < 30; i++) {
      rows = new Map(rows);
      const key = `k${(i * 7) % 11}`;
      const messages = [{ tag: i % 2, mutation: set(`${key}=v${i}`) }];
      rows.set(key, `v${i}`);
      if (i % 6 === 5) {
        messages.push({ tag: (i + 1) % 2, mutation: { type: 1, param1: utf8('k3'), param2: utf8('k6') } });
        for (const cleared of ['k3', 'k4', 'k5']) rows.delete(cleared);
      }
      states.set(log.commit(messages), rows);
      await clock.advance(100);
      if (i === 14) {
        log.recover({ totalTags: 2 });
        await clock.advance(10);
        await world.recruit({ uploadDelay: 1_000 });
      }
    }
    await clock.advance(5_000);
    const container = world.container('memory:job');
    const { minRestorable, maxRestorable } = await describeBackup(container);
    expect([minRestorable, maxRestorable]).toEqual([1n, 30n]);
    for (const [version, expected] of states) {
      const target = new MemoryRestoreTarget();
      await restore({ container, target, version, baseline: 'empty' });
      const found = new Map<string, string>();
      const keys = Array.from({ length: 11 }, (_, index) => `k${index}`);
      const values = await target.read(keys.map((key) => utf8(key)));
      values.forEach((value, index) => {
        if (value !== undefined) found.set(keys[index] ?? '', new TextDecoder().decode(value));
      });
      expect(found, `at version ${version}`).toEqual(new Map([...expected].sort()));
    }
    const beyond = restore({ container, target: new MemoryRestoreTarget(), version: 31n, baseline: 'empty' });
    await expect(beyond).rejects.toMatchObject({ code: 'NOT_RESTORABLE' });
  });
});
