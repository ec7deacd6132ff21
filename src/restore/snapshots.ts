// Which snapshots of a container could start a restore, and why the others could not.

import { BackupError } from '../core/errors.js';
import type { KeyRange } from '../core/key-range.js';
import { coalesceRanges, formatRange } from '../core/key-range.js';
import type { Version } from '../core/version.js';
import type { BackupContainer } from '../ports/backup-container.js';
import type { SnapshotFile } from './catalog.js';
import { listRangeFiles } from './catalog.js';
import type { DescriptionProblem, SnapshotDescription, VersionRange } from './description.js';
import { compareVersions } from './log-coverage.js';
import { subtractRangeSets } from './range-filter.js';
import { readSnapshotFiles } from './snapshot-files.js';
import { isDamage, isThere } from './verify-read.js';
import { rangeHolding } from './version-ranges.js';

export interface SnapshotFindings {
  readonly snapshots: readonly SnapshotDescription[];
  readonly problems: readonly DescriptionProblem[];
}

export interface DescribeSnapshotsOptions {
  /** The versions for which every tag's log is there. */
  readonly complete: readonly VersionRange[];
  /** Exclusive: below it an expiry is deleting, or has deleted. */
  readonly unreliableEnd: Version | undefined;
  /** What the job backs up; undefined: nothing says so, and the backup is of what its snapshots cover together. */
  readonly jobRanges: readonly KeyRange[] | undefined;
  /** True: manifests cannot be read, so only the names count. */
  readonly encrypted: boolean;
  readonly signal: AbortSignal | undefined;
}

export async function describeSnapshots(
  container: BackupContainer,
  files: readonly SnapshotFile[],
  options: DescribeSnapshotsOptions,
): Promise<SnapshotFindings> {
  const { encrypted, signal } = options;
  const problems: DescriptionProblem[] = [];
  const sizes = encrypted || files.length === 0 ? new Map<string, number>() : await listRangeFiles(container, signal);
  const sorted = [...files].sort(
    (a, b) => compareVersions(a.beginVersion, b.beginVersion) || compareVersions(a.endVersion, b.endVersion),
  );
  const inspected: (readonly [SnapshotFile, Inspected])[] = [];
  for (const file of sorted) {
    signal?.throwIfAborted();
    const { name } = file;
    const found = encrypted ? UNREAD : await inspect(container, file, sizes);
    // Listed, and not there: deleted a moment ago, as by an expiry. Then it is no snapshot any more, and nothing is wrong with it.
    if (found.isMissing === true && !(await isThere(container, name))) continue;
    if (found.damage !== undefined)
      problems.push({ kind: 'snapshot', message: `snapshot ${name}: ${found.damage}`, file: name });
    inspected.push([file, found]);
  }
  const wanted = options.jobRanges ?? coalesceRanges(inspected.flatMap(([, { ranges }]) => ranges ?? []));
  const snapshots = inspected.map(([file, found]) => judge(file, found, wanted, options));
  return { snapshots, problems };
}

/** What a manifest and a look at its files show. */
interface Inspected {
  readonly files: number | undefined;
  readonly ranges: readonly KeyRange[] | undefined;
  /** Why it cannot be used at all, whatever the log. */
  readonly damage: string | undefined;
  /** The manifest is gone, or a file that it names. */
  readonly isMissing?: boolean;
}

const UNREAD: Inspected = { files: undefined, ranges: undefined, damage: undefined };

async function inspect(
  container: BackupContainer,
  file: SnapshotFile,
  sizes: ReadonlyMap<string, number>,
): Promise<Inspected> {
  if (file.kind === 'bulk') return { ...UNREAD, damage: 'it is a bulk dump, which this release does not read' };
  try {
    const { files, ranges } = await readSnapshotFiles(container, file, sizes);
    if (files.length === 0) return { files: 0, ranges, damage: 'its manifest names no range file' };
    return { files: files.length, ranges, damage: undefined };
  } catch (error) {
    // Of an encrypted container too: one manifest that cannot be decrypted must not hide the others.
    if (isDamage(error)) return { ...UNREAD, damage: error.message };
    if (BackupError.is(error, 'FILE_NOT_FOUND')) return { ...UNREAD, damage: error.message, isMissing: true };
    throw error;
  }
}

function judge(
  file: SnapshotFile,
  { files, ranges, damage }: Inspected,
  wanted: readonly KeyRange[],
  { complete, unreliableEnd, jobRanges, encrypted }: DescribeSnapshotsOptions,
): SnapshotDescription {
  const { name, beginVersion, endVersion, totalBytes } = file;
  let reason = damage;
  if (unreliableEnd !== undefined && beginVersion < unreliableEnd)
    reason ??= `versions below ${unreliableEnd} are expired, or being expired`;
  reason ??= checkLog(file, complete);
  const usable = reason === undefined;
  const missing = ranges === undefined ? [] : subtractRangeSets(wanted, ranges);
  if (missing[0] !== undefined) {
    const more = missing.length > 1 ? ` (and ${missing.length - 1} more ranges)` : '';
    const who = jobRanges === undefined ? 'which another snapshot has' : 'which its job backs up';
    reason ??= `none of its range files covers ${formatRange(missing[0])}${more}, ${who}`;
  }
  return {
    name,
    beginVersion,
    endVersion,
    totalBytes,
    files,
    ranges,
    missing,
    usable,
    restorable: reason === undefined,
    reason,
    manifestChecked: !encrypted,
  };
}

/** A snapshot of a single version needs no log; any other the log from its begin to its end, both included. */
function checkLog({ beginVersion, endVersion }: SnapshotFile, complete: readonly VersionRange[]): string | undefined {
  if (beginVersion === endVersion) return undefined;
  const log = rangeHolding(complete, beginVersion);
  if (log === undefined) return `the log of some tag has a gap at its first version, ${beginVersion}`;
  return log.end > endVersion
    ? undefined
    : `the log of some tag has a gap at ${log.end}, before its last version, ${endVersion}`;
}
