// The small files under properties/: what a container says about itself, and which job it belongs to. Never encrypted.

import { fromHex, toHex, utf8 } from '../../core/bytes.js';
import { BackupError } from '../../core/errors.js';
import type { KeyRange } from '../../core/key-range.js';
import { checkRange } from '../../core/key-range.js';
import type { Version } from '../../core/version.js';
import { MAX_VERSION } from '../../core/version.js';

/** Names of the properties that FoundationDB knows. */
export const PROPERTY = {
  /** The container's kind of log: see MUTATION_LOG_TYPE. */
  mutationLogType: 'properties/mutation_log_type',
  /** Cache: inclusive begin of the log stretch that is known to have no gap. */
  logBeginVersion: 'properties/log_begin_version',
  /** Cache: exclusive end of that stretch. */
  logEndVersion: 'properties/log_end_version',
  /** Everything below it has been deleted. */
  expiredEndVersion: 'properties/expired_end_version',
  /** Everything below it is being deleted: some of it may be missing. */
  unreliableEndVersion: 'properties/unreliable_end_version',
  encryptionMetadata: 'properties/encryption_metadata',
} as const;

/** A property file of our own: it ties the container to a job. FoundationDB's tools ignore it. */
export const JOB_MARKER_NAME = 'properties/tidemark_job';

/** Of an encrypted container that was made here: tells whether a key is its own, and nothing else about the key. */
export const KEY_CHECK_NAME = 'properties/tidemark_key_check';

export const MUTATION_LOG_TYPE = { unpartitioned: 0, partitioned: 1, rangePartitioned: 2 } as const;

/** No property is longer than this, the job's marker with its ranges apart. */
export const MAX_PROPERTY_BYTES = 4096;
export const MAX_JOB_MARKER_BYTES = 64 << 20;

export interface EncryptionMetadata {
  readonly enabled: boolean;
  /** Plaintext bytes per encrypted block; 0 when not encrypted. */
  readonly blockSize: number;
}

/** Which job a container belongs to, and what a restore must know of it. */
export interface JobMarker {
  readonly uid: string;
  /** Tells apart two jobs of one UID in two progress stores; missing in markers that were made without one. */
  readonly submission?: string | undefined;
  /** True: no snapshot will ever come; the log from `firstVersion` on rebuilds the database from nothing. */
  readonly logOnly: boolean;
  /** The job's ranges as they were given; [] means the normal keys. */
  readonly ranges: readonly KeyRange[];
  /** Inclusive: first version that the job asked for. */
  readonly startVersion: Version;
  /** Inclusive: the first version that the database can have written anything at. */
  readonly firstVersion: Version;
}

export const DEFAULT_FIRST_VERSION: Version = 1n;

function decode(bytes: Uint8Array, file: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    throw corrupt(file, 'is not text', cause);
  }
}

function corrupt(file: string, what: string, cause?: unknown): BackupError {
  return new BackupError('CORRUPT_FILE', `${file} ${what}`, { file, offset: 0, cause });
}

/** Decimal text, nothing else in the file. */
export function encodeNumberProperty(value: bigint | number): Uint8Array {
  return utf8(value.toString());
}

/** CORRUPT_FILE unless the bytes are a decimal number from 0 to 2^63 - 1; white space around it is forgiven, as the original's scan does. */
export function parseNumberProperty(bytes: Uint8Array, file: string): bigint {
  const text = decode(bytes, file).trim();
  const value = /^[0-9]{1,19}$/.test(text) ? BigInt(text) : undefined;
  if (value === undefined || value > MAX_VERSION)
    throw corrupt(file, `should hold one decimal number, got ${JSON.stringify(text.slice(0, 40))}`);
  return value;
}

export function encodeEncryptionMetadata(metadata: EncryptionMetadata): Uint8Array {
  return utf8(`{"is_encryption_enabled":${metadata.enabled},"encryption_block_size":${metadata.blockSize}}`);
}

export function parseEncryptionMetadata(
  bytes: Uint8Array,
  file: string = PROPERTY.encryptionMetadata,
): EncryptionMetadata {
  const fields = parseObject(bytes, file);
  const enabled = fields['is_encryption_enabled'];
  const blockSize = fields['encryption_block_size'];
  if (
    typeof enabled !== 'boolean' ||
    typeof blockSize !== 'number' ||
    !Number.isSafeInteger(blockSize) ||
    blockSize < 0
  ) {
    throw corrupt(file, 'should hold is_encryption_enabled and encryption_block_size');
  }
  if (enabled !== blockSize > 0) throw corrupt(file, `contradicts itself: enabled ${enabled}, block size ${blockSize}`);
  return { enabled, blockSize };
}

export function encodeJobMarker(marker: JobMarker): Uint8Array {
  return utf8(
    JSON.stringify({
      uid: marker.uid,
      submission: marker.submission,
      logOnly: marker.logOnly,
      ranges: marker.ranges.map((range) => [toHex(range.begin), toHex(range.end)]),
      startVersion: marker.startVersion.toString(),
      firstVersion: marker.firstVersion.toString(),
    }),
  );
}

/** CORRUPT_FILE for anything but what encodeJobMarker writes; a missing firstVersion is the default, unknown fields are ignored. */
export function parseJobMarker(bytes: Uint8Array, file: string = JOB_MARKER_NAME): JobMarker {
  const fields = parseObject(bytes, file);
  const { uid, submission, logOnly, ranges } = fields;
  if (typeof uid !== 'string' || uid === '') throw corrupt(file, 'should hold a uid');
  if (typeof logOnly !== 'boolean') throw corrupt(file, 'should hold logOnly');
  if (!Array.isArray(ranges)) throw corrupt(file, 'should hold ranges');
  if (submission !== undefined && typeof submission !== 'string') throw corrupt(file, 'should hold a submission');
  return {
    uid,
    ...(submission === undefined ? {} : { submission }),
    logOnly,
    ranges: ranges.map((range: unknown) => parseRange(range, file)),
    startVersion: parseVersion(fields['startVersion'], 'startVersion', file),
    firstVersion:
      fields['firstVersion'] === undefined
        ? DEFAULT_FIRST_VERSION
        : parseVersion(fields['firstVersion'], 'firstVersion', file),
  };
}

function parseObject(bytes: Uint8Array, file: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(decode(bytes, file));
  } catch (cause) {
    throw BackupError.is(cause) ? cause : corrupt(file, 'is not JSON', cause);
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw corrupt(file, 'should hold a JSON object');
  return value as Record<string, unknown>;
}

function parseVersion(value: unknown, field: string, file: string): Version {
  const version = typeof value === 'string' && /^[0-9]{1,19}$/.test(value) ? BigInt(value) : undefined;
  if (version === undefined || version > MAX_VERSION) throw corrupt(file, `has an invalid ${field}`);
  return version;
}

function parseRange(value: unknown, file: string): KeyRange {
  const [begin, end] = Array.isArray(value) && value.length === 2 ? (value as unknown[]) : [];
  if (!isHex(begin) || !isHex(end)) throw corrupt(file, 'has a range that is not a pair of hex strings');
  const range = { begin: fromHex(begin), end: fromHex(end) };
  try {
    checkRange(range, 'a range of the job');
  } catch (cause) {
    throw corrupt(file, 'has a range that is empty or backwards', cause);
  }
  return range;
}

function isHex(value: unknown): value is string {
  return typeof value === 'string' && value.length % 2 === 0 && /^[0-9a-f]*$/.test(value);
}
