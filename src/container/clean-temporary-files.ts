// Removes what is left of files that were never finished.

import { lstat, open, readdir, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import type { Random } from '../core/clock.js';
import { BackupError } from '../core/errors.js';
import { systemErrorCode } from '../core/file-system.js';

export interface CleanTemporaryFilesOptions {
  /** Milliseconds since the last write to it. Default 24 hours: longer than any writer takes between two writes. */
  readonly olderThan?: number;
}

const DAY = 24 * 60 * 60 * 1000;

/** Ours and FoundationDB's; a `.temp` file that someone else made is left alone. */
const TEMPORARY_NAME = /\.[0-9a-f]{32}\.temp$/;

export async function cleanTemporaryFiles(
  root: string,
  keep: ReadonlySet<string>,
  random: Random,
  options: CleanTemporaryFilesOptions,
): Promise<number> {
  const olderThan = options.olderThan ?? DAY;
  if (!Number.isFinite(olderThan) || olderThan < 0) {
    throw new BackupError('INVALID_OPTION', `olderThan must be a number of milliseconds from 0 on, got ${olderThan}`);
  }
  const latest = (await fileSystemNow(root, random)) - olderThan;
  let removed = 0;
  for (const name of await readdir(root, { recursive: true })) {
    const path = join(root, name);
    if (!TEMPORARY_NAME.test(name) || keep.has(path)) continue;
    try {
      const stats = await lstat(path);
      if (!stats.isFile() || stats.mtimeMs > latest) continue;
      await unlink(path);
      removed++;
    } catch (error) {
      // Finished or removed by its writer meanwhile.
      if (systemErrorCode(error) !== 'ENOENT') throw error;
    }
  }
  return removed;
}

/** The time as the file system tells it, which on a network disk is not this machine's: the modification time of a file made now. */
async function fileSystemNow(root: string, random: Random): Promise<number> {
  const probe = join(root, `probe.${random.uid()}.temp`);
  const handle = await open(probe, 'wx');
  try {
    return (await handle.stat()).mtimeMs;
  } finally {
    await handle.close();
    await unlink(probe);
  }
}
