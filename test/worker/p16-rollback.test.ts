// Rule P16 of docs/protocol.md: what is above the end of an epoch never happened.

import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { LogSource, LogSystemInfo } from '../../src/ports/log-source.js';
import { GatedContainer, logFiles } from './gates.js';
import { World, set } from './world.js';

describe('P16 a rolled-back tail', () => {
  let world: World;
  beforeEach(async () => {
    world = new World();
    await world.announce();
  });
  afterEach(() => world.end());

  /** Five committed versions, then `count` that are not. */
  function putTail(count: number): void {
    for (let version = 1; version <= 5; version++) world.put(0, `kept${version}`);
    for (let i = 0; i < count; i++) world.log.commit([{ tag: 0, mutation: set('lost') }], { uncommitted: true });
  }

  it('is dropped by its old owner, which stores what is below the end and is displaced', async () => {
    const { clock, log } = world;
    const old = world.start(0);
    await world.submit('job');
    putTail(4);
    await clock.advance(1_000);
    expect(old.worker.metrics()).toMatchObject({ queuedMessages: 9, pulledEnd: 10n });
    log.recover();
    await clock.advance(1_000);
    expect(old.outcome()).toMatchObject({ outcome: 'displaced', error: { code: 'DISPLACED' } });
    expect(old.worker.metrics()).toMatchObject({ savedVersion: 5n, bufferedBytes: 0, queuedMessages: 0 });
    expect(await world.stretches('job')).toEqual(['0:[1, 6)']);
  });

  it('is dropped in the step in which the recovery is heard of, also while a round is being written', async () => {
    const { clock, log } = world;
    const container = new GatedContainer(world.container('memory:job'));
    world.containers.set('memory:job', container);
    const { worker } = world.start(0);
    await world.submit('job');
    putTail(4);
    const finish = container.hold('finish', { match: logFiles });
    await clock.advance(11_000);
    expect(finish.isReached).toBe(true);
    log.recover();
    await clock.settle();
    expect(worker.metrics()).toMatchObject({ queuedMessages: 5, pulledEnd: 6n });
    finish.open();
    await clock.advance(1_000);
    expect(await world.stretches('job')).toEqual(['0:[1, 6)']);
  });

  it('gives its permits back, and lets go of a batch that waits for them', async () => {
    const { clock, log } = world;
    const old = world.start(0, { lockBytes: 400, peekBytes: 100, uploadBytes: 400 });
    await world.submit('job');
    putTail(20);
    await clock.advance(1_000);
    const before = old.worker.metrics();
    expect(before?.availableBytes).toBeLessThan(100);
    expect(before?.pulledEnd).toBeLessThan(26n);
    log.recover();
    await clock.advance(1_000);
    expect(old.worker.metrics()).toMatchObject({ savedVersion: 5n, bufferedBytes: 0, availableBytes: 400 });
  });

  it('is replaced by what the new epoch commits: each version of the backup holds what the database kept', async () => {
    const { clock, log } = world;
    world.start(0);
    await world.submit('job');
    putTail(4);
    await clock.advance(1_000);
    log.recover();
    for (let version = 6; version <= 12; version++) world.put(0, `new${version}`);
    await world.recruit();
    await clock.advance(11_000);
    await world.tellOldestEpoch();
    await clock.advance(11_000);
    // The old owner and the drainer may both have stored 1 to 5 (rule P13).
    expect([...new Set(await world.mutations('job'))]).toEqual([
      ...[1, 2, 3, 4, 5].map((version) => `0/${version}/1/kept${version}=v`),
      ...[6, 7, 8, 9, 10, 11, 12].map((version) => `0/${version}/1/new${version}=v`),
    ]);
  });

  it('that was committed after all is stored by the drainer, though its old owner could not know', async () => {
    const { clock, log } = world;
    const old = world.start(0);
    await world.submit('job');
    putTail(4);
    await clock.advance(1_000);
    log.setCommitted(9n);
    log.recover();
    await clock.advance(1_000);
    expect(old.outcome()).toMatchObject({ outcome: 'displaced' });
    await world.recruit();
    await clock.advance(11_000);
    expect(await world.mutations('job')).toHaveLength(9);
    expect((await world.stretches('job')).at(-1)).toMatch(/, 10\)$/);
  });

  it('that reaches below what the log had called committed is a broken contract, and the worker says so', async () => {
    const { clock, log } = world;
    const gate = new GatedContainer(world.container('memory:job'));
    world.containers.set('memory:job', gate);
    const lying: Required<LogSource> = {
      peek: (request) => log.peek(request),
      pop: (request) => log.pop(request),
      minKnownCommittedVersion: (request) => log.minKnownCommittedVersion(request),
      committedVersion: (signal) => log.committedVersion(signal),
      logSystem: async function* (signal): AsyncIterable<LogSystemInfo> {
        for await (const info of log.logSystem(signal)) {
          const epochs = info.epochs.map((epoch) =>
            epoch.epoch === 1 && epoch.end !== undefined ? { ...epoch, end: 3n } : epoch,
          );
          yield { ...info, epochs };
        }
      },
    };
    const old = world.start(0, { log: lying });
    await world.submit('job');
    putTail(0);
    const finish = gate.hold('finish', { match: logFiles });
    await clock.advance(11_000);
    expect(finish.isReached).toBe(true);
    log.recover();
    await clock.settle();
    finish.open();
    await clock.advance(1_000);
    expect(old.outcome()).toMatchObject({ outcome: 'failed', error: { code: 'ADAPTER_CONTRACT', version: 2n } });
  });
});
