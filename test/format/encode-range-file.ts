// A range file from a list of rows, whole: for the tests of the format and of those who read it.

import { BufferPool } from '../../src/core/buffer-pool.js';
import type { KeyRange } from '../../src/core/key-range.js';
import { RangeFileEncoder } from '../../src/format/fdb/range-file-encoder.js';

export type Row = readonly [key: Uint8Array, value: Uint8Array];

/** `takeEvery`: rows between two groups that are taken; each group's memory is overwritten at once, as a pool's next user would. */
export function encodeRangeFile(
  range: KeyRange,
  rows: Iterable<Row>,
  blockSize: number,
  takeEvery = 1_000_000,
): Uint8Array {
  const pool = new BufferPool();
  const encoder = new RangeFileEncoder({ blockSize, begin: range.begin, pool });
  const parts: Uint8Array[] = [];
  const take = () => {
    const group = encoder.takeGroup();
    if (group === undefined) return;
    const part = Buffer.concat(group.chunks);
    if (part.length !== group.bytes) throw new Error(`a group of ${group.bytes} bytes has ${part.length}`);
    parts.push(part);
    if (group.staging === undefined) return;
    group.staging.fill(0xa5);
    pool.give(group.staging);
  };
  let count = 0;
  for (const [key, value] of rows) {
    encoder.add(key, value);
    if (++count % takeEvery === 0) take();
  }
  encoder.finish(range.end);
  take();
  const file = new Uint8Array(Buffer.concat(parts));
  if (file.length !== encoder.fileBytes) throw new Error(`a file of ${encoder.fileBytes} bytes has ${file.length}`);
  return file;
}
