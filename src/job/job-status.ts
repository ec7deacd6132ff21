// What an operator sees of a job: its record, and what the tags have stored. Must never call stored what an older epoch still holds.

import { equalBytes } from '../core/bytes.js';
import type { KeyRange } from '../core/key-range.js';
import { redactUrl } from '../core/redact-url.js';
import type { LogEpoch, Version } from '../core/version.js';
import { maxVersion, minVersion } from '../core/version.js';
import type { ProgressTransaction } from '../ports/progress-store.js';
import { jobSavedVersion } from './coordinator-transactions.js';
import { PAUSED_KEY, snapshotLeaseKey } from './keys.js';
import type { EpochRecord, JobFailure, JobRecord, JobState } from './records.js';
import { isActiveState } from './records.js';
import type { SnapshotFailure, SnapshotRecord, SnapshotSummary } from './snapshot-record.js';
import { encodeSnapshotLease, nextSnapshot } from './snapshot-record.js';
import * as store from './store-access.js';

export interface TagStatus {
  readonly epoch: LogEpoch;
  readonly tag: number;
  /** Inclusive; -1 when nothing is saved yet. */
  readonly savedVersion: Version;
  /** Of an older epoch: everything it had is stored, or was not needed. Always false in the newest one. */
  readonly drained: boolean;
  /** Inclusive; undefined when the tag's worker has not registered for the job. */
  readonly firstVersion: Version | undefined;
  readonly bytes: number;
  readonly files: number;
}

/** Times are ms since 1970, by the clocks of the processes that took the snapshots. */
export interface SnapshotStatus {
  /** ms; undefined: none are taken by themselves. */
  readonly interval: number | undefined;
  /** The last one that was completed. */
  readonly last: SnapshotSummary | undefined;
  /** A process that holds the job's lease is taking one. */
  readonly running: { readonly by: string; readonly since: number } | undefined;
  /** One was begun, and its process has stopped, died or lost the lease: the next process goes on with it. */
  readonly cutOff: { readonly by: string; readonly since: number } | undefined;
  /** Somebody has asked for one that is not begun yet. */
  readonly requested: boolean;
  /** Why the last tries failed; undefined after a success. */
  readonly failure: SnapshotFailure | undefined;
  /** When the next one is due; `now`: as soon as a process comes to it and the job is Running; undefined: none is. */
  readonly nextDue: number | 'now' | undefined;
}

export interface JobStatus {
  readonly uid: string;
  readonly state: JobState;
  /** Why it is in this state, in words. */
  readonly reason: string;
  /** As it may be shown: `***` stands where the job's URL has a secret. */
  readonly url: string;
  readonly ranges: readonly KeyRange[];
  readonly logOnly: boolean;
  readonly startVersion: Version;
  readonly completeFrom: Version | undefined;
  readonly stopVersion: Version | undefined;
  readonly failure: JobFailure | undefined;
  readonly paused: boolean;
  readonly snapshot: SnapshotStatus;
  /** The tags of the newest epoch, and those of older ones that are not drained or have progress for the job. */
  readonly tags: readonly TagStatus[];
  /** Inclusive: stored by every tag of the newest epoch and of those that are not drained; undefined while one of the newest has not registered. */
  readonly savedVersion: Version | undefined;
  /** Whether a restore can reach a version of this job by what is recorded; `describe` on the container has the last word. */
  readonly restorable: boolean;
  readonly bytes: number;
  readonly files: number;
  /** Versions between the tag that is furthest and the one that is least far; undefined while one has not registered. */
  readonly lag: Version | undefined;
}

export async function jobStatus(tx: ProgressTransaction, job: JobRecord): Promise<JobStatus> {
  const newest = await store.readEpoch(tx);
  const paused = (await tx.get(PAUSED_KEY)) !== undefined;
  const tags = await tagStatuses(tx, job, newest?.epoch);
  const isDrained = tags.every((tag) => tag.epoch === newest?.epoch || tag.drained);
  const savedVersion = isActiveState(job.state) ? await storedByAll(tx, job, newest, tags) : job.savedVersion;
  const record = await store.readSnapshot(tx, job.uid);
  const sum = (pick: (tag: TagStatus) => number) => tags.reduce((total, tag) => total + pick(tag), 0);
  return {
    uid: job.uid,
    state: job.state,
    reason: reasonOf(job, { paused, isDrained }, savedVersion),
    url: redactUrl(job.url),
    ranges: job.ranges,
    logOnly: job.logOnly,
    startVersion: job.startVersion,
    completeFrom: job.completeFrom,
    stopVersion: job.stopVersion,
    failure: job.failure,
    paused,
    snapshot: await snapshotStatus(tx, job, record),
    tags,
    savedVersion,
    restorable: isRestorable(job, savedVersion, record),
    bytes: job.bytes ?? sum((tag) => tag.bytes),
    files: job.files ?? sum((tag) => tag.files),
    lag: lagOf(tags.filter((tag) => tag.epoch === newest?.epoch)),
  };
}

