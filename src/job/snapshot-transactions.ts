// What whoever takes a job's snapshots may record. Each function is the body of one transaction: it may run more than once, and an earlier run may have committed.
// Every one reads the lease first: a process that has lost it, and does not know, records nothing (rule S2).

import { equalBytes } from '../core/bytes.js';
import type { BackupErrorCode } from '../core/errors.js';
import { BackupError } from '../core/errors.js';
import type { ProgressTransaction } from '../ports/progress-store.js';
import { PAUSED_KEY, snapshotLeaseKey } from './keys.js';
import type { JobRecord, JobState } from './records.js';
import type { SnapshotRecord, SnapshotSummary } from './snapshot-record.js';
import { isSnapshotDue, nextSnapshot } from './snapshot-record.js';
import * as store from './store-access.js';

/** A lease that a process holds, or held. */
export interface SnapshotHolder {
  readonly uid: string;
  readonly leaseId: string;
  /** The process's name, for people. */
  readonly by: string;
  /** What `snapshotLeaseKey(uid)` has while the lease lives. */
  readonly leaseValue: Uint8Array;
}

/** S1: the Running jobs whose snapshot is due at `now` and in nobody's hands; those that wait the longest first. undefined while the backup is paused. */
export async function findDueSnapshots(tx: ProgressTransaction, now: number): Promise<string[] | undefined> {
  if ((await tx.get(PAUSED_KEY)) !== undefined) return undefined;
  const due: { readonly uid: string; readonly since: number }[] = [];
  for (const { uid } of await store.readStarted(tx)) {
    const job = await store.readStartedJob(tx, uid);
    const record = await store.readSnapshot(tx, uid);
    if (!isSnapshotDue(job, record, now)) continue;
    if ((await tx.get(snapshotLeaseKey(uid))) !== undefined) continue;
    const next = nextSnapshot(job, record);
    // A time that lies ahead was written by a clock that was wrong: were it taken at its word, others that are always due would come first until then.
    due.push({ uid, since: typeof next === 'number' && next <= now ? next : 0 });
  }
  return due.sort((a, b) => a.since - b.since).map(({ uid }) => uid);
}

/** What a try begins with. */
export interface BegunSnapshot {
  readonly job: JobRecord;
  readonly completeFrom: bigint;
  /** Another process, or this one, has begun it before and not ended it. */
  readonly wasCutOff: boolean;
  /** Failed tries before this one. */
  readonly failedTries: number;
}

/** S3: undefined when there is nothing to do any more: the job is not Running, or another process has been quicker. */
export async function beginSnapshot(
  tx: ProgressTransaction,
  holder: SnapshotHolder,
  now: number,
): Promise<BegunSnapshot | undefined> {
  await checkLease(tx, holder);
  const job = await store.readJob(tx, holder.uid);
  const record = await store.readSnapshot(tx, holder.uid);
  if (job?.completeFrom === undefined || !isSnapshotDue(job, record, now)) return undefined;
  const isRepeated = record?.running?.leaseId === holder.leaseId;
  const running = { leaseId: holder.leaseId, by: holder.by, since: now };
  if (!isRepeated) store.writeSnapshot(tx, holder.uid, { ...record, running, requested: undefined });
  return {
    job,
    completeFrom: job.completeFrom,
    wasCutOff: record?.running !== undefined && !isRepeated,
    failedTries: record?.failure?.tries ?? 0,
  };
}

/** S4: the job's state, for who holds the lease. LEASE_LOST. */
export async function readSnapshotJob(tx: ProgressTransaction, holder: SnapshotHolder): Promise<JobState | undefined> {
  await checkLease(tx, holder);
  return (await store.readJob(tx, holder.uid))?.state;
}

/** A snapshot is there, whatever has become of the job. */
export async function finishSnapshot(
  tx: ProgressTransaction,
  holder: SnapshotHolder,
  last: SnapshotSummary,
): Promise<void> {
  await checkLease(tx, holder);
  const interval = (await store.readJob(tx, holder.uid))?.snapshotInterval;
  const due = interval === undefined ? undefined : last.startedAt + interval;
  await endRun(tx, holder, { last, due, failure: undefined });
}

/** S6 */
export async function failSnapshot(
  tx: ProgressTransaction,
  holder: SnapshotHolder,
  failure: { readonly code: BackupErrorCode; readonly message: string; readonly at: number; readonly tries: number },
  retryAt: number,
): Promise<void> {
  await checkLease(tx, holder);
  await endRun(tx, holder, { failure: { ...failure, by: holder.by }, due: retryAt });
}

/** The job does not want it any more. */
export async function dropSnapshot(tx: ProgressTransaction, holder: SnapshotHolder): Promise<void> {
  await checkLease(tx, holder);
  await endRun(tx, holder, { due: undefined });
}

/** What was requested meanwhile stays requested. */
async function endRun(tx: ProgressTransaction, { uid }: SnapshotHolder, change: SnapshotRecord): Promise<void> {
  const record = await store.readSnapshot(tx, uid);
  store.writeSnapshot(tx, uid, { ...record, ...change, running: undefined });
}

/** S2: a fence. A transaction that has read the lease does not commit when the lease ends before it does. */
async function checkLease(tx: ProgressTransaction, { uid, leaseValue }: SnapshotHolder): Promise<void> {
  const key = snapshotLeaseKey(uid);
  const value = await tx.get(key);
  if (value !== undefined && equalBytes(value, leaseValue)) return;
  throw new BackupError('LEASE_LOST', `the lease ${key} has ended`, { jobUid: uid });
}
