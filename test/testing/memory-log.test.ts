import { describe, expect, it } from 'vitest';
import { utf8 } from '../../src/core/bytes.js';
import { MutationType } from '../../src/core/mutation.js';
import { logRouterTag } from '../../src/core/version.js';
import type { LogSystemInfo } from '../../src/ports/log-source.js';
import type { MemoryLogMessage } from '../../src/testing/memory-log.js';
import { MemoryLog } from '../../src/testing/memory-log.js';

const { signal } = new AbortController();

function set(tag: number, key: string, value = 'v'): MemoryLogMessage {
  return { tag, mutation: { type: MutationType.SetValue, param1: utf8(key), param2: utf8(value) } };
}

function peek(log: MemoryLog, epoch: number, tag: number, begin: bigint, maxBytes = 1 << 20) {
  return log.peek({ epoch, tag: logRouterTag(tag), begin, maxBytes, signal });
}

describe('MemoryLog', () => {
  it('gives every tag its own messages, numbered over the whole commit', async () => {
    const log = new MemoryLog({ totalTags: 2 });
    log.commit([set(1, 'a'), set(0, 'b'), set(1, 'c')], { version: 5n });
    const reply = await peek(log, 1, 1, 1n);
    expect([...reply.batch].map((message) => [message.version, message.subsequence])).toEqual([
      [5n, 1],
      [5n, 3],
    ]);
    expect(reply.end).toBe(6n);
    expect(reply.minKnownCommittedVersion).toBe(5n);
    expect(reply.popped).toBeUndefined();
  });

  it('serves an uncommitted tail, and a recovery rolls it back', async () => {
    const log = new MemoryLog({ totalTags: 1 });
    log.commit([set(0, 'a')], { version: 9n });
    log.commit([set(0, 'lost')], { version: 11n, uncommitted: true });
    const before = await peek(log, 1, 0, 1n);
    expect([before.batch.lastVersion, before.end, before.minKnownCommittedVersion]).toEqual([11n, 12n, 9n]);

    expect(log.recover({ totalTags: 3 })).toBe(2);
    log.commit([set(2, 'new')], { version: 20n });
    const after = await peek(log, 1, 0, 1n);
    expect([after.batch.lastVersion, after.end, after.minKnownCommittedVersion]).toEqual([9n, 10n, 9n]);
    expect(await log.minKnownCommittedVersion({ epoch: 1, signal })).toBe(9n);
    expect(await log.committedVersion(signal)).toBe(20n);
    expect((await peek(log, 2, 2, 10n)).end).toBe(21n);
  });

  it('really discards what is popped, in older epochs too', async () => {
    const log = new MemoryLog({ totalTags: 2 });
    log.commit([set(0, 'a'), set(1, 'b')], { version: 2n });
    log.recover();
    log.commit([set(0, 'c')], { version: 5n });
    await log.pop({ epoch: 2, tag: logRouterTag(0), upTo: 4n });
    expect(log.versions(1, logRouterTag(0))).toEqual([]);
    expect(log.versions(1, logRouterTag(1))).toEqual([2n]);
    expect(log.popped(1, logRouterTag(0))).toBe(2n);
    expect(log.versions(2, logRouterTag(0))).toEqual([5n]);
    expect(log.pops).toEqual([{ epoch: 2, tag: logRouterTag(0), upTo: 4n }]);
  });

  it('refuses a pop above what is committed', async () => {
    const log = new MemoryLog({ totalTags: 1 });
    log.commit([set(0, 'a')], { version: 3n, uncommitted: true });
    await expect(log.pop({ epoch: 1, tag: logRouterTag(0), upTo: 3n })).rejects.toMatchObject({
      code: 'INVALID_OPTION',
    });
  });

  it('keeps a recovery from logSystem until it is announced', async () => {
    const log = new MemoryLog({ totalTags: 1 });
    const stop = new AbortController();
    const seen: LogSystemInfo[] = [];
    const reading = (async () => {
      for await (const info of log.logSystem(stop.signal)) seen.push(info);
    })();
    const settle = () => new Promise<void>((resolve) => setImmediate(resolve));
    await settle();
    log.commit([set(0, 'a')]);
    log.recover({ announce: false });
    await settle();
    expect(seen.map((info) => info.recoveryCount)).toEqual([1]);
    log.announce();
    await settle();
    expect(seen.at(-1)).toMatchObject({
      recoveryCount: 2,
      recoveryState: 'accepting_commits',
      epochs: [
        { epoch: 1, begin: 1n, end: 2n, totalTags: 1 },
        { epoch: 2, begin: 2n, end: undefined, totalTags: 1 },
      ],
    });
    log.setOldestBackupEpoch(2);
    await settle();
    expect(seen.at(-1)).toMatchObject({
      recoveryState: 'fully_recovered',
      oldestBackupEpoch: 2,
      epochs: [{ epoch: 2 }],
    });
    stop.abort();
    await reading;
  });

  it('fails as ordered, before the work or after it', async () => {
    const log = new MemoryLog({ totalTags: 1 });
    log.commit([set(0, 'a')]);
    log.failNext('pop', new Error('down'));
    log.failNext('pop', new Error('lost'), { answerLost: true });
    const pop = () => log.pop({ epoch: 1, tag: logRouterTag(0), upTo: 1n });
    await expect(pop()).rejects.toThrow('down');
    expect(log.pops).toHaveLength(0);
    await expect(pop()).rejects.toThrow('lost');
    expect(log.pops).toHaveLength(1);
    await pop();
  });

  it('delays by the clock it was given', async () => {
    const slept: number[] = [];
    const clock = {
      now: () => 0,
      wallTime: () => 0,
      sleep: async (ms: number) => void slept.push(ms),
      yieldToHost: async () => {},
    };
    const log = new MemoryLog({ totalTags: 1, clock });
    log.delay('committedVersion', 250);
    await log.committedVersion(signal);
    expect(slept).toEqual([250]);
  });

  it('leaves out what is never stored', async () => {
    const log = new MemoryLog({ totalTags: 1 });
    log.commit([{ tag: 0, mutation: { type: 11, param1: utf8('x'), param2: utf8('') } }, set(0, 'a')]);
    expect((await peek(log, 1, 0, 1n)).batch.recordCount).toBe(1);
  });
});
