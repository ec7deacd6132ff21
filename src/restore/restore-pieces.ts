// What a restore reads: which part of which file. Plain data.

import type { KeyRange } from '../core/key-range.js';
import type { Version } from '../core/version.js';
import { maxVersion } from '../core/version.js';
import type { LogFile, VersionRange } from './description.js';
import type { RangeFile } from './snapshot-files.js';

/** The versions in [begin, end) of a file, and nothing else of it. */
export interface LogPiece extends VersionRange {
  readonly file: LogFile;
}

export interface TagPieces {
  readonly tag: number;
  /** In version order, not overlapping. */
  readonly pieces: readonly LogPiece[];
}

/** The rows of these keys in a range file, and nothing else of it. */
export interface RowPiece {
  readonly file: RangeFile & { readonly range: KeyRange };
  /** Sorted, disjoint, within the file's range. */
  readonly ranges: readonly KeyRange[];
}

/** Where a restore begins. */
export interface RestoreSnapshot {
  readonly name: string;
  readonly beginVersion: Version;
  readonly endVersion: Version;
  readonly totalBytes: number;
  /** In the order of keys, disjoint; together they cover what is restored. */
  readonly pieces: readonly RowPiece[];
}

export interface RestoreSet {
  /** Inclusive: the version that is rebuilt. */
  readonly version: Version;
  /** The keys that are rebuilt: sorted and disjoint. */
  readonly ranges: readonly KeyRange[];
  /** The snapshot to load first; undefined: the database is empty before `logBegin`. */
  readonly snapshot: RestoreSnapshot | undefined;
  /** Inclusive: the first version that is taken from the log. Above `version` when the snapshot alone is enough. */
  readonly logBegin: Version;
  /** By tag. A tag that the log has only at times has pieces for those times. */
  readonly tags: readonly TagPieces[];
  /** Bytes of all range files that are read, and of all log files. */
  readonly rowBytes: number;
  readonly logBytes: number;
}

/** What is left of a set's log when everything below `from` is done: how an interrupted restore goes on. */
export function remainingSet(set: RestoreSet, from: Version): RestoreSet {
  const tags = set.tags.map(({ tag, pieces }) => ({
    tag,
    pieces: pieces
      .filter((piece) => piece.end > from)
      .map((piece) => ({ ...piece, begin: maxVersion(piece.begin, from) })),
  }));
  return { ...set, tags, logBegin: maxVersion(set.logBegin, from), logBytes: bytesOf(tags) };
}

/** Of all files, each once. */
export function bytesOf(tags: readonly TagPieces[]): number {
  const files = new Set(tags.flatMap(({ pieces }) => pieces.map((piece) => piece.file)));
  return [...files].reduce((sum, file) => sum + file.size, 0);
}
