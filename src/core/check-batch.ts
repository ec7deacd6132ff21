// Whether a MessageBatch is what it says: the pipeline copies its records as they are and looks at none of them, so what is wrong here would be stored.

import { types } from 'node:util';
import { isBuilt } from './built-batches.js';
import { isBytes } from './bytes.js';
import { BackupError } from './errors.js';
import type { MessageBatch } from './message-batch.js';
import { RECORD_HEADER_BYTES } from './message-batch.js';
import {
  CHECKSUM_FLAG,
  CHECKSUM_INDEX_FLAG,
  MUTATION_OVERHEAD_BYTES,
  MutationType,
  decodeMutation,
  isStorableType,
  readUint32LE,
} from './mutation.js';

/** What is wrong with a batch; undefined: nothing. One that a MessageBatchBuilder has made is right, and is not looked at. */
export function batchProblem(batch: MessageBatch): string | undefined {
  if (isBuilt(batch)) return undefined;
  return shapeProblem(batch) ?? keysProblem(batch) ?? versionsProblem(batch) ?? recordsProblem(batch);
}

function shapeProblem(batch: Partial<MessageBatch>): string | undefined {
  const { bytes, byteLength, recordStarts, recordCount, versions, versionRecords, versionCount, maxRecordBytes } =
    batch;
  if (!isBytes(bytes)) return 'bytes must be a Uint8Array';
  if (!types.isUint32Array(recordStarts)) return 'recordStarts must be a Uint32Array';
  if (!types.isBigInt64Array(versions)) return 'versions must be a BigInt64Array';
  if (!types.isUint32Array(versionRecords)) return 'versionRecords must be a Uint32Array';
  if (!isCount(byteLength, bytes.length))
    return `byteLength must be from 0 to ${bytes.length}, got ${String(byteLength)}`;
  if (!isCount(recordCount, recordStarts.length - 1))
    return `recordCount ${String(recordCount)} does not fit recordStarts`;
  if (!isCount(versionCount, Math.min(versions.length, versionRecords.length - 1)))
    return `versionCount ${String(versionCount)} does not fit versions and versionRecords`;
  if (!isCount(maxRecordBytes, byteLength))
    return `maxRecordBytes must be from 0 to ${byteLength}, got ${String(maxRecordBytes)}`;
  for (const name of ['release', 'recordsThrough', 'versionIndexAfter'] as const)
    if (typeof batch[name] !== 'function')
      return `it has no function ${name}: make it with MessageBatchBuilder, or new MessageBatch()`;
  return undefined;
}

function isCount(value: unknown, most: number): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0 && (value as number) <= most;
}

/** Ascending, and each with at least one record. */
function versionsProblem({ versions, versionRecords, versionCount, recordCount }: MessageBatch): string | undefined {
  let before = -1n;
  for (let i = 0; i < versionCount; i++) {
    const version = versions[i] as bigint;
    if (version <= before) return `its versions must ascend within [0, 2^63): ${version} after ${before}`;
    before = version;
    if ((versionRecords[i] as number) >= (versionRecords[i + 1] as number))
      return `version ${version} must have a record`;
  }
  if (versionRecords[0] !== 0 || versionRecords[versionCount] !== recordCount)
    return 'versionRecords must begin with 0 and end with recordCount';
  return undefined;
}

