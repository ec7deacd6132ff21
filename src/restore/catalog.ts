// What a container holds, by the names of its files and the content of its properties. Nothing here reads a data file.

import { BackupError } from '../core/errors.js';
import type { Version } from '../core/version.js';
import {
  LOG_FOLDER,
  RANGE_FOLDER,
  SNAPSHOT_FOLDER,
  UNPARTITIONED_LOG_FOLDER,
  parseListedLogFile,
  parseRangeFileName,
  parseSnapshotFileName,
  parseUnpartitionedLogFileName,
} from '../format/fdb/names.js';
import type { SnapshotFileDescriptor } from '../format/fdb/names.js';
import type { EncryptionMetadata, JobMarker } from '../format/fdb/properties.js';
import {
  JOB_MARKER_NAME,
  MAX_JOB_MARKER_BYTES,
  MAX_PROPERTY_BYTES,
  PROPERTY,
  parseEncryptionMetadata,
  parseJobMarker,
} from '../format/fdb/properties.js';
import type { BackupContainer } from '../ports/backup-container.js';
import type { DescriptionProblem, LogFile } from './description.js';
import { readNumberProperty } from './number-property.js';

export interface SnapshotFile extends SnapshotFileDescriptor {
  readonly name: string;
  readonly size: number;
}

export interface ContainerProperties {
  readonly mutationLogType: bigint | undefined;
  readonly logBegin: Version | undefined;
  readonly logEnd: Version | undefined;
  readonly expiredEnd: Version | undefined;
  readonly unreliableEnd: Version | undefined;
  readonly encryption: EncryptionMetadata;
  readonly job: JobMarker | undefined;
}

export interface CatalogListing {
  /** Partitioned log files; those of the older format where there is no partitioned one. */
  readonly logFiles: readonly LogFile[];
  /** Files of the older format beside partitioned ones: nothing reads them. */
  readonly ignoredLogFiles: readonly LogFile[];
  readonly snapshots: readonly SnapshotFile[];
  readonly properties: ContainerProperties;
  /** Properties that could not be read and that nothing depends on. */
  readonly problems: readonly DescriptionProblem[];
}

/** Lists a container. FILE_NOT_FOUND if there is none; CORRUPT_FILE for a property that a restore depends on and that is damaged. */
export async function listCatalog(container: BackupContainer, signal?: AbortSignal): Promise<CatalogListing> {
  if (!(await container.exists())) {
    throw new BackupError('FILE_NOT_FOUND', `there is no backup container at ${container.url}`, {
      container: container.url,
    });
  }
  const { properties, problems } = await readProperties(container, signal);
  const logFiles: LogFile[] = [];
  for await (const { name, size } of container.listFiles(LOG_FOLDER)) {
    const file = parseListedLogFile(name, size);
    if (file !== undefined) logFiles.push(file);
    if ((logFiles.length & 0x3ff) === 0) signal?.throwIfAborted();
  }
  const unpartitioned: LogFile[] = [];
  for await (const { name, size } of container.listFiles(UNPARTITIONED_LOG_FOLDER)) {
    const facts = parseUnpartitionedLogFileName(name);
    if (facts !== undefined) unpartitioned.push({ ...facts, tag: 0, totalTags: 1, name, size, unpartitioned: true });
    if ((unpartitioned.length & 0x3ff) === 0) signal?.throwIfAborted();
  }
  const snapshots: SnapshotFile[] = [];
  for await (const { name, size } of container.listFiles(SNAPSHOT_FOLDER)) {
    const descriptor = parseSnapshotFileName(name);
    if (descriptor !== undefined) snapshots.push({ ...descriptor, name, size });
    signal?.throwIfAborted();
  }
  const older = logFiles.length === 0;
  return {
    logFiles: older ? unpartitioned : logFiles,
    ignoredLogFiles: older ? [] : unpartitioned,
    snapshots,
    properties,
    problems,
  };
}

/** All range files, which manifests refer to: name -> size in bytes. */
export async function listRangeFiles(
  container: BackupContainer,
  signal?: AbortSignal,
): Promise<ReadonlyMap<string, number>> {
  const sizes = new Map<string, number>();
  for await (const { name, size } of container.listFiles(RANGE_FOLDER)) {
    if (parseRangeFileName(name) !== undefined) sizes.set(name, size);
    signal?.throwIfAborted();
  }
  return sizes;
}

async function readProperties(
  container: BackupContainer,
  signal: AbortSignal | undefined,
): Promise<{ properties: ContainerProperties; problems: DescriptionProblem[] }> {
  const problems: DescriptionProblem[] = [];
  const required = async <T>(
    name: string,
    limit: number,
    parse: (bytes: Uint8Array, file: string) => T,
  ): Promise<T | undefined> => {
    signal?.throwIfAborted();
    const bytes = await readSmallFile(container, name, limit);
    return bytes === undefined ? undefined : parse(bytes, name);
  };
  const number = (name: string): Promise<bigint | undefined> => {
    signal?.throwIfAborted();
    return readNumberProperty(container, name);
  };
  const optionalNumber = async (name: string): Promise<bigint | undefined> => {
    try {
      return await number(name);
    } catch (error) {
      if (!BackupError.is(error, 'CORRUPT_FILE')) throw error;
      problems.push({ kind: 'property', message: error.message, file: name });
      return undefined;
    }
  };
  const properties = {
    // The marks of an expiry and the encryption decide what may be trusted: if they are damaged, nothing may be.
    expiredEnd: await number(PROPERTY.expiredEndVersion),
    unreliableEnd: await number(PROPERTY.unreliableEndVersion),
    encryption: (await required(PROPERTY.encryptionMetadata, MAX_PROPERTY_BYTES, parseEncryptionMetadata)) ?? {
      enabled: false,
      blockSize: 0,
    },
    job: await required(JOB_MARKER_NAME, MAX_JOB_MARKER_BYTES, parseJobMarker),
    mutationLogType: await optionalNumber(PROPERTY.mutationLogType),
    logBegin: await optionalNumber(PROPERTY.logBeginVersion),
    logEnd: await optionalNumber(PROPERTY.logEndVersion),
  };
  return { properties, problems };
}

/** undefined when there is no such file. CORRUPT_FILE when it is longer than `limit`. */
export async function readSmallFile(
  container: BackupContainer,
  name: string,
  limit: number,
): Promise<Uint8Array | undefined> {
  try {
    const bytes = await container.readFile(name, 0, limit + 1);
    if (bytes.length <= limit) return bytes;
  } catch (error) {
    if (BackupError.is(error, 'FILE_NOT_FOUND')) return undefined;
    throw error;
  }
  throw new BackupError('CORRUPT_FILE', `${name} is longer than the ${limit} bytes that it may have`, {
    file: name,
    offset: limit,
    container: container.url,
  });
}
