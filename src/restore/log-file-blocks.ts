// Reads a data file run by run: as many whole blocks at a time as fit into the read size, and at least one. What has recorded checksums is held against them.

import { BackupError } from '../core/errors.js';
import type { FileSums } from '../format/fdb/file-sums.js';
import { checkBlocks } from '../format/fdb/file-sums.js';
import type { BackupContainer } from '../ports/backup-container.js';

/** Bytes read at a time, unless a block is larger. */
export const DEFAULT_READ_BYTES = 1 << 20;

/** What a reader must know of a log or range file. */
export interface BlockFile {
  readonly name: string;
  /** Bytes, as listed. */
  readonly size: number;
  readonly blockSize: number;
}

/** Bytes that a reader of this file holds at most per run. */
export function runBytes(file: BlockFile, readBytes: number): number {
  return Math.min(file.size, Math.max(1, Math.floor(readBytes / file.blockSize)) * file.blockSize);
}

/**
 * The run that begins at `offset`, which is a multiple of the block size and below the file's size. CORRUPT_FILE when the file is shorter than it was when it was listed;
 * CHECKSUM_MISMATCH with the offset when it is not what `sums` were taken of.
 */
export async function readRun(
  container: BackupContainer,
  file: BlockFile,
  offset: number,
  readBytes: number,
  sums?: FileSums,
): Promise<Uint8Array> {
  const length = Math.min(runBytes(file, readBytes), file.size - offset);
  if (sums === undefined) return readExactly(container, file, offset, length);
  if (sums.size !== file.size) {
    throw new BackupError('CHECKSUM_MISMATCH', `${file.name} has ${file.size} bytes, and ${sums.size} were written`, {
      file: file.name,
      offset: Math.min(sums.size, file.size),
      container: container.url,
    });
  }
  // Checksums may be of other blocks than the file's own: as much more is read as makes them whole.
  const begin = offset - (offset % sums.blockSize);
  const end = Math.min(file.size, Math.ceil((offset + length) / sums.blockSize) * sums.blockSize);
  const bytes = await readExactly(container, file, begin, end - begin);
  checkBlocks(sums, file.name, begin, bytes);
  return bytes.length === length ? bytes : bytes.subarray(offset - begin, offset - begin + length);
}

async function readExactly(
  container: BackupContainer,
  file: BlockFile,
  offset: number,
  length: number,
): Promise<Uint8Array> {
  const bytes = await container.readFile(file.name, offset, length);
  if (bytes.length === length) return bytes;
  if (bytes.length > length) {
    throw new BackupError(
      'ADAPTER_CONTRACT',
      `readFile returned ${bytes.length} bytes of ${file.name}, ${length} were asked for`,
      { file: file.name, offset },
    );
  }
  throw new BackupError(
    'CORRUPT_FILE',
    `${file.name} ends at ${offset + bytes.length}, before its size of ${file.size}`,
    {
      file: file.name,
      offset: offset + bytes.length,
      container: container.url,
    },
  );
}
