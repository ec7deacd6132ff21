// Reads a log file run by run: as many whole blocks at a time as fit into the read size, and at least one.

import { BackupError } from '../core/errors.js';
import type { BackupContainer } from '../ports/backup-container.js';
import type { LogFile } from './description.js';

/** Bytes read at a time, unless a block is larger. */
export const DEFAULT_READ_BYTES = 1 << 20;

/** Bytes that a reader of this file holds at most per run. */
export function runBytes(file: LogFile, readBytes: number): number {
  return Math.min(file.size, Math.max(1, Math.floor(readBytes / file.blockSize)) * file.blockSize);
}

/** The run that begins at `offset`, which is a multiple of the block size and below the file's size. CORRUPT_FILE when the file is shorter than it was when it was listed. */
export async function readRun(
  container: BackupContainer,
  file: LogFile,
  offset: number,
  readBytes: number,
): Promise<Uint8Array> {
  const length = Math.min(runBytes(file, readBytes), file.size - offset);
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
