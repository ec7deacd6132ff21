// One host of the fleet, in a process of its own that may be killed, frozen or cut off at any moment: a BackupFleet over etcd's log, the progress store in etcd and containers in S3. It tells the test what
// happens to it; the test takes nothing of that for granted.

import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { Etcd3 } from 'etcd3';
import { EtcdRangeSource } from '../../src/source/etcd/range-source.js';
import { EtcdLogSource } from '../../src/source/etcd/log-source.js';
import { etcdEpoch } from '../../src/source/etcd/epoch.js';
import { ETCD_GRPC_OPTIONS } from '../../src/source/etcd/options.js';
import { EtcdProgressStore } from '../../src/progress/etcd/etcd-progress-store.js';
import { runSnapshots } from '../../src/worker/snapshot-runner.js';
import type { SnapshotEvent } from '../../src/worker/snapshot-options.js';
import { BackupFleet } from '../../src/worker/fleet.js';
import type { BackupWorker } from '../../src/worker/backup-worker.js';
import type { PlannedWorker } from '../../src/job/plan.js';
import { openContainer as openByUrl } from '../../src/container/open-container.js';
import { monotonicNow, type HostCommand, type HostMessage, type HostReport, type HostSettings } from './messages.js';

/** Of 10 ms. */
const MOST_LOOKS = 1_000;

const settings = JSON.parse(process.argv[2] ?? '') as HostSettings;
const stop = new AbortController();
process.on('message', ({ command }: HostCommand) => {
  if (command === 'stop') stop.abort();
});
process.on('disconnect', () => stop.abort()); // the test is gone

const watching = watchEventLoop();
try {
  await runHost(settings, stop.signal);
} catch (error) {
  tell({ kind: 'problem', message: error instanceof Error ? (error.stack ?? error.message) : String(error) });
}
clearInterval(watching);
tell({ kind: 'end', resources: await resourcesLeft() });
if (process.connected) process.disconnect();

async function runHost(host: HostSettings, signal: AbortSignal): Promise<void> {
  const database = new Etcd3({ hosts: host.databaseUrl, grpcOptions: ETCD_GRPC_OPTIONS });
  const coordination = new Etcd3({ hosts: host.storeUrl, grpcOptions: ETCD_GRPC_OPTIONS });
  try {
    const progressStore = new EtcdProgressStore({ client: coordination, prefix: host.storePrefix });
    const epoch = await etcdEpoch({ client: database, store: progressStore, tags: host.tags, signal });
    // Compaction as eager as it can be: whatever one tag still needs and is not there any more would show.
    const compact = { retention: 3_000, interval: 500 };
    const logSource = new EtcdLogSource({ client: database, epoch, store: progressStore, compact });
    const openContainer = (url: string) => openByUrl(url, { s3: { credentials: host.storageCredentials } });
    const fleet = new BackupFleet({
      host: host.host,
      epoch,
      leaseTime: host.leaseTime,
      logSource,
      progressStore,
      openContainer,
      uploadDelay: 1_200,
      idleUploadDelay: 2_000,
      noopPopDelay: 1_000,
      concurrentWrites: 8,
      versionTimeInterval: 2_000,
      pollInterval: 2_000,
      retryMaxDelay: 1_000,
    });
    listen(fleet);
    tell({ kind: 'ready' });
    const rangeSource = new EtcdRangeSource({ client: database, epoch, keysPerRegion: 50 });
    const snapshots = {
      name: host.host,
      leaseTtl: host.leaseTime,
      progressStore,
      rangeSource,
      openContainer,
      pollInterval: 500,
      failureDelay: 500,
      retryMaxDelay: 1_000,
    };
    await Promise.all([fleet.run({ signal }), runSnapshots({ ...snapshots, signal, onEvent: noteSnapshot })]);
    logSource.close();
  } finally {
    database.close();
    coordination.close();
  }
}

function noteSnapshot(event: SnapshotEvent): void {
  if (event.kind === 'retry') return;
  const failure = event.kind === 'failed' || event.kind === 'leaseLost' ? event.error.message : '';
  tell({ kind: 'snapshot', event: event.kind, detail: failure });
}

function listen(fleet: BackupFleet): void {
  const note = (event: string, detail: unknown) =>
    tell({ kind: 'fleet', event, detail: typeof detail === 'string' ? detail : JSON.stringify(detail) });
  fleet.on('waiting', (name) => note('waiting', name));
  fleet.on('joined', (member) => note('joined', member));
  fleet.on('hosts', (hosts) => note('hosts', hosts));
  fleet.on('assigned', ({ tag }, from) => note('assigned', { tag, from }));
  fleet.on('givenBack', ({ tag }, why) => note('givenBack', { tag, why }));
  fleet.on('leaseLost', (error) => note('leaseLost', error.message));
  fleet.on('left', () => note('left', ''));
  fleet.on('retry', (what, error) => note('retry', `${what}: ${String(error)}`));
  fleet.on('workerStarted', listenToWorker);
  fleet.on('workerEnded', ({ tag }, { outcome }) => tell({ kind: 'worker', event: 'ended', tag, detail: outcome }));
  fleet.on('workerFailed', (error, { tag }, willRestart) => {
    tell({ kind: 'worker', event: 'ended', tag, detail: String(error) });
    if (!willRestart) tell({ kind: 'problem', message: `the worker of tag ${tag} has failed: ${String(error)}` });
  });
}

function listenToWorker(worker: BackupWorker, { tag }: PlannedWorker): void {
  tell({ kind: 'worker', event: 'started', tag, detail: '' });
  worker.on('saved', (version) => tell({ kind: 'saved', tag, version: String(version) }));
  worker.on('popped', (version) => tell({ kind: 'popped', tag, version: String(version) }));
  worker.on('noop', (version) => tell({ kind: 'noop', tag, version: String(version) }));
  worker.on('retry', (what, error) =>
    tell({ kind: 'worker', event: 'retry', tag, detail: `${what}: ${String(error)}` }),
  );
  worker.on('state', (state) => tell({ kind: 'worker', event: 'state', tag, detail: state }));
  worker.on('jobFailed', (uid, error) =>
    tell({ kind: 'problem', message: `tag ${tag} has failed job ${uid}: ${String(error)}` }),
  );
}

/** Whether the machine, or the host itself, lets it come to nothing: for whoever has to find out why it lost its lease. */
function watchEventLoop(): NodeJS.Timeout {
  const delays = monitorEventLoopDelay({ resolution: 20 });
  delays.enable();
  let usage = process.cpuUsage();
  return setInterval(() => {
    const { user, system } = process.cpuUsage(usage);
    usage = process.cpuUsage();
    const [stood, used] = [delays.max / 1e6, (user + system) / 1e3].map(Math.round);
    delays.reset();
    tell({
      kind: 'load',
      detail: `in a second: ${used} ms of processor time, event loop stood still for up to ${stood} ms`,
    });
  }, 1_000).unref();
}

/** What keeps this process alive, beside the pipe to the test. Sockets take some turns of the event loop to close: only what stays for ten seconds is a leak. */
async function resourcesLeft(): Promise<string[]> {
  for (let look = 0; ; look++) {
    const resources = process.getActiveResourcesInfo().filter((resource) => !resource.startsWith('Pipe'));
    if (resources.length === 0 || look === MOST_LOOKS) return resources;
    await sleep(10);
  }
}

function tell(report: HostReport): void {
  const message: HostMessage = { ...report, at: monotonicNow() };
  if (process.connected) process.send?.(message);
}
