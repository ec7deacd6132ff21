// One backup worker in a process of its own: what a host would run next to its database, on this machine or another one. It shares nothing with the other workers but
// the progress store, and learns what it has to do from there: when it is killed, its replacement goes on where the store says.

import { fileURLToPath } from 'node:url';
import { BackupWorker, DirectoryContainer, FileProgressStore, logRouterTag } from 'tidemark';
import { LevelLogClient } from './log-client.js';
import { EXIT_DISPLACED, type WorkerEnd, type WorkerMessage, type WorkerSettings } from './worker-messages.js';

const PROGRESS_INTERVAL = 100;

async function main(settings: WorkerSettings): Promise<void> {
  const logSource = new LevelLogClient(settings.socket);
  const worker = createWorker(settings, logSource);
  const stop = new AbortController();
  process.on('SIGTERM', () => stop.abort());
  process.on('SIGINT', () => undefined); // Ctrl-C reaches every process of the demo; the demo itself then stops the workers
  process.on('disconnect', () => stop.abort()); // the demo is gone

  const report = setInterval(() => tellProgress(worker), PROGRESS_INTERVAL);
  const end = await runToEnd(worker, stop.signal);
  clearInterval(report);
  await logSource.close();
  tellProgress(worker);
  tell({ end });
  process.exitCode = { completed: 0, stopped: 0, displaced: EXIT_DISPLACED, failed: 1 }[end.outcome];
  if (process.connected) process.disconnect();
}

function createWorker(settings: WorkerSettings, logSource: LevelLogClient): BackupWorker {
  return new BackupWorker({
    logSource,
    progressStore: new FileProgressStore({ directory: settings.progressFolder }),
    openContainer: (url) => new DirectoryContainer(fileURLToPath(url)),
    tag: logRouterTag(settings.tagId),
    totalTags: settings.totalTags,
    // This log has one epoch, and it begins at version 1. A replacement starts where the store says that its predecessor ended.
    startVersion: 1n,
    recruitedEpoch: settings.epoch,
    backupEpoch: settings.epoch,
    // Much quicker than the defaults, and with smaller files: a demo should not be watched for hours.
    uploadDelay: 500,
    uploadBytes: 1 << 20,
    lockBytes: 16 << 20,
    peekBytes: 256 << 10,
    idleUploadDelay: 1_000,
    noopPopDelay: 500,
    pollInterval: 500,
    coordinationInterval: 100,
    versionTimeInterval: 500,
  });
}

async function runToEnd(worker: BackupWorker, signal: AbortSignal): Promise<WorkerEnd> {
  try {
    const result = await worker.run({ signal });
    return { outcome: result.outcome, message: result.outcome === 'displaced' ? result.error.message : result.outcome };
  } catch (error) {
    return { outcome: 'failed', message: error instanceof Error ? (error.stack ?? error.message) : String(error) };
  }
}

function tellProgress(worker: BackupWorker): void {
  const metrics = worker.metrics();
  if (metrics === undefined) return; // it has not claimed its tag yet
  const { state, paused, savedVersion, filesWritten, bytesWritten, retries } = metrics;
  tell({ progress: { state, paused, savedVersion: String(savedVersion), filesWritten, bytesWritten, retries } });
}

function tell(message: WorkerMessage): void {
  if (process.connected) process.send?.(message);
}

await main(JSON.parse(process.argv[2] ?? '') as WorkerSettings);
