// Watches of the store's keys where etcd has compacted just what they wait for, on a real server.

import { Etcd3 } from 'etcd3';
import { afterAll, beforeAll, describe, it } from 'vitest';
import { systemClock, systemRandom } from '../../src/core/clock.js';
import { KeyWatches } from '../../src/progress/etcd/key-watches.js';
import { StoreKeys } from '../../src/progress/etcd/store-keys.js';
import type { EtcdCluster } from '../servers/etcd.js';
import { etcdMissing, startEtcd } from '../servers/etcd.js';

const missing = etcdMissing();
const TIMEOUT = 60_000;

describe.skipIf(missing !== undefined)(`watches of keys${missing === undefined ? '' : `: ${missing}`}`, () => {
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

  it(
    'end when the revision at which their key was deleted is the one up to which etcd has compacted',
    async () => {
      const keys = new StoreKeys('compacted/');
      const key = keys.encode('a');
      const seen = Buffer.from('x');
      const { header: read } = await client.kv.put({ key, value: seen });
      const { header: deleted } = await client.kv.deleteRange({ key });
      await client.kv.compact({ revision: deleted.revision, physical: true });
      const watches = new KeyWatches(client, keys, { clock: systemClock, random: systemRandom, silence: 10_000 });
      // etcd before 3.4.34 and 3.5.16 gives a watch that begins at the compact revision no deletes of that revision.
      await watches.wait({ key: 'a', seen, revision: Number(read.revision) }, new AbortController().signal);
    },
    TIMEOUT,
  );

  it(
    'have those read again who know of a revision that etcd, restored from an older state, has not come to',
    async () => {
      const keys = new StoreKeys('restored/');
      const { header } = await client.kv.put({ key: keys.encode('a'), value: Buffer.from('x') });
      const watches = new KeyWatches(client, keys, { clock: systemClock, random: systemRandom, silence: 10_000 });
      const revision = Number(header.revision) + 1_000;
      const wait = { key: 'a', seen: Buffer.from('x'), revision };
      const { signal } = new AbortController();
      const first = watches.wait(wait, signal);
      await Promise.all([first, watches.wait(wait, signal)]);
      // Who has read again waits as ever.
      const second = watches.wait({ ...wait, revision: Number(header.revision) }, signal);
      await client.kv.put({ key: keys.encode('a'), value: Buffer.from('y') });
      await second;
    },
    TIMEOUT,
  );
});
