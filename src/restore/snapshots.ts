// Which snapshots of a container could start a restore, and why the others could not.

import { BackupError } from '../core/errors.js';
import type { Version } from '../core/version.js';
import { MAX_MANIFEST_BYTES, parseSnapshotManifest } from '../format/fdb/snapshot-manifest.js';
import type { BackupContainer } from '../ports/backup-container.js';
import type { SnapshotFile } from './catalog.js';
import { listRangeFiles, readSmallFile } from './catalog.js';
import type { DescriptionProblem, SnapshotDescription, VersionRange } from './description.js';
import { compareVersions } from './log-coverage.js';
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
  /** True: manifests cannot be read, so only the names count. */
  readonly encrypted: boolean;
  readonly signal: AbortSignal | undefined;
}

export async function describeSnapshots(
  container: BackupContainer,
  files: readonly SnapshotFile[],
  { complete, unreliableEnd, encrypted, signal }: DescribeSnapshotsOptions,
): Promise<SnapshotFindings> {
  const snapshots: SnapshotDescription[] = [];
  const problems: DescriptionProblem[] = [];
  const rangeFiles = encrypted || files.length === 0 ? new Set<string>() : await listRangeFiles(container, signal);
  const sorted = [...files].sort(
    (a, b) => compareVersions(a.beginVersion, b.beginVersion) || compareVersions(a.endVersion, b.endVersion),
  );
  for (const file of sorted) {
    signal?.throwIfAborted();
    const { name, beginVersion, endVersion, totalBytes } = file;
    let reason = file.kind === 'bulk' ? 'it is a bulk dump, which this release does not read' : undefined;
    if (reason === undefined && !encrypted) reason = await checkManifest(container, file, rangeFiles);
    if (reason !== undefined) problems.push({ kind: 'snapshot', message: `snapshot ${name}: ${reason}`, file: name });
    if (unreliableEnd !== undefined && beginVersion < unreliableEnd)
      reason ??= `versions below ${unreliableEnd} are expired, or being expired`;
    reason ??= checkLog(file, complete);
    snapshots.push({
      name,
      beginVersion,
      endVersion,
      totalBytes,
      restorable: reason === undefined,
      reason,
      manifestChecked: !encrypted,
    });
  }
  return { snapshots, problems };
}

async function checkManifest(
  container: BackupContainer,
  file: SnapshotFile,
  rangeFiles: ReadonlySet<string>,
): Promise<string | undefined> {
  try {
    const bytes = await readSmallFile(container, file.name, MAX_MANIFEST_BYTES);
    if (bytes === undefined) return 'its manifest was deleted meanwhile';
    const manifest = parseSnapshotManifest(bytes, file.name);
    if (manifest.beginVersion !== file.beginVersion || manifest.endVersion !== file.endVersion)
      return 'its manifest names other versions than its name';
    const missing = manifest.files.filter((name) => !rangeFiles.has(name));
    return missing.length === 0
      ? undefined
      : `${missing.length} of its ${manifest.files.length} range files are missing, the first is ${missing[0]}`;
  } catch (error) {
    if (BackupError.is(error, 'CORRUPT_FILE')) return error.message;
    throw error;
  }
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
