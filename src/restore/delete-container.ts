// Deletes a backup, and nothing else: every file whose name a backup has, in the folders that a backup has.

import type { Clock } from '../core/clock.js';
import { systemClock } from '../core/clock.js';
import { BackupError } from '../core/errors.js';
import { MAX_VERSION } from '../core/version.js';
import {
  LOG_FOLDER,
  PROPERTY_FOLDER,
  RANGE_FOLDER,
  SNAPSHOT_FOLDER,
  UNPARTITIONED_LOG_FOLDER,
  parseLogFileName,
  parseRangeFileName,
  parseSnapshotFileName,
  parseUnpartitionedLogFileName,
} from '../format/fdb/names.js';
import { JOB_MARKER_NAME, KEY_CHECK_NAME, PROPERTY } from '../format/fdb/properties.js';
import type { BackupContainer } from '../ports/backup-container.js';
import { advanceMark } from './expire-marks.js';
import { SteadyContainer } from './verify-steady-container.js';
import { checkConcurrency, inParallel } from './verify-in-parallel.js';

export interface DeleteContainerOptions {
  /** Files deleted at a time, 1 to 256. Default 4. */
  readonly concurrency?: number | undefined;
  /** Aborting leaves a part, of which nothing is restorable any more; the same call deletes the rest. */
  readonly signal?: AbortSignal | undefined;
  /** Between attempts at a call that failed for a passing reason. */
  readonly clock?: Clock | undefined;
  /** Called after each deletion. */
  readonly onProgress?: ((progress: { readonly deleted: number; readonly total: number }) => void) | undefined;
}

export interface DeleteContainerResult {
  readonly files: number;
  readonly bytes: number;
}

/**
 * Deletes the whole backup; files of other kinds stay. The job that writes there must have ended. A container that is not there, or that has been deleted already, is INVALID_STATE too: it is
 * no backup.
 *
 * Throws INVALID_OPTION; INVALID_STATE for what is not a backup container; the signal's reason; what the container throws: the same call then deletes the rest. It needs no key for an encrypted container.
 */
export async function deleteContainer(
  outer: BackupContainer,
  options: DeleteContainerOptions = {},
): Promise<DeleteContainerResult> {
  const { signal, onProgress, clock = systemClock } = options;
  const concurrency = checkConcurrency(options.concurrency);
  const container = new SteadyContainer(outer, signal, clock);
  const { stages, bytes } = await findFiles(container, signal);
  // First of all: from now on nobody finds anything restorable here.
  await markUnreliable(container);
  const total = stages.reduce((sum, names) => sum + names.length, 0);
  let deleted = 0;
  for (const names of stages) {
    await inParallel(names, concurrency, signal, async (name) => {
      await container.deleteFile(name);
      deleted++;
      onProgress?.({ deleted, total });
    });
  }
  return { files: deleted, bytes };
}

/**
 * What proves that this is a backup, one after the other: as long as one of them is there, a deletion can be repeated. The last one says whether the container is encrypted; without it, it
 * could not be opened again.
 */
const PROOFS: readonly string[] = [
  PROPERTY.unreliableEndVersion,
  PROPERTY.mutationLogType,
  JOB_MARKER_NAME,
  KEY_CHECK_NAME,
  PROPERTY.encryptionMetadata,
];
/** What this library adds to the properties. */
const OWN_PREFIX = `${PROPERTY_FOLDER}tidemark_`;

const CACHES: readonly string[] = [PROPERTY.logBeginVersion, PROPERTY.logEndVersion, PROPERTY.expiredEndVersion];

async function findFiles(
  container: BackupContainer,
  signal: AbortSignal | undefined,
): Promise<{ stages: readonly (readonly string[])[]; bytes: number }> {
  const present = new Set<string>();
  const properties: string[] = [];
  let bytes = 0;
  for await (const { name, size } of container.listFiles(PROPERTY_FOLDER)) {
    signal?.throwIfAborted();
    if (PROOFS.includes(name) || CACHES.includes(name)) present.add(name);
    else if (name.startsWith(OWN_PREFIX)) properties.push(name);
    else continue;
    bytes += size;
  }
  if (present.size === 0) {
    throw new BackupError('INVALID_STATE', `${container.url} is not a backup: it has none of the properties of one`, {
      container: container.url,
    });
  }
  const select = async (prefix: string, isData: (name: string) => boolean): Promise<string[]> => {
    const names: string[] = [];
    for await (const { name, size } of container.listFiles(prefix)) {
      signal?.throwIfAborted();
      if (!isData(name)) continue;
      names.push(name);
      bytes += size;
    }
    return names;
  };
  const manifests = await select(SNAPSHOT_FOLDER, (name) => parseSnapshotFileName(name) !== undefined);
  const ranges = await select(RANGE_FOLDER, (name) => parseRangeFileName(name) !== undefined);
  const logs = await select(LOG_FOLDER, (name) => parseLogFileName(name) !== undefined);
  const older = await select(UNPARTITIONED_LOG_FOLDER, (name) => parseUnpartitionedLogFileName(name) !== undefined);
  const caches = CACHES.filter((name) => present.has(name));
  // The mark is written below, if it is not there yet; one at a time, in this order.
  const proofs = PROOFS.filter((name) => present.has(name) || name === PROPERTY.unreliableEndVersion);
  return { stages: [manifests, ranges, logs, older, properties, caches, ...proofs.map((name) => [name])], bytes };
}

async function markUnreliable(container: BackupContainer): Promise<void> {
  try {
    await advanceMark(container, PROPERTY.unreliableEndVersion, MAX_VERSION);
  } catch (error) {
    // A mark that is no number makes everything unrestorable just as well.
    if (!BackupError.is(error, 'CORRUPT_FILE')) throw error;
  }
}
