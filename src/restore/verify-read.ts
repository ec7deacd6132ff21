// Small steps that everything here reads data files with.

import { BackupError } from '../core/errors.js';
import type { FileSums } from '../format/fdb/file-sums.js';
import type { BackupContainer } from '../ports/backup-container.js';

/** CORRUPT_FILE when the file is shorter than it was when it was listed. */
export async function readExactly(
  container: BackupContainer,
  file: { readonly name: string; readonly size: number },
  offset: number,
  length: number,
): Promise<Uint8Array> {
  const bytes = await container.readFile(file.name, offset, length);
  if (bytes.length === length) return bytes;
  const facts = { file: file.name, offset: offset + bytes.length, container: container.url };
  if (bytes.length > length) {
    throw new BackupError(
      'ADAPTER_CONTRACT',
      `readFile returned ${bytes.length} bytes of ${file.name}, ${length} were asked for`,
      facts,
    );
  }
  throw new BackupError(
    'CORRUPT_FILE',
    `${file.name} ends at ${offset + bytes.length}, before its size of ${file.size}`,
    facts,
  );
}

/** Offsets of the blocks that differ, as far as both reach; where one of them ends earlier, that place. */
export function* wrongBlocks(recorded: FileSums, seen: FileSums): Generator<number> {
  const { blockSize } = recorded;
  const common = Math.min(recorded.size, seen.size);
  for (let i = 0; i * blockSize < common; i++) {
    // A block that is cut has another sum whatever it holds: the cut is told below.
    const cut = recorded.size !== seen.size && (i + 1) * blockSize > common;
    if (!cut && recorded.crc32[i] !== seen.crc32[i]) yield i * blockSize;
  }
  if (recorded.size !== seen.size) yield common;
}

export function firstWrongBlock(recorded: FileSums, seen: FileSums): number | undefined {
  for (const offset of wrongBlocks(recorded, seen)) return offset;
  return undefined;
}

/** Damage says something about a file; anything else (the container cannot be reached, the call was aborted) does not. */
export function isDamage(error: unknown): error is BackupError {
  return (
    BackupError.is(error, 'CORRUPT_FILE') ||
    BackupError.is(error, 'UNSUPPORTED_FORMAT') ||
    BackupError.is(error, 'CHECKSUM_MISMATCH') ||
    BackupError.is(error, 'INVALID_MUTATION') ||
    BackupError.is(error, 'DECRYPTION_FAILED')
  );
}

/** Whether there is a file of this name now: listings may lag, what is read is exact. */
export async function isThere(container: BackupContainer, name: string): Promise<boolean> {
  try {
    await container.readFile(name, 0, 1);
    return true;
  } catch (error) {
    if (BackupError.is(error, 'FILE_NOT_FOUND')) return false;
    if (isDamage(error)) return true;
    throw error;
  }
}
