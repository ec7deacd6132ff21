// The conformance suite for log sources on a real etcd.
//
// What etcd cannot do is declared here: it has one epoch, so the cases about epochs are left out (`epochs: false`); no two puts of one key in a transaction, so `keyFor` gives another key at each call, also for
// the same name; no transaction that changes nothing and yet counts, so an empty commit puts a key that the source excludes.

import { Etcd3 } from 'etcd3';
import { afterAll, beforeAll, describe, it } from 'vitest';
import { EtcdLogSource } from '../../src/source/etcd/log-source.js';
import { ETCD_GRPC_OPTIONS, prefixRange } from '../../src/source/etcd/options.js';
import { etcdEpoch } from '../../src/source/etcd/epoch.js';
import { tagOfKey } from '../../src/source/etcd/tags.js';
import { MemoryProgressStore } from '../../src/progress/memory-progress-store.js';
import type { LogUnderTest } from '../../src/testing/log-suite.js';
import { logSourceSuite } from '../../src/testing/log-suite.js';
import { asBuffer } from '../../src/etcd/keys.js';
import type { EtcdCluster } from '../servers/etcd.js';
import { etcdMissing, startEtcd } from '../servers/etcd.js';

const missing = etcdMissing();
const TAGS = 3;
const VOID_PREFIX = 'void/';

describe.skipIf(missing !== undefined)(`EtcdLogSource${missing === undefined ? '' : `: ${missing}`}`, () => {
  let etcd: EtcdCluster;
  let client: Etcd3;
  let count = 0;

  beforeAll(async () => {
    etcd = await startEtcd();
    client = new Etcd3({ hosts: [...etcd.urls], grpcOptions: ETCD_GRPC_OPTIONS });
  }, 60_000);

  afterAll(async () => {
    client.close();
    await etcd.stop();
  });

  const open = async (): Promise<LogUnderTest> => {
    const epoch = await etcdEpoch({ client, store: new MemoryProgressStore(), tags: TAGS });
    const source = new EtcdLogSource({ client, epoch, exclude: [prefixRange(VOID_PREFIX)] });
    return {
      source,
      epoch,
      commit: async (messages) => {
        const puts = messages.map(({ key, value }) => ({
          request_put: { key: asBuffer(key), value: asBuffer(value) },
        }));
        if (puts.length === 0) puts.push({ request_put: { key: Buffer.from(VOID_PREFIX), value: Buffer.alloc(0) } });
        const { header } = await client.kv.txn({ success: puts });
        return BigInt(header.revision);
      },
      keyFor: (tag, name) => {
        for (;;) {
          const key = new TextEncoder().encode(`${name}/${count++}`);
          if (tagOfKey(key, TAGS) === tag) return key;
        }
      },
      cleanup: () => source.close(),
    };
  };

  for (const { name, run } of logSourceSuite(open, { epochs: false })) it(name, run, 30_000);
});
