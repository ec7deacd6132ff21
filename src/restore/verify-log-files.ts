// Decodes log files whole, to find the ones that a restore would refuse.

import type { Clock } from '../core/clock.js';
import { BackupError } from '../core/errors.js';
import type { BackupContainer } from '../ports/backup-container.js';
import type { LogFile } from './description.js';
import { SumsReader } from './log-sums.js';
import { TimeSlices } from './time-slices.js';
import { logDecoder, scanFile } from './verify-data-file.js';
import { isDamage } from './verify-read.js';

export interface CorruptLogFile {
  readonly file: LogFile;
  readonly error: BackupError;
}

export interface VerifyOptions {
  readonly signal: AbortSignal | undefined;
  readonly clock: Clock;
  readonly onProgress: ((progress: { readonly files: number; readonly bytes: number }) => void) | undefined;
}

/** What is wrong with the bytes of a file is found; errors of the container are thrown. One run of blocks is in memory at a time. */
export async function verifyLogFiles(
  container: BackupContainer,
  files: readonly LogFile[],
  options: VerifyOptions,
): Promise<CorruptLogFile[]> {
  const found: CorruptLogFile[] = [];
  const slices = new TimeSlices(options.clock);
  let bytes = 0;
  for (const [i, file] of files.entries()) {
    try {
      await verifyLogFile(container, file, slices, options.signal);
    } catch (error) {
      if (!isDamage(error)) throw error;
      found.push({ file, error });
    }
    bytes += file.size;
    options.onProgress?.({ files: i + 1, bytes });
  }
  return found;
}

async function verifyLogFile(
  container: BackupContainer,
  file: LogFile,
  slices: TimeSlices,
  signal: AbortSignal | undefined,
): Promise<void> {
  const recorded = await new SumsReader(container, signal).forFile(file.name);
  const decoder = logDecoder(file, slices);
  const { problems } = await scanFile({ container, file, decoder, recorded, signal, onBytes: () => undefined });
  const [problem] = problems;
  if (problem !== undefined)
    throw new BackupError(problem.code, problem.message, { file: file.name, offset: problem.offset });
  // Cut between two records, or to nothing: every byte that is left is sound.
  if (recorded !== undefined && recorded.size !== file.size) {
    throw new BackupError(
      'CHECKSUM_MISMATCH',
      `${file.name} has ${file.size} bytes, and ${recorded.size} were written`,
      {
        file: file.name,
        offset: Math.min(recorded.size, file.size),
      },
    );
  }
}
