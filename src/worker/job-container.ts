// Opening a job's container: made if need be, marked as the job's own, and told what kind of log it holds.

import { BackupError } from '../core/errors.js';
import { LOG_FOLDER, RANGE_FOLDER, SNAPSHOT_FOLDER, UNPARTITIONED_LOG_FOLDER } from '../format/fdb/names.js';
import {
  type JobMarker,
  JOB_MARKER_NAME,
  MAX_JOB_MARKER_BYTES,
  MAX_PROPERTY_BYTES,
  MUTATION_LOG_TYPE,
  PROPERTY,
  encodeEncryptionMetadata,
  encodeJobMarker,
  encodeNumberProperty,
  parseEncryptionMetadata,
  parseJobMarker,
} from '../format/fdb/properties.js';
import type { JobRecord } from '../job/records.js';
import type { BackupContainer } from '../ports/backup-container.js';

/**
 * Throws CONTAINER_IN_USE when the container belongs to another job, ENCRYPTION_KEY_MISSING when its files are encrypted and it was opened without the key: nothing plain is written between them. CORRUPT_FILE when
 * what it says about itself is damaged.
 */
export async function openJobContainer(
  openContainer: (url: string) => BackupContainer | Promise<BackupContainer>,
  job: JobRecord,
): Promise<BackupContainer> {
  const container = await openContainer(job.url);
  await container.create();
  const isKnown = await checkEncryption(container, job);
  await claimContainer(container, job);
  await writeWhole(container, PROPERTY.mutationLogType, encodeNumberProperty(MUTATION_LOG_TYPE.partitioned), false);
  if (!isKnown) await sayNotEncrypted(container, job);
  return container;
}

/** False: the container does not say whether it is encrypted. */
async function checkEncryption(container: BackupContainer, job: JobRecord): Promise<boolean> {
  const bytes = await readIfThere(container, PROPERTY.encryptionMetadata, MAX_PROPERTY_BYTES);
  if (bytes === undefined) return false;
  if (!parseEncryptionMetadata(bytes).enabled || container.decrypts === true) return true;
  throw new BackupError(
    'ENCRYPTION_KEY_MISSING',
    `${container.url} is encrypted, and was opened without its key for job ${job.uid}: openEncryptedContainer of tidemark/container/encrypted opens it`,
    { container: container.url, jobUid: job.uid },
  );
}

/** Of those who make the container at the same time, with the key and without, the first one decides. */
async function sayNotEncrypted(container: BackupContainer, job: JobRecord): Promise<void> {
  try {
    const metadata = encodeEncryptionMetadata({ enabled: false, blockSize: 0 });
    await writeWhole(container, PROPERTY.encryptionMetadata, metadata, true);
  } catch (error) {
    if (!BackupError.is(error, 'FILE_EXISTS')) throw error;
    await checkEncryption(container, job);
  }
}

/** Several workers come at the same time: the first one marks the container, the others find the mark. No data file is written before the mark. */
async function claimContainer(container: BackupContainer, job: JobRecord): Promise<void> {
  let owner = await readMarker(container);
  if (owner === undefined) {
    const stranger = await findDataFile(container);
    owner = await readMarker(container);
    if (owner === undefined && stranger !== undefined)
      throw inUse(container, job, `holds ${stranger} of another backup`);
  }
  if (owner === undefined) {
    try {
      await writeWhole(container, JOB_MARKER_NAME, encodeJobMarker(markerOf(job)), true);
      return;
    } catch (error) {
      if (!BackupError.is(error, 'FILE_EXISTS')) throw error;
      owner = await readMarker(container);
    }
  }
  if (owner?.uid !== job.uid) throw inUse(container, job, `belongs to job ${owner?.uid ?? '(unknown)'}`);
  if (owner.submission !== undefined && owner.submission !== job.submission) {
    throw inUse(container, job, `belongs to a job of the same UID that was submitted to another progress store`);
  }
}

function markerOf({ uid, submission, logOnly, ranges, startVersion, firstVersion }: JobRecord): JobMarker {
  return { uid, submission, logOnly, ranges, startVersion, firstVersion };
}

function inUse(container: BackupContainer, job: JobRecord, what: string): BackupError {
  return new BackupError(
    'CONTAINER_IN_USE',
    `the container ${container.url} ${what}: job ${job.uid} needs one of its own, submit it with another URL`,
    { container: container.url, jobUid: job.uid },
  );
}

/** The name of any file that a backup has left. */
async function findDataFile(container: BackupContainer): Promise<string | undefined> {
  for (const folder of [LOG_FOLDER, UNPARTITIONED_LOG_FOLDER, RANGE_FOLDER, SNAPSHOT_FOLDER]) {
    for await (const { name } of container.listFiles(folder)) {
      // A listing that lags may still have what was deleted a moment ago, when a container is used anew.
      if ((await readIfThere(container, name, 1)) !== undefined) return name;
    }
  }
  return undefined;
}

async function readMarker(container: BackupContainer): Promise<JobMarker | undefined> {
  const bytes = await readIfThere(container, JOB_MARKER_NAME, MAX_JOB_MARKER_BYTES);
  return bytes === undefined ? undefined : parseJobMarker(bytes);
}

async function readIfThere(container: BackupContainer, name: string, limit: number): Promise<Uint8Array | undefined> {
  try {
    return await container.readFile(name, 0, limit);
  } catch (error) {
    if (BackupError.is(error, 'FILE_NOT_FOUND')) return undefined;
    throw error;
  }
}

async function writeWhole(
  container: BackupContainer,
  name: string,
  bytes: Uint8Array,
  exclusive: boolean,
): Promise<void> {
  const file = await container.writeFile(name, { exclusive });
  try {
    await file.append([bytes]);
    await file.finish();
  } catch (error) {
    await file.abort();
    throw error;
  }
}
