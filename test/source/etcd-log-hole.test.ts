// What EtcdLogSource does when etcd, or what lies between, does not keep its word: holes, histories that change, compactions in the moment of reading, streams that break. With an etcd that obeys the test.

import { describe, expect, it } from 'vitest';
import { logRouterTag } from '../../src/core/version.js';
import type { PeekReply } from '../../src/ports/log-source.js';
import { MemoryProgressStore } from '../../src/progress/memory-progress-store.js';
import type { EtcdLogSource } from '../../src/source/etcd/log-source.js';
import { ManualClock } from '../../src/testing/manual-clock.js';
import type { FakeEvent } from './etcd-log-fake.js';
import { FakeEtcd } from './etcd-log-fake.js';

const peek = (source: EtcdLogSource, begin: number, maxBytes = 1 << 20) =>
  source.peek({ epoch: 1, tag: logRouterTag(0), begin: BigInt(begin), maxBytes, signal: new AbortController().signal });

const put = (revision: number, key = `k${revision}`, value = 'v'): FakeEvent => ({ revision, key, value });

const shown = ({ batch, end }: PeekReply) => ({
  versions: [...batch].map(({ version, subsequence }) => `${version}.${subsequence}`),
  end: Number(end),
});

/** The peek, settled: its handlers are there before it can reject. */
function settled(promise: Promise<PeekReply>) {
  return promise.then(
    (reply) => ({ reply, error: undefined }),
    (error: unknown) => ({ reply: undefined, error }),
  );
}

