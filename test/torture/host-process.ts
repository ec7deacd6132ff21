// The example host in a process that may be killed at any moment: the database on LevelDB, its log for the workers, and the snapshots of its rows. It commits what the test tells it to, and says when it has.

import { fileURLToPath } from 'node:url';
import { DiskFaults } from './disk-faults.js';
import { lastTransaction, RowDigest, transactionOf } from './host-model.js';
import type { HostCommand, HostMessage, HostSettings } from './host-messages.js';

const settings = JSON.parse(process.argv[2] ?? '') as HostSettings;
await new DiskFaults(settings.killAtOperation).install();
// Only now, so that the library gets the disk's functions from above.
const { BackupError, DirectoryContainer, FileProgressStore, runSnapshots } = await import('../../src/index.js');
const { LevelDatabase } = await import('../../examples/level-host/level-database.js');
const { LogServer } = await import('../../examples/level-host/log-server.js');
const { LevelRangeSource } = await import('../../examples/level-host/range-source.js');

const stop = new AbortController();
const database = await LevelDatabase.open(settings.databaseFolder, {
  totalTags: settings.totalTags,
  heartbeatInterval: 50,
});
await tellRows();
const server = await LogServer.listen(database, settings.socket);
const rangeSource = new LevelRangeSource(database, { regionBytes: 32 << 10 });
const progressStore = new FileProgressStore({ directory: settings.progressFolder, generationCommits: 48 });
const commits = new Set<Promise<void>>();
process.on('message', (message: HostCommand) => {
  if (message.command === 'stop') return stop.abort();
  const committing = commit(message.number).finally(() => commits.delete(committing));
  commits.add(committing);
});
process.on('SIGTERM', () => stop.abort());
process.on('disconnect', () => stop.abort()); // the test is gone

try {
  await takeSnapshots();
} catch (error) {
  tell({ kind: 'problem', message: error instanceof Error ? (error.stack ?? error.message) : String(error) });
}
await Promise.all(commits);
await rangeSource.close();
await server.close();
const { durableVersion } = database;
await database.close();
await progressStore.close();
tell({ kind: 'end', durableVersion: String(durableVersion) });
if (process.connected) process.disconnect();

async function tellRows(): Promise<void> {
  const digest = new RowDigest();
  const rows = new Map<string, Uint8Array>();
  for await (const [key, value] of database.rows()) {
    digest.add(key, value);
    rows.set(Buffer.from(key).toString('hex'), value);
  }
  tell({ kind: 'open', last: lastTransaction(rows), digest: digest.end() });
}

async function commit(number: number): Promise<void> {
  try {
    const version = await database.commit(transactionOf(settings.seed, number));
    tell({ kind: 'committed', number, version: String(version) });
  } catch (error) {
    if (!stop.signal.aborted) tell({ kind: 'problem', message: `transaction ${number}: ${String(error)}` });
  }
}

async function takeSnapshots(): Promise<void> {
  await runSnapshots({
    progressStore,
    rangeSource,
    openContainer: (url) => new DirectoryContainer(fileURLToPath(url)),
    signal: stop.signal,
    leaseTtl: 1_500,
    pollInterval: 200,
    failureDelay: 100,
    retryMinDelay: 10,
    retryMaxDelay: 250,
    snapshot: { maxFileSize: 8 << 10, blockSize: 1 << 10, numThreads: 2 },
    onEvent: (event) => {
      if (event.kind === 'finished') tell({ kind: 'snapshot' });
      if (event.kind === 'failed' && !BackupError.is(event.error))
        tell({ kind: 'problem', message: String(event.error) });
    },
  });
}

function tell(message: HostMessage): void {
  if (process.connected) process.send?.(message);
}
