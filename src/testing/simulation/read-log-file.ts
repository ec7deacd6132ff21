// The oracle's own reader of log files. It shares no code with the library's, so that a mistake would have to be made twice to stay hidden.

import type { Mutation, MutationType } from '../../core/mutation.js';
import type { Version } from '../../core/version.js';
import type { ExpectedRecord } from './history.js';

export interface NamedLogFile {
  /** Inclusive. */
  readonly begin: Version;
  /** Exclusive. */
  readonly end: Version;
  readonly tag: number;
  readonly totalTags: number;
  readonly blockSize: number;
}

const LOG_NAME = /^plogs\/(\d{4})\/(\d{4})\/log,(\d+),(\d+),[0-9a-f]{32},(\d+)-of-(\d+),(\d+)$/;
const BLOCK_HEADER = 4110;
const PADDING = 0xff;
const RECORD_HEADER_BYTES = 16;

/** Undefined for anything but a log file. */
export function parseLogName(name: string): NamedLogFile | undefined {
  const match = LOG_NAME.exec(name);
  if (match === null) return undefined;
  const [, high, low, begin, end, tag, totalTags, blockSize] = match;
  const folder = String(begin).padStart(19, '0').slice(0, 8);
  if (folder !== `${String(high)}${String(low)}`) return undefined;
  return {
    begin: BigInt(String(begin)),
    end: BigInt(String(end)),
    tag: Number(tag),
    totalTags: Number(totalTags),
    blockSize: Number(blockSize),
  };
}

/** Throws a RangeError or a TypeError for what is no log file. */
export function readLogRecords(bytes: Uint8Array, blockSize: number): ExpectedRecord[] {
  const records: ExpectedRecord[] = [];
  for (let start = 0; start < bytes.length; start += blockSize)
    readBlock(bytes.subarray(start, start + blockSize), records);
  return records;
}

function readBlock(block: Uint8Array, records: ExpectedRecord[]): void {
  const view = new DataView(block.buffer, block.byteOffset, block.byteLength);
  if (view.getUint32(0, true) !== BLOCK_HEADER) throw new TypeError(`block begins with ${view.getUint32(0, true)}`);
  let at = 4;
  while (at < block.length && block[at] !== PADDING) {
    const version = view.getBigInt64(at);
    const subsequence = view.getUint32(at + 8);
    const length = view.getUint32(at + 12);
    at += RECORD_HEADER_BYTES;
    if (at + length > block.length) throw new RangeError(`record of ${length} bytes at ${at} leaves its block`);
    records.push({ version, subsequence, mutation: readMutation(block.subarray(at, at + length)) });
    at += length;
  }
  if (!block.subarray(at).every((byte) => byte === PADDING)) throw new TypeError(`padding at ${at} is not all 0xFF`);
}

function readMutation(bytes: Uint8Array): Mutation {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const length1 = view.getUint32(1, true);
  const param1 = bytes.subarray(5, 5 + length1);
  const length2 = view.getUint32(5 + length1, true);
  const param2 = bytes.subarray(9 + length1);
  if (param2.length !== length2) throw new RangeError(`params of ${length1} and ${length2} bytes in ${bytes.length}`);
  const type = bytes[0] as MutationType;
  return type === 1 && length2 === 0 && length1 > 0
    ? { type, param1: param1.subarray(0, -1), param2: param1 }
    : { type, param1, param2 };
}
