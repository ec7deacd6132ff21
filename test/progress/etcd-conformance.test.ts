// The store in etcd against the suite for progress stores, on a real server whose leases may be as short as etcd has them: one second.

import { Etcd3 } from 'etcd3';
import { afterAll, beforeAll, describe, it } from 'vitest';
import { systemClock } from '../../src/core/clock.js';
import { EtcdProgressStore } from '../../src/progress/etcd/etcd-progress-store.js';
import { progressStoreSuite } from '../../src/testing/store-suite.js';
import type { EtcdCluster } from '../servers/etcd.js';
import { etcdMissing, startEtcd } from '../servers/etcd.js';

const missing = etcdMissing();
const TIMEOUT = 180_000;

const GONE = Number.POSITIVE_INFINITY;

let etcd: EtcdCluster;
let observer: Etcd3;
let cases = 0;

/** Until every lease of the case has ended that has less than a second left; etcd tells no more exactly. Those of other cases, which run at the same time, would make it wait for as long as a lease of this one. */
async function letTimePass(ms: number, prefix: string): Promise<void> {
  await systemClock.sleep(ms);
  for (;;) {
    const { kvs } = await observer.kv.range({ key: Buffer.from(prefix), range_end: Buffer.from(`${prefix}\xff`) });
    const leases = new Set(kvs.map(({ lease }) => lease).filter((lease) => lease !== '0'));
    const left = await Promise.all(Array.from(leases, secondsLeft));
    if (left.every((seconds) => seconds > 0)) return;
    await systemClock.sleep(50);
  }
}

async function secondsLeft(id: string): Promise<number> {
  try {
    const { TTL, grantedTTL } = await observer.leaseClient.leaseTimeToLive({ ID: id });
    return grantedTTL === '0' ? GONE : Number(TTL);
  } catch {
    // It has ended since it was listed.
    return GONE;
  }
}

function open() {
  const prefix = `case-${cases++}/`;
  const clients: Etcd3[] = [];
  return {
    client: () => {
      const client = new Etcd3({ hosts: [...etcd.urls] });
      clients.push(client);
      return new EtcdProgressStore({ client, prefix });
    },
    letTimePass: (ms: number) => letTimePass(ms, prefix),
    cleanup: () => {
      for (const client of clients) client.close();
    },
  };
}

describe.skipIf(missing !== undefined)(`EtcdProgressStore${missing === undefined ? '' : `: ${missing}`}`, () => {
  beforeAll(async () => {
    // One and a half election timeouts are the shortest lease, in whole seconds.
    etcd = await startEtcd({ flags: ['--heartbeat-interval=50', '--election-timeout=500'] });
    observer = new Etcd3({ hosts: [...etcd.urls] });
  }, TIMEOUT);

  afterAll(async () => {
    observer.close();
    await etcd.stop();
  });

  // Most of their time they wait for leases to end.
  describe.concurrent('conforms', () => {
    for (const { name, run } of progressStoreSuite(open)) it(name, run, TIMEOUT);
  });
});
