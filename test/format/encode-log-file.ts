// An independent, deliberately naive encoder of log files: tests of the reader do not lean on the writer that they are to be compared with.

import type { Mutation } from '../../src/core/mutation.js';
import { encodeMutation } from '../../src/core/mutation.js';

export interface TestRecord {
  readonly version: bigint;
  readonly subsequence: number;
  readonly mutation: Mutation | Uint8Array;
}

export function encodeRecord(record: TestRecord): Buffer {
  const mutation = record.mutation instanceof Uint8Array ? record.mutation : encodeMutation(record.mutation);
  const header = Buffer.alloc(16);
  header.writeBigInt64BE(record.version, 0);
  header.writeUInt32BE(record.subsequence, 8);
  header.writeUInt32BE(mutation.length, 12);
  return Buffer.concat([header, mutation]);
}

const blockHeader = Buffer.from([0x0e, 0x10, 0, 0]);

export function encodeLogFile(records: readonly TestRecord[], blockSize = 1_048_576): Buffer {
  const blocks: Buffer[] = [];
  let block: Buffer | undefined;
  for (const record of records) {
    const bytes = encodeRecord(record);
    if (block !== undefined && block.length + bytes.length > blockSize) {
      blocks.push(Buffer.concat([block, Buffer.alloc(blockSize - block.length, 0xff)]));
      block = undefined;
    }
    block = Buffer.concat([block ?? blockHeader, bytes]);
  }
  if (block !== undefined) blocks.push(block);
  return Buffer.concat(blocks);
}

export function set(key: string, value: string): Mutation {
  return { type: 0, param1: Buffer.from(key), param2: Buffer.from(value) };
}

export function clear(begin: string, end: string): Mutation {
  return { type: 1, param1: Buffer.from(begin), param2: Buffer.from(end) };
}

export function add(key: string, amount: number): Mutation {
  const operand = Buffer.alloc(8);
  operand.writeBigInt64LE(BigInt(amount));
  return { type: 2, param1: Buffer.from(key), param2: operand };
}
