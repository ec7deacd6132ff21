// Names of a container's files: built here and nowhere else, and read back here. Pure functions; a name that is not ours parses to undefined.
// Layout as in FoundationDB's BackupContainerFileSystem.cpp (docs/format.md).

import { BackupError } from '../../core/errors.js';
import type { Version } from '../../core/version.js';
import { MAX_VERSION } from '../../core/version.js';

export const LOG_FOLDER = 'plogs/';
export const UNPARTITIONED_LOG_FOLDER = 'logs/';
export const RANGE_FOLDER = 'kvranges/';
export const SNAPSHOT_FOLDER = 'snapshots/';
export const PROPERTY_FOLDER = 'properties/';

/** Bytes of a log file's block unless there is a reason; FoundationDB's restore assumes its own knob, which has this value. */
export const DEFAULT_BLOCK_SIZE = 1_048_576;
/** A block must hold its header; no reader should be talked into a buffer larger than this by a name. */
export const MIN_BLOCK_SIZE = 5;
export const MAX_BLOCK_SIZE = 1 << 30;

/** Log files whose begins share a folder: `plogs/AAAA/BBBB/` changes at multiples of this version. */
export const FOLDER_VERSIONS: Version = 10n ** 11n;
/** Range files of a snapshot per folder. */
export const RANGE_FILES_PER_FOLDER = 5000;

/** What the name of a partitioned log file says. */
export interface LogFileDescriptor {
  /** Inclusive. */
  readonly begin: Version;
  /** Exclusive. */
  readonly end: Version;
  /** 32 hex digits, random. */
  readonly uid: string;
  /** The id of the log router tag, 0 <= tag < totalTags. */
  readonly tag: number;
  readonly totalTags: number;
  /** Bytes. */
  readonly blockSize: number;
}

/** What the name of an unpartitioned log file (`logs/`) says. */
export type UnpartitionedLogFileDescriptor = Pick<LogFileDescriptor, 'begin' | 'end' | 'uid' | 'blockSize'>;

/** What the name of a range file (rows of a snapshot) says. */
export interface RangeFileDescriptor {
  /** The version at which the snapshot was begun: it names the snapshot's folder. */
  readonly snapshotBegin: Version;
  /** Index of the file within its snapshot divided by RANGE_FILES_PER_FOLDER, rounded down. */
  readonly folder: number;
  /** The version of every row in the file. */
  readonly version: Version;
  readonly uid: string;
  readonly blockSize: number;
}

/** What the name of a snapshot manifest says. Both versions inclusive: the smallest and largest version of its range files. */
export interface SnapshotFileDescriptor {
  readonly beginVersion: Version;
  readonly endVersion: Version;
  readonly totalBytes: number;
  /** FoundationDB appends `bulk` (a bulk dump, no range files) or `range` where a container has both kinds; most names have none. */
  readonly kind?: 'range' | 'bulk';
}

function refuse(what: string, value: unknown): never {
  throw new BackupError('INVALID_NAME', `${what} cannot be part of a file name: ${String(value)}`);
}

function checkPart(condition: boolean, what: string, value: unknown): void {
  if (!condition) refuse(what, value);
}

function checkCommon(begin: Version, end: Version, uid: string, blockSize: number): void {
  checkPart(begin >= 0n, 'begin version', begin);
  checkPart(end > begin && end <= MAX_VERSION, 'end version', end);
  checkPart(/^[0-9a-f]{32}$/.test(uid), 'uid', uid);
  checkPart(
    Number.isInteger(blockSize) && blockSize >= MIN_BLOCK_SIZE && blockSize <= MAX_BLOCK_SIZE,
    'block size',
    blockSize,
  );
}

/** `AAAA/BBBB`: the begin version as %019d without its last 11 digits. */
function versionFolder(begin: Version): string {
  const digits = (begin / FOLDER_VERSIONS).toString().padStart(8, '0');
  return `${digits.slice(0, -4)}/${digits.slice(-4)}`;
}

/** `plogs/AAAA/BBBB/log,…`. INVALID_NAME for what the format cannot hold. */
export function logFileName(descriptor: LogFileDescriptor): string {
  const { begin, end, uid, tag, totalTags, blockSize } = descriptor;
  checkCommon(begin, end, uid, blockSize);
  checkPart(Number.isSafeInteger(totalTags) && totalTags >= 1, 'number of tags', totalTags);
  checkPart(Number.isInteger(tag) && tag >= 0 && tag < totalTags, 'tag', tag);
  return `${LOG_FOLDER}${versionFolder(begin)}/log,${begin},${end},${uid},${tag}-of-${totalTags},${blockSize}`;
}

