// Opening a job's container: made if need be, marked as the job's own, and told what kind of log it holds.

import { BackupError } from '../core/errors.js';
import {
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

/** Several workers come at the same time: the first one marks the container, the others find the mark. */
async function claimContainer(container: BackupContainer, job: JobRecord): Promise<void> {
  const existing = await readMarkedUid(container);
  if (existing === undefined) {
    const { uid, logOnly, ranges, startVersion, firstVersion } = job;
    const marker = encodeJobMarker({ uid, logOnly, ranges, startVersion, firstVersion });
    try {
      await writeWhole(container, JOB_MARKER_NAME, marker, true);
      return;
    } catch (error) {
      if (!BackupError.is(error, 'FILE_EXISTS')) throw error;
    }
  }
  const owner = existing ?? (await readMarkedUid(container));
  if (owner === job.uid) return;
  throw new BackupError(
    'CONTAINER_IN_USE',
    `the container ${container.url} belongs to job ${owner ?? '(unknown)'}: job ${job.uid} needs one of its own`,
    { container: container.url, jobUid: job.uid },
  );
}

async function readMarkedUid(container: BackupContainer): Promise<string | undefined> {
  try {
    return parseJobMarker(await container.readFile(JOB_MARKER_NAME, 0, MAX_JOB_MARKER_BYTES)).uid;
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
