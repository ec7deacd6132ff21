import { beforeEach, describe, expect, it } from 'vitest';
import { utf8 } from '../../src/core/bytes.js';
import { logRouterTag } from '../../src/core/version.js';
import type { LogSource, LogSystemInfo, PeekReply } from '../../src/ports/log-source.js';
import { SimHistory } from '../../src/testing/simulation/history.js';
import { SimProcess } from '../../src/testing/simulation/process.js';
import type { SimWorld } from '../../src/testing/simulation/process.js';
import { SimLog } from '../../src/testing/simulation/sim-log.js';
import { makeWorld, runAll } from './world.js';

const signal = new AbortController().signal;

let world: SimWorld;
let history: SimHistory;
let log: SimLog;
let source: LogSource;

beforeEach(() => {
  world = makeWorld(7);
  history = new SimHistory(10n);
  log = new SimLog(world, history, { epoch: 1, begin: 10n, totalTags: 2 });
  source = log.client(new SimProcess(world, 'p'));
});

function write(version: bigint, ...values: string[]): void {
  const mutations = values.map((value, index) => ({
    subsequence: index + 1,
    tag: index % 2,
    mutation: { type: 0 as const, param1: utf8('key'), param2: utf8(value) },
  }));
  log.append({ version, mutations });
}

async function outcome<T>(promise: Promise<T>): Promise<T> {
  await runAll(world);
  return promise;
}

const peek = (begin: bigint, epoch = 1, tag = 0, maxBytes = 1_000) =>
  source.peek({ epoch, tag: logRouterTag(tag), begin, maxBytes, signal });

const values = (reply: PeekReply) =>
  [...reply.batch].map(({ version, mutation }) => `${version} ${Buffer.from(mutation.param2).toString()}`);

describe('SimLog', () => {
  it('serves the uncommitted tail, tag by tag, and says what is committed', async () => {
    write(10n, 'a', 'b');
    write(15n, 'c');
    history.commit(10n);
    const reply = await outcome(peek(10n));
    expect(values(reply)).toEqual(['10 a', '15 c']);
    expect([reply.end, reply.minKnownCommittedVersion, reply.popped]).toEqual([16n, 10n, undefined]);
    expect(values(await outcome(peek(10n, 1, 1)))).toEqual(['10 b']);
  });

  it('rolls back the tail in a recovery; the new epoch writes other data at the same versions (scenario 1)', async () => {
    write(10n, 'kept');
    history.commit(10n);
    write(11n, 'lost');
    log.recover({ epoch: 2, end: 11n, totalTags: 2 });
    write(11n, 'instead');
    history.commit(11n);
    const old = await outcome(peek(10n));
    expect([values(old), old.end]).toEqual([['10 kept'], 11n]);
    const now = await outcome(peek(11n, 2));
    expect([values(now), now.end]).toEqual([['11 instead'], 12n]);
    expect(history.records(0, [], 10n, 20n).map(({ mutation }) => Buffer.from(mutation.param2).toString())).toEqual([
      'kept',
      'instead',
    ]);
  });

  it('never says more is committed than the epoch holds, from the moment of the recovery (P14)', async () => {
    write(10n, 'a');
    history.commit(10n);
    log.recover({ epoch: 2, end: 11n, totalTags: 2 });
    write(20n, 'b');
    history.commit(20n);
    expect(await outcome(source.minKnownCommittedVersion({ epoch: 1, signal }))).toBe(10n);
    expect(await outcome(source.minKnownCommittedVersion({ epoch: 2, signal }))).toBe(20n);
    expect(await outcome(source.committedVersion(signal))).toBe(20n);
  });

  it('discards what is popped, and says so', async () => {
    write(10n, 'a');
    write(12n, 'b');
    await outcome(source.pop({ epoch: 1, tag: logRouterTag(0), upTo: 11n }));
    const reply = await outcome(peek(10n));
    expect([values(reply), reply.popped, reply.end]).toEqual([['12 b'], 11n, 13n]);
    expect((await outcome(peek(10n, 1, 1))).popped).toBeUndefined();
  });

  it('keeps whole versions together and ends a reply before the one that does not fit', async () => {
    write(10n, 'a', 'x', 'b');
    write(12n, 'c');
    const reply = await outcome(peek(10n, 1, 0, 1));
    expect([values(reply), reply.end]).toEqual([['10 a', '10 b'], 12n]);
  });

  it('lets a peek wait until something is written or the epoch ends', async () => {
    const waiting = peek(10n);
    await runAll(world);
    write(30n);
    const reply = await outcome(waiting);
    expect([reply.batch.isEmpty, reply.end]).toEqual([true, 31n]);
    const second = peek(31n);
    await runAll(world);
    write(32n, 'x');
    log.recover({ epoch: 2, end: 33n, totalTags: 1 });
    expect((await outcome(second)).end).toBe(33n);
  });

  it('answers at once, empty, above the end of an epoch that has ended: the worker has not been told yet', async () => {
    write(32n, 'x');
    const waiting = peek(33n);
    await runAll(world);
    log.recover({ epoch: 2, end: 33n, totalTags: 1 });
    for (const reply of [await outcome(waiting), await outcome(peek(35n))])
      expect([reply.batch.isEmpty, reply.minKnownCommittedVersion]).toEqual([true, 32n]);
    expect((await outcome(peek(35n))).end).toBe(35n);
  });

  it('tells of recoveries: the current state first, then what changes', async () => {
    const seen: LogSystemInfo[] = [];
    const controller = new AbortController();
    const watching = (async () => {
      for await (const info of source.logSystem!(controller.signal)) seen.push(info);
    })();
    await runAll(world);
    log.recover({ epoch: 4, end: 10n, totalTags: 3 });
    await runAll(world);
    log.setOldestBackupEpoch(1);
    await runAll(world);
    controller.abort();
    await watching;
    expect(seen.map((info) => [info.recoveryCount, info.oldestBackupEpoch, info.epochs.length])).toEqual([
      [1, undefined, 1],
      [4, undefined, 2],
      [4, 1, 2],
    ]);
  });

  it('overwrites what the pipeline has released', async () => {
    write(10n, 'a');
    const { batch } = await outcome(peek(10n));
    batch.release();
    expect(batch.bytes.subarray(0, batch.byteLength).every((byte) => byte === 0xee)).toBe(true);
  });
});

describe('SimHistory', () => {
  it('clips clears to the ranges of a job', () => {
    const clear = { type: 1 as const, param1: utf8('a'), param2: utf8('z') };
    history.append({ version: 10n, mutations: [{ subsequence: 1, tag: 0, mutation: clear }] });
    const ranges = [
      { begin: utf8('x'), end: utf8('zz') },
      { begin: utf8('b'), end: utf8('c') },
    ];
    const parts = history.records(0, ranges, 10n, 11n).map(({ mutation }) => [mutation.param1, mutation.param2]);
    expect(parts).toEqual([
      [utf8('b'), utf8('c')],
      [utf8('x'), utf8('z')],
    ]);
  });

  it('knows the rows at each version', () => {
    const set = (value: string) => ({ type: 0 as const, param1: utf8('k'), param2: utf8(value) });
    history.append({ version: 10n, mutations: [{ subsequence: 1, tag: 0, mutation: set('1') }] });
    history.append({ version: 12n, mutations: [{ subsequence: 1, tag: 1, mutation: set('2') }] });
    expect([...history.rowsAt(11n, [])]).toEqual([['6b', '31']]);
    expect([...history.rowsAt(12n, [])]).toEqual([['6b', '32']]);
    expect(history.rowsAt(9n, []).size).toBe(0);
  });
});
