// backup.ts: one process of the backup. Run two.

import { BackupFleet, openContainer, runSnapshots } from 'tidemark';
import { etcdEpoch, EtcdLogSource, EtcdRangeSource } from 'tidemark/source/etcd';
import { connect, storeIn } from './connections.js';

const stop = new AbortController();
for (const name of ['SIGTERM', 'SIGINT'] as const) process.on(name, () => stop.abort());
const { signal } = stop;

const [cluster, coordination] = [connect('CLUSTER'), connect('COORDINATION')];
const progressStore = storeIn(coordination);
const epoch = await etcdEpoch({ client: cluster, store: progressStore, tags: 2, signal });
const logSource = new EtcdLogSource({ client: cluster, epoch, store: progressStore });
const rangeSource = new EtcdRangeSource({ client: cluster, epoch });

// ms: an outage of S3 that is shorter than this ends no job.
const jobStallTimeout = 3_600_000;
const fleet = new BackupFleet({ logSource, epoch, progressStore, openContainer, jobStallTimeout });
fleet.on('workerFailed', (error, { tag }, willRestart) => {
  console.error(willRestart ? 'warning:' : 'ALERT:', `tag ${tag}`, error);
  // What is final here may not be so elsewhere, or later: the other process takes over, and this one is started again.
  if (!willRestart) stop.abort();
});
const snapshots = runSnapshots({
  progressStore,
  rangeSource,
  openContainer,
  signal,
  onEvent: (event) => {
    if (event.kind === 'failed') console.error('ALERT: snapshot of', event.jobUid, event.error);
  },
});

// When one of the two fails the other ends, too, and whoever watches over this process starts it again.
const ended = await Promise.allSettled(
  [fleet.run({ signal }), snapshots].map((run) => run.finally(() => stop.abort())),
);
logSource.close();
cluster.close();
coordination.close();
for (const end of ended) if (end.status === 'rejected') throw end.reason;
