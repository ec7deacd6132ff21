// Up to which version an expiry may delete. Pure, the reading of version times apart.

import { BackupError } from '../core/errors.js';
import type { Version } from '../core/version.js';
import { maxVersion } from '../core/version.js';
import { VERSION_TIME_FOLDER, parseVersionTimeName } from '../format/fdb/version-times.js';
import type { BackupContainer } from '../ports/backup-container.js';
import type { LogFile, VersionRange } from './description.js';

/** The first version of which the container holds nothing. An expiry beyond it would condemn what is still to come. */
export function endOfContent(
  files: readonly VersionRange[],
  snapshots: readonly { readonly endVersion: Version }[],
): Version {
  let end = 0n;
  for (const file of files) end = maxVersion(end, file.end);
  for (const { endVersion } of snapshots) end = maxVersion(end, endVersion + 1n);
  return end;
}

/** All log files of a container, whatever their format. */
export function allLogFiles(listing: {
  readonly logFiles: readonly LogFile[];
  readonly ignoredLogFiles: readonly LogFile[];
}): readonly LogFile[] {
  return listing.ignoredLogFiles.length === 0 ? listing.logFiles : [...listing.logFiles, ...listing.ignoredLogFiles];
}

/**
 * The last version that is known to have been current at `time`; undefined when all that are known are newer. Where a clock was set back, the earlier version: an expiry never takes
 * more than was asked for. EXPIRE_REFUSED when no version times are recorded at all.
 */
export async function versionAtTime(container: BackupContainer, time: Date): Promise<Version | undefined> {
  const wanted = time.getTime();
  let version: Version | undefined;
  let known = false;
  // In the names' order, which is that of the versions.
  for await (const { name } of container.listFiles(VERSION_TIME_FOLDER)) {
    const entry = parseVersionTimeName(name);
    if (entry === undefined) continue;
    known = true;
    if (entry.time > wanted) return version;
    version = entry.version;
  }
  if (known) return version;
  throw new BackupError(
    'EXPIRE_REFUSED',
    `${container.url} has no recorded version times, so that ${time.toISOString()} is no version: give a version instead`,
    { container: container.url },
  );
}
