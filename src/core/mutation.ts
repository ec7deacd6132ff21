// One change to the database, and its encoding in the container's log files (docs/format.md).
// mutation = type u8, u32 LE length1, param1, u32 LE length2, param2

import { EMPTY_BYTES, compareBytes } from './bytes.js';
import { crc32c } from './crc32c.js';
import { BackupError } from './errors.js';

/** Type numbers as in FoundationDB's CommitTransaction.h; they are bytes on disk and never change. */
export const MutationType = {
  SetValue: 0,
  ClearRange: 1,
  AddValue: 2,
  And: 6,
  Or: 7,
  Xor: 8,
  AppendIfFits: 9,
  Max: 12,
  Min: 13,
  SetVersionstampedKey: 14,
  SetVersionstampedValue: 15,
  ByteMin: 16,
  ByteMax: 17,
  MinV2: 18,
  AndV2: 19,
  CompareAndClear: 20,
} as const;

export type MutationType = (typeof MutationType)[keyof typeof MutationType];

/**
 * A change. `param1` is the key, or the inclusive begin of a ClearRange. `param2` is the value, the operand of an atomic
 * operation, or the exclusive end of a ClearRange. A clear of one key has param2 = param1 followed by a zero byte.
 */
export interface Mutation {
  readonly type: MutationType;
  readonly param1: Uint8Array;
  readonly param2: Uint8Array;
}

/** A mutation with its place in the total order (version, subsequence). */
export interface VersionedMessage {
  readonly version: bigint;
  readonly subsequence: number;
  readonly mutation: Mutation;
}

/** Bytes of an encoded mutation besides its two params. */
export const MUTATION_OVERHEAD_BYTES = 9;

/** Set in the type byte: a crc32c (u32) of the mutation ends param2. */
export const CHECKSUM_FLAG = 0x80;
/** Set in the type byte beside CHECKSUM_FLAG: a u16 checksum index comes after the crc32c. */
export const CHECKSUM_INDEX_FLAG = 0x40;

/** What a type number means for storage, by number; numbers beyond the table are unknown. */
const NEVER_STORED = 1;
const STORABLE = 2;
const typeKinds = new Uint8Array(256);
for (const type of Object.values(MutationType)) typeKinds[type] = STORABLE;
/** Debug (3, 4), no-op (5), unused (10); messages of the log that are no mutations: log protocol (11), span contexts (21, 22), partition map (23). */
for (const type of [3, 4, 5, 10, 11, 21, 22, 23]) typeKinds[type] = NEVER_STORED;

/** Whether a message of this type is a mutation that goes into a file. Throws INVALID_MUTATION for a type that the format does not know. */
export function isStorableType(type: number): type is MutationType {
  const kind = typeKinds[type];
  if (kind === STORABLE) return true;
  if (kind === NEVER_STORED) return false;
  throw new BackupError('INVALID_MUTATION', `unknown mutation type ${type}`);
}

/** Whether [begin, end) holds exactly one key: `end` is `begin` followed by a zero byte. Such a clear is stored short. */
export function isSingleKeyClear(begin: Uint8Array, end: Uint8Array): boolean {
  if (end.length !== begin.length + 1 || end[begin.length] !== 0) return false;
  for (let i = begin.length - 1; i >= 0; i--) if (begin[i] !== end[i]) return false;
  return true;
}

/**
 * Strict. Strips and verifies the checksum if there is one, and expands a short clear. The params share the memory of `bytes`. Throws
 * INVALID_MUTATION for bytes that are no mutation, CHECKSUM_MISMATCH when the checksum is not that of the mutation.
 */
