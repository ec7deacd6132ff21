// What the worker of tag 0 of the current epoch records for a job as a whole: started (P3), stop version and completion (P8), overall progress.

import type { Version } from '../core/version.js';
import { maxVersion, minVersion } from '../core/version.js';
import type { ProgressTransaction } from '../ports/progress-store.js';
import { registeredKey } from './keys.js';
import type { JobRecord } from './records.js';
import { isActiveState } from './records.js';
import * as store from './store-access.js';
import type { WorkerRun } from './worker-transactions.js';
import { checkOwner, endJob } from './worker-transactions.js';

/** What the coordinator found, and what it should do next. */
export type JobStep =
  /** This key has to appear before the job can be called Running. */
  | { readonly kind: 'awaiting-registration'; readonly key: string }
  | { readonly kind: 'started'; readonly completeFrom: Version }
  /** Ask the log for its committed version, then call `setStopVersion`. */
  | { readonly kind: 'needs-stop-version' }
  | { readonly kind: 'completed' }
  /** A newer epoch has begun: its tag 0 decides. */
  | { readonly kind: 'superseded' }
  /** Nothing to do now. `stored`: how far the job is; undefined while that is not known. */
  | { readonly kind: 'steady'; readonly stored?: { readonly completeFrom: Version; readonly savedVersion: Version } };

export interface CoordinationFacts {
  readonly run: WorkerRun;
  readonly totalTags: number;
  /** No older epoch is unfinished, as the log system says. */
  readonly olderEpochsDone: boolean;
}

/** Moves a job on by one step. */
export async function advanceJob(tx: ProgressTransaction, facts: CoordinationFacts, uid: string): Promise<JobStep> {
  await checkOwner(tx, facts.run);
  const job = await store.readJob(tx, uid);
  if (job === undefined || !isActiveState(job.state)) return { kind: 'steady' };
  // A recovery in between: the newer epoch's tag 0 decides (scenario 3).
  if ((await store.readEpoch(tx))?.epoch !== facts.run.epoch) return { kind: 'superseded' };
  if (job.state === 'Submitted') return startJob(tx, facts, job);
  if (job.state === 'Stopping' && job.stopVersion === undefined) return { kind: 'needs-stop-version' };
  const savedVersion = facts.olderEpochsDone ? await jobSavedVersion(tx, facts, job) : undefined;
  if (savedVersion === undefined) return { kind: 'steady' };
  if (job.stopVersion !== undefined && savedVersion >= job.stopVersion) {
    await endJob(tx, { ...job, state: 'Completed', savedVersion });
    return { kind: 'completed' };
  }
  const { completeFrom } = job;
  return completeFrom === undefined ? { kind: 'steady' } : { kind: 'steady', stored: { completeFrom, savedVersion } };
}

/** P3 */
async function startJob(
  tx: ProgressTransaction,
  { run, totalTags }: CoordinationFacts,
  job: JobRecord,
): Promise<JobStep> {
  let completeFrom = job.startVersion;
  for (let tag = 0; tag < totalTags; tag++) {
    const firstVersion = await store.readRegistered(tx, job.uid, { epoch: run.epoch, tag });
    if (firstVersion === undefined)
      return { kind: 'awaiting-registration', key: registeredKey(job.uid, run.epoch, tag) };
    completeFrom = maxVersion(completeFrom, firstVersion);
  }
  store.writeJob(tx, { ...job, state: 'Running', completeFrom });
  return { kind: 'started', completeFrom };
}

/** P8: once, and only while the job is being stopped. `committed` was asked for after Stopping had been read. */
export async function setStopVersion(
  tx: ProgressTransaction,
  run: WorkerRun,
  uid: string,
  committed: Version,
): Promise<void> {
  await checkOwner(tx, run);
  const job = await store.readJob(tx, uid);
  if (job?.state !== 'Stopping' || job.stopVersion !== undefined) return;
  store.writeJob(tx, { ...job, stopVersion: committed });
  const started = await store.readStarted(tx);
  store.writeStarted(
    tx,
    started.map((entry) => (entry.uid === uid ? { ...entry, stopVersion: committed } : entry)),
  );
}

/** How far the job is stored; undefined while that is not known. Writes nothing. */
export async function readSavedVersion(
  tx: ProgressTransaction,
  facts: CoordinationFacts,
  uid: string,
): Promise<Version | undefined> {
  const job = await jobOfRun(tx, facts.run, uid);
  return job === undefined || !facts.olderEpochsDone ? undefined : jobSavedVersion(tx, facts, job);
}

/**
 * Overall progress, as `readSavedVersion` has found it in the same epoch: written only when it has moved. A transaction of its own: one that also read how far each tag is would conflict with every save, and with many tags or
 * a slow store never pass. What was read stays true, since within an epoch saved versions only grow.
 */
export async function recordSavedVersion(
  tx: ProgressTransaction,
  run: WorkerRun,
  uid: string,
  savedVersion: Version,
): Promise<void> {
  const job = await jobOfRun(tx, run, uid);
  if (job !== undefined && job.savedVersion !== savedVersion) store.writeJob(tx, { ...job, savedVersion });
}

/** The job, if it is active and this run's epoch is still the newest. */
async function jobOfRun(tx: ProgressTransaction, run: WorkerRun, uid: string): Promise<JobRecord | undefined> {
  await checkOwner(tx, run);
  const job = await store.readJob(tx, uid);
  if (job === undefined || !isActiveState(job.state)) return undefined;
  return (await store.readEpoch(tx))?.epoch === run.epoch ? job : undefined;
}

/**
 * The smallest over all tags of max(savedVersion, firstVersion - 1): a tag that had nothing to store below its firstVersion is no hindrance (scenario 7).
 * undefined while a tag is not registered.
 */
export async function jobSavedVersion(
  tx: ProgressTransaction,
  { run, totalTags }: Pick<CoordinationFacts, 'totalTags'> & { readonly run: { readonly epoch: number } },
  job: JobRecord,
): Promise<Version | undefined> {
  let smallest: Version | undefined;
  for (let tag = 0; tag < totalTags; tag++) {
    const at = { epoch: run.epoch, tag };
    const firstVersion = await store.readRegistered(tx, job.uid, at);
    if (firstVersion === undefined) return undefined;
    const progress = await store.readProgress(tx, at);
    const saved = maxVersion(progress?.savedVersion ?? -1n, firstVersion - 1n);
    smallest = smallest === undefined ? saved : minVersion(smallest, saved);
  }
  return smallest;
}
