// One change to the database, and its encoding in the container's log files (docs/format.md).
// mutation = type u8, u32 LE length1, param1, u32 LE length2, param2

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

/** Placeholder until the pipeline lands its codec in this file. */
export function decodeMutation(_bytes: Uint8Array): Mutation {
  throw new Error('not written yet');
}
