// Raw KV as TiKV stores it, which depends on the API version of the cluster (TiKV, components/api_version): what a row's user key and user value are.
// Must never give a value that is not one: whatever the bytes, it is CORRUPT_FILE or what TiKV would read.

import { BackupError } from '../../core/errors.js';
import { decodeMemcomparableAt, memcomparableEnd } from './memcomparable.js';

/**
 * `v1`: keys and values as they are. `v1ttl`: 8 bytes behind each value say when it expires. `v2`: keys are memcomparable with a timestamp behind them, like transactional ones; user keys begin with `r` and 3 bytes of keyspace;
 * behind a value stand flags, and the time at which it expires if they say so.
 */
export type RawApiVersion = 'v1' | 'v1ttl' | 'v2';

export interface RawRow {
  /** What the cluster's clients know it as; of v2 with `r` and the keyspace, without the timestamp. */
  readonly userKey: Uint8Array;
  readonly userValue: Uint8Array;
  /** Seconds since 1970; undefined: never. */
  readonly expiresAt?: bigint | undefined;
  /** The row says that the key was deleted. */
  readonly isDelete: boolean;
}

const TTL_BYTES = 8;
const TS_BYTES = 8;
const EXPIRES = 1;
const DELETED = 2;

/** The user key of an engine key (a file's key without its `z`). A view, or for v2 a copy. CORRUPT_FILE, with `file`. */
export function rawUserKey(version: RawApiVersion, engineKey: Uint8Array, file?: string): Uint8Array {
  if (version !== 'v2') return engineKey;
  const end = engineKey.length - TS_BYTES;
  if (memcomparableEnd(engineKey, 0, end) !== end) {
    throw corrupt(`a raw key of ${engineKey.length} bytes is not of API v2`, file);
  }
  return decodeMemcomparableAt(engineKey, 0, end);
}

/** How many bytes at the begin of a stored value are the user's. CORRUPT_FILE, with `file`. */
export function rawUserValueLength(version: RawApiVersion, value: Uint8Array, file?: string): number {
  if (version === 'v1') return value.length;
  const flags = version === 'v1ttl' ? 0 : flagsOf(value, file);
  const suffix = version === 'v1ttl' ? TTL_BYTES : 1 + ((flags & EXPIRES) === 0 ? 0 : TTL_BYTES);
  if (value.length < suffix) throw corrupt(`a raw value of ${value.length} bytes ends inside what is behind it`, file);
  return value.length - suffix;
}

/** CORRUPT_FILE, with `file`, for what is not a row of that API version. Key and value are views where they can be. */
export function decodeRawRow(version: RawApiVersion, engineKey: Uint8Array, value: Uint8Array, file?: string): RawRow {
  const userKey = rawUserKey(version, engineKey, file);
  const length = rawUserValueLength(version, value, file);
  const userValue = value.subarray(0, length);
  if (version === 'v1') return { userKey, userValue, isDelete: false };
  const flags = version === 'v1ttl' ? EXPIRES : flagsOf(value, file);
  const expiresAt = (flags & EXPIRES) === 0 ? undefined : uint64(value, length);
  // 0 stands for never where there is no flag to say so.
  const never = version === 'v1ttl' && expiresAt === 0n;
  return { userKey, userValue, expiresAt: never ? undefined : expiresAt, isDelete: (flags & DELETED) !== 0 };
}

function flagsOf(value: Uint8Array, file: string | undefined): number {
  const flags = value.at(-1);
  if (flags !== undefined && (flags & ~(EXPIRES | DELETED)) === 0) return flags;
  throw corrupt(`a raw value of ${value.length} bytes does not end in flags of API v2`, file);
}

function uint64(bytes: Uint8Array, at: number): bigint {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength).getBigUint64(at);
}

function corrupt(what: string, file: string | undefined): BackupError {
  return new BackupError('CORRUPT_FILE', what, { file });
}
