// The store in etcd when etcd is away, stands still, forgets, is full or refuses; and what does not fit.

import { setMaxListeners } from 'node:events';
import { Etcd3, Range } from 'etcd3';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { utf8 } from '../../src/core/bytes.js';
import { systemClock } from '../../src/core/clock.js';
import { BackupError } from '../../src/core/errors.js';
import { EtcdProgressStore } from '../../src/progress/etcd/etcd-progress-store.js';
import { increment, read, readIn, write } from '../../src/testing/store-tools.js';
import type { EtcdCluster } from '../servers/etcd.js';
import { etcdMissing, startEtcd } from '../servers/etcd.js';

const missing = etcdMissing();
const TIMEOUT = 120_000;
const forever = new AbortController().signal;

describe.skipIf(missing !== undefined)(
  `EtcdProgressStore, outages${missing === undefined ? '' : `: ${missing}`}`,
  () => {
    let etcd: EtcdCluster;
    let client: Etcd3;
    beforeAll(async () => {
      etcd = await startEtcd();
    }, TIMEOUT);
    afterAll(() => etcd.stop());
    // One for each test: a client remembers for a while that its host has failed.
    beforeEach(() => {
      client = new Etcd3({ hosts: [...etcd.urls] });
    });
    afterEach(() => client.close());

    const server = () => {
      const [first] = etcd.servers;
      if (first === undefined) throw new Error('no server');
      return first;
    };
    const open = (prefix: string, options: { callTimeout?: number; watchSilence?: number } = {}) =>
      new EtcdProgressStore({ client, prefix, callTimeout: 2_000, ...options });

    it(
      'a watch goes on where it was when the server is killed and started again',
      async () => {
        const store = open('restart/');
        await write(store, { a: '1' });
        const watching = ['a', 'b', 'b'].map((key) => store.watch(key, key === 'a' ? utf8('1') : undefined, forever));
        await systemClock.sleep(200);
        await server().kill();
        await systemClock.sleep(300);
        await server().start();
        await patiently(() => write(store, { a: '2', b: '1' }));
        await Promise.all(watching);
        await store.close();
      },
      TIMEOUT,
    );

    it(
      'a watch hears of a change that was compacted before it could come back',
      async () => {
        const store = open('compact/');
        // A client of its own, whose stream alone breaks.
        const other = new Etcd3({ hosts: [...etcd.urls] });
        const watcher = new EtcdProgressStore({ client: other, prefix: 'compact/' });
        await write(store, { a: '1' });
        const streams = vi.spyOn(other.watchClient, 'watch');
        const watching = watcher.watch('a', utf8('1'), forever);
        await vi.waitUntil(() => streams.mock.results.length > 0);
        const first = await (streams.mock.results[0]?.value as Promise<{ end(): void; cancel(): void }>);
        // While it is away: two changes, of which etcd keeps nothing.
        let goOn = () => {};
        const gate = new Promise<void>((resolve) => (goOn = resolve));
        streams.mockImplementationOnce(async () => {
          await gate;
          streams.mockRestore();
          return other.watchClient.watch();
        });
        first.end();
        first.cancel();
        await vi.waitUntil(() => streams.mock.results.length > 1);
        await write(store, { a: '2' });
        await write(store, { a: '1' });
        await write(store, { a: '3' });
        const { header } = await client.kv.range({ key: Buffer.from('x') });
        await client.kv.compact({ revision: header.revision });
        goOn();
        await watching;
        expect(await read(watcher, 'a')).toBe('3');
        await watcher.close();
        other.close();
      },
      TIMEOUT,
    );

    it(
      'a transaction whose revision is compacted while its body runs begins anew',
      async () => {
        const store = open('old/');
        await write(store, { a: '1', b: '1' });
        let runs = 0;
        const got = await store.transact(async (tx) => {
          const a = await readIn(tx, 'a');
          if (runs++ === 0) {
            await write(store, { a: '2', b: '2' });
            const { header } = await client.kv.range({ key: Buffer.from('x') });
            await client.kv.compact({ revision: header.revision });
          }
          // What it makes of the failure is not asked.
          return [a, await readIn(tx, 'b').catch(() => 'none')];
        });
        expect(got).toEqual(['2', '2']);
        expect(runs).toBe(2);
      },
      TIMEOUT,
    );

    it(
      'a server that stands still: calls fail in time, a watch honours its signal, and all goes on when it does',
      async () => {
        const store = open('frozen/', { callTimeout: 1_000, watchSilence: 1_000 });
        await write(store, { a: '1' });
        const lease = await store.acquireLease({ key: 'lease/x', value: utf8('x'), ttl: 60_000 });
        const stop = new AbortController();
        const reason = new Error('enough');
        const kept = store.watch('a', utf8('1'), forever);
        const stopped = store.watch('a', utf8('1'), stop.signal);
        await systemClock.sleep(200);
        server().freeze();
        try {
          const unavailable = { code: 'STORE_UNAVAILABLE', retryable: true };
          const outcomes = [
            increment(store, 'n'),
            store.transact((tx) => tx.get('a')),
            store.acquireLease({ key: 'lease/y', value: utf8('y'), ttl: 60_000 }),
            (lease as NonNullable<typeof lease>).renew(),
            (lease as NonNullable<typeof lease>).release(),
            store.watch('b', undefined, forever),
          ];
          await Promise.all(outcomes.map((outcome) => expect(outcome).rejects.toMatchObject(unavailable)));
          stop.abort(reason);
          await expect(stopped).rejects.toBe(reason);
          // Also one that has not even read its key.
          const fresh = new Etcd3({ hosts: [...etcd.urls] });
          const early = new EtcdProgressStore({ client: fresh, prefix: 'frozen/' });
          const aborted = early.watch('b', undefined, AbortSignal.timeout(50));
          await expect(aborted).rejects.toMatchObject({ name: 'TimeoutError' });
          fresh.close();
        } finally {
          server().thaw();
        }
        await patiently(() => write(store, { a: '2' }));
        await kept;
        await store.close();
      },
      TIMEOUT,
    );

    it(
      'many watches share one stream, which ends with the last of them',
      async () => {
        const own = new Etcd3({ hosts: [...etcd.urls] });
        const store = new EtcdProgressStore({ client: own, prefix: 'many/' });
        const streams = vi.spyOn(own.watchClient, 'watch');
        const stop = new AbortController();
        setMaxListeners(0, stop.signal);
        const ended = Array.from({ length: 300 }, (_, i) =>
          store.watch(`key/${i % 100}`, undefined, stop.signal).catch((error: unknown) => error),
        );
        await vi.waitUntil(() => streams.mock.results.length === 1);
        await systemClock.sleep(500);
        await write(store, { 'key/7': 'x' });
        expect(await Promise.all([ended[7], ended[107], ended[207]])).toEqual([undefined, undefined, undefined]);
        const stream = (await streams.mock.results[0]?.value) as { destroyed: boolean; closed: boolean };
        stop.abort(new Error('enough'));
        expect((await Promise.all(ended)).filter((end) => end instanceof Error)).toHaveLength(297);
        await vi.waitUntil(() => stream.closed || stream.destroyed, { timeout: 5_000 });
        expect(streams.mock.results).toHaveLength(1);
        // The client is as good as new: nothing counted as a failure of its host.
        await write(store, { 'key/8': 'x' });
        own.close();
      },
      TIMEOUT,
    );

    it(
      'transactions that are larger than one of etcd are still one',
      async () => {
        const store = open('large/');
        const keys = Array.from({ length: 1_500 }, (_, i) => `key/${String(i).padStart(4, '0')}`);
        const { header: before } = await client.kv.range({ key: Buffer.from('x') });
        await write(store, Object.fromEntries(keys.map((key) => [key, key])));
        const { header: after } = await client.kv.range({ key: Buffer.from('x') });
        expect(Number(after.revision) - Number(before.revision)).toBe(1);
        // It reads everything, and a change to any of it is a conflict.
        let runs = 0;
        await store.transact(async (tx) => {
          const entries = await tx.getRange('key/', 'key0');
          if (runs++ === 0) await write(store, { 'key/0700': undefined });
          tx.set('count', utf8(String(entries.length)));
        });
        expect(runs).toBe(2);
        expect(await read(store, 'count')).toBe('1499');
      },
      TIMEOUT,
    );

    it(
      'what does not fit into etcd is said so, and does no harm',
      async () => {
        const store = open('limits/');
        const tooLarge = { code: 'ETCD_LIMIT', retryable: false };
        const set = (value: Uint8Array) => store.transact(async (tx) => tx.set('huge', value));
        for (let i = 0; i < 5; i++) await expect(set(new Uint8Array(3_000_000))).rejects.toMatchObject(tooLarge);
        await expect(set(new Uint8Array(1_572_864))).rejects.toMatchObject(tooLarge);
        await set(new Uint8Array(1_570_000));
        expect((await store.transact((tx) => tx.get('huge')))?.length).toBe(1_570_000);
        const many = store.transact(async (tx) => {
          for (let i = 0; i < 5_000; i++) tx.set(`key/${i}`, utf8('x'));
        });
        await expect(many).rejects.toMatchObject(tooLarge);
        // As large as one answer of gRPC may be, and larger.
        for (let i = 0; i < 6; i++) await store.transact(async (tx) => tx.set(`big/${i}`, new Uint8Array(1_000_000)));
        await increment(store, 'n');
        expect(await read(store, 'n')).toBe('1');
      },
      TIMEOUT,
    );

    it(
      'options are checked, and stores of other prefixes are not seen',
      async () => {
        for (const prefix of ['', 'tidemark', 'tide mark/', 'ü/', `${'x'.repeat(200)}/`]) {
          expect(() => new EtcdProgressStore({ client, prefix })).toThrow(/prefix/);
        }
        for (const option of ['callTimeout', 'maxAttempts', 'watchSilence', 'maxOperations', 'maxRequestBytes']) {
          expect(() => new EtcdProgressStore({ client, [option]: 0 })).toThrow(option);
        }
        const none = {} as Partial<Etcd3> as Etcd3;
        expect(() => new EtcdProgressStore({ client: none })).toThrow(/Etcd3/);
        const [a, b] = [open('p/'), open('p/q/')];
        await write(a, { x: 'of a' });
        await write(b, { x: 'of b' });
        await client.put('p/keysx').value('foreign');
        expect(await a.transact((tx) => tx.getRange(' ', '~'))).toEqual([{ key: 'x', value: utf8('of a') }]);
        await client.put('p/keys/\u0001').value('foreign');
        await expect(a.transact((tx) => tx.getRange('', '\uffff'))).rejects.toMatchObject({ code: 'STORE_CORRUPT' });
      },
      TIMEOUT,
    );

    it(
      'after close nothing waits, and calls say so',
      async () => {
        const store = open('close/');
        const closed = { code: 'INVALID_STATE' };
        const watching = expect(store.watch('a', undefined, forever)).rejects.toMatchObject(closed);
        await systemClock.sleep(200);
        await store.close();
        await watching;
        await expect(read(store, 'a')).rejects.toMatchObject(closed);
        await expect(store.watch('a', undefined, forever)).rejects.toMatchObject(closed);
        await store.close();
        expect(await client.get('close/x')).toBeNull();
      },
      TIMEOUT,
    );

    it(
      'a full etcd is an error that ends when an operator ends it',
      async () => {
        const full = await startEtcd({ flags: ['--quota-backend-bytes=2000000'] });
        const own = new Etcd3({ hosts: [...full.urls] });
        try {
          const store = new EtcdProgressStore({ client: own });
          await write(store, { a: '1' });
          await expect(fill(full.urls)).rejects.toThrow(/space exceeded/);
          await expect(write(store, { a: '2' })).rejects.toMatchObject({ code: 'ETCD_NO_SPACE', retryable: true });
          expect(await patiently(() => read(store, 'a'))).toBe('1');
          const { header } = await own.kv.range({ key: Buffer.from('x') });
          await own.kv.compact({ revision: header.revision, physical: true });
          await own.maintenance.defragment();
          const { alarms } = await own.maintenance.alarm({ action: 'Get' });
          for (const { memberID, alarm } of alarms)
            await own.maintenance.alarm({ action: 'Deactivate', memberID, alarm });
          await patiently(() => write(store, { a: '2' }));
        } finally {
          own.close();
          await full.stop();
        }
      },
      TIMEOUT,
    );

    it(
      'a user whose role has the prefix alone can do everything, others are refused',
      async () => {
        const guarded = await startEtcd();
        const root = new Etcd3({ hosts: [...guarded.urls] });
        const clients = [root];
        const login = (username: string, password: string) => {
          const own = new Etcd3({ hosts: [...guarded.urls], auth: { username, password } });
          clients.push(own);
          return new EtcdProgressStore({ client: own, prefix: 'backup/' });
        };
        try {
          const role = root.role('backup');
          await role.create();
          await role.grant({ permission: 'Readwrite', range: Range.prefix('backup/') });
          for (const name of ['keeper', 'stranger', 'root']) await root.user(name).create('secret');
          await root.user('keeper').addRole('backup');
          await root.role('root').create();
          await root.user('root').addRole('root');
          await root.auth.authEnable();
          const store = login('keeper', 'secret');
          await write(store, { a: '1' });
          const watching = store.watch('a', utf8('1'), forever);
          const lease = await store.acquireLease({ key: 'lease/x', value: utf8('x'), ttl: 60_000 });
          await lease?.renew();
          await increment(store, 'a');
          await watching;
          await lease?.release();
          expect(await read(store, 'lease/x')).toBeUndefined();
          const denied = { code: 'ETCD_DENIED', retryable: false };
          await expect(read(login('stranger', 'secret'), 'a')).rejects.toMatchObject(denied);
          const wrong: unknown = await read(login('keeper', 'pass-phrase'), 'a').catch((error: unknown) => error);
          expect(wrong).toMatchObject(denied);
          expect(String(wrong)).not.toContain('pass-phrase');
          await store.close();
        } finally {
          for (const each of clients) each.close();
          await guarded.stop();
        }
      },
      TIMEOUT,
    );
  },
);

async function fill(urls: readonly string[]): Promise<void> {
  const client = new Etcd3({ hosts: [...urls] });
  try {
    for (let i = 0; i < 50; i++) await client.put('filler').value('x'.repeat(200_000));
  } finally {
    client.close();
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
