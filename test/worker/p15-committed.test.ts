// Rule P15 of docs/protocol.md: the committed version is asked for, not only heard of in peeks.

import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { MemoryLog } from '../../src/testing/memory-log.js';
import { World, set } from './world.js';

/** Versions that are written and may still be rolled back. */
function putUncommitted(log: MemoryLog, count: number, value = 'v'): void {
  for (let i = 0; i < count; i++) log.commit([{ tag: 0, mutation: set(`u=${value}`) }], { uncommitted: true });
}

describe('P15 upload asks for the committed version by itself', () => {
  let world: World;
  beforeEach(async () => {
    world = new World();
    await world.announce();
  });
  afterEach(() => world.end());

  it('when messages are queued and no peek will ever say that they are committed', async () => {
    const { clock, log } = world;
    const { worker } = world.start(0);
    await world.submit('job');
    putUncommitted(log, 3);
    await clock.advance(1_000);
    log.setCommitted(3n);
    expect(worker.metrics()).toMatchObject({ pulledEnd: 4n, minKnownCommittedVersion: 0n });
    await clock.advance(11_000);
    expect(await world.stretches('job')).toEqual(['0:[1, 4)']);
    expect(log.popped(1, { locality: -2, id: 0 })).toBe(3n);
  });

  it('when an empty stretch is all that was pulled', async () => {
    const { clock, log } = world;
    world.start(0);
    await world.submit('job');
    log.advance(50n, { uncommitted: true });
    await clock.advance(1_000);
    log.setCommitted(50n);
    await clock.advance(61_000);
    expect(await world.stretches('job')).toEqual(['0:[1, 51)']);
  });

  it('while the backup is paused', async () => {
    const { clock, log, operator } = world;
    const { worker } = world.start(0);
    await world.submit('job');
    putUncommitted(log, 3);
    await clock.advance(1_000);
    await operator.pause();
    log.setCommitted(3n);
    await clock.advance(11_000);
    expect(worker.metrics()).toMatchObject({ paused: true, savedVersion: 3n, queuedMessages: 0 });
    expect(await world.stretches('job')).toEqual(['0:[1, 4)']);
  });

  it('when the lock is full of messages that were not committed when they were pulled', async () => {
    const { clock, log } = world;
    // Two versions fill the lock; the next batch waits for it, and the next peek for that batch.
    const { worker } = world.start(0, { lockBytes: 130, peekBytes: 65, uploadBytes: 130, uploadDelay: 60_000 });
    await world.submit('job');
    putUncommitted(log, 8, 'x'.repeat(20));
    await clock.advance(2_000);
    expect(worker.metrics()).toMatchObject({ savedVersion: 0n, queuedMessages: 2, minKnownCommittedVersion: 0n });
    log.setCommitted(8n);
    await clock.advance(2_000);
    // The last two fill no lock: they wait for their time.
    expect(worker.metrics()).toMatchObject({ savedVersion: 6n, pulledEnd: 9n });
    await clock.advance(60_000);
    expect(worker.metrics()).toMatchObject({ savedVersion: 8n, bufferedBytes: 0 });
    expect(await world.mutations('job')).toHaveLength(8);
  });

  it('and does not wait for the answer of a log that keeps it, when the run is stopped', async () => {
    const { clock, log } = world;
    const running = world.start(0);
    await world.submit('job');
    putUncommitted(log, 1);
    log.delay('minKnownCommittedVersion', 1_000_000);
    await clock.advance(15_000);
    expect(await running.stop()).toEqual({ outcome: 'stopped' });
    expect(clock.pendingTimers).toBe(0);
  });
});
