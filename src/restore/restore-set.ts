// Which files a restore reads, in which order, and what it takes from each.

import { systemClock } from '../core/clock.js';
import { checkedContainer } from '../ports/checked-container.js';
import type { BackupContainer } from '../ports/backup-container.js';
import { describeBackup } from './describe.js';
import { findReadableStarts, planVersion } from './plan-restore.js';
import type { RestoreSet } from './restore-pieces.js';
import type { StartOptions } from './restore-start.js';
import { checkStartOptions } from './restore-start.js';
import type { WantedVersion } from './wanted-version.js';
import { checkWantedVersion, resolveVersion } from './wanted-version.js';

export type { LogPiece, RestoreSet, RestoreSnapshot, RowPiece, TagPieces } from './restore-pieces.js';
export { remainingSet } from './restore-pieces.js';
export type { RestoreBaseline } from './restore-start.js';

export interface RestoreSetOptions extends WantedVersion, StartOptions {
  /** Read and check every log file, and do without those that are damaged where others hold their versions. Default false. */
  readonly deep?: boolean | undefined;
}

/**
 * Describes the container and plans: the newest snapshot at or below the version that has what is asked for, else, for a log-only job, an empty database. Reads manifests, and
 * the range files' first and last keys where an old manifest does not name them.
 *
 * Throws NOT_RESTORABLE with the reason (which tag, which gap) for a version that cannot be rebuilt; ENCRYPTION_KEY_MISSING or UNSUPPORTED_FORMAT if the container cannot be read;
 * INVALID_OPTION; FILE_NOT_FOUND if there is no container; CORRUPT_FILE.
 */
export async function restoreSet(
  options: RestoreSetOptions & { readonly container: BackupContainer; readonly signal?: AbortSignal | undefined },
): Promise<RestoreSet> {
  checkWantedVersion(options);
  checkStartOptions(options);
  const { signal } = options;
  const container = checkedContainer(options.container, systemClock);
  const description = await describeBackup(container, { signal, deep: options.deep ?? false });
  const starts = findReadableStarts(description, options);
  const version = await resolveVersion(container, description, starts, options, signal);
  return planVersion(container, description, starts, version, options);
}
