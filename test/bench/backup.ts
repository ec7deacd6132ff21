// A whole backup of one tag, as a bench runs it: prebuilt batches in memory -> the real worker -> a container. And the raw write that it is compared with.

import { mkdtemp, mkdir, open, rename, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import type { KeyRange } from '../../src/core/key-range.js';
import { MessageBatchBuilder } from '../../src/core/message-batch-builder.js';
import type { MessageBatch } from '../../src/core/message-batch.js';
import { logRouterTag, type Version } from '../../src/core/version.js';
import { DirectoryContainer } from '../../src/container/directory-container.js';
import { BackupOperator } from '../../src/job/operator.js';
import { announceEpoch } from '../../src/job/recruiter-transactions.js';
import type { BackupContainer } from '../../src/ports/backup-container.js';
import type { LogSource, PeekReply, PeekRequest } from '../../src/ports/log-source.js';
import { MemoryProgressStore } from '../../src/progress/memory-progress-store.js';
import { BackupWorker } from '../../src/worker/backup-worker.js';
import type { WorkerKnobs } from '../../src/worker/options.js';
import { RECORD_BYTES, makeMessages } from './messages.js';

export const MIB = 1 << 20;
/** As the worker's default for one peek. */
const BATCH_BYTES = 4 * MIB;
/** Distinct messages. */
const DISTINCT = 200_000;

/** Gives batches in order, one per peek; then waits for ever. The last version is known and committed from the start. */
export class BatchLog implements LogSource {
  readonly lastVersion: Version;
  /** When the first peek came, in ms. */
  firstPeekAt: number | undefined;
  readonly #next: (begin: Version) => MessageBatch | undefined;

  /** `next(begin)`: the batch whose first version is `begin`, undefined when there is no more. */
  constructor(lastVersion: Version, next: (begin: Version) => MessageBatch | undefined) {
    this.lastVersion = lastVersion;
    this.#next = next;
  }

  async peek({ begin, signal }: PeekRequest): Promise<PeekReply> {
    this.firstPeekAt ??= performance.now();
    const batch = this.#next(begin);
    if (batch === undefined) return untilAborted(signal);
    const end = (batch.lastVersion ?? begin) + 1n;
    return Promise.resolve({ batch, end, minKnownCommittedVersion: this.lastVersion, popped: undefined });
  }

  pop(): Promise<void> {
    return Promise.resolve();
  }

  minKnownCommittedVersion(): Promise<Version> {
    return Promise.resolve(this.lastVersion);
  }

  committedVersion(): Promise<Version> {
    return Promise.resolve(this.lastVersion);
  }
}

function untilAborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
  });
}

/** Batches of sets of 16-byte keys to 100-byte values, about `bytes` in all, from version 1 on. */
export function prebuild(bytes: number): MessageBatch[] {
  const { keys, values, perVersion } = makeMessages(DISTINCT);
  const count = Math.ceil(bytes / RECORD_BYTES);
  const builder = new MessageBatchBuilder({ initialBytes: BATCH_BYTES });
  const batches: MessageBatch[] = [];
  let version = 1n;
  for (let done = 0; done < count;) {
    builder.beginVersion(version++);
    for (let i = 0; i < perVersion && done < count; i++, done++) {
      builder.add(i, 0, keys[done % DISTINCT] as Uint8Array, values[done % DISTINCT] as Uint8Array);
    }
    if (builder.byteLength > BATCH_BYTES - perVersion * RECORD_BYTES || done === count) batches.push(builder.build());
  }
  return batches;
}

export function logOf(batches: readonly MessageBatch[]): BatchLog {
  const byVersion = new Map(batches.map((batch) => [batch.firstVersion, batch]));
  return new BatchLog(batches.at(-1)?.lastVersion ?? 0n, (begin) => byVersion.get(begin));
}

export interface BackupJob {
  readonly uid: string;
  readonly ranges: readonly KeyRange[];
  readonly container: BackupContainer;
}

export interface BackupResult {
  /** From the first peek to the last save, in ms. */
  readonly time: number;
  /** Sizes of the files in the order in which they were finished. */
  readonly files: readonly number[];
}

