// Opening a job's container: made if need be, marked as the job's own, and told what kind of log it holds.

import { BackupError } from '../core/errors.js';
import { LOG_FOLDER, RANGE_FOLDER, SNAPSHOT_FOLDER, UNPARTITIONED_LOG_FOLDER } from '../format/fdb/names.js';
import {
  type JobMarker,
  JOB_MARKER_NAME,
  MAX_JOB_MARKER_BYTES,
  MUTATION_LOG_TYPE,
  PROPERTY,
  encodeEncryptionMetadata,
  encodeJobMarker,
  encodeNumberProperty,
  parseJobMarker,
} from '../format/fdb/properties.js';
import type { JobRecord } from '../job/records.js';
import type { BackupContainer } from '../ports/backup-container.js';

/** Throws CONTAINER_IN_USE when the container belongs to another job. */
export async function openJobContainer(
  openContainer: (url: string) => BackupContainer | Promise<BackupContainer>,
  job: JobRecord,
): Promise<BackupContainer> {
  const container = await openContainer(job.url);
  await container.create();
  await claimContainer(container, job);
  await writeWhole(container, PROPERTY.mutationLogType, encodeNumberProperty(MUTATION_LOG_TYPE.partitioned), false);
  const metadata = encodeEncryptionMetadata({ enabled: false, blockSize: 0 });
  await writeWhole(container, PROPERTY.encryptionMetadata, metadata, false);
  return container;
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
    for await (const { name } of container.listFiles(folder)) return name;
  }
  return undefined;
}

async function readMarker(container: BackupContainer): Promise<JobMarker | undefined> {
  try {
    return parseJobMarker(await container.readFile(JOB_MARKER_NAME, 0, MAX_JOB_MARKER_BYTES));
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