/** `kvranges/snapshot.<begin>/<n>/range,…` */
export function rangeFileName(descriptor: RangeFileDescriptor): string {
  const { snapshotBegin, folder, version, uid, blockSize } = descriptor;
  checkPart(snapshotBegin >= 0n && snapshotBegin <= MAX_VERSION, 'snapshot begin version', snapshotBegin);
  checkPart(Number.isSafeInteger(folder) && folder >= 0, 'folder', folder);
  checkCommon(version, version + 1n, uid, blockSize);
  const begin = snapshotBegin.toString().padStart(18, '0');
  return `${RANGE_FOLDER}snapshot.${begin}/${folder}/range,${version},${uid},${blockSize}`;
}

/** `snapshots/snapshot,<begin>,<end>,<bytes>` */
export function snapshotFileName(descriptor: SnapshotFileDescriptor): string {
  const { beginVersion, endVersion, totalBytes, kind } = descriptor;
  checkPart(beginVersion >= 0n, 'begin version', beginVersion);
  checkPart(endVersion >= beginVersion && endVersion <= MAX_VERSION, 'end version', endVersion);
  checkPart(Number.isSafeInteger(totalBytes) && totalBytes >= 0, 'total bytes', totalBytes);
  return `${SNAPSHOT_FOLDER}snapshot,${beginVersion},${endVersion},${totalBytes}${kind === undefined ? '' : `,${kind}`}`;
}

/**
 * Where a file over [begin, end) must be split so that FoundationDB's reader finds it (rule P20): at the last folder boundary below `end`, if that is
 * above `begin`. One boundary at most, however long the jump.
 */
export function splitAtFolder(begin: Version, end: Version): Version[] {
  const boundary = ((end - 1n) / FOLDER_VERSIONS) * FOLDER_VERSIONS;
  return boundary > begin ? [boundary] : [];
}

// The parsers run once per file of a container with hundreds of thousands of files: one pass over the characters, and no regular expression.

const ZERO = 0x30;
const COMMA = 0x2c;
const SAFE_DIGITS = 16; // of 2^53: as long as a number has no more, rounding never brings one from above it below

/** A place in a name; every method moves it behind what it has read. */
class Cursor {
  readonly #text: string;
  #at: number;

  constructor(text: string, at: number) {
    this.#text = text;
    this.#at = at;
  }

  get atEnd(): boolean {
    return this.#at === this.#text.length;
  }

