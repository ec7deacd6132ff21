// Merges the tags' logs into one stream in (version, subsequence) order. Equal pairs (the parts of a clipped clear) keep their order.
//
// In memory at most: two runs of blocks per tag (a run is `readBytes`, or one block where blocks are larger), the runs that the current batch still refers to (one more
// per tag, and what its `batchBytes` of records lie in), and the batch's columns. A file of the older, unpartitioned format is one run.

import type { Clock } from '../core/clock.js';
import { checkedContainer } from '../ports/checked-container.js';
import type { BackupContainer } from '../ports/backup-container.js';
import { CheckedReads } from './checked-reads.js';
import { DEFAULT_READ_BYTES } from './log-file-blocks.js';
import { MergedBatch } from './merged-batch.js';
import type { TagPieces } from './restore-pieces.js';
import { DONE, EMPTY, READY, TagLogCursor, logRunsOf } from './tag-log-cursor.js';
import { TimeSlices } from './time-slices.js';

export type { MergedBatch, RunPlace } from './merged-batch.js';

export interface MergeOptions {
  readonly clock: Clock;
  readonly signal?: AbortSignal | undefined;
  /** Bytes read at a time from each tag's files. Default 1 MiB. */
  readonly readBytes?: number;
  /** Reads at a time, over all tags. Default 4: more would fill libuv's threads, which the host needs for files of its own. */
  readonly concurrentReads?: number;
  /** Records per batch at most. Default 16,384. */
  readonly batchRecords?: number;
  /** A batch ends with the record that reaches so many bytes. Default 4 MiB. */
  readonly batchBytes?: number;
  /** Called with the bytes that have been loaded so far, once per batch. */
  readonly onBytes?: ((bytes: number) => void) | undefined;
}

/**
 * Yields one and the same batch again and again, refilled. Reads that fail with a retryable error are tried again with backoff, six times in all. Throws what LogRecordReader
 * throws for damaged files, and CHECKSUM_MISMATCH for blocks that are not those of which the container has checksums. Leaves no read behind when it ends, fails or is left.
 */
export async function* mergeLogs(
  container: BackupContainer,
  tags: readonly TagPieces[],
  options: MergeOptions,
): AsyncGenerator<MergedBatch, void, undefined> {
  const {
    clock,
    signal,
    readBytes = DEFAULT_READ_BYTES,
    concurrentReads,
    batchRecords = 16_384,
    batchBytes = 4 << 20,
  } = options;
  const reads = new CheckedReads(checkedContainer(container, clock), { clock, signal, readBytes, concurrentReads });
  const readRun = logRunsOf(reads);
  const cursors = tags.map((tag) => new TagLogCursor(tag, readRun, readBytes));
  const batch = new MergedBatch(batchRecords);
  const slices = new TimeSlices(clock);
  try {
    const heap = await startCursors(cursors);
    while (heap.length > 0) {
      const state = fillBatch(heap, batch, batchBytes, slices);
      if (batch.count === batch.capacity || batch.byteLength >= batchBytes || heap.length === 0) {
        yield* emit(batch, cursors, options);
      }
      signal?.throwIfAborted();
      if (state === 'slice') await slices.yield();
      if (state === 'refill') replaceTop(heap, await (heap[0] as TagLogCursor).refill());
    }
    if (batch.count > 0) yield* emit(batch, cursors, options);
  } finally {
    await Promise.all(cursors.map((cursor) => cursor.close()));
  }
}

function* emit(
  batch: MergedBatch,
  cursors: readonly TagLogCursor[],
  options: MergeOptions,
): Generator<MergedBatch, void, undefined> {
  options.onBytes?.(cursors.reduce((sum, cursor) => sum + cursor.bytesLoaded, 0));
  yield batch;
  batch.clear();
  for (const cursor of cursors) cursor.slot = -1;
}

/** Loads the first run of every tag; returns the cursors that stand on a record, as a heap. */
async function startCursors(cursors: readonly TagLogCursor[]): Promise<TagLogCursor[]> {
  const states = await Promise.allSettled(
    cursors.map(async (cursor) => (cursor.advance() === EMPTY ? cursor.refill() : DONE)),
  );
  const heap: TagLogCursor[] = [];
  for (const [i, state] of states.entries()) {
    if (state.status === 'rejected') throw state.reason;
    if (state.value === READY) heap.push(cursors[i] as TagLogCursor);
  }
  for (let i = (heap.length >>> 1) - 1; i >= 0; i--) siftDown(heap, i);
  return heap;
}

/** Moves records from the heap into the batch until it is full, the top cursor's run is used up, there is nothing left, or it is time to let the host run. */
function fillBatch(
  heap: TagLogCursor[],
  batch: MergedBatch,
  batchBytes: number,
  slices: TimeSlices,
): 'full' | 'refill' | 'slice' {
  const { capacity, versionHigh, versionLow, subsequence, run, start, end } = batch;
  let { count, byteLength } = batch;
  let result: 'full' | 'refill' | 'slice' = 'full';
  while (count < capacity && byteLength < batchBytes && heap.length > 0) {
    const top = heap[0] as TagLogCursor;
    if (top.slot < 0) {
      top.slot = batch.runs.push(top.bytes) - 1;
      batch.places.push(top.runPlace);
    }
    versionHigh[count] = top.versionHigh;
    versionLow[count] = top.versionLow;
    subsequence[count] = top.subsequence;
    run[count] = top.slot;
    start[count] = top.start;
    end[count] = top.end;
    count++;
    byteLength += top.end - top.start;
    const state = top.advance();
    if (state === READY) {
      siftDown(heap, 0);
    } else if (state === DONE) {
      replaceTop(heap, DONE);
    } else {
      result = 'refill';
      break;
    }
    if (slices.due()) {
      result = 'slice';
      break;
    }
  }
  batch.count = count;
  batch.byteLength = byteLength;
  return result;
}

/** Puts the heap right after its top has moved, or has come to its end. */
function replaceTop(heap: TagLogCursor[], state: typeof READY | typeof DONE | typeof EMPTY): void {
  if (state === DONE) {
    const last = heap.pop() as TagLogCursor;
    if (heap.length === 0) return;
    heap[0] = last;
  }
  siftDown(heap, 0);
}

function siftDown(heap: TagLogCursor[], from: number): void {
  const length = heap.length;
  const cursor = heap[from] as TagLogCursor;
  let at = from;
  for (;;) {
    let child = 2 * at + 1;
    if (child >= length) break;
    let candidate = heap[child] as TagLogCursor;
    if (child + 1 < length) {
      const right = heap[child + 1] as TagLogCursor;
      if (isBefore(right, candidate)) {
        candidate = right;
        child++;
      }
    }
    if (!isBefore(candidate, cursor)) break;
    heap[at] = candidate;
    at = child;
  }
  heap[at] = cursor;
}

/** Equal pairs are of one tag, or of the same clear; the tag decides, so that the order is the same every time. */
function isBefore(a: TagLogCursor, b: TagLogCursor): boolean {
  if (a.versionHigh !== b.versionHigh) return a.versionHigh < b.versionHigh;
  if (a.versionLow !== b.versionLow) return a.versionLow < b.versionLow;
  if (a.subsequence !== b.subsequence) return a.subsequence < b.subsequence;
  return a.tag < b.tag;
}
