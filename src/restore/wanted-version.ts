// Which version a restore is asked for: a number, the latest, or the newest that was recorded at or before a time.

import { checkVersion } from '../core/check-version.js';
import { systemClock } from '../core/clock.js';
import { BackupError } from '../core/errors.js';
import type { Version } from '../core/version.js';
import { maxVersion } from '../core/version.js';
import { VERSION_TIME_FOLDER, parseVersionTimeName } from '../format/fdb/version-times.js';
import type { VersionTime } from '../format/fdb/version-times.js';
import { checkedContainer } from '../ports/checked-container.js';
import type { BackupContainer } from '../ports/backup-container.js';
import type { BackupDescription } from './description.js';
import type { RestoreStart } from './restore-start.js';
import { restorableText } from './restore-start.js';

export interface WantedVersion {
  /** Inclusive: the version to rebuild, or `latest`: the last one that can be. Either this or `timestamp`. */
  readonly version?: Version | 'latest' | undefined;
  /** A time, as a Date or in milliseconds since 1970: the newest version that was recorded at or before it. Containers have such records where the host's workers write them. */
  readonly timestamp?: Date | number | undefined;
}

/** INVALID_OPTION unless exactly one of the two is given, and well. */
export function checkWantedVersion({ version, timestamp }: WantedVersion): void {
  if (version === undefined) {
    const time = timestamp instanceof Date ? timestamp.getTime() : timestamp;
    if (typeof time === 'number' && Number.isFinite(time) && time >= 0) return;
    throw new BackupError(
      'INVALID_OPTION',
      time === undefined
        ? 'a version or a timestamp must be given'
        : `timestamp must be a valid Date or milliseconds since 1970, got ${String(timestamp)}`,
    );
  }
  if (timestamp !== undefined) throw new BackupError('INVALID_OPTION', 'version and timestamp must not be given both');
  if (version !== 'latest') checkVersion(version, 'version');
}

/** For an identity of the request: what the same call says again. */
export function describeWanted({ version, timestamp }: WantedVersion): string {
  return version === undefined ? `time ${Number(timestamp)}` : `version ${version}`;
}

/** NOT_RESTORABLE where nothing can be restored, or no version was recorded so early. Whether the version can be restored is not looked at. */
export async function resolveVersion(
  container: BackupContainer,
  description: BackupDescription,
  starts: readonly RestoreStart[],
  wanted: WantedVersion,
  signal: AbortSignal | undefined,
): Promise<Version> {
  if (typeof wanted.version === 'bigint') return wanted.version;
  if (wanted.version === 'latest') {
    if (starts.length > 0) return starts.map(({ max }) => max).reduce(maxVersion);
    throw new BackupError(
      'NOT_RESTORABLE',
      `nothing of ${container.url} can be restored: ${description.notRestorable ?? `no snapshot covers the wanted keys. Restorable are the versions ${restorableText(description)} of all keys`}`,
      { container: container.url },
    );
  }
  const time = Number(wanted.timestamp);
  const found = await versionAt(container, time, signal);
  if (found !== undefined) return found.version;
  throw new BackupError(
    'NOT_RESTORABLE',
    `no version of ${container.url} was recorded at or before ${formatTime(time)}`,
    { container: container.url },
  );
}

/**
 * The newest version that was recorded at or before `time` (ms since 1970), as were all before it; undefined if there is none. Where the machine's clock was set back, that is the earlier one of two: once a clock has
 * begun years behind, what it recorded would otherwise count as older than any time that is asked for.
 */
export async function versionAt(
  container: BackupContainer,
  time: number,
  signal?: AbortSignal,
): Promise<VersionTime | undefined> {
  checkWantedVersion({ timestamp: time });
  // They must come in the order of versions: the first that is too late ends the search.
  const files = checkedContainer(container, systemClock).listFiles(VERSION_TIME_FOLDER);
  let newest: VersionTime | undefined;
  let names = 0;
  for await (const { name } of files) {
    if ((++names & 0x3ff) === 0) signal?.throwIfAborted();
    const recorded = parseVersionTimeName(name);
    if (recorded === undefined) continue;
    if (recorded.time > time) break; // listed in the order of versions
    newest = recorded;
  }
  return newest;
}

/** Beyond what a Date can say, the plain number. */
function formatTime(time: number): string {
  const date = new Date(time);
  return Number.isNaN(date.getTime()) ? `${time} ms` : date.toISOString();
}
