// All files of a container, by what they are. What a writer makes last is listed first: manifests before what they name, and log files before their checksums.

import { BackupError } from '../core/errors.js';
import { SUMS_FOLDER, parseSumsFileName } from '../format/fdb/file-sums.js';
import type { SnapshotFileDescriptor } from '../format/fdb/names.js';
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
import { SNAPSHOT_SUMS_PREFIX, parseSnapshotSumsName } from '../format/fdb/snapshot-sums.js';
import type { BackupContainer, ListedFile } from '../ports/backup-container.js';
import type { SnapshotFile } from './catalog.js';
import type { LogFile } from './description.js';

export interface Inventory {
  readonly manifests: readonly SnapshotFile[];
  /** By name of the snapshot as `keyOfSnapshot` gives it: the sidecar. */
  readonly sidecars: ReadonlyMap<string, ListedFile>;
  /** Of log and range files: name of the data file -> name of the file with its checksums. */
  readonly sums: ReadonlyMap<string, string>;
  /** Name -> bytes. */
  readonly rangeFiles: ReadonlyMap<string, number>;
  /** Partitioned and not. */
  readonly logFiles: readonly LogFile[];
}

/** Same for a manifest and its sidecar. */
export function keyOfSnapshot({ beginVersion, endVersion, totalBytes }: SnapshotFileDescriptor): string {
  return `${beginVersion},${endVersion},${totalBytes}`;
}

/** FILE_NOT_FOUND if there is no container. */
export async function takeInventory(container: BackupContainer, signal: AbortSignal | undefined): Promise<Inventory> {
  if (!(await container.exists())) {
    throw new BackupError('FILE_NOT_FOUND', `there is no backup container at ${container.url}`, {
      container: container.url,
    });
  }
  const collect = async (prefix: string, take: (file: ListedFile) => void): Promise<void> => {
    for await (const file of container.listFiles(prefix)) {
      signal?.throwIfAborted();
      take(file);
    }
  };
  const manifests: SnapshotFile[] = [];
  await collect(SNAPSHOT_FOLDER, ({ name, size }) => {
    const facts = parseSnapshotFileName(name);
    if (facts !== undefined) manifests.push({ ...facts, name, size });
  });
  const sidecars = new Map<string, ListedFile>();
  await collect(SNAPSHOT_SUMS_PREFIX, (file) => {
    const facts = parseSnapshotSumsName(file.name);
    if (facts !== undefined) sidecars.set(keyOfSnapshot(facts), file);
  });
  const rangeFiles = new Map<string, number>();
  await collect(RANGE_FOLDER, ({ name, size }) => {
    if (parseRangeFileName(name) !== undefined) rangeFiles.set(name, size);
  });
  const logFiles = await listLogFiles(container, signal);
  const sums = new Map<string, string>();
  await collect(SUMS_FOLDER, ({ name }) => {
    const of = parseSumsFileName(name);
    if (of !== undefined) sums.set(of, name);
  });
  return { manifests, sidecars, sums, rangeFiles, logFiles };
}

export async function listLogFiles(container: BackupContainer, signal: AbortSignal | undefined): Promise<LogFile[]> {
  const files: LogFile[] = [];
  for (const folder of [LOG_FOLDER, UNPARTITIONED_LOG_FOLDER]) {
    for await (const { name, size } of container.listFiles(folder)) {
      signal?.throwIfAborted();
      const file = parseAnyLogFile(name, size);
      if (file !== undefined) files.push(file);
    }
  }
  return files;
}

export function parseAnyLogFile(name: string, size: number): LogFile | undefined {
  const partitioned = parseListedLogFile(name, size);
  if (partitioned !== undefined) return partitioned;
  const facts = parseUnpartitionedLogFileName(name);
  return facts === undefined ? undefined : { ...facts, tag: 0, totalTags: 1, name, size, unpartitioned: true };
}
