// Clients of one EtcdProgressStore in several processes, some of which are stopped, and a cluster whose leader is killed while they commit.

import { Etcd3 } from 'etcd3';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { utf8 } from '../../src/core/bytes.js';
import { systemClock } from '../../src/core/clock.js';
import { BackupError } from '../../src/core/errors.js';
import type { Lease, ProgressStore } from '../../src/ports/progress-store.js';
import { EtcdProgressStore } from '../../src/progress/etcd/etcd-progress-store.js';
import { read, write } from '../../src/testing/store-tools.js';
import type { EtcdCluster, EtcdServer } from '../servers/etcd.js';
import { etcdMissing, startEtcd, startEtcdCluster } from '../servers/etcd.js';
import type { ClientProcess } from './etcd-clients.js';
import { startClient } from './etcd-clients.js';

const missing = etcdMissing();
const TIMEOUT = 180_000;
const ACCOUNTS = 6;
const COINS = 100;
const LEASE = 'lease/task';

async function openAccounts(store: ProgressStore): Promise<void> {
  const keys = Array.from({ length: ACCOUNTS }, (_, i) => `account/${i}`);
  await write(store, Object.fromEntries(keys.map((key) => [key, String(COINS)])));
}

/** What each client was told of its moves, and what is there. */
async function audit(store: ProgressStore, clients: readonly ClientProcess[]) {
  return store.transact(async (tx) => {
    const number = async (key: string) => Number(new TextDecoder().decode((await tx.get(key)) ?? utf8('0')));
    const accounts = await tx.getRange('account/', 'account0');
    const coins = accounts.map(({ value }) => Number(new TextDecoder().decode(value))).reduce((a, b) => a + b, 0);
    const counts = await Promise.all(
      clients.map(async (client) => ({
        acknowledged: client.count('done'),
        unknown: client.count('unknown'),
        stored: await number(`count/${client.name}`),
      })),
    );
    return { coins, counts, all: await number('count/all') };
  });
}

