import { Etcd3 } from 'etcd3';
import { describe, expect, it } from 'vitest';
import { etcdMissing, startEtcd, startEtcdCluster } from './etcd.js';

const missing = etcdMissing();

describe.skipIf(missing !== undefined)(
  `etcd servers of the tests${missing === undefined ? '' : `: ${missing}`}`,
  () => {
    it('keeps its data when it is killed and started again', async () => {
      const etcd = await startEtcd();
      const client = new Etcd3({ hosts: [...etcd.urls] });
      try {
        await client.put('a').value('1');
        await etcd.servers[0]?.kill();
        await etcd.servers[0]?.start();
        expect(await client.get('a').string()).toBe('1');
      } finally {
        client.close();
        await etcd.stop();
      }
    }, 60_000);

    it('makes a cluster whose members agree', async () => {
      const etcd = await startEtcdCluster(3);
      const clients = etcd.urls.map((url) => new Etcd3({ hosts: [url] }));
      try {
        await clients[0]?.put('a').value('1');
        expect(await Promise.all(clients.map((client) => client.get('a').string()))).toEqual(['1', '1', '1']);
      } finally {
        for (const client of clients) client.close();
        await etcd.stop();
      }
    }, 60_000);
  },
);
