// The log of etcd while its servers die, come back, are restored from a snapshot, or refuse the user. Real servers, real time; nothing is asserted about how long anything takes.

import { execFileSync } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Etcd3 } from 'etcd3';
import { describe, expect, it } from 'vitest';
import { logRouterTag } from '../../src/core/version.js';
import { MemoryProgressStore } from '../../src/progress/memory-progress-store.js';
import { etcdEpoch } from '../../src/source/etcd/epoch.js';
import { EtcdLogSource } from '../../src/source/etcd/log-source.js';
import { EtcdServer, etcdMissing, startEtcd, startEtcdCluster } from '../servers/etcd.js';
import { freePorts } from '../servers/free-ports.js';
import { connect, headOf, openLog, readLog } from './etcd-log-tools.js';

const missing = etcdMissing();
const signal = new AbortController().signal;

/** Puts until it is told to stop, through whatever happens, and then until one more is acknowledged, since a reader may wait for it; how many were. */
async function writeUntil(client: Etcd3, stop: { now: boolean }): Promise<number> {
  let acknowledged = 0;
  for (let isLast = false; !isLast;) {
    const isStopping = stop.now;
    const key = Buffer.from(`w/${acknowledged % 50}`);
    try {
      await client.kv.put({ key, value: Buffer.from(String(acknowledged)) });
      acknowledged++;
      isLast = isStopping;
    } catch {
      // The server is gone, or the client's circuit breaker is open.
      await sleep(50);
    }
  }
  return acknowledged;
}

