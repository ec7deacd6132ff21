// The records of a log file as they lie there, and back into blocks: for mistakes that move or repeat them.

import type { Version } from '../../core/version.js';

export interface RawRecord {
  readonly version: Version;
  /** With its header. */
  readonly bytes: Uint8Array;
}

const BLOCK_HEADER = 4110;
const BLOCK_HEADER_BYTES = 4;
const RECORD_HEADER_BYTES = 16;
const PADDING = 0xff;

export function rawRecords(bytes: Uint8Array, blockSize: number): RawRecord[] {
  const records: RawRecord[] = [];
  for (let start = 0; start < bytes.length; start += blockSize) {
    const block = bytes.slice(start, start + blockSize);
    const view = new DataView(block.buffer, block.byteOffset, block.byteLength);
    for (let at = BLOCK_HEADER_BYTES; at < block.length && block[at] !== PADDING;) {
      const end = at + RECORD_HEADER_BYTES + view.getUint32(at + 12);
      records.push({ version: view.getBigInt64(at), bytes: block.subarray(at, end) });
      at = end;
    }
  }
  return records;
}

export function layRecords(records: readonly RawRecord[], blockSize: number): Uint8Array {
  const header = new Uint8Array(BLOCK_HEADER_BYTES);
  new DataView(header.buffer).setUint32(0, BLOCK_HEADER, true);
  const chunks: Uint8Array[] = [];
  let room = 0;
  for (const { bytes } of records) {
    if (bytes.length > room) {
      chunks.push(new Uint8Array(room).fill(PADDING), header);
      room = blockSize - BLOCK_HEADER_BYTES;
    }
    chunks.push(bytes);
    room -= bytes.length;
  }
  return new Uint8Array(Buffer.concat(chunks));
}
