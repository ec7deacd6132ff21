// Typed reads and writes of the store's keys inside a transaction.

import { BackupError } from '../core/errors.js';
import type { LogEpoch, Version } from '../core/version.js';
import type { ProgressTransaction } from '../ports/progress-store.js';
import * as keys from './keys.js';
import * as records from './records.js';
import type { SnapshotRecord } from './snapshot-record.js';
import { decodeSnapshotRecord, encodeSnapshotRecord } from './snapshot-record.js';

/** One tag of one epoch: what a run owns. */
export interface TagOfEpoch {
  readonly epoch: LogEpoch;
  readonly tag: number;
}

export async function readStarted(tx: ProgressTransaction): Promise<records.StartedJob[]> {
  return records.decodeStarted(keys.STARTED_KEY, await tx.get(keys.STARTED_KEY));
}

export function writeStarted(tx: ProgressTransaction, jobs: readonly records.StartedJob[]): void {
  write(tx, keys.STARTED_KEY, records.encodeStarted(jobs), records.decodeStarted);
}

/** What could not be read back must not be committed: it would stop every worker and every operator's call, for all jobs. */
function write<T>(
  tx: ProgressTransaction,
  key: string,
  value: Uint8Array,
  decode: (key: string, value: Uint8Array) => T,
): void {
  decode(key, value);
  tx.set(key, value);
}

export async function removeStarted(tx: ProgressTransaction, uid: string): Promise<void> {
  writeStarted(
    tx,
    (await readStarted(tx)).filter((job) => job.uid !== uid),
  );
}

export async function readJob(tx: ProgressTransaction, uid: string): Promise<records.JobRecord | undefined> {
  const key = keys.jobKey(uid);
  const value = await tx.get(key);
  return value && records.decodeJob(key, value);
}

/** As `readJob`, for a job that `started` names: one that is missing means a damaged store. */
export async function readStartedJob(tx: ProgressTransaction, uid: string): Promise<records.JobRecord> {
  const job = await readJob(tx, uid);
  if (job === undefined) {
    throw new BackupError(
      'STORE_CORRUPT',
      `progress store: "started" names job ${uid}, but "${keys.jobKey(uid)}" is missing`,
      {
        jobUid: uid,
      },
    );
  }
  return job;
}

export function writeJob(tx: ProgressTransaction, job: records.JobRecord): void {
  write(tx, keys.jobKey(job.uid), records.encodeJob(job), records.decodeJob);
}

export async function readSnapshot(tx: ProgressTransaction, uid: string): Promise<SnapshotRecord | undefined> {
  const key = keys.snapshotKey(uid);
  const value = await tx.get(key);
  return value && decodeSnapshotRecord(key, value);
}

export function writeSnapshot(tx: ProgressTransaction, uid: string, record: SnapshotRecord): void {
  write(tx, keys.snapshotKey(uid), encodeSnapshotRecord(record), decodeSnapshotRecord);
}

export async function readEpoch(tx: ProgressTransaction): Promise<records.EpochRecord | undefined> {
  const value = await tx.get(keys.EPOCH_KEY);
  return value && records.decodeEpoch(keys.EPOCH_KEY, value);
}

export function writeEpoch(tx: ProgressTransaction, epoch: records.EpochRecord): void {
  write(tx, keys.EPOCH_KEY, records.encodeEpoch(epoch), records.decodeEpoch);
}

export async function readProgress(
  tx: ProgressTransaction,
  at: TagOfEpoch,
): Promise<records.ProgressRecord | undefined> {
  const key = keys.progressKey(at.epoch, at.tag);
  const value = await tx.get(key);
  return value && records.decodeProgress(key, value);
}

export function writeProgress(tx: ProgressTransaction, at: TagOfEpoch, progress: records.ProgressRecord): void {
  write(tx, keys.progressKey(at.epoch, at.tag), records.encodeProgress(progress), records.decodeProgress);
}

export async function readNoop(tx: ProgressTransaction, at: TagOfEpoch): Promise<Version | undefined> {
  return readVersion(tx, keys.noopKey(at.epoch, at.tag));
}

export async function readRegistered(
  tx: ProgressTransaction,
  uid: string,
  at: TagOfEpoch,
): Promise<Version | undefined> {
  return readVersion(tx, keys.registeredKey(uid, at.epoch, at.tag));
}

export async function isDone(tx: ProgressTransaction, at: TagOfEpoch): Promise<boolean> {
  return (await tx.get(keys.doneKey(at.epoch, at.tag))) !== undefined;
}

export function writeDone(tx: ProgressTransaction, at: TagOfEpoch): void {
  tx.set(keys.doneKey(at.epoch, at.tag), records.DONE_VALUE);
}

async function readVersion(tx: ProgressTransaction, key: string): Promise<Version | undefined> {
  const value = await tx.get(key);
  return value && records.decodeVersion(key, value);
}

/** Every progress record, with its place. */
export async function readAllProgress(tx: ProgressTransaction): Promise<(TagOfEpoch & records.ProgressRecord)[]> {
  const entries = await tx.getRange(keys.PROGRESS_PREFIX, keys.prefixEnd(keys.PROGRESS_PREFIX));
  return entries.map(({ key, value }) => ({
    ...placeOf(key, keys.PROGRESS_PREFIX),
    ...records.decodeProgress(key, value),
  }));
}

export async function readAllNoop(tx: ProgressTransaction): Promise<(TagOfEpoch & { noopVersion: Version })[]> {
  const entries = await tx.getRange(keys.NOOP_PREFIX, keys.prefixEnd(keys.NOOP_PREFIX));
  return entries.map(({ key, value }) => ({
    ...placeOf(key, keys.NOOP_PREFIX),
    noopVersion: records.decodeVersion(key, value),
  }));
}

export async function readAllDone(tx: ProgressTransaction): Promise<TagOfEpoch[]> {
  const entries = await tx.getRange(keys.DONE_PREFIX, keys.prefixEnd(keys.DONE_PREFIX));
  return entries.map(({ key }) => placeOf(key, keys.DONE_PREFIX));
}

/** All registrations of a job, by epoch and tag. */
export async function readAllRegistered(
  tx: ProgressTransaction,
  uid: string,
): Promise<(TagOfEpoch & { firstVersion: Version })[]> {
  const prefix = `${keys.REGISTERED_PREFIX}${uid}/`;
  const entries = await tx.getRange(prefix, keys.prefixEnd(prefix));
  return entries.map(({ key, value }) => ({
    ...placeOf(key, prefix),
    firstVersion: records.decodeVersion(key, value),
  }));
}

/** The epoch and tag at the end of a key. */
export function placeOf(key: string, prefix: string): TagOfEpoch {
  const match = /^(\d{1,15})\/(\d{1,9})$/.exec(key.slice(prefix.length));
  if (match === null) {
    throw new BackupError('STORE_CORRUPT', `progress store: the key "${key}" does not end in an epoch and a tag`);
  }
  return { epoch: Number(match[1]), tag: Number(match[2]) };
}
