// EtcdLogSource on a real etcd: every kind of change, event by event against what etcd itself says of each revision; what it does when it is slow, interrupted, compacted, or led to another cluster.

import type { Etcd3 } from 'etcd3';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Version } from '../../src/core/version.js';
import { logRouterTag } from '../../src/core/version.js';
import { MemoryProgressStore } from '../../src/progress/memory-progress-store.js';
import { etcdEpoch } from '../../src/source/etcd/epoch.js';
import { EtcdLogSource } from '../../src/source/etcd/log-source.js';
import { prefixRange } from '../../src/source/etcd/options.js';
import type { EtcdCluster } from '../servers/etcd.js';
import { etcdMissing, startEtcd } from '../servers/etcd.js';
import type { LogEvent } from './etcd-log-tools.js';
import { applyTo, connect, headOf, openLog, readLog, stateAt } from './etcd-log-tools.js';
import { randomWorkload } from './etcd-workload.js';

const missing = etcdMissing();
const TAG = logRouterTag(0);

describe.skipIf(missing !== undefined)(`the log of etcd${missing === undefined ? '' : `: ${missing}`}`, () => {
  let etcd: EtcdCluster;
  let client: Etcd3;

  beforeAll(async () => {
    etcd = await startEtcd();
    client = connect(etcd.urls);
  }, 60_000);

  afterAll(async () => {
    client.close();
    await etcd.stop();
  });

  /** Each version's events, of all tags, in the order of their subsequences. */
  async function readAll(source: EtcdLogSource, tags: number, begin: Version, last: Version) {
    const perTag = await Promise.all(
      Array.from({ length: tags }, (_, tag) => readLog(source, last, { begin, tag, maxBytes: 20_000 })),
    );
    const byVersion = new Map<Version, LogEvent[]>();
    for (const event of perTag.flat()) {
      const events = byVersion.get(event.version) ?? [];
      events.push(event);
      byVersion.set(event.version, events);
    }
    for (const events of byVersion.values()) events.sort((a, b) => a.subsequence - b.subsequence);
    return byVersion;
  }

  for (const [seed, tags] of [
    [1, 1],
    [2, 4],
    [3, 3],
  ] as const) {
    it(`gives every change of a random workload once and in order: seed ${seed}, ${tags} tags`, async () => {
      const { source, epoch } = await openLog(client, { tags });
      const before = await stateAt(client, epoch.begin - 1n);
      const known = await randomWorkload(client, { seed, steps: 150, prefix: `random${seed}/` });
      const last = await headOf(client);
      const versions = await readAll(source, tags, epoch.begin, last);
      // Density: no revision without events.
      expect(BigInt(versions.size)).toBe(last - epoch.begin + 1n);
      const state = before;
      for (let version = epoch.begin; version <= last; version++) {
        const events = versions.get(version) ?? [];
        expect(events.map(({ subsequence }) => subsequence)).toEqual(events.map((_, i) => i + 1));
        const expected = known.get(version);
        if (expected !== undefined)
          expect(events.map(({ key, value }) => [key, value])).toEqual(expected.map(({ key, value }) => [key, value]));
        applyTo(state, events);
        expect(state, `at revision ${version}`).toEqual(await stateAt(client, version));
      }
      source.close();
    }, 120_000);
  }

  it('leaves out keys beyond the range and excluded ones, and counts their versions', async () => {
    const { source, epoch } = await openLog(client, { range: prefixRange('in/'), exclude: [prefixRange('in/not/')] });
    await client.put('in/a').value('1');
    await client.put('out/a').value('1');
    await client.put('in/not/a').value('1');
    const { header } = await client.put('in/b').value('1');
    const events = await readLog(source, BigInt(header.revision), { begin: epoch.begin });
    expect(events.map(({ version, key }) => [version - epoch.begin, key])).toEqual([
      [0n, 'in/a'],
      [3n, 'in/b'],
    ]);
    source.close();
  });

  it('keeps keys and values as they are, whatever their bytes', async () => {
    const { source, epoch } = await openLog(client);
    const keys = [
      Buffer.from([0]),
      Buffer.from([0xff]),
      Buffer.from([0xff, 0xff, 0]),
      Buffer.from([0, 0]),
      Buffer.alloc(9_000, 0xfe),
    ];
    for (const key of keys) await client.put(key).value(Buffer.from([0xff, 0, 0x80]));
    for (const key of keys) await client.delete().key(key);
    const events = await readLog(source, epoch.begin + 9n, { begin: epoch.begin });
    expect(events.map(({ key, value }) => [Buffer.from(key, 'latin1'), value])).toEqual([
      ...keys.map((key) => [key, '\xff\0\x80']),
      ...keys.map((key) => [key, undefined]),
    ]);
    source.close();
  });

  it('reports what was compacted as popped, inclusive, and goes on above it', async () => {
    const { source, epoch } = await openLog(client);
    const { begin } = epoch;
    for (let i = 0; i < 10; i++) await client.put(`compacted/${i % 3}`).value(String(i));
    await client.kv.compact({ revision: String(begin + 5n) });
    const signal = new AbortController().signal;
    for (const from of [begin, begin + 5n]) {
      const reply = await source.peek({ epoch: 1, tag: TAG, begin: from, maxBytes: 1000, signal });
      expect([reply.end, reply.popped, reply.batch.isEmpty]).toEqual([from, begin + 5n, true]);
    }
    const rest = await readLog(source, begin + 9n, { begin: begin + 6n });
    expect(rest.map(({ version, value }) => [version - begin, value])).toEqual(
      [6, 7, 8, 9].map((i) => [BigInt(i), String(i)]),
    );
    source.close();
  });

  it('gives what was read before it was compacted, and only then reports the gap', async () => {
    const { source, epoch } = await openLog(client);
    const { begin } = epoch;
    const signal = new AbortController().signal;
    await client.put('late/a').value('1');
    const first = await source.peek({ epoch: 1, tag: TAG, begin, maxBytes: 1000, signal });
    expect(first.end).toBe(begin + 1n);
    await client.put('late/b').value('2');
    // It is held here before it is asked for.
    await expect.poll(() => source.bufferedBytes).toBeGreaterThan(0);
    await client.put('late/c').value('3');
    await client.kv.compact({ revision: String(begin + 2n) });
    const rest = await readLog(source, begin + 2n, { begin: begin + 1n, maxBytes: 1000 });
    expect(rest.map(({ key }) => key)).toEqual(['late/b', 'late/c']);
    source.close();
  });

  it('holds no more than its limit when nobody peeks, and loses nothing', async () => {
    const bufferBytes = 300_000;
    const { source, epoch } = await openLog(client, { bufferBytes });
    const { begin } = epoch;
    const signal = new AbortController().signal;
    await client.put('slow/first').value('x');
    const first = await source.peek({ epoch: 1, tag: TAG, begin, maxBytes: 50_000, signal });
    const value = 'y'.repeat(20_000);
    for (let i = 0; i < 200; i++) await client.put(`slow/${i % 7}`).value(value);
    await expect.poll(() => source.bufferedBytes).toBeGreaterThanOrEqual(bufferBytes);
    // One answer may cross the limit, and 16 wait in the stream: here each holds one put.
    expect(source.bufferedBytes).toBeLessThan(bufferBytes + 25_000);
    const events = await readLog(source, begin + 200n, { begin: first.end, maxBytes: 50_000 });
    expect(events.map(({ version }) => version - begin)).toEqual(Array.from({ length: 200 }, (_, i) => BigInt(i + 1)));
    source.close();
  }, 60_000);

  it('catches up with a thousand revisions of large values', async () => {
    const { source, epoch } = await openLog(client, { bufferBytes: 4 << 20 });
    const { begin } = epoch;
    const value = Buffer.alloc(60_000, 0x61);
    for (let i = 0; i < 1_050; i += 50)
      await Promise.all(
        Array.from({ length: 50 }, (_, k) =>
          client
            .put(`large/${(i + k) % 20}`)
            .value(value)
            .exec(),
        ),
      );
    const events = await readLog(source, begin + 1_049n, { begin });
    expect(events.map(({ version }) => version - begin)).toEqual(Array.from({ length: 1_050 }, (_, i) => BigInt(i)));
    expect(events.every((event) => event.value?.length === value.length)).toBe(true);
    source.close();
  }, 120_000);

  it('refuses a peek above what any cluster of this history can have asked for', async () => {
    const { source } = await openLog(client);
    const signal = new AbortController().signal;
    const begin = (await headOf(client)) + 1_000n;
    await expect(source.peek({ epoch: 1, tag: TAG, begin, maxBytes: 1000, signal })).rejects.toMatchObject({
      code: 'LOG_INCONSISTENT',
      retryable: false,
    });
    source.close();
  });

  it('leaves no stream, no listener and no buffer behind when its signal aborts', async () => {
    const { source, epoch } = await openLog(client);
    const stop = new AbortController();
    await client.put('abort/a').value('1');
    const first = await source.peek({ epoch: 1, tag: TAG, begin: epoch.begin, maxBytes: 1000, signal: stop.signal });
    await client.put('abort/b').value('2');
    await expect.poll(() => source.bufferedBytes).toBeGreaterThan(0);
    const reason = new Error('enough');
    stop.abort(reason);
    expect(source.bufferedBytes).toBe(0);
    await expect(
      source.peek({ epoch: 1, tag: TAG, begin: first.end, maxBytes: 1000, signal: stop.signal }),
    ).rejects.toBe(reason);
    const again = await readLog(source, epoch.begin + 1n, { begin: epoch.begin });
    expect(again.map(({ key }) => key)).toEqual(['abort/a', 'abort/b']);
    source.close();
    await expect(
      source.peek({ epoch: 1, tag: TAG, begin: first.end, maxBytes: 1000, signal: new AbortController().signal }),
    ).rejects.toMatchObject({ code: 'INVALID_STATE' });
  });

  it('answers two peeks of one tag at once, each from its own begin', async () => {
    const { source, epoch } = await openLog(client);
    const { begin } = epoch;
    for (let i = 0; i < 20; i++) await client.put('both').value(String(i));
    const [all, half] = await Promise.all([
      readLog(source, begin + 19n, { begin, maxBytes: 50 }),
      readLog(source, begin + 19n, { begin: begin + 10n, maxBytes: 60 }),
    ]);
    expect(all.map(({ value }) => value)).toEqual(Array.from({ length: 20 }, (_, i) => String(i)));
    expect(half).toEqual(all.slice(10));
    source.close();
  });

  it('compacts on pops only what all tags have popped, wherever they run', async () => {
    const store = new MemoryProgressStore();
    const epoch = await etcdEpoch({ client, store, tags: 2 });
    const options = { client, epoch, store, compact: { retention: 0, interval: 0 } };
    const [one, other] = [new EtcdLogSource(options), new EtcdLogSource(options)];
    const { begin } = epoch;
    for (let i = 0; i < 10; i++) await client.put('popped').value(String(i));
    const isKept = async (revision: Version) =>
      client.kv.range({ key: Buffer.from('popped'), revision: String(revision) }).then(
        () => true,
        () => false,
      );
    for (const source of [one, other]) await source.committedVersion(new AbortController().signal);
    await one.pop({ epoch: 1, tag: logRouterTag(0), upTo: begin + 8n });
    expect(await isKept(begin)).toBe(true);
    await other.pop({ epoch: 1, tag: logRouterTag(1), upTo: begin + 4n });
    expect([await isKept(begin + 3n), await isKept(begin + 4n)]).toEqual([false, true]);
    await other.pop({ epoch: 1, tag: logRouterTag(1), upTo: begin + 2n });
    const rest = await readLog(one, begin + 9n, { begin: begin + 5n, tag: 0 });
    const more = await readLog(one, begin + 9n, { begin: begin + 5n, tag: 1 });
    expect(rest.length + more.length).toBe(5);
    one.close();
    other.close();
  });

  it('has one number of tags for ever, and one cluster', async () => {
    const store = new MemoryProgressStore();
    const epoch = await etcdEpoch({ client, store, tags: 2 });
    await client.put('later').value('1');
    expect(await etcdEpoch({ client, store, tags: 2 })).toEqual(epoch);
    await expect(etcdEpoch({ client, store, tags: 3 })).rejects.toMatchObject({ code: 'INVALID_OPTION' });
  });
});
