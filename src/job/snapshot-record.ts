// What the progress store says of a job's snapshots (`snapshot/<uid>`), and when the next one is due. docs/protocol.md, rules S1 to S7.

import { utf8 } from '../core/bytes.js';
import type { BackupErrorCode } from '../core/errors.js';
import type { Version } from '../core/version.js';
import { JsonReader, encodeJson } from './json-reader.js';
import type { JobRecord } from './records.js';

/** Times are ms since 1970, by the clock of the process that wrote them. */
export interface SnapshotRecord {
  /** When the next one is due; undefined: when somebody asks for it, or at once if the job has an interval. */
  readonly due?: number | undefined;
  /** Somebody has asked for one after the last one was begun. */
  readonly requested?: true | undefined;
  /** The one that was begun and has not ended, whether or not its holder still lives. */
  readonly running?: SnapshotRun | undefined;
  /** The last one that was completed. */
  readonly last?: SnapshotSummary | undefined;
  /** What went wrong since then. */
  readonly failure?: SnapshotFailure | undefined;
}

/** One process at work on a snapshot. */
export interface SnapshotRun {
  /** Of the holder's lease. */
  readonly leaseId: string;
  /** The holder's name. */
  readonly by: string;
  readonly since: number;
}

/** A completed snapshot. */
export interface SnapshotSummary {
  /** Of its manifest. */
  readonly name: string;
  /** Both inclusive. */
  readonly beginVersion: Version;
  readonly endVersion: Version;
  readonly startedAt: number;
  readonly finishedAt: number;
  readonly by: string;
  readonly files: number;
  readonly rows: number;
  /** Of the range files. */
  readonly bytes: number;
}

export interface SnapshotFailure {
  readonly code: BackupErrorCode;
  readonly message: string;
  readonly at: number;
  readonly by: string;
  /** Failed tries in a row. */
  readonly tries: number;
}

/** Longest wait between two tries, ms. */
export const MAX_SNAPSHOT_RETRY_DELAY = 600_000;

/** Whether one is to be begun, or gone on with, at `now`. Whether somebody is at it is the lease's business. */
export function isSnapshotDue(job: JobRecord, record: SnapshotRecord | undefined, now: number): boolean {
  if (job.logOnly || job.state !== 'Running') return false;
  const next = nextSnapshot(job, record);
  if (next === undefined || next === 'now') return next === 'now';
  // Written by a clock that was ahead: rather one too early than none for a year.
  const farthest = 2 * Math.max(job.snapshotInterval ?? 0, MAX_SNAPSHOT_RETRY_DELAY);
  return next <= now || next > now + farthest;
}

/** ms since 1970; `now`: as soon as a process comes to it and the job is Running; undefined: only when somebody asks for one. */
export function nextSnapshot(
  { snapshotInterval }: Pick<JobRecord, 'snapshotInterval'>,
  record: SnapshotRecord | undefined,
): number | 'now' | undefined {
  if (record?.requested === true || record?.running !== undefined) return 'now';
  return record?.due ?? (snapshotInterval === undefined ? undefined : 'now');
}

export function encodeSnapshotRecord(record: SnapshotRecord): Uint8Array {
  return encodeJson(record);
}

export function decodeSnapshotRecord(key: string, value: Uint8Array): SnapshotRecord {
  const json = JsonReader.parse(key, value);
  const running = json.optional('running');
  const last = json.optional('last');
  const failure = json.optional('failure');
  return {
    due: json.optionalCount('due'),
    requested: json.optionalFlag('requested') === true ? true : undefined,
    running: running && { leaseId: running.text('leaseId'), by: running.text('by'), since: running.count('since') },
    last: last && {
      name: last.text('name'),
      beginVersion: last.version('beginVersion'),
      endVersion: last.version('endVersion'),
      startedAt: last.count('startedAt'),
      finishedAt: last.count('finishedAt'),
      by: last.text('by'),
      files: last.count('files'),
      rows: last.count('rows'),
      bytes: last.count('bytes'),
    },
    failure: failure && {
      code: failure.text('code') as BackupErrorCode,
      message: failure.text('message'),
      at: failure.count('at'),
      by: failure.text('by'),
      tries: failure.count('tries'),
    },
  };
}

/** The value of the lease: unlike any other's, and telling who holds it. */
export function encodeSnapshotLease(run: Pick<SnapshotRun, 'leaseId' | 'by'>): Uint8Array {
  return utf8(JSON.stringify({ leaseId: run.leaseId, by: run.by }));
}
