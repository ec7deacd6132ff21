// What is in a container, as describe() finds it: plain data, for people, for renderCoverage and for the plan of a restore.

import type { KeyRange } from '../core/key-range.js';
import type { Version } from '../core/version.js';
import type { ListedLogFile } from '../format/fdb/names.js';
import type { EncryptionMetadata, JobMarker } from '../format/fdb/properties.js';

/** A log file. One of the older, unpartitioned format is the file of tag 0 of 1. */
export interface LogFile extends ListedLogFile {
  /** There, and true, for a file of the older format (`logs/`), whose records are framed in another way. */
  readonly unpartitioned?: true;
}

/** begin inclusive, end exclusive */
export interface VersionRange {
  readonly begin: Version;
  readonly end: Version;
}

/** The log files of one tag of a log with `totalTags` tags: tag 1 of 3 and tag 1 of 5 are different partitions. */
export interface TagLog {
  readonly tag: number;
  readonly totalTags: number;
  /** By begin; each ends later than the one before it. They may overlap (rule P13) and may leave gaps. */
  readonly files: readonly LogFile[];
  /** Files that lie within another one of this tag, and so are not needed. */
  readonly duplicates: readonly LogFile[];
  /** What `files` cover, joined: sorted, neither overlapping nor touching. */
  readonly covered: readonly VersionRange[];
}

/** A run of versions over which the number of tags is the same. */
export interface LogStretch extends VersionRange {
  readonly totalTags: number;
}

/**
 * `hole`: files are missing in the middle. `corrupt`: there is a file, and it cannot be read. `missing-tag`: no file of this tag at all. `start`: the tag's log begins later than
 * another tag's, which is normal for a job that began under load. `end`: the tag's log does not reach as far as another tag's, which is normal while the backup runs.
 */
export type LogGapKind = 'hole' | 'corrupt' | 'missing-tag' | 'start' | 'end';

/** Versions that no readable file of a tag covers although another tag's does. */
export interface LogGap extends VersionRange {
  readonly kind: LogGapKind;
  readonly tag: number;
  readonly totalTags: number;
  /** For people: which tag, which versions, why. */
  readonly reason: string;
  /** The corrupt file, for kind `corrupt`. */
  readonly file?: string;
}

/** One snapshot: rows of the whole backup, read at versions from beginVersion to endVersion (both inclusive). */
export interface SnapshotDescription {
  readonly name: string;
  readonly beginVersion: Version;
  readonly endVersion: Version;
  /** As its name says. */
  readonly totalBytes: number;
  /** How many range files its manifest names; undefined when the manifest could not be read. */
  readonly files: number | undefined;
  /** The keys that its range files cover: sorted, neither overlapping nor touching. Undefined when the manifest could not be read, or is an old one that does not say. */
  readonly ranges: readonly KeyRange[] | undefined;
  /** Keys of the job that none of its range files covers; in a container without a job's marker, keys that another snapshot covers. Empty when its manifest does not say what it covers. */
  readonly missing: readonly KeyRange[];
  /** Its range files exist, and there is a gapless log from beginVersion to endVersion unless those are the same: the keys in `ranges` can be restored from it. */
  readonly usable: boolean;
  /** Usable, and nothing of the job is missing. */
  readonly restorable: boolean;
  /** Why it is not restorable; undefined when it is. */
  readonly reason: string | undefined;
  /** False: only the name was looked at, because the manifest is encrypted and there is no key. */
  readonly manifestChecked: boolean;
}

/** Every version from min to max (both inclusive) can be rebuilt exactly. */
export interface RestorableWindow {
  readonly min: Version;
  readonly max: Version;
  /** Name of the snapshot that it starts from; undefined: from an empty database, with the log alone. */
  readonly snapshot: string | undefined;
}

export type DescriptionProblemKind =
  | 'corrupt-file' // a log file that cannot be decoded (deep only)
  | 'snapshot' // a manifest that cannot be used
  | 'property' // a property file that cannot be read and is ignored
  | 'cache' // the container's own marks claim a log that its files do not show
  | 'tags' // files of different numbers of tags claim the same versions
  | 'duplicate' // a file is larger than another one that should contain it
  | 'ignored'; // files that this release does not look at

/** Something that a person should know; what it means for restores is in the gaps and windows already. */
export interface DescriptionProblem {
  readonly kind: DescriptionProblemKind;
  readonly message: string;
  readonly file?: string | undefined;
  /** Bytes into `file`. */
  readonly offset?: number | undefined;
}

export interface BackupDescription {
  readonly url: string;
  /** Whether every log file was decoded, not only its name. */
  readonly deep: boolean;
  /** `none`: there is no log file. */
  readonly logType: 'none' | 'partitioned' | 'unpartitioned' | 'range-partitioned';
  /** Why the content of the container cannot be read; undefined when it can. A restore then fails with ENCRYPTION_KEY_MISSING if `encrypted`, else with UNSUPPORTED_FORMAT. */
  readonly unsupported: string | undefined;
  readonly encryption: EncryptionMetadata;
  /** The files are encrypted, and the container was opened without their key. */
  readonly encrypted: boolean;
  /** The job that wrote the container; undefined when Tidemark did not. */
  readonly job: JobMarker | undefined;
  /** By totalTags, then tag. */
  readonly tags: readonly TagLog[];
  /** By begin, touching each other, over all that the log files cover. */
  readonly stretches: readonly LogStretch[];
  /** Where every tag of its stretch has its files: sorted, neither overlapping nor touching. */
  readonly complete: readonly VersionRange[];
  /** By begin, then tag. */
  readonly gaps: readonly LogGap[];
  /** By beginVersion, then endVersion. */
  readonly snapshots: readonly SnapshotDescription[];
  readonly snapshotBytes: number;
  readonly logFiles: number;
  readonly logBytes: number;
  /** Inclusive: begin of the gapless log that restores use; undefined when there is none. */
  readonly logBegin: Version | undefined;
  /** Exclusive: up to where all tags are gapless from logBegin on. */
  readonly contiguousLogEnd: Version | undefined;
  /** Exclusive: the largest end of any log file. */
  readonly maxLogEnd: Version | undefined;
  /** Both inclusive: the window that reaches to the end of the gapless log, else the newest one. Undefined when nothing can be restored. */
  readonly minRestorable: Version | undefined;
  readonly maxRestorable: Version | undefined;
  /** Every version that can be rebuilt, by min. */
  readonly windows: readonly RestorableWindow[];
  /** Why nothing can be restored; undefined when something can. */
  readonly notRestorable: string | undefined;
  /** Exclusive: everything below it has been deleted. */
  readonly expiredEnd: Version | undefined;
  /** Exclusive: below it files may be missing, and none is counted on. */
  readonly unreliableEnd: Version | undefined;
  readonly problems: readonly DescriptionProblem[];
}
