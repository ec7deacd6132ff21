// The whole way, in one process: the host, its log over the socket, a worker per tag, a restore.

import { join } from 'node:path';
import {
  announceEpoch,
  BackupOperator,
  BackupWorker,
  logRouterTag,
  MemoryContainer,
  MemoryProgressStore,
  restore,
  type Version,
} from 'tidemark';
import { expect, it, onTestFinished } from 'vitest';
import { compareRows } from '../../../examples/level-host/checks.js';
import { LevelDatabase } from '../../../examples/level-host/level-database.js';
import { LevelLogClient } from '../../../examples/level-host/log-client.js';
import { LogServer } from '../../../examples/level-host/log-server.js';
import { LevelRestoreTarget } from '../../../examples/level-host/restore-target.js';
import { Workload } from '../../../examples/level-host/workload.js';
import { tempFolder } from './temp-folder.js';

it('restores any version that was backed up, and the log is popped behind the backup', async () => {
  const folder = await tempFolder();
  const database = await LevelDatabase.open(join(folder, 'db'), { heartbeatInterval: 20 });
  const server = await LogServer.listen(database, join(folder, 'log.sock'));
  const client = new LevelLogClient(join(folder, 'log.sock'));
  const stop = new AbortController();
  const progressStore = new MemoryProgressStore();
  const container = new MemoryContainer();
  await announceEpoch(progressStore, { epoch: 1, begin: 1n, totalTags: 4 });
  const operator = new BackupOperator(progressStore, { pollInterval: 20 });
  const submitted = operator.submit({ uid: 'job', url: container.url, startVersion: 1n, logOnly: true });
  await expect.poll(async () => (await operator.list()).length).toBe(1);
  const runs = [0, 1, 2, 3].map((id) =>
    new BackupWorker({
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
    }).run({ signal: stop.signal }),
  );
  onTestFinished(async () => {
    stop.abort();
    await Promise.all(runs);
    await client.close();
    await server.close();
    await database.close();
  });

  const workload = new Workload(database, { seed: 5, rate: Infinity });
  await workload.run(1_000, stop.signal);
  expect((await submitted).completeFrom).toBe(1n);
  await operator.discontinue('job');
  await expect.poll(async () => (await operator.status('job')).state, { timeout: 20_000 }).toBe('Completed');

  const restoreAndCompare = async (version: Version) => {
    const target = await LevelRestoreTarget.open(join(folder, `restored-${version}`));
    await restore({ container, target, version, baseline: 'empty' });
    await compareRows(`Version ${version}`, target, workload.history.rowsAt(version));
    await target.close();
  };
  const { transactions, lastVersion } = workload.history;
  await restoreAndCompare(transactions[300]?.version ?? 0n);
  await restoreAndCompare(lastVersion);
  await expect.poll(async () => (await database.logSize()).storedBytes).toBe(0);
  expect((await database.logSize()).poppedBytes).toBeGreaterThan(0);
});
