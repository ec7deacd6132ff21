// One process of the backup: what an operator would run as one of two pods or on one of two machines. Which tags it drains, and whether it takes the next snapshot, it settles with the others
// through the coordination etcd; where to go on it learns from there, too. So it may be killed at any moment.

import type { Etcd3 } from 'etcd3';
import {
  BackupFleet,
  runSnapshots,
  type BackupContainer,
  type BackupWorker,
  type ProgressStore,
  type SnapshotEvent,
} from 'tidemark';
import { etcdEpoch, EtcdLogSource, EtcdRangeSource } from 'tidemark/source/etcd';
import { s3Client } from './s3-server.js';
import { backupContainer, etcdClient, progressStore, TOTAL_TAGS } from './settings.js';
import type { WorkerEnd, WorkerMessage, WorkerSettings } from './worker-messages.js';

const PROGRESS_INTERVAL = 100;
/** ms. These and the next ones are much shorter than the defaults: a demo should not be watched for hours. */
const LEASE_TIME = 5_000;
const QUICK_WORKERS = {
  uploadDelay: 1_000,
  idleUploadDelay: 1_000,
  pollInterval: 500,
  coordinationInterval: 200,
  metricsInterval: 60_000,
  versionTimeInterval: 2_000,
};

interface Backup {
  readonly host: string;
  readonly services: Etcd3;
  readonly store: ProgressStore;
  readonly openContainer: () => BackupContainer;
}

async function main(settings: WorkerSettings): Promise<void> {
  const stop = new AbortController();
  process.on('SIGTERM', () => stop.abort());
  process.on('disconnect', () => stop.abort()); // the demo is gone
  if (!process.connected) stop.abort(); // since before this line

  const services = etcdClient(settings.services);
  const coordination = etcdClient(settings.coordination);
  const s3 = s3Client(settings.s3Endpoint);
  const end = await runToEnd(stop, {
    host: settings.host,
    services,
    store: progressStore(coordination),
    openContainer: () => backupContainer(s3),
  });
  services.close();
  coordination.close();
  s3.destroy();
  tell({ end });
  process.exitCode = end.failed ? 1 : 0;
  if (process.connected) process.disconnect();
}

async function runToEnd(stop: AbortController, backup: Backup): Promise<WorkerEnd> {
  try {
    await Promise.all(
      [drainLog, takeSnapshots].map((run) =>
        run(backup, stop.signal).catch((error: unknown) => {
          stop.abort(); // the other one has nothing to do here either
          throw error;
        }),
      ),
    );
    return { failed: false, message: 'stopped' };
  } catch (error) {
    return { failed: true, message: error instanceof Error ? (error.stack ?? error.message) : String(error) };
  }
}

async function drainLog({ host, services, store, openContainer }: Backup, signal: AbortSignal): Promise<void> {
  const epoch = await etcdEpoch({ client: services, store, tags: TOTAL_TAGS, signal });
  const logSource = new EtcdLogSource({ client: services, epoch, store });
  const fleet = new BackupFleet({
    host,
    logSource,
    epoch,
    progressStore: store,
    openContainer,
    leaseTime: LEASE_TIME,
    ...QUICK_WORKERS,
  });
  const workers = new Map<number, BackupWorker>();
  fleet.on('assigned', ({ tag }, from) => {
    if (from !== undefined) tell({ said: `takes tag ${tag} over from ${from}, which is gone` });
  });
  fleet.on('workerStarted', (worker, { tag }) => workers.set(tag, worker));
  fleet.on('workerEnded', ({ tag }) => workers.delete(tag));
  fleet.on('workerFailed', (error, { tag }, willRestart) => {
    workers.delete(tag);
    tell({
      said: `the worker of tag ${tag} failed${willRestart ? ' and will be started again' : ''}: ${String(error)}`,
    });
  });
  const report = setInterval(() => tellProgress(workers), PROGRESS_INTERVAL);
  try {
    await fleet.run({ signal });
  } finally {
    clearInterval(report);
    logSource.close();
  }
}

async function takeSnapshots({ host, services, store, openContainer }: Backup, signal: AbortSignal): Promise<void> {
  await runSnapshots({
    name: host,
    progressStore: store,
    rangeSource: new EtcdRangeSource({ client: services }),
    openContainer,
    signal,
    leaseTtl: LEASE_TIME,
    pollInterval: 200,
    onEvent: tellSnapshot,
  });
}

function tellSnapshot(event: SnapshotEvent): void {
  if (event.kind === 'finished') {
    const { beginVersion, rows, files } = event.snapshot;
    tell({ snapshot: { version: String(beginVersion), rows, files: files.length } });
  } else if (event.kind === 'failed') {
    tell({ said: `a snapshot failed and is tried again: ${event.error.message}` });
  }
}

function tellProgress(workers: ReadonlyMap<number, BackupWorker>): void {
  const tags = [...workers].flatMap(([tag, worker]) => {
    const metrics = worker.metrics(); // undefined: it has not claimed its tag yet
    return metrics === undefined ? [] : [{ tag, savedVersion: String(metrics.savedVersion) }];
  });
  tell({ progress: { tags } });
}

function tell(message: WorkerMessage): void {
  if (process.connected) process.send?.(message);
}

await main(JSON.parse(process.argv[2] ?? '') as WorkerSettings);
