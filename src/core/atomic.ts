// Atomic operations, evaluated exactly as the database would have (FoundationDB: fdbclient/include/fdbclient/Atomic.h).
// An integer is little-endian, as long as the operand: the existing value is zero-extended or cut to that length.

import { compareBytes, equalBytes } from './bytes.js';
import { BackupError } from './errors.js';
import { MutationType } from './mutation.js';

/** AppendIfFits leaves the value alone rather than let it grow beyond this (FoundationDB's VALUE_SIZE_LIMIT). Bytes. */
export const VALUE_SIZE_LIMIT = 100_000;

/** The mutation types that evaluateAtomic can evaluate. */
export type AtomicType = Exclude<
  MutationType,
  | typeof MutationType.SetValue
  | typeof MutationType.ClearRange
  | typeof MutationType.SetVersionstampedKey
  | typeof MutationType.SetVersionstampedValue
>;

const evaluators: ReadonlyMap<
  number,
  (existing: Uint8Array | undefined, operand: Uint8Array) => Uint8Array | undefined
> = new Map([
  [MutationType.AddValue, addValue],
  [MutationType.And, and],
  [MutationType.Or, (existing, operand) => combine(existing, operand, (a, b) => a | b)],
  [MutationType.Xor, (existing, operand) => combine(existing, operand, (a, b) => a ^ b)],
  [MutationType.AppendIfFits, appendIfFits],
  [MutationType.Max, max],
  [MutationType.Min, min],
  [
    MutationType.ByteMin,
    (existing, operand) => (existing !== undefined && compareBytes(existing, operand) < 0 ? existing : operand),
  ],
  [
    MutationType.ByteMax,
    (existing, operand) => (existing !== undefined && compareBytes(existing, operand) > 0 ? existing : operand),
  ],
  // The second versions differ in one thing: a missing value is not taken for zero.
  [MutationType.MinV2, (existing, operand) => (existing === undefined ? operand : min(existing, operand))],
  [MutationType.AndV2, (existing, operand) => (existing === undefined ? operand : and(existing, operand))],
  [
    MutationType.CompareAndClear,
    (existing, operand) => (existing !== undefined && equalBytes(existing, operand) ? undefined : existing),
  ],
]);

/** Whether a mutation of this type needs the key's old value. */
export function isAtomicType(type: number): type is AtomicType {
  return evaluators.has(type);
}

/**
 * The key's value after the operation; undefined: no value. The result may be `existing` or `operand` itself. Throws INVALID_MUTATION for a type that is no atomic
 * operation: versionstamped ones too, since their stamp is not known once they are in a log (the database puts it in before it logs them, as plain sets).
 */
export function evaluateAtomic(
  type: number,
  existing: Uint8Array | undefined,
  operand: Uint8Array,
): Uint8Array | undefined {
  const evaluate = evaluators.get(type);
  if (evaluate === undefined)
    throw new BackupError('INVALID_MUTATION', `mutation type ${type} is not an atomic operation that can be evaluated`);
  return evaluate(existing, operand);
}

function addValue(existing: Uint8Array | undefined, operand: Uint8Array): Uint8Array {
  if (existing === undefined || existing.length === 0) return operand;
  const sum = new Uint8Array(operand.length);
  let carry = 0;
  for (let i = 0; i < operand.length; i++) {
    const digit = (existing[i] ?? 0) + (operand[i] as number) + carry;
    sum[i] = digit;
    carry = digit >> 8;
  }
  return sum;
}

/** A missing value counts as zero, unlike with Or and Xor, where zero changes nothing. */
function and(existing: Uint8Array | undefined, operand: Uint8Array): Uint8Array {
  return operand.map((byte, i) => byte & (existing?.[i] ?? 0));
}

function combine(
  existing: Uint8Array | undefined,
  operand: Uint8Array,
  of: (a: number, b: number) => number,
): Uint8Array {
  if (existing === undefined || existing.length === 0) return operand;
  return operand.map((byte, i) => of(existing[i] ?? 0, byte));
}

function appendIfFits(existing: Uint8Array | undefined, operand: Uint8Array): Uint8Array {
  if (existing === undefined || existing.length === 0) return operand;
  if (operand.length === 0 || existing.length + operand.length > VALUE_SIZE_LIMIT) return existing;
  const value = new Uint8Array(existing.length + operand.length);
  value.set(existing);
  value.set(operand, existing.length);
  return value;
}

function max(existing: Uint8Array | undefined, operand: Uint8Array): Uint8Array {
  // Zero is never larger, so a missing value gives the operand; it comes out in the operand's length either way.
  return compareIntegers(existing, operand) > 0 ? fitted(existing, operand.length) : operand;
}

function min(existing: Uint8Array | undefined, operand: Uint8Array): Uint8Array {
  return compareIntegers(existing, operand) < 0 ? fitted(existing, operand.length) : operand;
}

/** Of the existing value only what the operand's length holds counts. */
function compareIntegers(existing: Uint8Array | undefined, operand: Uint8Array): number {
  for (let i = operand.length - 1; i >= 0; i--) {
    const difference = (existing?.[i] ?? 0) - (operand[i] as number);
    if (difference !== 0) return difference;
  }
  return 0;
}

function fitted(value: Uint8Array | undefined, length: number): Uint8Array {
  const result = new Uint8Array(length);
  if (value !== undefined) result.set(value.subarray(0, length));
  return result;
}