describe.skipIf(missing !== undefined)(
  `the log of etcd's servers${missing === undefined ? '' : `: ${missing}`}`,
  () => {
    it('goes on where it was when the server is killed and comes back', async () => {
      const etcd = await startEtcd();
      const [client, writer] = [connect(etcd.urls), connect(etcd.urls)];
      try {
        const { source, epoch } = await openLog(client);
        const stop = { now: false };
        const writing = writeUntil(writer, stop);
        const retries: unknown[] = [];
        const chaos = (async () => {
          for (let i = 0; i < 3; i++) {
            await sleep(700);
            await etcd.servers[0]?.kill();
            await sleep(200);
            await etcd.servers[0]?.start();
          }
          await sleep(700);
          stop.now = true;
          return writing;
        })();
        // It reads all the while.
        const reader = readLog(source, epoch.begin + 10n, {
          begin: epoch.begin,
          onRetry: (error) => retries.push(error),
        });
        const first = await reader;
        let begin = (first.at(-1)?.version ?? 0n) + 1n;
        const events = [...first];
        while (!stop.now) {
          const part = await readLog(source, begin, { begin, onRetry: (error) => retries.push(error) });
          events.push(...part);
          begin = (events.at(-1)?.version ?? 0n) + 1n;
        }
        const acknowledged = await chaos;
        const last = await headOf(client);
        events.push(...(await readLog(source, last, { begin, onRetry: (error) => retries.push(error) })));
        // One put is one revision: none twice, none missing.
        expect(events.map(({ version }) => version - epoch.begin)).toEqual(
          Array.from({ length: Number(last - epoch.begin) + 1 }, (_, i) => BigInt(i)),
        );
        expect(events.length).toBeGreaterThanOrEqual(acknowledged);
        source.close();
      } finally {
        client.close();
        writer.close();
        await etcd.stop();
      }
    }, 120_000);

    it('goes on where it was when the leader of three is killed', async () => {
      const etcd = await startEtcdCluster(3);
      const [client, writer] = [connect(etcd.urls), connect(etcd.urls)];
      try {
        const { source, epoch } = await openLog(client);
        const stop = { now: false };
        const writing = writeUntil(writer, stop);
        const reading = (async () => {
          const versions: bigint[] = [];
          let begin = epoch.begin;
          const readOn = async (last: bigint) => {
            for (const { version } of await readLog(source, last, { begin, onRetry: () => undefined }))
              versions.push(version);
            begin = (versions.at(-1) ?? begin - 1n) + 1n;
          };
          while (!stop.now) await readOn(begin);
          await writing;
          await readOn(await headOf(client));
          return versions;
        })();
        for (let round = 0; round < 2; round++) {
          await sleep(1_000);
          const leader = await leaderOf(etcd.servers);
          await leader.kill();
          await sleep(3_000);
          await leader.start();
        }
        await sleep(500);
        stop.now = true;
        const acknowledged = await writing;
        const versions = await reading;
        expect(versions).toEqual(versions.map((_, i) => epoch.begin + BigInt(i)));
        expect(versions.at(-1)).toBe(await headOf(client));
        expect(versions.length).toBeGreaterThanOrEqual(acknowledged);
        expect(acknowledged).toBeGreaterThan(0);
        source.close();
      } finally {
        client.close();
        writer.close();
        await etcd.stop();
      }
    }, 180_000);

    it('is loud when the cluster was restored from a snapshot while no worker ran, however far it has come since', async () => {
      const folder = await mkdtemp(path.join(tmpdir(), 'tidemark-etcd-restored-'));
      const [clientPort = 0, peerPort = 0] = await freePorts(2);
      const member = { name: 'one', clientPort, peerPort };
      const original = new EtcdServer(member, [member], path.join(folder, 'original'), []);
      const restored = new EtcdServer(member, [member], path.join(folder, 'restored'), []);
      const client = connect([original.url]);
      try {
        await original.start();
        const store = new MemoryProgressStore();
        const epoch = await etcdEpoch({ client, store });
        for (let i = 0; i < 5; i++) await client.put('a').value(String(i));
        const snapshot = path.join(folder, 'snapshot.db');
        const env = { ...process.env, ETCDCTL_API: '3' };
        execFileSync('etcdctl', ['--endpoints', original.url, 'snapshot', 'save', snapshot], { env, stdio: 'ignore' });
        for (let i = 0; i < 5; i++) await client.put('b').value(String(i));
        const before = new EtcdLogSource({ client, epoch, store });
        await readLog(before, epoch.begin + 9n, { begin: epoch.begin });
        await before.pop({ epoch: 1, tag: logRouterTag(0), upTo: epoch.begin + 9n });
        before.close();
        await original.kill();
        const peer = `http://127.0.0.1:${peerPort}`;
        const place = ['--data-dir', path.join(folder, 'restored', 'one'), '--name', 'one'];
        const cluster = ['--initial-cluster', `one=${peer}`, '--initial-advertise-peer-urls', peer];
        execFileSync('etcdctl', ['snapshot', 'restore', snapshot, ...place, ...cluster], { env, stdio: 'ignore' });
        await restored.start();
        // The same cluster by its number, and behind what was backed up.
        await expect(
          new EtcdLogSource({ client, epoch, store }).peek(peekFrom(epoch.begin + 10n)),
        ).rejects.toMatchObject({ code: 'LOG_INCONSISTENT', retryable: false });
        for (let i = 0; i < 20; i++) await client.put('c').value(String(i));
        // Now it is further than before.
        await expect(
          new EtcdLogSource({ client, epoch, store }).peek(peekFrom(epoch.begin + 10n)),
        ).rejects.toMatchObject({ code: 'LOG_INCONSISTENT', retryable: false, version: epoch.begin + 9n });
        await expect(etcdEpoch({ client, store })).resolves.toEqual(epoch);
      } finally {
        client.close();
        await original.kill();
        await restored.kill();
        await rm(folder, { recursive: true, force: true });
      }
    }, 120_000);

    it('is loud about another cluster', async () => {
      const [one, other] = await Promise.all([startEtcd(), startEtcd()]);
      const [client, stranger] = [connect(one.urls), connect(other.urls)];
      try {
        const store = new MemoryProgressStore();
        const epoch = await etcdEpoch({ client, store });
        await expect(etcdEpoch({ client: stranger, store })).rejects.toMatchObject({ code: 'LOG_INCONSISTENT' });
        await expect(new EtcdLogSource({ client: stranger, epoch }).peek(peekFrom(epoch.begin))).rejects.toMatchObject({
          code: 'LOG_INCONSISTENT',
          retryable: false,
        });
      } finally {
        client.close();
        stranger.close();
        await Promise.all([one.stop(), other.stop()]);
      }
    }, 60_000);

    it('ends for good where the user may not read all keys, or is none', async () => {
      const etcd = await startEtcd();
      const root = connect(etcd.urls);
      const hosts = [...etcd.urls];
      const as = (username: string, password: string) => new Etcd3({ hosts, auth: { username, password } });
      const [reader, wrong, admin] = [as('reader', 'reader'), as('reader', 'wrong'), as('root', 'root')];
      try {
        const { epoch } = await openLog(root);
        await root.user('root').create('root');
        await root.role('root').create();
        await root.user('root').addRole('root');
        await root.user('reader').create('reader');
        await root.role('some').create();
        await root.role('some').grant({ permission: 'Read', range: root.range({ prefix: 'some/' }) });
        await root.user('reader').addRole('some');
        await root.auth.authEnable();
        for (const client of [reader, wrong, root]) {
          const source = new EtcdLogSource({ client, epoch });
          await expect(source.peek(peekFrom(epoch.begin))).rejects.toMatchObject({
            code: 'ETCD_DENIED',
            retryable: false,
          });
          source.close();
        }
        const source = new EtcdLogSource({ client: admin, epoch });
        const { header } = await admin.put('a').value('1');
        expect(await readLog(source, BigInt(header.revision), { begin: epoch.begin })).toHaveLength(1);
        source.close();
      } finally {
        for (const client of [root, reader, wrong, admin]) client.close();
        await etcd.stop();
      }
    }, 60_000);

    it('names the client option that is missing where a single change is larger than the client takes', async () => {
      const etcd = await startEtcd({ flags: ['--max-request-bytes=8000000'] });
      const [client, plain] = [connect(etcd.urls), new Etcd3({ hosts: [...etcd.urls] })];
      try {
        const { epoch } = await openLog(client);
        await client.put('large').value(Buffer.alloc(5_000_000, 0x61));
        const source = new EtcdLogSource({ client: plain, epoch });
        await expect(source.peek(peekFrom(epoch.begin))).rejects.toMatchObject({
          code: 'ETCD_LIMIT',
          message: expect.stringContaining('ETCD_GRPC_OPTIONS') as string,
        });
        source.close();
        const patient = new EtcdLogSource({ client, epoch });
        expect((await readLog(patient, epoch.begin, { begin: epoch.begin }))[0]?.value).toHaveLength(5_000_000);
        patient.close();
      } finally {
        client.close();
        plain.close();
        await etcd.stop();
      }
    }, 60_000);
  },
);

function peekFrom(begin: bigint) {
  return { epoch: 1, tag: logRouterTag(0), begin, maxBytes: 1 << 20, signal };
}

async function leaderOf(servers: readonly EtcdServer[]): Promise<EtcdServer> {
  for (;;) {
    for (const server of servers) {
      const client = new Etcd3({ hosts: [server.url] });
      const status = await client.maintenance.status().catch(() => undefined);
      client.close();
      if (status !== undefined && status.leader !== '0' && status.leader === status.header.member_id) return server;
    }
    await sleep(100);
  }
}