describe.skipIf(missing !== undefined)(
  `EtcdProgressStore, processes${missing === undefined ? '' : `: ${missing}`}`,
  () => {
    let clients: ClientProcess[] = [];
    const start = (...args: Parameters<typeof startClient>) => {
      const client = startClient(...args);
      clients.push(client);
      return client;
    };
    afterEach(async () => {
      for (const client of clients) client.process.kill('SIGKILL');
      await Promise.all(clients.map(({ ended }) => ended));
      clients = [];
    });

    describe('one server', () => {
      let etcd: EtcdCluster;
      let client: Etcd3;
      beforeAll(async () => {
        etcd = await startEtcd({ flags: ['--heartbeat-interval=50', '--election-timeout=500'] });
        client = new Etcd3({ hosts: [...etcd.urls] });
      }, TIMEOUT);
      afterAll(async () => {
        client.close();
        await etcd.stop();
      });

      it(
        'processes that move and count at once lose nothing and make up nothing',
        async () => {
          const store = new EtcdProgressStore({ client, prefix: 'moves/' });
          await openAccounts(store);
          const movers = ['a', 'b', 'c'].map((name) => start(etcd.urls, 'moves/', name, 'moves', 60));
          expect(await Promise.all(movers.map(({ ended }) => ended))).toEqual([0, 0, 0]);
          const { coins, counts, all } = await audit(store, movers);
          expect(coins).toBe(ACCOUNTS * COINS);
          expect(counts).toEqual(movers.map(() => ({ acknowledged: 60, unknown: 0, stored: 60 })));
          expect(all).toBe(180);
        },
        TIMEOUT,
      );

      it(
        'of processes that contend for a lease one at a time holds it',
        async () => {
          const store = new EtcdProgressStore({ client, prefix: 'contend/' });
          const contenders = ['a', 'b', 'c'].map((name) => start(etcd.urls, 'contend/', name, 'contend', 8));
          expect(await Promise.all(contenders.map(({ ended }) => ended))).toEqual([0, 0, 0]);
          expect(await read(store, 'counter')).toBe('24');
        },
        TIMEOUT,
      );

      it.each([
        { task: 'stopped-holder', what: 'outside of its transaction', says: ['fenced', 'LEASE_LOST'] },
        { task: 'stopped-inside', what: 'between its reads and its commit', says: ['fenced'] },
      ])(
        'a holder that is stopped past its lease, $what, gets no further',
        async ({ task, says }) => {
          const store = new EtcdProgressStore({ client, prefix: `${task}/` });
          const holder = start(etcd.urls, `${task}/`, 'holder', task);
          await holder.said('stopping');
          await store.watch(LEASE, utf8('holder'), new AbortController().signal);
          const next = await store.acquireLease({ key: LEASE, value: utf8('next'), ttl: 60_000 });
          await write(store, { result: 'by the next' });
          holder.process.kill('SIGCONT');
          expect(await holder.ended).toBe(0);
          expect(holder.lines).toEqual(['stopping', ...says]);
          expect(await read(store, 'result')).toBe('by the next');
          expect(await read(store, LEASE)).toBe('next');
          await next?.release();
          await store.close();
        },
        TIMEOUT,
      );
    });

    it(
      'a cluster whose leader is killed and started again loses nothing that was acknowledged and commits nothing twice',
      async () => {
        const cluster = await startEtcdCluster(3);
        const client = new Etcd3({ hosts: [...cluster.urls] });
        const store = new EtcdProgressStore({ client, callTimeout: 3_000, watchSilence: 2_000 });
        const stop = new AbortController();
        try {
          await openAccounts(store);
          const lease = await store.acquireLease({ key: LEASE, value: utf8('keeper'), ttl: 15_000 });
          if (lease === undefined) throw new Error('the lease is free');
          const keeping = keep(lease, stop.signal);
          // Where the test fails first, that is what it says.
          keeping.catch(() => undefined);
          const watching = store.watch('end', undefined, new AbortController().signal);
          const movers = ['a', 'b', 'c'].map((name) => start(cluster.urls, store.prefix, name, 'moves', 1_000_000));
          for (let round = 1; round <= 4; round++) {
            await Promise.all(movers.map((mover) => mover.said('done', mover.count('done') + 10)));
            const leader = await leaderOf(cluster);
            await leader.kill();
            await systemClock.sleep(500);
            await Promise.all(movers.map((mover) => mover.said('done', mover.count('done') + 3)));
            await leader.start();
          }
          for (const mover of movers) mover.process.kill('SIGTERM');
          expect(await Promise.all(movers.map(({ ended }) => ended))).toEqual([0, 0, 0]);
          await patiently(() => write(store, { end: 'x' }));
          await watching;
          const { coins, counts, all } = await patiently(() => audit(store, movers));
          expect(coins).toBe(ACCOUNTS * COINS);
          for (const { acknowledged, unknown, stored } of counts) {
            expect(stored).toBeGreaterThanOrEqual(acknowledged);
            expect(stored).toBeLessThanOrEqual(acknowledged + unknown);
          }
          expect(all).toBe(counts.reduce((sum, { stored }) => sum + stored, 0));
          stop.abort(new Error('enough'));
          await keeping;
          expect(await patiently(() => read(store, LEASE))).toBe('keeper');
        } finally {
          stop.abort(new Error('enough'));
          await store.close();
          client.close();
          await cluster.stop();
        }
      },
      TIMEOUT,
    );
  },
);

async function leaderOf(cluster: EtcdCluster): Promise<EtcdServer> {
  for (;;) {
    for (const server of cluster.servers) {
      const client = new Etcd3({ hosts: [server.url] });
      try {
        const { leader, header } = await client.maintenance.status();
        if (leader === header.member_id) return server;
      } catch {
        // It has only just been started.
      } finally {
        client.close();
      }
    }
    await systemClock.sleep(100);
  }
}

/** Renews it as a holder does, until the signal aborts. Rejects when the lease is lost. */
async function keep(lease: Lease, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    await patiently(() => lease.renew());
    await systemClock.sleep(500);
  }
}

async function patiently<T>(call: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await call();
    } catch (error) {
      if (!BackupError.is(error) || !error.retryable) throw error;
      await systemClock.sleep(100);
    }
  }
}
