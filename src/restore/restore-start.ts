// What a restore can start from, best first, and why not if from nothing. Pure.

import { checkVersion } from '../core/check-version.js';
import { BackupError } from '../core/errors.js';
import type { KeyRange } from '../core/key-range.js';
import { checkRange, coalesceRanges, formatRange } from '../core/key-range.js';
import type { Version } from '../core/version.js';
import { logRouterTag, maxVersion, minVersion } from '../core/version.js';
import { rangesOfJob } from './readable.js';
import type { BackupDescription, LogGap, RestorableWindow, SnapshotDescription } from './description.js';
import { compareVersions, whyNotFromEmpty } from './log-coverage.js';
import { intersectRangeSets, subtractRangeSets } from './range-filter.js';
import { rangeHolding } from './version-ranges.js';

/** `empty`: the database before its first version; the log alone rebuilds what came then. */
export type RestoreBaseline = 'empty';

/** A state that is known, and how far the log takes it. */
export interface RestoreStart {
  /** undefined: an empty database. */
  readonly snapshot: SnapshotDescription | undefined;
  /** The keys that are restored: sorted, disjoint. Undefined: the snapshot's manifest does not say which there are. */
  readonly ranges: readonly KeyRange[] | undefined;
  /** Both inclusive: every version between them can be rebuilt. */
  readonly min: Version;
  readonly max: Version;
}

export interface StartOptions {
  /** Keys to restore: default all. */
  readonly ranges?: readonly KeyRange[] | undefined;
  /** Default: the newest snapshot that serves, else, for a log-only job, an empty database. */
  readonly baseline?: RestoreBaseline | undefined;
  /** Inclusive: the first version at which the database can have written anything. Default: what the job said when it was submitted. */
  readonly firstVersion?: Version | undefined;
}

/** INVALID_OPTION with the option's name and value. */
export function checkStartOptions({ ranges, baseline, firstVersion }: StartOptions): void {
  if (firstVersion !== undefined) checkVersion(firstVersion, 'firstVersion');
  if (baseline !== undefined && baseline !== 'empty') {
    throw new BackupError('INVALID_OPTION', `baseline must be 'empty' or left out, got ${String(baseline)}`);
  }
  const given: unknown = ranges;
  if (given !== undefined && !Array.isArray(given))
    throw new BackupError('INVALID_OPTION', `ranges must be an array of key ranges, got ${typeof given}`);
  if (ranges?.length === 0)
    throw new BackupError('INVALID_OPTION', 'ranges must not be an empty list; leave it out to restore everything');
  ranges?.forEach((range, i) => checkRange(range, `ranges[${i}]`));
}

/**
 * Best first: the snapshot after which the least of the log is left, then, for a job that is log-only, an empty database. INVALID_OPTION when the wanted keys are not in the backup at
 * all.
 */
export function findStarts(description: BackupDescription, options: StartOptions): RestoreStart[] {
  const { snapshots, complete } = description;
  const starts: RestoreStart[] = [];
  checkInBackup(description, options.ranges);
  if (options.baseline !== 'empty') {
    for (const snapshot of snapshots) {
      const ranges = snapshot.usable ? rangesFrom(snapshot, description, options.ranges) : [];
      if (ranges?.length === 0) continue;
      const log = rangeHolding(complete, snapshot.beginVersion);
      const max = log === undefined ? snapshot.endVersion : maxVersion(log.end - 1n, snapshot.endVersion);
      starts.push({ snapshot, ranges, min: snapshot.endVersion, max });
    }
    starts.sort((a, b) => compareSnapshots(b.snapshot!, a.snapshot!));
  }
  return [...starts, ...fromEmpty(description, options)];
}

function compareSnapshots(a: SnapshotDescription, b: SnapshotDescription): number {
  return (
    compareVersions(a.beginVersion, b.beginVersion) ||
    compareVersions(a.endVersion, b.endVersion) ||
    b.totalBytes - a.totalBytes
  );
}

/** The keys that a restore from this snapshot gives; undefined if only its files know; empty if it does not serve. */
export function rangesFrom(
  { ranges }: Pick<SnapshotDescription, 'ranges'>,
  description: BackupDescription,
  wanted: readonly KeyRange[] | undefined,
): readonly KeyRange[] | undefined {
  const stored = keysOfBackup(description, ranges);
  if (stored.length === 0) return undefined;
  const result = wanted === undefined ? stored : intersectRangeSets(stored, wanted);
  return ranges !== undefined && subtractRangeSets(result, ranges).length > 0 ? [] : result;
}

/** What the job backs up. Where nothing says so: what the snapshots cover together, so that none of them is taken for a whole one that lacks what another one has. `more`: known besides. */
function keysOfBackup({ job, snapshots }: BackupDescription, more: readonly KeyRange[] = []): readonly KeyRange[] {
  return coalesceRanges(rangesOfJob(job) ?? [...more, ...snapshots.flatMap(({ ranges }) => ranges ?? [])]);
}

