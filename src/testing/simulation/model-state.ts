// The model's own, deliberately plain evaluation of mutations: it shares nothing with the library's, so that the two check each other.

import { toHex } from '../../core/bytes.js';
import type { Mutation } from '../../core/mutation.js';
import { MutationType } from '../../core/mutation.js';

/** The types that the simulated database writes. */
export const SIMULATED_TYPES = [
  MutationType.SetValue,
  MutationType.ClearRange,
  MutationType.AddValue,
  MutationType.AppendIfFits,
  MutationType.Max,
  MutationType.ByteMax,
  MutationType.CompareAndClear,
] as const;

/** Rows are kept by hex key: hex text orders as the bytes do. */
export function applyToModel(rows: Map<string, Uint8Array>, { type, param1, param2 }: Mutation): void {
  const key = toHex(param1);
  const old = rows.get(key);
  switch (type) {
    case MutationType.SetValue:
      rows.set(key, param2);
      return;
    case MutationType.ClearRange:
      clearRows(rows, key, toHex(param2));
      return;
    case MutationType.AddValue:
      rows.set(
        key,
        toLittleEndian(fromLittleEndian(old, param2.length) + fromLittleEndian(param2, param2.length), param2.length),
      );
      return;
    case MutationType.AppendIfFits:
      rows.set(key, Buffer.concat([old ?? Buffer.alloc(0), param2]));
      return;
    case MutationType.Max: {
      const left = fromLittleEndian(old, param2.length);
      const right = fromLittleEndian(param2, param2.length);
      rows.set(key, left > right ? toLittleEndian(left, param2.length) : param2);
      return;
    }
    case MutationType.ByteMax:
      if (old === undefined || Buffer.compare(old, param2) < 0) rows.set(key, param2);
      return;
    case MutationType.CompareAndClear:
      if (old !== undefined && toHex(old) === toHex(param2)) rows.delete(key);
      return;
    default:
      throw new TypeError(`the simulated database writes no mutations of type ${type}`);
  }
}

function clearRows(rows: Map<string, Uint8Array>, begin: string, end: string): void {
  for (const key of [...rows.keys()]) if (key >= begin && key < end) rows.delete(key);
}

function fromLittleEndian(bytes: Uint8Array | undefined, length: number): bigint {
  let value = 0n;
  for (let i = Math.min(length, bytes?.length ?? 0) - 1; i >= 0; i--) value = (value << 8n) | BigInt(bytes?.[i] ?? 0);
  return value;
}

function toLittleEndian(value: bigint, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  let rest = value;
  for (let i = 0; i < length; i++) {
    bytes[i] = Number(rest & 0xffn);
    rest >>= 8n;
  }
  return bytes;
}
