// Writes what a job gets of a cut into a log file. While one group of chunks is on its way to the container, its checksums are made and the next one is laid out.
// Must never leave an append behind: the chunks lie in memory that others use as soon as this function is done.

import type { BufferPool } from '../core/buffer-pool.js';
import type { Clock } from '../core/clock.js';
import { FileSumsBuilder, type FileSums } from '../format/fdb/file-sums.js';
import { LogFileEncoder, type EncodedGroup } from '../format/fdb/log-file-encoder.js';
import type { BackupFile } from '../ports/backup-container.js';
import { RUN_WIDTH, type RecordSource, type RoutedJob } from './routed-job.js';

export interface WriteLogFileOptions {
  /** Bytes; at least `routed.maxRecordBytes + 4` (see `blockSizeFor`). */
  readonly blockSize: number;
  readonly pool: BufferPool;
  readonly clock: Clock;
  readonly signal?: AbortSignal | undefined;
  /**
   * Called once, with the checksums of the whole file, as soon as all of it is laid out: the last append may be under way still. Not called for an empty file, nor once
   * an earlier append has failed. It is joined, and its failure is the write's.
   */
  readonly onSums?: ((sums: FileSums) => Promise<void>) | undefined;
}

/** Shorter blocks than this share a checksum, some whole blocks each. */
const MIN_SUMS_BLOCK_SIZE = 512;

function sumsBlockSizeFor(blockSize: number): number {
  return blockSize * Math.ceil(MIN_SUMS_BLOCK_SIZE / blockSize);
}

/**
 * Appends all of `routed` to `file`; the caller finishes or aborts it. Nothing is appended when there are no records: an empty file is legal. Rejects with the file's
 * error or the signal's reason, and only once neither an append nor `onSums` is under way any more.
 */
export async function writeLogFile(
  file: BackupFile,
  routed: RoutedJob,
  options: WriteLogFileOptions,
): Promise<{ bytes: number; messages: number }> {
  const { clock, pool, signal, onSums } = options;
  const sums = onSums && new FileSumsBuilder(sumsBlockSizeFor(options.blockSize));
  const encoder = new LogFileEncoder(options.blockSize, pool);
  let underWay: Promise<Outcome> = Promise.resolve(undefined);
  try {
    for (let next = { run: 0, record: 0 }; next.run < routed.runCount;) {
      signal?.throwIfAborted();
      next = fillGroup(encoder, routed, next);
      throwFailure(await underWay);
      const group = encoder.takeGroup();
      underWay = append(file, group, pool);
      // Here, because it costs no time: the container is busy, and until it has answered the chunks stay as they are.
      if (sums !== undefined) for (const chunk of group?.chunks ?? []) sums.update(chunk);
      await clock.yieldToHost();
    }
    if (onSums !== undefined && sums !== undefined && sums.size > 0) {
      signal?.throwIfAborted();
      await onSums(sums.build());
    }
  } finally {
    // Never rejects; on the way out of an error its own failure says nothing new.
    await underWay;
  }
  throwFailure(await underWay);
  return { bytes: encoder.fileBytes, messages: routed.messages };
}

const CACHE_LINE = 64;
/** Runs whose bytes are fetched together, and the longest that is: the processor fetches ahead by itself in longer ones. */
const WARM_RUNS = 64;
const WARM_BYTES = 1024;
/** Keeps the compiler from leaving the reads out. */
const warmed = new Uint32Array(1);

/** A place in a routed job: a run, and how many of its records are done. */
interface Place {
  readonly run: number;
  readonly record: number;
}

/** Adds records until the group is full or all runs are done; returns where to go on. */
function fillGroup(encoder: LogFileEncoder, routed: RoutedJob, from: Place): Place {
  const { runs, sources, runCount } = routed;
  let done = from.record;
  for (let run = from.run; run < runCount; run++) {
    if ((run - from.run) % WARM_RUNS === 0) warmed[0] = warm(routed, run, Math.min(run + WARM_RUNS, runCount));
    const at = run * RUN_WIDTH;
    const { bytes, recordStarts } = sources[runs[at] as number] as RecordSource;
    const first = runs[at + 1] as number;
    const end = runs[at + 2] as number;
    const reached = encoder.add(bytes, recordStarts, first + done, end);
    if (reached < end) return { run, record: reached - first };
    done = 0;
  }
  return { run: runCount, record: 0 };
}

/**
 * Reads a byte of every cache line that the next short runs lie in. A job that wants every tenth message finds each of them outside the caches; fetched one by
 * one, while it is copied, a message takes half as long again as fetched many at a time (measured: 180 ns, 120 ns).
 */
function warm({ runs, sources }: RoutedJob, fromRun: number, toRun: number): number {
  let sum = 0;
  for (let at = fromRun * RUN_WIDTH; at < toRun * RUN_WIDTH; at += RUN_WIDTH) {
    const { bytes, recordStarts } = sources[runs[at] as number] as RecordSource;
    const start = recordStarts[runs[at + 1] as number] as number;
    const end = recordStarts[runs[at + 2] as number] as number;
    if (end - start > WARM_BYTES) continue;
    for (let byte = start; byte < end; byte += CACHE_LINE) sum += bytes[byte] as number;
    sum += bytes[end - 1] as number;
  }
  return sum;
}

/** An append's failure, or undefined: it is looked at later, so it must not reject unobserved. */
type Outcome = { readonly error: unknown } | undefined;

async function append(file: BackupFile, group: EncodedGroup | undefined, pool: BufferPool): Promise<Outcome> {
  if (group === undefined) return undefined;
  try {
    await file.append(group.chunks);
    return undefined;
  } catch (error) {
    return { error };
  } finally {
    if (group.staging !== undefined) pool.give(group.staging);
  }
}

function throwFailure(outcome: Outcome): void {
  if (outcome !== undefined) throw outcome.error;
}