function checkInBackup(description: BackupDescription, wanted: readonly KeyRange[] | undefined): void {
  const { job, snapshots } = description;
  if (wanted === undefined || (job === undefined && snapshots.some(({ ranges }) => ranges === undefined))) return;
  const stored = keysOfBackup(description);
  if (stored.length === 0 || intersectRangeSets(stored, wanted).length > 0) return;
  throw new BackupError(
    'INVALID_OPTION',
    `ranges: none of ${wanted.map(formatRange).join(', ')} is in the backup, which has ${stored.map(formatRange).join(', ')}`,
  );
}

/** A log that begins at or before the database's first version. Where it has a gap below that version nothing was written in the gap. */
function fromEmpty(description: BackupDescription, options: StartOptions): RestoreStart[] {
  const { job, complete } = description;
  if (job?.logOnly !== true) return [];
  const firstVersion = options.firstVersion ?? job.firstVersion;
  const stored = rangesOfJob(job)!;
  const ranges = options.ranges === undefined ? coalesceRanges(stored) : intersectRangeSets(stored, options.ranges);
  return complete
    .filter(({ begin }) => begin <= firstVersion)
    .map((log) => ({ snapshot: undefined, ranges, min: log.begin, max: log.end - 1n }));
}

/** Throws NOT_RESTORABLE with what is missing: which tag, which gap. */
export function refuseVersion(description: BackupDescription, version: Version, options: StartOptions): never {
  if (options.baseline === 'empty') refuseFromEmpty(description, version, options);
  const { snapshots, job } = description;
  if (snapshots.length === 0) {
    if (job?.logOnly === true) refuseFromEmpty(description, version, options);
    refuse(
      description,
      version,
      job === undefined
        ? 'the container holds no snapshot, and nothing says that its log begins with an empty database'
        : 'the container holds no snapshot yet, and its job is not log-only',
    );
  }
  const before = snapshots.filter(({ endVersion }) => endVersion <= version).sort(compareSnapshots);
  const serving = before.findLast((s) => s.usable && rangesFrom(s, description, options.ranges)?.length !== 0);
  if (serving !== undefined) refuseForLog(description, version, serving.beginVersion);
  const newest = before.at(-1);
  if (newest !== undefined) {
    const reason = newest.reason ?? 'it does not cover the wanted ranges';
    refuse(description, version, `no snapshot at or below it is usable; the newest of them, ${newest.name}: ${reason}`);
  }
  refuse(description, version, `the first snapshot is of version ${snapshots[0]!.endVersion}`);
}

/** The log from a start at `from` does not reach the version: why? */
function refuseForLog(description: BackupDescription, version: Version, from: Version): never {
  const { gaps, maxLogEnd, stretches } = description;
  const gap = gaps.find(({ begin, end }) => end > minVersion(from, version) && begin <= version);
  if (gap !== undefined) refuse(description, version, gap.reason, gap);
  if (maxLogEnd === undefined || version >= maxLogEnd) {
    refuse(description, version, `the log ends at ${maxLogEnd ?? 'nothing: there is no log file'} (exclusive)`);
  }
  const begin = stretches[0]?.begin;
  refuse(description, version, `the log begins at ${begin}`);
}

function refuseFromEmpty(description: BackupDescription, version: Version, options: StartOptions): never {
  const { job, stretches } = description;
  if (job === undefined)
    refuse(
      description,
      version,
      'nothing in the container says that its log begins with an empty database (it was not written by a log-only job)',
    );
  if (!job.logOnly)
    refuse(description, version, 'its job is not log-only, so its log does not begin with an empty database');
  const firstVersion = options.firstVersion ?? job.firstVersion;
  const log = rangeHolding(description.complete, version);
  const begin = stretches[0]?.begin;
  if (log !== undefined && log.begin > firstVersion) {
    const gap = description.gaps.find(({ begin: from, end }) => end > firstVersion && from <= version);
    if (gap !== undefined) refuse(description, version, gap.reason, gap);
    refuse(description, version, whyNotFromEmpty(description, firstVersion));
  }
  if (log === undefined && begin !== undefined && version < begin)
    refuse(description, version, `the log begins at ${begin}`);
  refuseForLog(description, version, firstVersion);
}

export function refuse(description: BackupDescription, version: Version, reason: string, gap?: LogGap): never {
  throw new BackupError(
    'NOT_RESTORABLE',
    `version ${version} of ${description.url} cannot be restored: ${reason}. Restorable: ${restorableText(description)}`,
    {
      version,
      container: description.url,
      tag: gap === undefined ? undefined : logRouterTag(gap.tag),
      versions: gap === undefined ? undefined : { begin: gap.begin, end: gap.end },
    },
  );
}

export function restorableText({ windows }: { readonly windows: readonly RestorableWindow[] }): string {
  return windows.length === 0 ? 'nothing' : windows.map(({ min, max }) => `${min} to ${max}`).join(', ');
}
