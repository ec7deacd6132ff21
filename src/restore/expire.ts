// expire: deletes what only serves old versions, in an order in which no reader ever counts on something that is going. docs/care.md tells the whole order of effects.

import { checkFlag } from '../core/check-option.js';
import { checkVersion } from '../core/check-version.js';
import type { Clock } from '../core/clock.js';
import { systemClock } from '../core/clock.js';
import { BackupError } from '../core/errors.js';
import type { Version } from '../core/version.js';
import { maxVersion, minVersion } from '../core/version.js';
import { PROPERTY } from '../format/fdb/properties.js';
import type { BackupContainer } from '../ports/backup-container.js';
import { checkListingLag, listingLagOf } from '../ports/listing-lag.js';
import { listCatalog } from './catalog.js';
import { describeBackup } from './describe.js';
import type { BackupDescription, SnapshotDescription } from './description.js';
import { allLogFiles, endOfContent, versionAtTime } from './expire-end.js';
import type { ExpiringFiles } from './expire-files.js';
import { findExpiringFiles } from './expire-files.js';
import { advanceLogCache, advanceMark } from './expire-marks.js';
import { SteadyContainer } from './verify-steady-container.js';
import { checkConcurrency, inParallel } from './verify-in-parallel.js';
import { keyMissing } from './readable.js';

export interface ExpireOptions {
  /** Exclusive: what serves only versions below it goes. A time means the last version that is known to have been current then. */
  readonly before: Version | Date;
  /** Inclusive: whatever is restorable from this version on stays so. Default: some version at or above `before` stays restorable. */
  readonly restorableAfter?: Version | Date | undefined;
  /** Expire even if nothing restorable is left where it was asked for. Default false. */
  readonly force?: boolean | undefined;
  /** Delete nothing; the result says what would go. Default false. */
  readonly dryRun?: boolean | undefined;
  /** Files deleted at a time, 1 to 256. Default 4. */
  readonly concurrency?: number | undefined;
  /** Aborting leaves files below a mark that says so; the same call goes on. */
  readonly signal?: AbortSignal | undefined;
  /** How long after a file was finished or deleted the container's listings may still be wrong about it, ms. Waited only when a snapshot goes that has rows of versions at or above the end. Default: what the container says, else 10,000. */
  readonly listingLag?: number | undefined;
  /** Between attempts at a call that failed for a passing reason. */
  readonly clock?: Clock | undefined;
  /** Called after each deletion. */
  readonly onProgress?: ((progress: { readonly deleted: number; readonly total: number }) => void) | undefined;
}

export interface ExpireResult {
  /** Exclusive: everything below it is deleted, or would be. At or below `before`; 0n: nothing has ever been. */
  readonly expiredEnd: Version;
  readonly dryRun: boolean;
  /** The snapshot from which the backup stays restorable; undefined: there is none (forced), or nothing had to be checked. */
  readonly snapshot: string | undefined;
  /** What was deleted, or would be. */
  readonly deleted: {
    readonly logFiles: number;
    readonly snapshots: number;
    readonly rangeFiles: number;
    /** Sidecars, checksums, version times, notes of unfinished snapshots. */
    readonly others: number;
    readonly bytes: number;
  };
  /** Their names, in the order of deletion. */
  readonly files: readonly string[];
}

/**
 * Throws EXPIRE_REFUSED, before it changes anything, when no restorable snapshot would be left (see the options); INVALID_OPTION; ENCRYPTION_KEY_MISSING if the container is encrypted and was opened without its key; FILE_NOT_FOUND if there is no container; CORRUPT_FILE for a
 * mark that is damaged; the signal's reason; what the container throws. Whatever it throws, the same call may be made again.
 */
