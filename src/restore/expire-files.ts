// Which files of a container serve only versions below the end of an expiry. Reads listings and the manifests that go; deletes nothing.

import { BackupError } from '../core/errors.js';
import type { Version } from '../core/version.js';
import { parseSumsFileName, SUMS_FOLDER } from '../format/fdb/file-sums.js';
import {
  LOG_FOLDER,
  RANGE_FOLDER,
  parseListedLogFile,
  parseRangeFileName,
  parseUnpartitionedLogFileName,
} from '../format/fdb/names.js';
import { MAX_MANIFEST_BYTES, parseSnapshotManifest } from '../format/fdb/snapshot-manifest.js';
import { SNAPSHOT_PART_PREFIX, parseSnapshotPartName } from '../format/fdb/snapshot-part.js';
import {
  MAX_SNAPSHOT_SUMS_BYTES,
  SNAPSHOT_SUMS_PREFIX,
  parseSnapshotSums,
  parseSnapshotSumsName,
} from '../format/fdb/snapshot-sums.js';
import { VERSION_TIME_FOLDER, parseVersionTimeName } from '../format/fdb/version-times.js';
import type { BackupContainer, ListedFile } from '../ports/backup-container.js';
import type { CatalogListing } from './catalog.js';
import { readSmallFile } from './catalog.js';
import { allLogFiles } from './expire-end.js';

/** Names, in the order in which they are deleted: each list is gone before the next one is begun. */
export interface ExpiringFiles {
  readonly logFiles: readonly string[];
  /** Manifests, before what they name: no listed manifest ever misses a file. */
  readonly manifests: readonly string[];
  /** Notes of unfinished snapshots, before what they name. */
  readonly snapshotParts: readonly string[];
  readonly rangeFiles: readonly string[];
  /** How many of these are at or above the end, and go because a snapshot goes that begins below it. */
  readonly newerRangeFiles: number;
  /** After the range files: they still say, after a crash, which those were. */
  readonly sidecars: readonly string[];
  readonly sums: readonly string[];
  readonly versionTimes: readonly string[];
  /** Bytes of all of them. */
  readonly bytes: number;
}

export async function findExpiringFiles(
  container: BackupContainer,
  listing: CatalogListing,
  end: Version,
  signal: AbortSignal | undefined,
): Promise<ExpiringFiles> {
  let bytes = 0;
  const take = ({ name, size }: ListedFile): string => {
    bytes += size;
    return name;
  };
  const select = async (prefix: string, goes: (name: string) => boolean): Promise<string[]> => {
    const names: string[] = [];
    for await (const file of container.listFiles(prefix)) {
      signal?.throwIfAborted();
      if (goes(file.name)) names.push(take(file));
    }
    return names;
  };
  const manifests = listing.snapshots.filter((snapshot) => snapshot.beginVersion < end);
  const sidecars = await select(SNAPSHOT_SUMS_PREFIX, (name) =>
    isBelow(parseSnapshotSumsName(name)?.beginVersion, end),
  );
  // A snapshot that begins below the end is of no use, although some of its files may be newer than that: those too go, by name.
  const named = new Set<string>();
  for (const { name } of manifests) await addNamed(named, container, name, MAX_MANIFEST_BYTES, filesOfManifest);
  for (const name of sidecars) await addNamed(named, container, name, MAX_SNAPSHOT_SUMS_BYTES, filesOfSidecar);
  await spareFilesThatStay(named, container, listing, end);
  return {
    newerRangeFiles: named.size,
    // A file that reaches across the end stays, whole: with several tags there is hardly a version that none of them reaches across.
    logFiles: allLogFiles(listing)
      .filter((file) => file.end <= end)
      .map(take),
    manifests: manifests.map(take),
    sidecars,
    snapshotParts: await select(SNAPSHOT_PART_PREFIX, (name) =>
      isBelow(parseSnapshotPartName(name)?.snapshotBegin, end),
    ),
    rangeFiles: await select(RANGE_FOLDER, (name) => {
      const version = parseRangeFileName(name)?.version;
      return version !== undefined && (version < end || named.has(name));
    }),
    sums: await select(SUMS_FOLDER, (name) => sumsGo(name, end, named)),
    versionTimes: await select(VERSION_TIME_FOLDER, (name) => isBelow(parseVersionTimeName(name)?.version, end)),
    bytes,
  };
}

/** No snapshot of anybody's shares files with another; should one all the same, what is still needed stays. */
async function spareFilesThatStay(
  named: Set<string>,
  container: BackupContainer,
  { snapshots }: CatalogListing,
  end: Version,
): Promise<void> {
  for (const name of named) if (isBelow(parseRangeFileName(name)?.version, end)) named.delete(name);
  if (named.size === 0) return;
  const staying = new Set<string>();
  for (const { name, beginVersion } of snapshots) {
    if (beginVersion >= end) await addNamed(staying, container, name, MAX_MANIFEST_BYTES, filesOfManifest);
  }
  for (const name of staying) named.delete(name);
}

function isBelow(version: Version | undefined, end: Version): boolean {
  return version !== undefined && version < end;
}

function sumsGo(name: string, end: Version, named: ReadonlySet<string>): boolean {
  const of = parseSumsFileName(name);
  if (of === undefined) return false;
  if (of.startsWith(RANGE_FOLDER)) return isBelow(parseRangeFileName(of)?.version, end) || named.has(of);
  const log = of.startsWith(LOG_FOLDER) ? parseListedLogFile(of, 0) : parseUnpartitionedLogFileName(of);
  return log !== undefined && log.end <= end;
}

function filesOfManifest(bytes: Uint8Array, file: string): readonly string[] {
  return parseSnapshotManifest(bytes, file).files;
}

function filesOfSidecar(bytes: Uint8Array, file: string): readonly string[] {
  return parseSnapshotSums(bytes, file).files.map(({ name }) => name);
}

async function addNamed(
  names: Set<string>,
  container: BackupContainer,
  file: string,
  limit: number,
  parse: (bytes: Uint8Array, file: string) => readonly string[],
): Promise<void> {
  try {
    const bytes = await readSmallFile(container, file, limit);
    if (bytes !== undefined) for (const name of parse(bytes, file)) names.add(name);
  } catch (error) {
    // What cannot be read names nothing: those of its files that are older than the end go by their own names, the others with a later expiry.
    if (!BackupError.is(error, 'CORRUPT_FILE') && !BackupError.is(error, 'DECRYPTION_FAILED')) throw error;
  }
}