/** From a snapshot and the log up to its end; or from the log alone, and only if that reaches back to the database's first version. */
function isRestorable(
  { logOnly, completeFrom, firstVersion }: JobRecord,
  savedVersion: Version | undefined,
  snapshots: SnapshotRecord | undefined,
): boolean {
  if (completeFrom === undefined || savedVersion === undefined) return false;
  if (logOnly) return completeFrom <= firstVersion && savedVersion >= completeFrom;
  return snapshots?.last !== undefined && snapshots.last.endVersion <= savedVersion;
}

async function snapshotStatus(
  tx: ProgressTransaction,
  job: JobRecord,
  record: SnapshotRecord | undefined,
): Promise<SnapshotStatus> {
  const { running } = record ?? {};
  const lease = await tx.get(snapshotLeaseKey(job.uid));
  const isHeld = running !== undefined && lease !== undefined && equalBytes(lease, encodeSnapshotLease(running));
  const wantsMore = !job.logOnly && (job.state === 'Submitted' || job.state === 'Running');
  const at = running && { by: running.by, since: running.since };
  return {
    interval: job.snapshotInterval,
    last: record?.last,
    running: isHeld ? at : undefined,
    cutOff: isHeld ? undefined : at,
    requested: record?.requested === true,
    failure: record?.failure,
    nextDue: wantsMore && !isHeld ? nextSnapshot(job, record) : undefined,
  };
}

/** As rule P8 has it for the newest epoch; an older one that is not drained holds it back to what its tags have stored. */
async function storedByAll(
  tx: ProgressTransaction,
  job: JobRecord,
  newest: EpochRecord | undefined,
  tags: readonly TagStatus[],
): Promise<Version | undefined> {
  if (newest === undefined) return undefined;
  let saved = await jobSavedVersion(tx, { run: { epoch: newest.epoch }, totalTags: newest.totalTags }, job);
  if (saved === undefined) return undefined;
  // Older epochs that no worker has come to yet are not known here; tag 0 says how far they are drained when they are.
  const { completeFrom, savedVersion: recorded } = job;
  if (completeFrom !== undefined && completeFrom < newest.begin && (recorded ?? -1n) < newest.begin - 1n) {
    saved = minVersion(saved, recorded ?? completeFrom - 1n);
  }
  for (const tag of tags) {
    if (tag.epoch === newest.epoch || tag.drained || tag.firstVersion === undefined) continue;
    saved = minVersion(saved, maxVersion(tag.savedVersion, tag.firstVersion - 1n));
  }
  return saved;
}

/** The tags that have registered or stored something for the job, oldest epoch first. */
async function tagStatuses(
  tx: ProgressTransaction,
  job: JobRecord,
  newestEpoch: LogEpoch | undefined,
): Promise<TagStatus[]> {
  const progress = await store.readAllProgress(tx);
  const done = await store.readAllDone(tx);
  const tags: TagStatus[] = [];
  for (const { epoch, tag, firstVersion } of await store.readAllRegistered(tx, job.uid)) {
    const record = progress.find((entry) => entry.epoch === epoch && entry.tag === tag);
    const own = record?.jobs.get(job.uid);
    const drained = done.some((entry) => entry.epoch === epoch && entry.tag === tag);
    if (epoch !== newestEpoch && drained && own === undefined) continue;
    tags.push({
      epoch,
      tag,
      firstVersion,
      savedVersion: record?.savedVersion ?? -1n,
      drained,
      bytes: own?.bytes ?? 0,
      files: own?.files ?? 0,
    });
  }
  return tags.sort((a, b) => a.epoch - b.epoch || a.tag - b.tag);
}

function lagOf(tags: readonly TagStatus[]): Version | undefined {
  let least: Version | undefined;
  let most: Version | undefined;
  for (const tag of tags) {
    const saved = tag.savedVersion;
    if (least === undefined || saved < least) least = saved;
    if (most === undefined || saved > most) most = saved;
  }
  return least === undefined || most === undefined ? undefined : most - least;
}

function reasonOf(
  job: JobRecord,
  { paused, isDrained }: { readonly paused: boolean; readonly isDrained: boolean },
  savedVersion: Version | undefined,
): string {
  const notes =
    (isDrained ? '' : '; an older epoch is not drained yet') +
    (paused ? '; the backup is paused, resume() to go on' : '');
  switch (job.state) {
    case 'Submitted':
      return `waiting until the worker of every tag has registered${notes}`;
    case 'Running':
      return `complete from version ${String(job.completeFrom)}, stored to ${String(savedVersion ?? 'nothing yet')}${notes}`;
    case 'Stopping':
      return job.stopVersion === undefined
        ? `waiting for the worker of tag 0 to choose the stop version${notes}`
        : `storing up to version ${job.stopVersion}, at ${String(savedVersion ?? 'nothing yet')}${notes}`;
    case 'Completed':
      return `stored up to its stop version ${String(job.stopVersion)}`;
    case 'Failed':
      return `failed on tag ${String(job.failure?.tag)}: ${job.failure?.message ?? 'no reason recorded'}`;
    case 'Aborted':
      return 'aborted by an operator';
  }
}
