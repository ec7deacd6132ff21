// Keys as they stand in the files of TiKV's backup: `z`, then the engine key. Of a transactional record that is the memcomparable user key and the timestamp, all bits inverted, so that newer ones come first.
// Timestamps are halves of 32 bits where there may be one per row: no bigint.

import { BackupError } from '../../core/errors.js';
import { decodeMemcomparableAt, memcomparableEnd, memcomparableLength, writeMemcomparable } from './memcomparable.js';

/** In front of every key of TiKV's data (keys: DATA_PREFIX). */
export const DATA_PREFIX = 0x7a;

const TS_BYTES = 8;

/** Of a file's key for a user key of so many bytes and a timestamp. */
export function txnDataKeyLength(userKeyLength: number): number {
  return 1 + memcomparableLength(userKeyLength) + TS_BYTES;
}

/** Writes the timestamp in descending order; returns where it ends. The halves may be signed or unsigned. */
function writeDescendingTs(to: Uint8Array, at: number, high: number, low: number): number {
  const h = ~high;
  const l = ~low;
  to[at] = h >>> 24;
  to[at + 1] = h >>> 16;
  to[at + 2] = h >>> 8;
  to[at + 3] = h;
  to[at + 4] = l >>> 24;
  to[at + 5] = l >>> 16;
  to[at + 6] = l >>> 8;
  to[at + 7] = l;
  return at + TS_BYTES;
}

/** Writes `z`, the user key and the timestamp to `to`, from 0 on; returns the length. The caller has made room (txnDataKeyLength). */
export function writeTxnDataKey(userKey: Uint8Array, tsHigh: number, tsLow: number, to: Uint8Array): number {
  to[0] = DATA_PREFIX;
  return writeDescendingTs(to, writeMemcomparable(userKey, to, 1), tsHigh, tsLow);
}

/** `z`, the memcomparable user key and the timestamp. */
export function encodeTxnDataKey(userKey: Uint8Array, ts: bigint): Uint8Array {
  const key = new Uint8Array(txnDataKeyLength(userKey.length));
  writeTxnDataKey(userKey, Number((ts >> 32n) & 0xffff_ffffn), Number(ts & 0xffff_ffffn), key);
  return key;
}

/** The engine key: what is behind the `z`. A view. CORRUPT_FILE for a key without one. */
export function engineKeyOf(dataKey: Uint8Array, file?: string): Uint8Array {
  if (dataKey[0] !== DATA_PREFIX) throw corrupt(dataKey, 'does not begin with z', file);
  return dataKey.subarray(1);
}

/** CORRUPT_FILE unless it is `z`, a memcomparable key and a timestamp. The other functions on such keys rely on it. */
export function checkTxnDataKey(dataKey: Uint8Array, file?: string): void {
  if (dataKey[0] !== DATA_PREFIX) throw corrupt(dataKey, 'does not begin with z', file);
  const end = dataKey.length - TS_BYTES;
  if (memcomparableEnd(dataKey, 1, end) === end) return;
  throw corrupt(dataKey, 'is no memcomparable user key with a timestamp', file);
}

/** The user key (a copy) and the timestamp. CORRUPT_FILE, with `file`, for what is no key of a transactional row. */
export function decodeTxnDataKey(
  dataKey: Uint8Array,
  file?: string,
): { readonly userKey: Uint8Array; readonly ts: bigint } {
  checkTxnDataKey(dataKey, file);
  return { userKey: userKeyOf(dataKey), ts: tsOf(dataKey) };
}

/** Of a checked key. A copy. */
export function userKeyOf(txnDataKey: Uint8Array): Uint8Array {
  return decodeMemcomparableAt(txnDataKey, 1, txnDataKey.length - TS_BYTES);
}

/** Of a checked key: the upper 32 bits of its timestamp, unsigned. */
export function tsHighOf(txnDataKey: Uint8Array): number {
  return invertedWord(txnDataKey, txnDataKey.length - 8);
}

/** Of a checked key: the lower 32 bits of its timestamp, unsigned. */
export function tsLowOf(txnDataKey: Uint8Array): number {
  return invertedWord(txnDataKey, txnDataKey.length - 4);
}

/** Of a checked key. */
export function tsOf(txnDataKey: Uint8Array): bigint {
  return joinTs(tsHighOf(txnDataKey), tsLowOf(txnDataKey));
}

/** Of unsigned halves. */
export function joinTs(high: number, low: number): bigint {
  return (BigInt(high) << 32n) | BigInt(low);
}

/** < 0, 0 or > 0, of unsigned halves. */
export function compareTs(aHigh: number, aLow: number, bHigh: number, bLow: number): number {
  return aHigh === bHigh ? aLow - bLow : aHigh - bHigh;
}

function invertedWord(bytes: Uint8Array, at: number): number {
  const word =
    ((bytes[at] as number) << 24) |
    ((bytes[at + 1] as number) << 16) |
    ((bytes[at + 2] as number) << 8) |
    (bytes[at + 3] as number);
  return ~word >>> 0;
}

function corrupt(dataKey: Uint8Array, what: string, file: string | undefined): BackupError {
  return new BackupError('CORRUPT_FILE', `a key of ${dataKey.length} bytes ${what}`, { file });
}
