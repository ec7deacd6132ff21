// RocksDB's own SstFileWriter, through a few lines of C++.

import { readFile } from 'node:fs/promises';

import { COMPRESSION_TYPE, type SstCompression } from '../../../src/format/sst/codec.js';
import { compileCpp, run } from '../../servers/judges.js';
import type { Row } from './write-rows.js';

export interface RocksdbWriterOptions {
  readonly formatVersion: number;
  readonly compression: SstCompression;
  readonly blockSize: number;
  readonly restartInterval: number;
}

const SOURCE = new URL('./sst-file-writer.cc', import.meta.url);

/** Rows as the program reads them. */
export function encodeRows(rows: Iterable<Row>): Buffer {
  let bytes = Buffer.alloc(1 << 16);
  let at = 0;
  for (const [key, value] of rows) {
    const end = at + 8 + key.length + value.length;
    if (end > bytes.length) bytes = Buffer.concat([bytes.subarray(0, at)], 2 * end);
    bytes.writeUInt32LE(key.length, at);
    bytes.writeUInt32LE(value.length, at + 4);
    bytes.set(key, at + 8);
    bytes.set(value, at + 8 + key.length);
    at = end;
  }
  return bytes.subarray(0, at);
}

/** Writes the file; with `bench` returns how many seconds that took, without reading the rows. */
export async function writeWithRocksdb(
  task: 'write' | 'bench',
  file: string,
  encodedRows: Buffer,
  { formatVersion, compression, blockSize, restartInterval }: RocksdbWriterOptions,
): Promise<number> {
  const program = await compileCpp(await readFile(SOURCE, 'utf8'));
  const numbers = [formatVersion, COMPRESSION_TYPE[compression], blockSize, restartInterval];
  const output = await run(program, [task, file, ...numbers.map(String)], { input: encodedRows });
  return task === 'bench' ? Number(output.toString()) : 0;
}
