// The whole way, in one process: the host, its log over the socket, a worker per tag, snapshots, a restore.

import { join } from 'node:path';
import {
  announceEpoch,
  BackupOperator,
  BackupWorker,
  describeBackup,
  logRouterTag,
  MemoryContainer,
  MemoryProgressStore,
  restore,
  runSnapshots,
  type SnapshotResult,
  type Version,
} from 'tidemark';
import { expect, it, onTestFinished } from 'vitest';
import { compareRows } from '../../../examples/level-host/checks.js';
import { LevelDatabase } from '../../../examples/level-host/level-database.js';
import { LevelLogClient } from '../../../examples/level-host/log-client.js';
import { LogServer } from '../../../examples/level-host/log-server.js';
import { LevelRangeSource } from '../../../examples/level-host/range-source.js';
import { LevelRestoreTarget } from '../../../examples/level-host/restore-target.js';
import { Workload } from '../../../examples/level-host/workload.js';
import { tempFolder } from './temp-folder.js';

/** The database with its log, and a worker for each tag. */
async function startHost() {
  const folder = await tempFolder();
  const database = await LevelDatabase.open(join(folder, 'db'), { heartbeatInterval: 20 });
  const server = await LogServer.listen(database, join(folder, 'log.sock'));
  const client = new LevelLogClient(join(folder, 'log.sock'));
  const stop = new AbortController();
  const progressStore = new MemoryProgressStore();
  const container = new MemoryContainer();
  await announceEpoch(progressStore, { epoch: 1, begin: 1n, totalTags: 4 });
  const operator = new BackupOperator(progressStore, { pollInterval: 20 });
  const runs: Promise<unknown>[] = [];
  const startWorkers = () => {
    for (const id of [0, 1, 2, 3]) {
      const worker = new BackupWorker({
        logSource: client,
        progressStore,
        openContainer: () => container,
        tag: logRouterTag(id),
        totalTags: 4,
        startVersion: 1n,
        recruitedEpoch: 1,
        backupEpoch: 1,
        uploadDelay: 20,
        coordinationInterval: 20,
      });
      runs.push(worker.run({ signal: stop.signal }));
    }
  };
  onTestFinished(async () => {
    stop.abort();
    await Promise.all(runs);
    await client.close();
    await server.close();
    await database.close();
  });
  const workload = new Workload(database, { seed: 5, rate: Infinity });
  const completeJob = async () => {
    await operator.discontinue('job');
    await expect.poll(async () => (await operator.status('job')).state, { timeout: 20_000 }).toBe('Completed');
  };
  const restoreAndCompare = async (version: Version, baseline?: 'empty') => {
    const target = await LevelRestoreTarget.open(join(folder, `restored-${version}`));
    await restore({ container, target, version, ...(baseline && { baseline }) });
    await compareRows(`Version ${version}`, target, workload.history.rowsAt(version));
    await target.close();
  };
  return {
    database,
    operator,
    progressStore,
    container,
    workload,
    startWorkers,
    completeJob,
    restoreAndCompare,
    stop: () => stop.abort(),
    signal: stop.signal,
  };
}

it('restores any version that was backed up, and the log is popped behind the backup', async () => {
  const { database, operator, container, workload, signal, ...host } = await startHost();
  const submitted = operator.submit({ uid: 'job', url: container.url, startVersion: 1n, logOnly: true });
  await expect.poll(async () => (await operator.list()).length).toBe(1);
  host.startWorkers();
  await workload.run(1_000, signal);
  expect((await submitted).completeFrom).toBe(1n);
  await host.completeJob();

  const { transactions, lastVersion } = workload.history;
  await host.restoreAndCompare(transactions[300]?.version ?? 0n, 'empty');
  await host.restoreAndCompare(lastVersion, 'empty');
  await expect.poll(async () => (await database.logSize()).storedBytes).toBe(0);
  expect((await database.logSize()).poppedBytes).toBeGreaterThan(0);
});

it('a backup that begins in mid-stream is whole by its snapshots, which are taken while the database is busy', async () => {
  const { database, operator, container, workload, signal, ...host } = await startHost();
  host.startWorkers();
  await workload.run(500, signal);
  await operator.submit({ uid: 'job', url: container.url, startVersion: 0n, snapshotInterval: 100 });
  const rangeSource = new LevelRangeSource(database, { regionBytes: 64 << 10 });
  const taken: SnapshotResult[] = [];
  const snapshots = runSnapshots({
    progressStore: host.progressStore,
    rangeSource,
    openContainer: () => container,
    signal,
    pollInterval: 20,
    snapshot: { maxFileSize: 64 << 10 },
    onEvent: (event) => {
      if (event.kind === 'finished') taken.push(event.snapshot);
    },
  });
  onTestFinished(async () => {
    host.stop();
    await snapshots;
    await rangeSource.close();
  });
  while (taken.length < 2) await workload.run(50, signal);
  await host.completeJob();

  const [first, second] = taken.map(({ beginVersion }) => beginVersion) as [Version, Version];
  expect((await describeBackup(container)).minRestorable).toBe(first);
  expect(taken[0]?.files.length).toBeGreaterThan(2);
  await host.restoreAndCompare(first);
  await host.restoreAndCompare((first + second) / 2n);
  await host.restoreAndCompare(workload.history.lastVersion);
  await expect(host.restoreAndCompare(first - 1n)).rejects.toMatchObject({ code: 'NOT_RESTORABLE' });
});
