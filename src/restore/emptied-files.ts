// A log file without bytes says that nothing was written in its versions, and is never read: so it must be one that was written without bytes, and none that a crash or a copy has cut.

import { BackupError } from '../core/errors.js';
import { SUMS_FOLDER, parseSumsFileName } from '../format/fdb/file-sums.js';
import { LOG_FOLDER, UNPARTITIONED_LOG_FOLDER } from '../format/fdb/names.js';
import type { BackupContainer } from '../ports/backup-container.js';
import { SumsReader } from './log-sums.js';
import type { TagPieces } from './restore-pieces.js';

/**
 * CHECKSUM_MISMATCH if one of the files without bytes has recorded checksums of some. Lists the checksums once instead of asking for those of each file: an idle backup has many empty files, and
 * none of them has any.
 */
export async function refuseEmptiedFiles(
  container: BackupContainer,
  tags: readonly TagPieces[],
  signal: AbortSignal | undefined,
): Promise<void> {
  const empty = new Set<string>();
  for (const { pieces } of tags) for (const { file } of pieces) if (file.size === 0) empty.add(file.name);
  for (const folder of [LOG_FOLDER, UNPARTITIONED_LOG_FOLDER]) {
    if (![...empty].some((name) => name.startsWith(folder))) continue;
    for await (const { name } of container.listFiles(SUMS_FOLDER + folder)) {
      signal?.throwIfAborted();
      const file = parseSumsFileName(name);
      if (file !== undefined && empty.has(file)) await refuseIfEmptied(container, file, signal);
    }
  }
}

async function refuseIfEmptied(container: BackupContainer, file: string, signal: AbortSignal | undefined) {
  const sums = await new SumsReader(container, signal).forFile(file);
  if (sums === undefined || sums.size === 0) return;
  throw new BackupError('CHECKSUM_MISMATCH', `${file} has no bytes, and ${sums.size} were written`, {
    file,
    offset: 0,
    container: container.url,
  });
}
