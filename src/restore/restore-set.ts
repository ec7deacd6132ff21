// Which files a restore reads, in which order, and which versions it takes from each: every version of a tag exactly once, however files overlap (rule P13). Pure.

import { BackupError } from '../core/errors.js';
import type { Version } from '../core/version.js';
import { checkVersion } from '../core/check-version.js';
import { logRouterTag, maxVersion, minVersion } from '../core/version.js';
import type { BackupContainer } from '../ports/backup-container.js';
import { describeBackup, unreadable } from './describe.js';
import type {
  BackupDescription,
  LogFile,
  LogGap,
  LogStretch,
  TagLog,
  VersionRange,
  RestorableWindow,
} from './description.js';
import { whyNotFromEmpty } from './log-coverage.js';
import { rangeHolding } from './version-ranges.js';

/** What a restore starts from: `empty`: the database before its first version. A snapshot otherwise, which this release cannot load yet. */
export type RestoreBaseline = 'empty';

/** The versions in [begin, end) of a file, and nothing else of it. */
export interface LogPiece extends VersionRange {
  readonly file: LogFile;
}

export interface TagPieces {
  readonly tag: number;
  /** In version order, not overlapping. */
  readonly pieces: readonly LogPiece[];
}

export interface RestoreSet {
  /** Inclusive: the version that is rebuilt. */
  readonly version: Version;
  /** The snapshot to load first; undefined: the database is empty before `logBegin`. */
  readonly snapshot: undefined;
  /** Inclusive: the first version that is taken from the log. */
  readonly logBegin: Version;
  /** By tag. A tag that the log has only at times has pieces for those times. */
  readonly tags: readonly TagPieces[];
  /** Bytes of all files that are read. */
  readonly bytes: number;
}

export interface RestoreSetOptions {
  readonly version: Version;
  readonly baseline?: RestoreBaseline | undefined;
  /** Inclusive: the first version at which the database can have written anything. Default: as the job's marker in the container says. */
  readonly firstVersion?: Version | undefined;
}

/** Describes the container and plans. See planRestoreSet. */
export async function restoreSet(
  options: RestoreSetOptions & { readonly container: BackupContainer; readonly signal?: AbortSignal },
): Promise<RestoreSet> {
  checkVersion(options.version, 'version');
  return planRestoreSet(await describeBackup(options.container, { signal: options.signal }), options);
}

/** NOT_RESTORABLE with the reason (which tag, which gap) for a version that cannot be rebuilt; UNSUPPORTED_FORMAT if the container cannot be read. */
export function planRestoreSet(description: BackupDescription, options: RestoreSetOptions): RestoreSet {
  const { version, baseline } = options;
  checkVersion(version, 'version');
  if (description.unsupported !== undefined) {
    throw unreadable(description.url, description.encrypted, description.unsupported);
  }
  if (baseline !== 'empty')
    refuse(
      description,
      version,
      "restores that start from a snapshot are not supported yet; a log-only backup is restored with baseline: 'empty'",
    );
  const { job } = description;
  if (job === undefined)
    refuse(
      description,
      version,
      'nothing in the container says that its log begins with an empty database (it was not written by a log-only job)',
    );
  if (!job.logOnly)
    refuse(description, version, 'its job is not log-only, so its log does not begin with an empty database');
  const log = findLog(description, version, options.firstVersion ?? job.firstVersion);
  return setOf(description, version, log.begin);
}

function findLog(description: BackupDescription, version: Version, firstVersion: Version): VersionRange {
  const log = rangeHolding(description.complete, version);
  if (log !== undefined && log.begin <= firstVersion) return log;
  const gap = description.gaps.find(({ begin, end }) => end > minVersion(firstVersion, version) && begin <= version);
  if (gap !== undefined) refuse(description, version, gap.reason, gap);
  const { maxLogEnd } = description;
  if (maxLogEnd === undefined || version >= maxLogEnd) {
    refuse(description, version, `the log ends at ${maxLogEnd ?? 'nothing: there is no log file'} (exclusive)`);
  }
  const begin = description.stretches[0]?.begin;
  if (begin !== undefined && version < begin) refuse(description, version, `the log begins at ${begin}`);
  return refuse(description, version, whyNotFromEmpty(description, firstVersion));
}

function refuse(description: BackupDescription, version: Version, reason: string, gap?: LogGap): never {
  throw new BackupError(
    'NOT_RESTORABLE',
    `version ${version} of ${description.url} cannot be restored: ${reason}. Restorable: ${restorableText(description)}`,
    {
      version,
      container: description.url,
      tag: gap === undefined ? undefined : logRouterTag(gap.tag),
      versions: gap === undefined ? undefined : { begin: gap.begin, end: gap.end },
    },
  );
}

/** What this release can restore comes first; what it only can describe is said to be that. */
function restorableText({ windows }: BackupDescription): string {
  const list = (wanted: readonly RestorableWindow[]) => wanted.map(({ min, max }) => `${min} to ${max}`).join(', ');
  const fromLog = list(windows.filter(({ snapshot }) => snapshot === undefined));
  const fromSnapshots = list(windows.filter(({ snapshot }) => snapshot !== undefined));
  return (
    (fromLog === '' ? 'nothing' : fromLog) +
    (fromSnapshots === '' ? '' : ` (and ${fromSnapshots} from snapshots, which this release cannot load)`)
  );
}

function setOf(description: BackupDescription, version: Version, logBegin: Version): RestoreSet {
  const end = version + 1n;
  const byTag = new Map<number, LogPiece[]>();
  for (const stretch of description.stretches) {
    if (stretch.end <= logBegin || stretch.begin >= end) continue;
    const wanted = { begin: maxVersion(stretch.begin, logBegin), end: minVersion(stretch.end, end) };
    for (const log of tagsOf(description, stretch)) {
      const pieces = byTag.get(log.tag) ?? [];
      byTag.set(log.tag, pieces);
      choosePieces(log.files, wanted, pieces);
    }
  }
  const tags = [...byTag].map(([tag, pieces]) => ({ tag, pieces })).sort((a, b) => a.tag - b.tag);
  return { version, snapshot: undefined, logBegin, tags, bytes: bytesOf(tags) };
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

/** What is left of a set when everything below `from` is done: how an interrupted restore goes on. */
export function remainingSet(set: RestoreSet, from: Version): RestoreSet {
  const tags = set.tags.map(({ tag, pieces }) => ({
    tag,
    pieces: pieces
      .filter((piece) => piece.end > from)
      .map((piece) => ({ ...piece, begin: maxVersion(piece.begin, from) })),
  }));
  return { ...set, tags, logBegin: maxVersion(set.logBegin, from), bytes: bytesOf(tags) };
}

function bytesOf(tags: readonly TagPieces[]): number {
  const files = new Set(tags.flatMap(({ pieces }) => pieces.map((piece) => piece.file)));
  return [...files].reduce((sum, file) => sum + file.size, 0);
}
