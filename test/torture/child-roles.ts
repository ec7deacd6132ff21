// What the processes of the torture test do, each in its role. Whatever goes wrong that should not is told to the test at once.

import { closeSync, openSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { systemClock } from '../../src/core/clock.js';
import { AssertionError, BackupError } from '../../src/core/errors.js';
import { DirectoryContainer } from '../../src/container/directory-container.js';
import { BackupOperator } from '../../src/job/operator.js';
import type { BackupContainer } from '../../src/ports/backup-container.js';
import { FileProgressStore } from '../../src/progress/file-progress-store.js';
import { compactLogs } from '../../src/restore/compact.js';
import { describeBackup } from '../../src/restore/describe.js';
import { expireBackup } from '../../src/restore/expire.js';
import type { BackupWorker } from '../../src/worker/backup-worker.js';
import { recruit } from '../../src/worker/recruit.js';
import { runSnapshots } from '../../src/worker/snapshot-runner.js';
import type { DiskFaults } from './disk-faults.js';
import type { ChildMessage, ChildSettings, Command } from './messages.js';
import { TortureLog } from './torture-log.js';
import { TortureRows } from './torture-rows.js';

const LOCK_BYTES = 1 << 20;
const CARE_INTERVAL = 200;
/** Versions of the job with snapshots that an expiry leaves. */
const KEPT_VERSIONS = 1_500n;

type Tell = (message: ChildMessage) => void;

export interface RunningRole {
  /** Settles when everything that was started has ended. */
  readonly done: Promise<void>;
  command(command: Command): void;
}

export async function runRole(
  settings: ChildSettings,
  faults: DiskFaults,
  signal: AbortSignal,
  tell: Tell,
): Promise<RunningRole> {
  const progressStore = new FileProgressStore({
    directory: settings.progressFolder,
    pollInterval: 200,
    generationCommits: 48,
  });
  const holds = new Holds();
  const openContainer = (url: string) =>
    holds.wrap(new DirectoryContainer(fileURLToPath(url), settings.container ?? {}));
  const world = { settings, progressStore, openContainer, signal, tell };
  const run = { worker: runWorkers, snapshots: takeSnapshots, care: takeCare }[settings.role];
  const done = run(world).finally(() => progressStore.close());
  const handles: number[] = [];
  return {
    done,
    command: (command) => {
      if (command.command === 'hold') holds.hold(command.url);
      else if (command.command === 'release') holds.release();
      else if (command.command === 'failRename') faults.renamesToFail = command.count;
      else if (command.command === 'eat') eatHandles(handles, tell);
      else if (command.command === 'spare') for (const handle of handles.splice(0)) closeSync(handle);
    },
  };
}

interface World {
  readonly settings: ChildSettings;
  readonly progressStore: FileProgressStore;
  readonly openContainer: (url: string) => BackupContainer;
  readonly signal: AbortSignal;
  readonly tell: Tell;
}

async function runWorkers({ settings, progressStore, openContainer, signal, tell }: World): Promise<void> {
  const { share, shares, logFolder, seed, jobStallTimeout } = settings;
  const workers = new Set<BackupWorker>();
  const measuring = setInterval(() => measureMemory(workers, tell), 50);
  try {
    await recruit({
      logSource: new TortureLog({ folder: logFolder, seed, progressStore }),
      progressStore,
      openContainer,
      signal,
      tags: (_epoch, tag) => tag % shares === share,
      onWorker: (worker) => {
        workers.add(worker);
        listen(worker, tell);
      },
      onWorkerError: (error, planned, willRestart) => {
        if (willRestart && BackupError.is(error)) return; // a passing one, as it should be
        tell({ kind: 'problem', message: `the worker of tag ${planned.tag} failed: ${describe(error)}` });
      },
      lockBytes: LOCK_BYTES,
      peekBytes: 64 << 10,
      uploadDelay: 150,
      uploadBytes: 256 << 10,
      idleUploadDelay: 300,
      blockSize: 32 << 10,
      noopPopDelay: 100,
      pollInterval: 200,
      coordinationInterval: 50,
      versionTimeInterval: 300,
      metricsInterval: 1_000,
      retryMinDelay: 10,
      retryMaxDelay: 250,
      planInterval: 200,
      ...(jobStallTimeout === undefined ? {} : { jobStallTimeout }),
    });
  } finally {
    clearInterval(measuring);
  }
}

function listen(worker: BackupWorker, tell: Tell): void {
  const event = (name: string, detail: string) => tell({ kind: 'event', name, detail });
  worker.on('retry', (what, error) => {
    checkError(what, error, tell);
    event('retry', `${what}: ${describe(error)}`);
  });
  worker.on('jobFailed', (uid, error) => event('jobFailed', `${uid} ${error.code}`));
  worker.on('displaced', (error) => event('displaced', error.message));
  worker.on('largeRecord', (uid) => event('largeRecord', uid));
  worker.on('fileWritten', ({ jobUid, bytes }) => event('fileWritten', `${jobUid} ${bytes}`));
}

/** What the library complains of is a BackupError with a code, whatever the disk did. */
function checkError(what: string, error: unknown, tell: Tell): void {
  if (BackupError.is(error) && !(error instanceof AssertionError)) return;
  tell({ kind: 'problem', message: `${what} failed with something that is no BackupError: ${describe(error)}` });
}

function measureMemory(workers: Set<BackupWorker>, tell: Tell): void {
  for (const worker of workers) {
    const metrics = worker.metrics();
    if (metrics === undefined) continue;
    const { bufferedBytes, state } = metrics;
    if (bufferedBytes > 0) tell({ kind: 'memory', bufferedBytes, lockBytes: LOCK_BYTES });
    if (['Stopped', 'Failed', 'Completed', 'Displaced'].includes(state)) {
      if (bufferedBytes > 0) tell({ kind: 'problem', message: `a ${state} worker holds ${bufferedBytes} bytes` });
      workers.delete(worker);
    }
  }
}

async function takeSnapshots({ settings, progressStore, openContainer, signal, tell }: World): Promise<void> {
  await runSnapshots({
    progressStore,
    rangeSource: new TortureRows({ folder: settings.logFolder, seed: settings.seed }),
    openContainer,
    signal,
    name: `${settings.share} pid ${process.pid}`,
    leaseTtl: 1_500,
    pollInterval: 200,
    concurrentSnapshots: 2,
    failureDelay: 100,
    retryMinDelay: 10,
    retryMaxDelay: 250,
    snapshot: { maxFileSize: 4 << 10, blockSize: 1 << 10, numThreads: 2, retryMinDelay: 10, retryMaxDelay: 250 },
    onEvent: (event) => {
      if (event.kind === 'retry' || event.kind === 'failed') checkError(event.kind, event.error, tell);
      const detail = 'error' in event ? describe(event.error) : 'jobUid' in event ? event.jobUid : '';
      tell({ kind: 'event', name: `snapshot ${event.kind}`, detail });
    },
  });
}

/** Now and then the containers are looked after: small log files are merged, old snapshots expire, what killed writers have left is cleaned away. */
async function takeCare({ progressStore, openContainer, signal, tell }: World): Promise<void> {
  const operator = new BackupOperator(progressStore);
  while (!signal.aborted) {
    try {
      for (const { uid, url } of await operator.list()) {
        const container = openContainer(url);
        if (!(await container.exists())) continue;
        const { merged } = await compactLogs(container, { targetBytes: 256 << 10, graceMs: 1_000, signal });
        if (merged.length > 0) tell({ kind: 'event', name: 'compacted', detail: uid });
        if (uid === 'snapshots') await expireOld(container, signal, tell);
        // Longer than the frozen processes of this test sleep.
        await new DirectoryContainer(fileURLToPath(url)).cleanTemporaryFiles({ olderThan: 20_000 });
      }
      await systemClock.sleep(CARE_INTERVAL, signal);
    } catch (error) {
      if (signal.aborted) return;
      checkError('the care', error, tell);
      tell({ kind: 'event', name: 'care failed', detail: describe(error) });
      await systemClock.sleep(CARE_INTERVAL, signal).catch(() => undefined);
    }
  }
}

async function expireOld(container: BackupContainer, signal: AbortSignal, tell: Tell): Promise<void> {
  const { maxRestorable } = await describeBackup(container, { signal });
  if (maxRestorable === undefined) return;
  try {
    const { deleted } = await expireBackup(container, { before: maxRestorable - KEPT_VERSIONS, signal });
    tell({ kind: 'event', name: 'expired', detail: `${deleted.logFiles} log files, ${deleted.snapshots} snapshots` });
  } catch (error) {
    if (!BackupError.is(error, 'EXPIRE_REFUSED')) throw error;
  }
}

/** A container whose appends stand still while they are held. */
class Holds {
  #held: string | undefined;
  #waiting: (() => void)[] = [];

  hold(url: string): void {
    this.#held = url;
  }

  release(): void {
    this.#held = undefined;
    for (const go of this.#waiting.splice(0)) go();
  }

  wrap(container: DirectoryContainer): BackupContainer {
    return {
      url: container.url,
      create: () => container.create(),
      exists: () => container.exists(),
      readFile: (name, offset, length) => container.readFile(name, offset, length),
      listFiles: (prefix) => container.listFiles(prefix),
      deleteFile: (name) => container.deleteFile(name),
      writeFile: async (name, options) => {
        const file = await container.writeFile(name, options);
        return {
          name,
          append: async (chunks) => {
            if (this.#held === container.url) await new Promise<void>((go) => this.#waiting.push(go));
            await file.append(chunks);
          },
          finish: () => file.finish(),
          abort: () => file.abort(),
        };
      },
    };
  }
}

/** Until the system refuses: whatever the library opens next is refused, too. */
function eatHandles(handles: number[], tell: Tell): void {
  try {
    for (;;) handles.push(openSync('/dev/null', 'r'));
  } catch (error) {
    tell({ kind: 'event', name: 'eaten', detail: `${handles.length} ${describe(error)}` });
  }
}

function describe(error: unknown): string {
  if (BackupError.is(error)) return `${error.code}: ${error.message}`;
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