describe('a log of etcd that is not as it should be', () => {
  it('begins a watch one version early, since one that begins at the compact revision is not told of it', async () => {
    const etcd = new FakeEtcd();
    const source = etcd.open(100);
    const reply = peek(source, 100);
    const watch = await etcd.watch();
    expect(watch.startRevision).toBe(99);
    watch.answer([put(99), put(100)]);
    expect(shown(await reply)).toEqual({ versions: ['100.1'], end: 101 });
  });

  it('joins the fragments of an answer, and gives no part of a version', async () => {
    const etcd = new FakeEtcd();
    const source = etcd.open(100);
    const reply = peek(source, 100);
    const watch = await etcd.watch();
    watch.answer([put(100, 'a'), put(101, 'a')], { fragment: true, revision: 102 });
    expect(shown(await reply)).toEqual({ versions: ['100.1'], end: 101 });
    const more = peek(source, 101);
    watch.answer([put(101, 'b')], { fragment: true, revision: 102 });
    watch.answer([put(101, 'c'), put(102, 'a')], { revision: 102 });
    expect(shown(await more)).toEqual({ versions: ['101.1', '101.2', '101.3', '102.1'], end: 103 });
  });

  it('drops what etcd sends again', async () => {
    const etcd = new FakeEtcd();
    const source = etcd.open(100);
    const first = peek(source, 100);
    const watch = await etcd.watch();
    watch.answer([put(100)]);
    await first;
    const reply = peek(source, 101);
    watch.answer([put(99), put(100), put(101)], { revision: 101 });
    expect(shown(await reply)).toEqual({ versions: ['101.1'], end: 102 });
  });

  it('asks again for a version that is missing, and goes on when it comes', async () => {
    const etcd = new FakeEtcd();
    const source = etcd.open(100);
    const first = peek(source, 100);
    const watch = await etcd.watch();
    watch.answer([put(100)]);
    await first;
    const reply = peek(source, 101);
    watch.answer([put(102)]);
    const again = await etcd.watch();
    expect([watch.isClosed, again.startRevision]).toEqual([true, 100]);
    again.answer([put(100), put(101), put(102)]);
    expect(shown(await reply)).toEqual({ versions: ['101.1', '102.1'], end: 103 });
  });

  it('is loud about a version that is missing twice, and final', async () => {
    const etcd = new FakeEtcd();
    const source = etcd.open(100);
    const reply = settled(peek(source, 100));
    (await etcd.watch()).answer([put(99), put(103)]);
    (await etcd.watch()).answer([put(99), put(103)]);
    const { error } = await reply;
    expect(error).toMatchObject({ code: 'LOG_INCONSISTENT', retryable: false, versions: { begin: 100n, end: 103n } });
    expect(String(error)).toContain('revisions 100 to 102');
  });

  it('gives what was read from storage only when it was not compacted meanwhile', async () => {
    const etcd = new FakeEtcd();
    const source = etcd.open(100);
    const reply = peek(source, 100);
    const watch = await etcd.watch();
    // Compacted at the very version that came first, whose deletes etcd may have dropped.
    etcd.compacted = 100;
    watch.answer([put(100), put(101)]);
    const again = await etcd.watch();
    expect(again.startRevision).toBe(99);
    again.cancelWith({ compacted: 100 });
    const { end, popped, batch } = await reply;
    expect([end, popped, batch.isEmpty]).toEqual([100n, 100n, true]);
  });

  it('asks nothing more about what comes as it is committed', async () => {
    const etcd = new FakeEtcd();
    const source = etcd.open(100);
    const first = peek(source, 100);
    const watch = await etcd.watch();
    watch.answer([put(99), put(100)]);
    await first;
    const before = etcd.reads.length;
    // Whatever is compacted after it was sent.
    etcd.compacted = 105;
    for (let revision = 101; revision <= 105; revision++) {
      const reply = peek(source, revision);
      watch.answer([put(revision)]);
      expect(shown(await reply).end).toBe(revision + 1);
    }
    expect(etcd.reads.length).toBe(before);
  });

  it('proves again what comes after it was held up', async () => {
    const etcd = new FakeEtcd();
    const source = etcd.open(100, { bufferBytes: 1000 });
    const first = peek(source, 100);
    const watch = await etcd.watch();
    watch.answer([put(99), put(100)]);
    await first;
    watch.answer([put(101, 'k', 'x'.repeat(2000))]);
    expect(watch.isPaused).toBe(true);
    await peek(source, 101);
    expect(watch.isPaused).toBe(false);
    const reply = peek(source, 102);
    etcd.compacted = 102;
    watch.answer([put(102)]);
    const again = await etcd.watch();
    again.cancelWith({ compacted: 102 });
    expect((await reply).popped).toBe(102n);
  });

  it('goes on proving after it was held up until it has caught up with the cluster', async () => {
    const etcd = new FakeEtcd();
    const source = etcd.open(100, { bufferBytes: 1000 });
    const first = peek(source, 100);
    const watch = await etcd.watch();
    watch.answer([put(99), put(100)]);
    await first;
    watch.answer([put(101, 'k', 'x'.repeat(2000))]);
    await peek(source, 101);
    for (const revision of [102, 103]) {
      const reply = peek(source, revision);
      const before = etcd.reads.length;
      watch.answer([put(revision)]);
      await reply;
      expect(etcd.reads.slice(before)).toEqual([revision - 1]);
    }
    const reply = peek(source, 104);
    const before = etcd.reads.length;
    watch.answer([put(104)]);
    await reply;
    expect(etcd.reads.length).toBe(before);
  });

  it('begins a watch again that is silent although the cluster has moved on', async () => {
    const clock = new ManualClock();
    const etcd = new FakeEtcd();
    const source = etcd.open(100, { clock });
    const first = peek(source, 100);
    const watch = await etcd.watch();
    watch.answer([put(99), put(100)]);
    await first;
    const reply = settled(peek(source, 101));
    await clock.advance(20_000);
    // Silent, and rightly so.
    expect(watch.isClosed).toBe(false);
    etcd.revision = 101;
    await clock.advance(10_000);
    expect((await reply).error).toMatchObject({ code: 'ETCD_UNAVAILABLE', retryable: true, version: 101n });
    expect(watch.isClosed).toBe(true);
  });

  it('ends a watch that is held up for long, and begins it again when there is room', async () => {
    const clock = new ManualClock();
    const etcd = new FakeEtcd();
    const source = etcd.open(100, { clock, bufferBytes: 1000 });
    const first = peek(source, 100);
    const watch = await etcd.watch();
    watch.answer([put(99), put(100)]);
    await first;
    watch.answer([put(101, 'k', 'x'.repeat(2000))]);
    await clock.advance(9_000);
    expect([watch.isPaused, watch.isClosed]).toEqual([true, false]);
    await clock.advance(1_000);
    expect(watch.isClosed).toBe(true);
    expect(shown(await peek(source, 101)).versions).toEqual(['101.1']);
    const reply = peek(source, 102);
    const again = await etcd.watch();
    expect(again.startRevision).toBe(101);
    again.answer([put(101, 'k', 'x'.repeat(2000)), put(102)]);
    await clock.advance(100);
    expect(shown(await reply).versions).toEqual(['102.1']);
  });

  it('compacts nothing younger than the retention, whatever is popped', async () => {
    const clock = new ManualClock();
    const etcd = new FakeEtcd();
    const compact = { retention: 600_000, interval: 60_000 };
    const source = etcd.open(100, { clock, store: new MemoryProgressStore({ clock }), compact });
    const pop = (upTo: bigint) => source.pop({ epoch: 1, tag: logRouterTag(0), upTo });
    await source.committedVersion(new AbortController().signal);
    await pop(100n);
    etcd.revision = 500;
    await source.committedVersion(new AbortController().signal);
    for (let minute = 1; minute <= 9; minute++) {
      await clock.advance(60_000);
      await pop(500n);
    }
    expect(etcd.compacted).toBe(-1);
    await clock.advance(60_000);
    await pop(500n);
    // What the cluster had come to ten minutes ago.
    expect(etcd.compacted).toBe(100);
  });

  it('reports a broken stream as retryable, and goes on at the next version', async () => {
    const etcd = new FakeEtcd();
    const source = etcd.open(100);
    const first = peek(source, 100);
    const watch = await etcd.watch();
    watch.answer([put(99), put(100)]);
    await first;
    const reply = settled(peek(source, 101));
    await Promise.resolve();
    watch.answer([put(101), put(102, 'a')], { fragment: true, revision: 102 });
    watch.emit('error', new Error('14 UNAVAILABLE: etcdserver: no leader'));
    // What had come whole may be given, or the failure told first: the next peek has the rest.
    const { reply: given, error } = await reply;
    if (given === undefined) expect(error).toMatchObject({ code: 'ETCD_UNAVAILABLE', retryable: true });
    const begin = given === undefined ? 101 : Number(given.end);
    const more = peek(source, begin);
    const again = await etcd.watch();
    expect(again.startRevision).toBe(begin - 1);
    again.answer(
      [put(begin - 1), ...(begin === 101 ? [put(101)] : []), put(102, 'a'), put(102, 'b')].filter(
        (each) => each.revision >= begin - 1,
      ),
    );
    expect(shown(await more).end).toBe(103);
  });

  it('notices, as a watch is begun again, that the last version is another one now', async () => {
    const etcd = new FakeEtcd();
    const source = etcd.open(100);
    const first = peek(source, 100);
    const watch = await etcd.watch();
    watch.answer([put(99), put(100, 'a', 'old')]);
    await first;
    watch.emit('error', new Error('14 UNAVAILABLE: gone'));
    const failed = await settled(peek(source, 101));
    expect(failed.error).toMatchObject({ code: 'ETCD_UNAVAILABLE' });
    const reply = settled(peek(source, 101));
    const again = await etcd.watch();
    again.answer([put(100, 'a', 'new'), put(101)]);
    expect((await reply).error).toMatchObject({ code: 'LOG_INCONSISTENT', version: 100n });
  });

  it('notices a cluster that is behind what it was, and another cluster', async () => {
    const etcd = new FakeEtcd();
    const source = etcd.open(100);
    const first = peek(source, 100);
    (await etcd.watch()).answer([put(99), put(100)]);
    await first;
    etcd.revision = 50;
    await expect(source.committedVersion(new AbortController().signal)).rejects.toMatchObject({
      code: 'LOG_INCONSISTENT',
      versions: { begin: 51n, end: 101n },
    });
    etcd.revision = 200;
    etcd.clusterId = '8';
    await expect(source.committedVersion(new AbortController().signal)).rejects.toMatchObject({
      code: 'LOG_INCONSISTENT',
    });
  });

  it('opens a watch again that was ended for a compaction far behind it', async () => {
    const etcd = new FakeEtcd();
    const source = etcd.open(100);
    const first = peek(source, 100);
    const watch = await etcd.watch();
    watch.answer([put(99), put(100)]);
    await first;
    const reply = peek(source, 101);
    watch.cancelWith({ compacted: 90 });
    const again = await etcd.watch();
    again.answer([put(100), put(101)]);
    expect(shown(await reply)).toEqual({ versions: ['101.1'], end: 102 });
  });

  it('says which client option a message needs that is too large', async () => {
    const etcd = new FakeEtcd();
    const source = etcd.open(100);
    const reply = settled(peek(source, 100));
    const watch = await etcd.watch();
    watch.emit('error', new Error('8 RESOURCE_EXHAUSTED: Received message larger than max (5000000 vs 4194304)'));
    const { error } = await reply;
    expect(error).toMatchObject({ code: 'ETCD_LIMIT', retryable: false });
    expect(String(error)).toContain('grpc.max_receive_message_length');
  });

  it('ends for good when it may not read all keys', async () => {
    const etcd = new FakeEtcd();
    const source = etcd.open(100);
    const reply = settled(peek(source, 100));
    (await etcd.watch()).cancelWith({ reason: 'etcdserver: permission denied' });
    expect((await reply).error).toMatchObject({ code: 'ETCD_DENIED', retryable: false });
  });
});