export function decodeMutation(bytes: Uint8Array): Mutation {
  if (bytes.length < MUTATION_OVERHEAD_BYTES) throw invalid(`${bytes.length} bytes are too few for a mutation`);
  const flagged = bytes[0] as number;
  const type = flagged & ~(CHECKSUM_FLAG | CHECKSUM_INDEX_FLAG);
  if (!isStorableType(type)) throw invalid(`messages of type ${type} are no mutations and never stored`);
  const length1 = readUint32LE(bytes, 1);
  if (length1 > bytes.length - MUTATION_OVERHEAD_BYTES)
    throw invalid(`param1 of ${length1} bytes does not fit into ${bytes.length}`);
  const length2 = readUint32LE(bytes, 5 + length1);
  if (length1 + length2 + MUTATION_OVERHEAD_BYTES !== bytes.length) {
    throw invalid(`params of ${length1} and ${length2} bytes do not make up ${bytes.length}`);
  }
  const param1 = bytes.subarray(5, 5 + length1);
  const param2 = bytes.subarray(MUTATION_OVERHEAD_BYTES + length1);
  if (flagged === type) return expandClear(type, param1, param2);
  return verifyChecksum(flagged, type, param1, param2);
}

function verifyChecksum(flagged: number, type: MutationType, param1: Uint8Array, param2: Uint8Array): Mutation {
  if ((flagged & CHECKSUM_FLAG) === 0) throw invalid('a checksum index without a checksum');
  const crcAt = param2.length - ((flagged & CHECKSUM_INDEX_FLAG) === 0 ? 4 : 6);
  if (crcAt < 0) throw invalid(`param2 of ${param2.length} bytes is too short for its checksum`);
  const mutation = expandClear(type, param1, param2.subarray(0, crcAt));
  const stored = readUint32LE(param2, crcAt);
  // The original seeds the crc with the plain type's value and sums the expanded params.
  const computed = crc32c(mutation.param2, crc32c(mutation.param1, type));
  if (stored !== computed) {
    throw new BackupError('CHECKSUM_MISMATCH', `mutation has checksum ${stored}, computed ${computed}`);
  }
  return mutation;
}

/** A short clear [k + 0x00, "") becomes [k, k + 0x00). */
function expandClear(type: MutationType, param1: Uint8Array, param2: Uint8Array): Mutation {
  if (type === MutationType.ClearRange) {
    if (param2.length === 0 && param1.length > 0) {
      if (param1[param1.length - 1] !== 0) throw invalid('a short clear whose param1 does not end with a zero byte');
      return { type, param1: param1.subarray(0, param1.length - 1), param2: param1 };
    }
    if (compareBytes(param1, param2) > 0) throw invalid('a clear whose end lies before its begin');
  }
  return { type, param1, param2 };
}

/** Plain, without a checksum; a clear of one key comes out short. Throws INVALID_MUTATION for what decodeMutation would refuse. */
export function encodeMutation(mutation: Mutation): Uint8Array {
  if (!isStorableType(mutation.type)) throw invalid(`messages of type ${String(mutation.type)} are never stored`);
  let { param1, param2 } = mutation;
  if (mutation.type === MutationType.ClearRange) {
    if (isSingleKeyClear(param1, param2)) [param1, param2] = [param2, EMPTY_BYTES];
    else if (compareBytes(param1, param2) > 0) throw invalid('a clear whose end lies before its begin');
  }
  const bytes = new Uint8Array(MUTATION_OVERHEAD_BYTES + param1.length + param2.length);
  bytes[0] = mutation.type;
  writeUint32LE(bytes, 1, param1.length);
  bytes.set(param1, 5);
  writeUint32LE(bytes, 5 + param1.length, param2.length);
  bytes.set(param2, MUTATION_OVERHEAD_BYTES + param1.length);
  return bytes;
}

/** Plain byte arithmetic: a DataView per buffer costs more than it saves here. */
export function readUint32LE(bytes: Uint8Array, at: number): number {
  return (
    ((bytes[at] as number) |
      ((bytes[at + 1] as number) << 8) |
      ((bytes[at + 2] as number) << 16) |
      ((bytes[at + 3] as number) << 24)) >>>
    0
  );
}

export function writeUint32LE(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value;
  bytes[at + 1] = value >>> 8;
  bytes[at + 2] = value >>> 16;
  bytes[at + 3] = value >>> 24;
}

export function writeUint32BE(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 24;
  bytes[at + 1] = value >>> 16;
  bytes[at + 2] = value >>> 8;
  bytes[at + 3] = value;
}

function invalid(what: string): BackupError {
  return new BackupError('INVALID_MUTATION', `not a mutation: ${what}`);
}
