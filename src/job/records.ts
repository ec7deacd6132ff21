// The values in the progress store: what each record says, and its JSON form (versions as decimal text, keys as hex).

import { toHex } from '../core/bytes.js';
import type { BackupErrorCode } from '../core/errors.js';
import type { KeyRange } from '../core/key-range.js';
import type { LogEpoch, Version } from '../core/version.js';
import { JsonReader, encodeJson } from './json-reader.js';

/**
 * `Submitted`: not every worker has registered. `Running`: complete from `completeFrom` on. `Stopping`: stores what was committed when it was discontinued.
 * The other three are final.
 */
export type JobState = 'Submitted' | 'Running' | 'Stopping' | 'Completed' | 'Failed' | 'Aborted';

const JOB_STATES: readonly JobState[] = ['Submitted', 'Running', 'Stopping', 'Completed', 'Failed', 'Aborted'];

export function isActiveState(state: JobState): boolean {
  return state === 'Submitted' || state === 'Running' || state === 'Stopping';
}

/** Why a job failed for good, and how far it had come. */
export interface JobFailure {
  readonly code: BackupErrorCode;
  readonly message: string;
  /** The tag whose worker gave up. */
  readonly tag: number;
  /** Inclusive: the last version that this tag has stored for the job. */
  readonly lastGoodVersion: Version;
}

export interface JobRecord {
  readonly uid: string;
  /** Names the call of `submit` that made the job: a retried one knows its own job by it. */
  readonly submission: string;
  readonly state: JobState;
  /** Opened with the worker's `openContainer`. */
  readonly url: string;
  /** As submitted; none means the normal keys. */
  readonly ranges: readonly KeyRange[];
  /** Restorable from the log alone, without a snapshot. */
  readonly logOnly: boolean;
  /** ms from the begin of one snapshot to that of the next; undefined: none are taken by themselves. */
  readonly snapshotInterval?: number | undefined;
  /** The first version that the database ever wrote. */
  readonly firstVersion: Version;
  /** Inclusive: no message below it is stored. */
  readonly startVersion: Version;
  /** Inclusive: every tag of the epoch stores the job from here on (rule P3). */
  readonly completeFrom?: Version | undefined;
  /** Inclusive: a discontinued job stores everything up to it (rule P8). */
  readonly stopVersion?: Version | undefined;
  readonly failure?: JobFailure | undefined;
  /** Inclusive: stored by every tag, when tag 0's worker last looked. */
  readonly savedVersion?: Version | undefined;
  /** Totals over all tags and epochs, set when the job ends. */
  readonly bytes?: number | undefined;
  readonly files?: number | undefined;
}

/** One entry of `started`. */
export interface StartedJob {
  readonly uid: string;
  readonly startVersion: Version;
  /** Set while a job is being discontinued: workers need not wait for an idle delay to reach it. */
  readonly stopVersion?: Version | undefined;
}

/** A job's part of a tag's progress. */
export interface JobProgress {
  /** The job's next file begins here. */
  readonly nextBegin: Version;
  readonly bytes: number;
  readonly files: number;
}

export interface ProgressRecord {
  /** Inclusive. */
  readonly savedVersion: Version;
  readonly totalTags: number;
  readonly jobs: ReadonlyMap<string, JobProgress>;
}

export interface EpochRecord {
  readonly epoch: LogEpoch;
  /** Inclusive. */
  readonly begin: Version;
  readonly totalTags: number;
}

export function encodeJob(job: JobRecord): Uint8Array {
  return encodeJson({
    ...job,
    ranges: job.ranges.map((range) => [toHex(range.begin), toHex(range.end)]),
  });
}

export function decodeJob(key: string, value: Uint8Array): JobRecord {
  const json = JsonReader.parse(key, value);
  const failure = json.optional('failure');
  return {
    uid: json.text('uid'),
    submission: json.text('submission'),
    state: json.oneOf('state', JOB_STATES),
    url: json.text('url'),
    ranges: json.list('ranges').map((pair) => ({ begin: pair.bytes(0), end: pair.bytes(1) })),
    logOnly: json.flag('logOnly'),
    snapshotInterval: json.optionalCount('snapshotInterval'),
    firstVersion: json.version('firstVersion'),
    startVersion: json.version('startVersion'),
    completeFrom: json.optionalVersion('completeFrom'),
    stopVersion: json.optionalSignedVersion('stopVersion'),
    failure: failure && {
      code: failure.text('code') as BackupErrorCode,
      message: failure.text('message'),
      tag: failure.count('tag'),
      lastGoodVersion: failure.signedVersion('lastGoodVersion'),
    },
    savedVersion: json.optionalSignedVersion('savedVersion'),
    bytes: json.optionalCount('bytes'),
    files: json.optionalCount('files'),
  };
}

export function encodeStarted(jobs: readonly StartedJob[]): Uint8Array {
  return encodeJson({ jobs });
}

export function decodeStarted(key: string, value: Uint8Array | undefined): StartedJob[] {
  if (value === undefined) return [];
  return JsonReader.parse(key, value)
    .list('jobs')
    .map((job) => ({
      uid: job.text('uid'),
      startVersion: job.version('startVersion'),
      stopVersion: job.optionalSignedVersion('stopVersion'),
    }));
}

export function encodeProgress(progress: ProgressRecord): Uint8Array {
  return encodeJson({
    savedVersion: progress.savedVersion,
    totalTags: progress.totalTags,
    jobs: [...progress.jobs].map(([uid, job]) => ({ uid, ...job })),
  });
}

export function decodeProgress(key: string, value: Uint8Array): ProgressRecord {
  const json = JsonReader.parse(key, value);
  return {
    savedVersion: json.signedVersion('savedVersion'),
    totalTags: json.count('totalTags'),
    jobs: new Map(
      json
        .list('jobs')
        .map((job) => [
          job.text('uid'),
          { nextBegin: job.version('nextBegin'), bytes: job.count('bytes'), files: job.count('files') },
        ]),
    ),
  };
}

export function encodeEpoch(epoch: EpochRecord): Uint8Array {
  return encodeJson(epoch);
}

export function decodeEpoch(key: string, value: Uint8Array): EpochRecord {
  const json = JsonReader.parse(key, value);
  return { epoch: json.count('epoch'), begin: json.version('begin'), totalTags: json.count('totalTags') };
}

/** `registered` and `noop` hold a version alone, `owner` a run's id alone. */
export function encodeVersion(version: Version): Uint8Array {
  return encodeJson({ version });
}

export function decodeVersion(key: string, value: Uint8Array): Version {
  return JsonReader.parse(key, value).version('version');
}

export function encodeOwner(runId: string): Uint8Array {
  return encodeJson({ runId });
}

export function decodeOwner(key: string, value: Uint8Array): string {
  return JsonReader.parse(key, value).text('runId');
}

export const DONE_VALUE: Uint8Array = encodeJson({ done: true });
export const PAUSED_VALUE: Uint8Array = encodeJson({ paused: true });
