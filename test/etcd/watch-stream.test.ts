// The stream of etcd's Watch service, on a real server: nothing lost, nothing split, nothing left behind.

import { Etcd3 } from 'etcd3';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/core/clock.js';
import { prefixRange, revisionOf } from '../../src/etcd/keys.js';
import { watchRevisions } from '../../src/etcd/watch-stream.js';
import { collectGarbage } from '../collect-garbage.js';
import type { EtcdCluster } from '../servers/etcd.js';
import { etcdMissing, startEtcd } from '../servers/etcd.js';

const missing = etcdMissing();
const TIMEOUT = 60_000;

describe.skipIf(missing !== undefined)(`a watch stream${missing === undefined ? '' : `: ${missing}`}`, () => {
  let etcd: EtcdCluster;
  let client: Etcd3;

  beforeAll(async () => {
    etcd = await startEtcd();
    client = new Etcd3({ hosts: [...etcd.urls] });
  }, TIMEOUT);

  afterAll(async () => {
    client.close();
    await etcd.stop();
  });

  const put = async (key: string, value: Buffer | string = 'x') => {
    const { header } = await client.kv.put({ key: Buffer.from(key), value: Buffer.from(value) });
    return revisionOf(header.revision);
  };
  const watched = (prefix: string, startRevision: bigint, signal: AbortSignal) => {
    const { key, range_end } = prefixRange(Buffer.from(prefix));
    return watchRevisions(client, { key, rangeEnd: range_end, startRevision }, { signal });
  };

  it(
    'gives all changes from a revision on, in order, old ones and new ones',
    async () => {
      const first = await put('order/0');
      for (let i = 1; i < 20; i++) await put(`order/${i}`);
      const stop = new AbortController();
      const seen: string[] = [];
      for await (const { revision, events } of watched('order/', first, stop.signal)) {
        if (seen.length === 0) void put('order/last');
        seen.push(...events.map(({ kv }) => kv.key.toString()));
        expect(revision).toBe(revisionOf(events.at(-1)?.kv.mod_revision ?? ''));
        if (seen.at(-1) === 'order/last') break;
      }
      expect(seen).toEqual([...Array.from({ length: 20 }, (_, i) => `order/${i}`), 'order/last']);
    },
    TIMEOUT,
  );

  it(
    'never splits a revision, however large its answer is',
    async () => {
      const value = Buffer.alloc(1_200_000, 'v');
      const first = await put('large/0', value);
      for (let i = 1; i < 6; i++) await put(`large/${i}`, value);
      const keys = Array.from({ length: 100 }, (_, i) => `large/t${i}`);
      await client.kv.txn({
        success: keys.map((key) => ({ request_put: { key: Buffer.from(key), value: Buffer.alloc(14_000, key) } })),
      });
      const seen: (readonly string[])[] = [];
      let count = 0;
      for await (const { events } of watched('large/', first, new AbortController().signal)) {
        const byRevision = new Map<string, string[]>();
        for (const { kv } of events) {
          byRevision.set(kv.mod_revision, [...(byRevision.get(kv.mod_revision) ?? []), kv.key.toString()]);
        }
        seen.push(...byRevision.values());
        count += events.length;
        if (count >= 106) break;
      }
      expect(seen).toEqual([...Array.from({ length: 6 }, (_, i) => [`large/${i}`]), keys]);
    },
    TIMEOUT,
  );

  it(
    'tells the compact revision where it can no longer begin',
    async () => {
      const first = await put('compact/0');
      const last = await put('compact/0');
      await client.kv.compact({ revision: String(last) });
      const stream = watched('compact/', first, new AbortController().signal);
      await expect(stream.next()).rejects.toMatchObject({ code: 'ETCD_COMPACTED', version: last });
    },
    TIMEOUT,
  );

  it(
    'ends with the reason of its signal, and other calls of the client do not notice',
    async () => {
      const from = await put('abort/0');
      const reason = new Error('enough');
      // More often than the circuit breaker of the client's host allows failures.
      for (let i = 0; i < 8; i++) {
        const stop = new AbortController();
        const stream = watched('abort/', from + 1n, stop.signal);
        const next = stream.next();
        setTimeout(() => stop.abort(reason), 20);
        await expect(next).rejects.toBe(reason);
      }
      await put('abort/1');
    },
    TIMEOUT,
  );

  it(
    'holds etcd back while its reader is slow',
    async () => {
      const value = Buffer.alloc(1_000_000, 'v');
      const first = await put('slow/0', value);
      const stream = watched('slow/', first, new AbortController().signal);
      await stream.next();
      collectGarbage();
      const before = process.memoryUsage().arrayBuffers;
      for (let i = 1; i < 60; i++) await put('slow/0', value);
      await systemClock.sleep(500);
      // The puts' own bytes, too, would count.
      collectGarbage();
      expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(45_000_000);
      let count = 1;
      while (count < 60) count += (await stream.next()).value?.events.length ?? 0;
      await stream.return();
    },
    TIMEOUT,
  );

  it(
    'tells a server that stands still from one where nothing happens',
    async () => {
      const own = await startEtcd();
      const ownClient = new Etcd3({ hosts: [...own.urls] });
      try {
        const stream = watchRevisions(
          ownClient,
          { key: Buffer.from('a'), startRevision: 1n },
          { signal: new AbortController().signal, silence: { clock: systemClock, ms: 300 } },
        );
        const next = stream.next();
        const outcome = next.then(
          () => 'an answer',
          (error: unknown) => error,
        );
        expect(await Promise.race([outcome, systemClock.sleep(2_000).then(() => 'still waits')])).toBe('still waits');
        own.servers[0]?.freeze();
        expect(await outcome).toMatchObject({ code: 'ETCD_UNAVAILABLE', retryable: true });
      } finally {
        own.servers[0]?.thaw();
        ownClient.close();
        await own.stop();
      }
    },
    TIMEOUT,
  );
});