  literal(text: string): boolean {
    if (!this.#text.startsWith(text, this.#at)) return false;
    this.#at += text.length;
    return true;
  }

  /** A plain decimal integer below 2^53; -1 when there is none. */
  integer(): number {
    const text = this.#text;
    const begin = this.#at;
    let at = begin;
    let value = 0;
    for (let digit = text.charCodeAt(at) - ZERO; digit >= 0 && digit <= 9; digit = text.charCodeAt(++at) - ZERO) {
      value = value * 10 + digit;
    }
    this.#at = at;
    const digits = at - begin;
    return digits === 0 || digits > SAFE_DIGITS || value > Number.MAX_SAFE_INTEGER ? -1 : value;
  }

  /** Moves behind this character if it is next. */
  character(code: number): boolean {
    if (this.#text.charCodeAt(this.#at) !== code) return false;
    this.#at++;
    return true;
  }

  /** A version, 0 to 2^63 - 1; undefined when there is none. */
  version(): Version | undefined {
    const begin = this.#at;
    const value = this.integer();
    if (value >= 0) return BigInt(value);
    const digits = this.#at - begin;
    if (digits === 0 || digits > 19) return undefined;
    const version = BigInt(this.#text.slice(begin, this.#at));
    return version <= MAX_VERSION ? version : undefined;
  }

  /** What stands before the next comma, not empty; the reader does not insist on 32 hex digits, as the original does not. */
  field(): string | undefined {
    const begin = this.#at;
    const comma = this.#text.indexOf(',', begin);
    this.#at = comma < 0 ? this.#text.length : comma;
    return this.#at === begin ? undefined : this.#text.slice(begin, this.#at);
  }
}

function isBlockSize(value: number): boolean {
  return value >= MIN_BLOCK_SIZE && value <= MAX_BLOCK_SIZE;
}

/** A log file as a listing shows it. */
export interface ListedLogFile extends LogFileDescriptor {
  /** Its path in the container. */
  readonly name: string;
  /** Bytes; 0 says that the tag had nothing to store in [begin, end). */
  readonly size: number;
}

/** undefined for any name that is not a partitioned log file's; readers ignore those. */
export function parseLogFileName(path: string): LogFileDescriptor | undefined {
  const listed = parseListedLogFile(path, 0);
  if (listed === undefined) return undefined;
  const { begin, end, uid, tag, totalTags, blockSize } = listed;
  return { begin, end, uid, tag, totalTags, blockSize };
}

/** The same for a listing, in one object: half of the time of a large one goes into making objects. */
export function parseListedLogFile(name: string, size: number): ListedLogFile | undefined {
  if (!name.startsWith(LOG_FOLDER)) return undefined;
  const cursor = new Cursor(name, name.lastIndexOf('/') + 1);
  if (!cursor.literal('log,')) return undefined;
  const begin = cursor.version();
  if (begin === undefined || !cursor.character(COMMA)) return undefined;
  const end = cursor.version();
  if (end === undefined || end <= begin || !cursor.character(COMMA)) return undefined;
  const uid = cursor.field();
  if (uid === undefined || !cursor.character(COMMA)) return undefined;
  const tag = cursor.integer();
  if (tag < 0 || !cursor.literal('-of-')) return undefined;
  const totalTags = cursor.integer();
  if (totalTags <= tag || !cursor.character(COMMA)) return undefined;
  const blockSize = cursor.integer();
  if (!isBlockSize(blockSize) || !cursor.atEnd) return undefined;
  return { begin, end, uid, tag, totalTags, blockSize, name, size };
}

/** `logs/…`: the older log format. */
export function parseUnpartitionedLogFileName(path: string): UnpartitionedLogFileDescriptor | undefined {
  if (!path.startsWith(UNPARTITIONED_LOG_FOLDER)) return undefined;
  const cursor = new Cursor(path, path.lastIndexOf('/') + 1);
  if (!cursor.literal('log,')) return undefined;
  const begin = cursor.version();
  if (begin === undefined || !cursor.character(COMMA)) return undefined;
  const end = cursor.version();
  if (end === undefined || end <= begin || !cursor.character(COMMA)) return undefined;
  const uid = cursor.field();
  if (uid === undefined || !cursor.character(COMMA)) return undefined;
  const blockSize = cursor.integer();
  if (!isBlockSize(blockSize) || !cursor.atEnd) return undefined;
  return { begin, end, uid, blockSize };
}

export function parseRangeFileName(path: string): RangeFileDescriptor | undefined {
  const cursor = new Cursor(path, 0);
  if (!cursor.literal(`${RANGE_FOLDER}snapshot.`)) return undefined;
  const snapshotBegin = cursor.version();
  if (snapshotBegin === undefined || !cursor.literal('/')) return undefined;
  const folder = cursor.integer();
  if (folder < 0 || !cursor.literal('/range,')) return undefined;
  const version = cursor.version();
  if (version === undefined || !cursor.character(COMMA)) return undefined;
  const uid = cursor.field();
  if (uid === undefined || !cursor.character(COMMA)) return undefined;
  const blockSize = cursor.integer();
  if (!isBlockSize(blockSize) || !cursor.atEnd) return undefined;
  return { snapshotBegin, folder, version, uid, blockSize };
}

export function parseSnapshotFileName(path: string): SnapshotFileDescriptor | undefined {
  const cursor = new Cursor(path, 0);
  if (!cursor.literal(`${SNAPSHOT_FOLDER}snapshot,`)) return undefined;
  const beginVersion = cursor.version();
  if (beginVersion === undefined || !cursor.character(COMMA)) return undefined;
  const endVersion = cursor.version();
  if (endVersion === undefined || endVersion < beginVersion || !cursor.character(COMMA)) return undefined;
  const totalBytes = cursor.integer();
  if (totalBytes < 0) return undefined;
  if (cursor.atEnd) return { beginVersion, endVersion, totalBytes };
  if (!cursor.character(COMMA)) return undefined;
  const kind = cursor.field();
  if ((kind !== 'range' && kind !== 'bulk') || !cursor.atEnd) return undefined;
  return { beginVersion, endVersion, totalBytes, kind };
}
