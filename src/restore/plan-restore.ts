// Chooses the files of a restore: the rows of one snapshot, then every version of every tag exactly once, however files overlap (rule P13).

import { BackupError } from '../core/errors.js';
import type { KeyRange } from '../core/key-range.js';
import { coalesceRanges } from '../core/key-range.js';
import type { Version } from '../core/version.js';
import { maxVersion, minVersion } from '../core/version.js';
import type { BackupContainer } from '../ports/backup-container.js';
import { listRangeFiles } from './catalog.js';
import { unreadable } from './readable.js';
import type { BackupDescription, LogFile, LogStretch, TagLog, VersionRange } from './description.js';
import { refuseEmptiedFiles } from './emptied-files.js';
import { RangeFilter } from './range-filter.js';
import { rangeOfFile } from './row-files.js';
import type { LogPiece, RestoreSet, RowPiece, TagPieces } from './restore-pieces.js';
import { bytesOf } from './restore-pieces.js';
import type { RestoreStart, StartOptions } from './restore-start.js';
import { findStarts, rangesFrom, refuse, refuseVersion } from './restore-start.js';
import { inKeyOrder, readSnapshotFiles } from './snapshot-files.js';

export function findReadableStarts(description: BackupDescription, options: StartOptions): RestoreStart[] {
  if (description.unsupported !== undefined)
    throw unreadable(description.url, description.encrypted, description.unsupported);
  return findStarts(description, options);
}

type PlanOptions = StartOptions & { readonly signal?: AbortSignal | undefined };

/** The plan from the first of `starts` that serves. CHECKSUM_MISMATCH for a log file that has lost all its bytes: no restore would read it, and so come upon that. */
export async function planVersion(
  container: BackupContainer,
  description: BackupDescription,
  starts: readonly RestoreStart[],
  version: Version,
  options: PlanOptions,
): Promise<RestoreSet> {
  const set = await planFrom(container, description, starts, version, options);
  await refuseEmptiedFiles(container, set.tags, options.signal);
  return set;
}

async function planFrom(
  container: BackupContainer,
  description: BackupDescription,
  starts: readonly RestoreStart[],
  version: Version,
  options: PlanOptions,
): Promise<RestoreSet> {
  let passedOver: string | undefined;
  for (const { snapshot, ranges, min, max } of starts) {
    if (version < min || version > max) continue;
    if (snapshot === undefined) {
      const log = logPieces(description, { begin: min, end: version + 1n });
      return { version, ranges: ranges!, snapshot, logBegin: min, rowBytes: 0, ...log };
    }
    const files = await loadFiles(container, snapshot, options.signal);
    if (files === undefined) {
      passedOver ??= `snapshot ${snapshot.name} was deleted meanwhile`;
      continue;
    }
    // Asked again of the files themselves: an old manifest has not said what they cover.
    const covered = coalesceRanges(files.map(({ range }) => range));
    const keys = rangesFrom({ ranges: covered }, description, options.ranges)!;
    if (keys.length > 0) return setFrom(description, version, snapshot, files, keys);
    passedOver ??= `snapshot ${snapshot.name} does not cover the wanted ranges`;
  }
  if (passedOver !== undefined) refuse(description, version, passedOver);
  return refuseVersion(description, version, options);
}

type FileWithRange = RowPiece['file'];

/** undefined: the snapshot is gone, or an expiry has begun with it, since it was described. */
async function loadFiles(
  container: BackupContainer,
  snapshot: NonNullable<RestoreStart['snapshot']>,
  signal: AbortSignal | undefined,
): Promise<FileWithRange[] | undefined> {
  try {
    const { files } = await readSnapshotFiles(container, snapshot, await listRangeFiles(container, signal));
    const found: FileWithRange[] = [];
    for (const file of files) {
      signal?.throwIfAborted();
      found.push({ ...file, range: file.range ?? (await rangeOfFile(container, file)) });
    }
    return inKeyOrder(snapshot.name, found);
  } catch (error) {
    if (BackupError.is(error, 'FILE_NOT_FOUND')) return undefined;
    throw error;
  }
}

function setFrom(
  description: BackupDescription,
  version: Version,
  snapshot: NonNullable<RestoreStart['snapshot']>,
  files: readonly FileWithRange[],
  ranges: readonly KeyRange[],
): RestoreSet {
  const pieces: RowPiece[] = [];
  const filter = new RangeFilter(ranges);
  for (const file of files) {
    const wanted: KeyRange[] = [];
    filter.clip(file.range.begin, file.range.end, (begin, end) => wanted.push({ begin, end }));
    if (wanted.length > 0) pieces.push({ file, ranges: wanted });
  }
  const logBegin = pieces.map(({ file }) => file.version).reduce(minVersion) + 1n;
  const { name, beginVersion, endVersion, totalBytes } = snapshot;
  return {
    version,
    ranges,
    snapshot: { name, beginVersion, endVersion, totalBytes, pieces },
    logBegin,
    rowBytes: pieces.reduce((sum, { file }) => sum + file.size, 0),
    ...logPieces(description, { begin: logBegin, end: version + 1n }),
  };
}

function logPieces(
  description: BackupDescription,
  versions: VersionRange,
): { tags: readonly TagPieces[]; logBytes: number } {
  const byTag = new Map<number, LogPiece[]>();
  for (const stretch of description.stretches) {
    if (stretch.end <= versions.begin || stretch.begin >= versions.end) continue;
    const wanted = { begin: maxVersion(stretch.begin, versions.begin), end: minVersion(stretch.end, versions.end) };
    for (const log of tagsOf(description, stretch)) {
      const pieces = byTag.get(log.tag) ?? [];
      byTag.set(log.tag, pieces);
      choosePieces(log.files, wanted, pieces);
    }
  }
  const tags = [...byTag].map(([tag, pieces]) => ({ tag, pieces })).sort((a, b) => a.tag - b.tag);
  return { tags, logBytes: bytesOf(tags) };
}

function tagsOf(description: BackupDescription, stretch: LogStretch): readonly TagLog[] {
  return description.tags.filter((log) => log.totalTags === stretch.totalTags);
}

/** `files` are sorted by begin, and by end: at each version the last file that has begun reaches furthest. */
function choosePieces(files: readonly LogFile[], wanted: VersionRange, pieces: LogPiece[]): void {
  let begin = wanted.begin;
  for (const [i, file] of files.entries()) {
    if (file.end <= begin) continue;
    if (begin >= wanted.end) return;
    const next = files[i + 1];
    if (next !== undefined && next.begin <= begin) continue;
    const end = minVersion(file.end, wanted.end);
    pieces.push({ file, begin, end });
    begin = end;
  }
}
