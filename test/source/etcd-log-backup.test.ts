// A whole backup of an etcd cluster by its log, with one tag and with four: what is restored of it is, at each revision that was tried, what etcd itself says was there.

import type { Etcd3 } from 'etcd3';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { MemoryContainer } from '../../src/container/memory-container.js';
import { BackupOperator } from '../../src/job/operator.js';
import { MemoryProgressStore } from '../../src/progress/memory-progress-store.js';
import { describeBackup } from '../../src/restore/describe.js';
import { restore } from '../../src/restore/restore.js';
import { etcdEpoch } from '../../src/source/etcd/epoch.js';
import { EtcdLogSource } from '../../src/source/etcd/log-source.js';
import { seededRandom } from '../../src/testing/conformance.js';
import { MemoryRestoreTarget } from '../../src/testing/memory-restore-target.js';
import { recruit } from '../../src/worker/recruit.js';
import type { EtcdCluster } from '../servers/etcd.js';
import { etcdMissing, startEtcd } from '../servers/etcd.js';
import { connect, headOf, latin1, stateAt } from './etcd-log-tools.js';
import { randomWorkload } from './etcd-workload.js';

const missing = etcdMissing();

describe.skipIf(missing !== undefined)(`a backup of etcd${missing === undefined ? '' : `: ${missing}`}`, () => {
  let etcd: EtcdCluster;
  let client: Etcd3;

  beforeAll(async () => {
    etcd = await startEtcd();
    client = connect(etcd.urls);
  }, 60_000);

  afterAll(async () => {
    client.close();
    await etcd.stop();
  });

  for (const tags of [1, 4]) {
    it(`restores every revision that was tried exactly, with ${tags} tags`, async () => {
      const store = new MemoryProgressStore();
      const container = new MemoryContainer({ url: `memory:etcd-${tags}` });
      // The log alone is to be enough: what is there before it begins is no part of it.
      await client.delete().all();
      const epoch = await etcdEpoch({ client, store, tags });
      const source = new EtcdLogSource({ client, epoch, store });
      const stop = new AbortController();
      const errors: unknown[] = [];
      const running = recruit({
        logSource: source,
        progressStore: store,
        openContainer: () => container,
        epoch,
        uploadDelay: 200,
        idleUploadDelay: 500,
        signal: stop.signal,
        onWorkerError: (error) => errors.push(error),
      });
      const operator = new BackupOperator(store, { pollInterval: 100 });
      const { begin } = epoch;
      const job = await operator.submit({
        url: container.url,
        startVersion: begin,
        firstVersion: begin,
        logOnly: true,
      });
      expect(job.completeFrom).toBe(begin);
      await randomWorkload(client, { seed: 40 + tags, steps: 120, prefix: 'job/' });
      const last = await headOf(client);
      await expect
        .poll(async () => (await describeBackup(container)).maxRestorable ?? 0n, { timeout: 30_000, interval: 200 })
        .toBeGreaterThanOrEqual(last);
      stop.abort(new Error('the test has ended'));
      await running;
      source.close();
      expect(errors).toEqual([]);
      const random = seededRandom(tags);
      const some = Array.from({ length: 8 }, () => begin + BigInt(Math.floor(random() * Number(last - begin))));
      for (const version of [begin, last, ...some]) {
        const target = new MemoryRestoreTarget();
        await restore({ container, target, version });
        const rows = new Map([...target.rows()].map(({ key, value }) => [latin1(key), latin1(value)]));
        expect(rows, `at revision ${version}`).toEqual(await stateAt(client, version));
      }
    }, 120_000);
  }
});
