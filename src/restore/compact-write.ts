// Writes one merged log file: its checksums first, then the file, which is read back before anybody may do without the old ones.

import type { BufferPool } from '../core/buffer-pool.js';
import type { Random } from '../core/clock.js';
import { BackupError } from '../core/errors.js';
import type { FileSums } from '../format/fdb/file-sums.js';
import { FileSumsBuilder, encodeFileSums, sumsFileName } from '../format/fdb/file-sums.js';
import { LogFileEncoder } from '../format/fdb/log-file-encoder.js';
import { logFileName } from '../format/fdb/names.js';
import type { BackupContainer, BackupFile } from '../ports/backup-container.js';
import { FileCursor } from './compact-cursor.js';
import type { RecordSpan } from './compact-merge.js';
import type { CompactGroup } from './compact-plan.js';
import type { LogFile } from './description.js';
import { writeSmallFile } from './expire-marks.js';
import type { TimeSlices } from './time-slices.js';
import { isDamage } from './verify-read.js';

export interface MergedFileOptions {
  readonly container: BackupContainer;
  readonly blockSize: number;
  readonly pool: BufferPool;
  readonly random: Random;
  readonly slices: TimeSlices;
}

/** undefined: it would be smaller than one of its parts, which the original does not take, and was not made. Nothing is listed then, nor when this throws before the file is whole. */
export async function writeMergedFile(
  group: CompactGroup,
  records: AsyncIterable<RecordSpan>,
  options: MergedFileOptions,
): Promise<LogFile | undefined> {
  const { container, blockSize, random } = options;
  const { begin, end, tag, totalTags } = group;
  const place = { begin, end, uid: random.uid(), tag, totalTags, blockSize };
  const name = logFileName(place);
  const file = await container.writeFile(name, { exclusive: true });
  let sums: FileSums;
  try {
    sums = await append(file, records, options);
    const largest = group.files.reduce((most, part) => Math.max(most, part.size), 0);
    if (sums.size < largest) {
      await file.abort();
      return undefined;
    }
    // As a worker does: a listed log file has its checksums. None for an empty one.
    if (sums.size > 0) await writeSmallFile(container, sumsFileName(name), encodeFileSums(sums));
    await file.finish();
  } catch (error) {
    await file.abort();
    throw error;
  }
  const merged: LogFile = { ...place, name, size: sums.size };
  await readBack(merged, sums, options);
  return merged;
}

async function append(
  file: BackupFile,
  records: AsyncIterable<RecordSpan>,
  { blockSize, pool }: MergedFileOptions,
): Promise<FileSums> {
  const encoder = new LogFileEncoder(blockSize, pool);
  const sums = new FileSumsBuilder(blockSize);
  const flush = async (): Promise<void> => {
    const group = encoder.takeGroup();
    if (group === undefined) return;
    try {
      for (const chunk of group.chunks) sums.update(chunk);
      await file.append(group.chunks);
    } finally {
      if (group.staging !== undefined) pool.give(group.staging);
    }
  };
  for await (const { bytes, starts, count } of records) {
    for (let next = 0; next < count;) {
      next = encoder.add(bytes, starts, next, count);
      if (encoder.isFull) await flush();
    }
  }
  await flush();
  return sums.build();
}

/** The container must give back what was written, before it is all that is left. A file that it does not give back is removed again, as it would hide the sound ones. */
async function readBack(file: LogFile, sums: FileSums, { container, slices }: MergedFileOptions): Promise<void> {
  try {
    const cursor = new FileCursor(container, file, file.size === 0 ? undefined : sums);
    await cursor.refill();
    while (cursor.onRecord) {
      if (!cursor.next()) await cursor.refill();
      if (slices.due()) await slices.yield();
    }
  } catch (cause) {
    if (!isDamage(cause)) throw cause;
    await container.deleteFile(file.name);
    await container.deleteFile(sumsFileName(file.name));
    throw new BackupError(
      'ADAPTER_CONTRACT',
      `${container.url} does not give back what was written: ${cause.message}`,
      {
        file: file.name,
        offset: cause.offset,
        container: container.url,
        cause,
      },
    );
  }
}
