// Which keys a range file covers, from its own bytes: manifests of old backups do not say.

import { BackupError } from '../core/errors.js';
import type { KeyRange } from '../core/key-range.js';
import { decodeRangeFile } from '../format/fdb/range-file-decoder.js';
import { ITEM_HEADER_BYTES, RANGE_BLOCK_HEADER_BYTES } from '../format/fdb/range-file-encoder.js';
import type { BackupContainer } from '../ports/backup-container.js';
import { readRun } from './log-file-blocks.js';
import type { RangeFile } from './snapshot-files.js';

/** Reads its first and its last block. CORRUPT_FILE if those are none. */
export async function rangeOfFile(container: BackupContainer, file: RangeFile): Promise<KeyRange> {
  if (file.size === 0) throw corrupt(file, 0, 'an empty file is no range file');
  const first = await readRun(container, file, 0, 1);
  const lastOffset = Math.floor((file.size - 1) / file.blockSize) * file.blockSize;
  const last = lastOffset === 0 ? first : await readRun(container, file, lastOffset, 1);
  const at = RANGE_BLOCK_HEADER_BYTES + ITEM_HEADER_BYTES;
  if (first.length < at) throw corrupt(file, 0, 'its first block is cut off');
  const length = new DataView(first.buffer, first.byteOffset).getUint32(RANGE_BLOCK_HEADER_BYTES);
  if (length > first.length - at) throw corrupt(file, 0, 'its begin key does not fit into its first block');
  // Every block is readable alone; the last one of a file looks like a file of one block.
  const { range } = decodeRangeFile(last, { name: file.name, blockSize: file.blockSize });
  return { begin: first.slice(at, at + length), end: range.end };
}

function corrupt({ name }: RangeFile, offset: number, what: string): BackupError {
  return new BackupError('CORRUPT_FILE', `${name}: ${what}`, { file: name, offset });
}