/** Backs up everything that `log` has for all jobs. */
export async function backUp(
  log: BatchLog,
  jobs: readonly BackupJob[],
  knobs: WorkerKnobs = {},
): Promise<BackupResult> {
  const progressStore = new MemoryProgressStore();
  await announceEpoch(progressStore, { epoch: 1, begin: 1n, totalTags: 1 });
  const operator = new BackupOperator(progressStore);
  const stop = new AbortController();
  const submitted = jobs.map(({ uid, ranges }) =>
    operator.submit({ uid, url: uid, ranges, startVersion: 1n, logOnly: true, signal: stop.signal }),
  );
  // The jobs are there before the worker is, so that it never is in NOOP mode.
  while ((await operator.list()).length < jobs.length) await new Promise((resolve) => setTimeout(resolve, 1));
  const worker = new BackupWorker({
    logSource: log,
    progressStore,
    openContainer: (url) => {
      const job = jobs.find(({ uid }) => uid === url);
      if (job === undefined) throw new Error(`no job ${url}`);
      return job.container;
    },
    tag: logRouterTag(0),
    totalTags: 1,
    startVersion: 1n,
    recruitedEpoch: 1,
    backupEpoch: 1,
    ...knobs,
  });
  const files: number[] = [];
  let savedAt = NaN;
  worker.on('fileWritten', ({ bytes }) => files.push(bytes));
  worker.on('saved', (version) => {
    if (version < log.lastVersion) return;
    savedAt = performance.now();
    stop.abort(new Error('everything is saved'));
  });
  await worker.run({ signal: stop.signal });
  await Promise.allSettled(submitted);
  return { time: savedAt - (log.firstPeekAt ?? NaN), files };
}

/**
 * Writes files of these sizes, `atATime` side by side, with writev of 1 MiB chunks of the batches' bytes: temporary name, fsync, rename, fsync of the folder, as the
 * container does. Returns the time in ms.
 */
export async function writeRaw(
  directory: string,
  batches: readonly MessageBatch[],
  files: readonly number[],
  atATime = 1,
): Promise<number> {
  const start = performance.now();
  const waiting = files.entries();
  await Promise.all(Array.from({ length: atATime }, () => writeRawFiles(directory, chunksOf(batches), waiting)));
  return performance.now() - start;
}

/** Takes files from `waiting` until there is none. */
async function writeRawFiles(
  directory: string,
  chunks: Generator<Uint8Array, never>,
  waiting: Iterator<[number, number]>,
): Promise<void> {
  for (let next = waiting.next(); next.done !== true; next = waiting.next()) {
    const [index, size] = next.value;
    const path = join(directory, `raw-${index}`);
    const handle = await open(`${path}.temp`, 'w');
    for (let left = size; left > 0;) {
      const chunk = chunks.next().value.subarray(0, left);
      for (let done = 0; done < chunk.length;) done += (await handle.writev([chunk.subarray(done)])).bytesWritten;
      left -= chunk.length;
    }
    await handle.sync();
    await handle.close();
    await rename(`${path}.temp`, path);
    const folder = await open(directory, 'r');
    await folder.sync();
    await folder.close();
  }
}

/** 1 MiB pieces of the batches' bytes, over and over. */
function* chunksOf(batches: readonly MessageBatch[]): Generator<Uint8Array, never> {
  for (;;) {
    for (const { bytes, byteLength } of batches) {
      for (let at = 0; at + MIB <= byteLength; at += MIB) yield bytes.subarray(at, at + MIB);
    }
  }
}

/** Runs `body` with a fresh folder, which is gone afterwards. */
export async function inFreshFolder<T>(
  parent: string | undefined,
  body: (directory: string) => Promise<T>,
): Promise<T> {
  await mkdir(parent ?? tmpdir(), { recursive: true });
  const directory = await mkdtemp(join(parent ?? tmpdir(), 'tidemark-bench-'));
  try {
    return await body(directory);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

/** Runs `body` with a folder of its own within `parent`, which stays. */
export async function inSubfolder<T>(parent: string, body: (directory: string) => Promise<T>): Promise<T> {
  return body(await mkdtemp(join(parent, 'run-')));
}

export function directoryJob(directory: string, uid: string, ranges: readonly KeyRange[] = []): BackupJob {
  return { uid, ranges, container: new DirectoryContainer(join(directory, uid)) };
}