export async function expireBackup(outer: BackupContainer, options: ExpireOptions): Promise<ExpireResult> {
  const { force = false, dryRun = false, signal, clock = systemClock } = options;
  checkFlag('force', force);
  checkFlag('dryRun', dryRun);
  checkListingLag(options.listingLag);
  const concurrency = checkConcurrency(options.concurrency);
  checkVersionOrTime(options.before, 'before');
  if (options.restorableAfter !== undefined) checkVersionOrTime(options.restorableAfter, 'restorableAfter');
  const container = new SteadyContainer(outer, signal, clock);
  const before = await toVersion(container, options.before);
  const restorableAfter =
    options.restorableAfter === undefined ? undefined : ((await toVersion(container, options.restorableAfter)) ?? 0n);
  if (before !== undefined && restorableAfter !== undefined && restorableAfter < before) {
    throw new BackupError(
      'INVALID_OPTION',
      `restorableAfter (${restorableAfter}) must not be below before (${before}), as nothing below that is kept`,
    );
  }
  const description = await describeBackup(container, { signal });
  // By their names alone snapshots cannot be judged: the only good one might go.
  if (description.encrypted) throw keyMissing(container.url);
  const listing = await listCatalog(container, signal);
  const expired = description.expiredEnd ?? 0n;
  const logFiles = allLogFiles(listing);
  const end = maxVersion(minVersion(before ?? 0n, endOfContent(logFiles, listing.snapshots)), expired);
  const snapshot = end > expired ? chooseSnapshot(description, end, restorableAfter) : undefined;
  if (end > expired && snapshot === undefined && !force) throw refusal(description, end, restorableAfter);
  let files = await findExpiringFiles(container, listing, end, signal);
  if (!dryRun && end > 0n) {
    await advanceMark(container, PROPERTY.unreliableEndVersion, end);
    await advanceLogCache(container, end);
    if (files.newerRangeFiles > 0) {
      // Another snapshot may have been made of them, before the mark, and not be listed yet.
      await clock.sleep(listingLagOf(container, options.listingLag), signal);
      files = await findExpiringFiles(container, await listCatalog(container, signal), end, signal);
    }
    await deleteInOrder(container, files, concurrency, options);
    await advanceMark(container, PROPERTY.expiredEndVersion, end);
  }
  return resultOf(end, dryRun, snapshot?.name, files);
}

function checkVersionOrTime(value: unknown, what: string): void {
  if (!(value instanceof Date)) checkVersion(value, what);
  else if (Number.isNaN(value.getTime()))
    throw new BackupError('INVALID_OPTION', `${what} must be a version or a valid Date, got ${String(value)}`);
}

async function toVersion(container: BackupContainer, value: Version | Date): Promise<Version | undefined> {
  return value instanceof Date ? versionAtTime(container, value) : value;
}

/**
 * A restorable snapshot that begins at or after `end` keeps its log, so that all that can be restored from it now can be afterwards. If it ends at or below `restorableAfter`, then
 * that is all that can be restored from there on: an older snapshot's log goes on through this one.
 */
function chooseSnapshot(
  { snapshots }: BackupDescription,
  end: Version,
  restorableAfter: Version | undefined,
): SnapshotDescription | undefined {
  return snapshots.find(
    ({ restorable, beginVersion, endVersion }) =>
      restorable && beginVersion >= end && (restorableAfter === undefined || endVersion <= restorableAfter),
  );
}

function refusal(
  { url, snapshots, job }: BackupDescription,
  end: Version,
  restorableAfter: Version | undefined,
): BackupError {
  const wanted =
    `begins at or after ${end}` + (restorableAfter === undefined ? '' : ` and ends at or below ${restorableAfter}`);
  const usable = snapshots.filter(({ restorable }) => restorable).map((s) => `[${s.beginVersion}, ${s.endVersion}]`);
  const there = usable.length === 0 ? 'there is no restorable snapshot' : `restorable are ${usable.join(', ')}`;
  const logOnly =
    job?.logOnly === true
      ? '; a log-only backup is restored from its first version on, and cannot lose its beginning unless a snapshot takes its place'
      : '';
  return new BackupError(
    'EXPIRE_REFUSED',
    `${url} is not expired to ${end}: no restorable snapshot ${wanted} (${there})${logOnly}`,
    { container: url, version: end },
  );
}

async function deleteInOrder(
  container: BackupContainer,
  files: ExpiringFiles,
  concurrency: number,
  { signal, onProgress }: ExpireOptions,
): Promise<void> {
  const stages = stagesOf(files);
  const total = stages.reduce((sum, names) => sum + names.length, 0);
  let deleted = 0;
  for (const names of stages) {
    await inParallel(names, concurrency, signal, async (name) => {
      await container.deleteFile(name);
      onProgress?.({ deleted: ++deleted, total });
    });
  }
}

function stagesOf(files: ExpiringFiles): readonly (readonly string[])[] {
  const { logFiles, manifests, snapshotParts, rangeFiles, sidecars, sums, versionTimes } = files;
  return [logFiles, manifests, snapshotParts, rangeFiles, sidecars, sums, versionTimes];
}

function resultOf(
  expiredEnd: Version,
  dryRun: boolean,
  snapshot: string | undefined,
  files: ExpiringFiles,
): ExpireResult {
  const { logFiles, manifests, snapshotParts, rangeFiles, sidecars, sums, versionTimes, bytes } = files;
  return {
    expiredEnd,
    dryRun,
    snapshot,
    deleted: {
      logFiles: logFiles.length,
      snapshots: manifests.length,
      rangeFiles: rangeFiles.length,
      others: snapshotParts.length + sidecars.length + sums.length + versionTimes.length,
      bytes,
    },
    files: stagesOf(files).flat(),
  };
}