/** Framed one after the other, each with the version under which it is listed, and with a mutation inside the key interval. */
function recordsProblem(batch: MessageBatch): string | undefined {
  const { bytes, byteLength, recordStarts, recordCount, versions, versionRecords, versionCount } = batch;
  if (recordStarts[0] !== 0 || recordStarts[recordCount] !== byteLength)
    return 'recordStarts must begin with 0 and end with byteLength';
  const view = new DataView(bytes.buffer, bytes.byteOffset, byteLength);
  for (let i = 0; i < versionCount; i++) {
    const version = versions[i] as bigint;
    const high = Number(version >> 32n);
    const low = Number(version & 0xffffffffn);
    let subsequence = 0;
    const endRecord = versionRecords[i + 1] as number;
    for (let record = versionRecords[i] as number; record < endRecord; record++) {
      const start = recordStarts[record] as number;
      const length = (recordStarts[record + 1] as number) - start;
      if (length < RECORD_HEADER_BYTES || start + length > byteLength || length > batch.maxRecordBytes)
        return `record ${record} of ${length} bytes does not lie within the batch, or is longer than maxRecordBytes`;
      if (view.getUint32(start) !== high || view.getUint32(start + 4) !== low)
        return `record ${record} is listed under version ${version}, and its bytes say another one`;
      if (view.getUint32(start + 8) < subsequence)
        return `record ${record} of version ${version} is out of order: subsequences must not go down`;
      if (view.getUint32(start + 12) !== length - RECORD_HEADER_BYTES)
        return `record ${record} of version ${version} has another length than its bytes say`;
      subsequence = view.getUint32(start + 8);
      const problem = mutationProblem(batch, start + RECORD_HEADER_BYTES, start + length);
      if (problem !== undefined) return `record ${record} of version ${version}: ${problem}`;
    }
  }
  return undefined;
}

/** The mutation in [from, to) of the batch's bytes. Outside of the key interval it would be left out, or stored for a job that has other keys (rule P19). */
function mutationProblem({ bytes, minKey, endKey }: MessageBatch, from: number, to: number): string | undefined {
  if (to - from < MUTATION_OVERHEAD_BYTES) return `${to - from} bytes are too few for a mutation`;
  const flagged = bytes[from] as number;
  const type = flagged & ~(CHECKSUM_FLAG | CHECKSUM_INDEX_FLAG);
  try {
    if (!isStorableType(type)) return `messages of type ${type} are no mutations and never stored`;
    if (type !== flagged) decodeMutation(bytes.subarray(from, to));
  } catch (error) {
    if (BackupError.is(error)) return error.message;
    throw error;
  }
  const length1 = readUint32LE(bytes, from + 1);
  if (length1 > to - from - MUTATION_OVERHEAD_BYTES) return `param1 of ${length1} bytes does not fit`;
  const length2 = readUint32LE(bytes, from + 5 + length1);
  if (length1 + length2 + MUTATION_OVERHEAD_BYTES !== to - from)
    return `params of ${length1} and ${length2} bytes do not make up the record`;
  if (minKey === undefined || endKey === undefined) return 'it has no key interval';
  const [key, second] = [from + 5, from + MUTATION_OVERHEAD_BYTES + length1];
  const isClear = type === MutationType.ClearRange;
  // A short clear is [k + 0x00, ""): the key is all but its last byte.
  const isShort = isClear && length2 === 0 && length1 > 0;
  if (isClear && !isShort && comparePart(bytes, key, length1, bytes.subarray(second, second + length2)) > 0)
    return 'a clear whose end lies before its begin';
  const isBelow = comparePart(bytes, key, isShort ? length1 - 1 : length1, minKey) < 0;
  const isAbove =
    isClear && !isShort
      ? comparePart(bytes, second, length2, endKey) > 0
      : comparePart(bytes, key, isShort ? length1 - 1 : length1, endKey) >= 0;
  return isBelow || isAbove ? 'its keys lie outside of the interval from minKey to endKey' : undefined;
}

/** As compareBytes, of `length` bytes at `at` with a whole key. */
function comparePart(bytes: Uint8Array, at: number, length: number, key: Uint8Array): number {
  const common = Math.min(length, key.length);
  for (let i = 0; i < common; i++) {
    const difference = (bytes[at + i] as number) - (key[i] as number);
    if (difference !== 0) return difference;
  }
  return length - key.length;
}

/** Whether it is as small as can be does not matter. */
function keysProblem({ minKey, endKey, recordCount }: MessageBatch): string | undefined {
  if (recordCount === 0 || (isBytes(minKey) && isBytes(endKey))) return undefined;
  return 'minKey and endKey must be keys: the interval that it touches';
}
