// The RestoreTarget of etcd on a real server.

import type { Etcd3 } from 'etcd3';
import { afterAll, beforeAll, describe, it } from 'vitest';
import { EtcdRestoreTarget } from '../../src/source/etcd/target-restore.js';
import { restoreTargetSuite } from '../../src/testing/target-suite.js';
import type { EtcdCluster } from '../servers/etcd.js';
import { etcdMissing, startEtcd } from '../servers/etcd.js';
import { clientOf } from './etcd-tools.js';

const missing = etcdMissing();

describe.skipIf(missing !== undefined)(`EtcdRestoreTarget${missing === undefined ? '' : `: ${missing}`}`, () => {
  let etcd: EtcdCluster;
  let client: Etcd3;

  beforeAll(async () => {
    etcd = await startEtcd();
    client = clientOf(etcd.urls);
  }, 60_000);

  afterAll(async () => {
    client.close();
    await etcd.stop();
  });

  const open = async () => {
    await client.delete().all();
    const reopen = () => new EtcdRestoreTarget({ client });
    return { target: reopen(), reopen };
  };

  describe('conformance', () => {
    for (const { name, run } of restoreTargetSuite(open, { failures: false })) it(name, run, 60_000);
  });
});
