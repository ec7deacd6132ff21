// The RangeSource of etcd on a real server.

import type { Etcd3 } from 'etcd3';
import { afterAll, beforeAll, describe, it } from 'vitest';
import { prefixRange } from '../../src/source/etcd/options.js';
import { EtcdRangeSource } from '../../src/source/etcd/range-source.js';
import type { RangeSourceUnderTest } from '../../src/testing/range-suite.js';
import { rangeSourceSuite } from '../../src/testing/range-suite.js';
import type { EtcdCluster } from '../servers/etcd.js';
import { etcdMissing, startEtcd } from '../servers/etcd.js';
import { clientOf, commit, compact } from './etcd-tools.js';

const missing = etcdMissing();

describe.skipIf(missing !== undefined)(`EtcdRangeSource${missing === undefined ? '' : `: ${missing}`}`, () => {
  let etcd: EtcdCluster;
  let client: Etcd3;
  let count = 0;

  beforeAll(async () => {
    // The suite commits some hundred rows in one version.
    etcd = await startEtcd({ flags: ['--max-txn-ops=10000'] });
    client = clientOf(etcd.urls);
  }, 60_000);

  afterAll(async () => {
    client.close();
    await etcd.stop();
  });

  /** Regions of seven keys: the suite then sees many borders. */
  const open = (): RangeSourceUnderTest => {
    const range = prefixRange(`range-${count++}/`);
    return {
      source: new EtcdRangeSource({ client, keysPerRegion: 7 }),
      range,
      commit: (changes) =>
        commit(
          client,
          changes.map((change) => ('key' in change ? { type: 'set', ...change } : { type: 'clear', ...change })),
        ),
      collectGarbage: (version) => compact(client, version + 1n),
    };
  };

  describe('conformance', () => {
    // Its regions never change.
    for (const { name, run } of rangeSourceSuite(open, { regions: false })) it(name, run, 60_000);
  });
});
