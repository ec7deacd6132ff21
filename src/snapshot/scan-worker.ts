// Takes regions in batches and scans them. A generator: each step is a slice for the task pool, between two of which a scan can be set aside.

import { abortableStream } from '../core/abort.js';
import { equalBytes } from '../core/bytes.js';
import { AssertionError, BackupError, assert } from '../core/errors.js';
import type { Region } from '../ports/range-source.js';
import type { TaskHandle } from '../schedule/task.js';
import type { RetryPolicy } from './backoff.js';
import { backOff } from './backoff.js';
import type { RangeFailed } from './range-response.js';
import type { RegionSource, RowCutter, RowFormat, ScanVersions, VersionHold } from './row-format.js';
import type { RegionBatch, ScanProgress } from './scan-progress.js';

export interface ScanContext<Batch> {
  readonly source: RegionSource<Batch>;
  readonly progress: ScanProgress;
  readonly versions: ScanVersions;
  readonly format: RowFormat<Batch>;
  readonly policy: RetryPolicy;
  readonly respond: (failed: RangeFailed) => Promise<void>;
}

/** What one scan worker has at hand. */
interface Scan<Batch> extends ScanContext<Batch> {
  readonly task: TaskHandle;
  /** Aborts with the request, and when the pool is stopped. */
  readonly signal: AbortSignal;
}

export type Slices = AsyncGenerator<undefined, void, undefined>;

/** Encoded bytes, and batches of rows, after which a scan lets others have a turn. */
const SLICE_BYTES = 128 << 10;
const SLICE_BATCHES = 64;

/** Goes on until there are no regions left, which it then says, or until it has scanned so many batches. */
export async function* scanWorker<Batch>(
  context: ScanContext<Batch>,
  task: TaskHandle,
  maxBatches = Infinity,
): AsyncGenerator<undefined, boolean, undefined> {
  const { format, policy, progress, respond } = context;
  const { signal } = task;
  const scan: Scan<Batch> = { ...context, task, signal };
  for (let batches = 0; batches < maxBatches; batches++) {
    if (format.givenUp !== undefined) {
      for (const range of progress.stop()) await respond({ range, error: format.givenUp.error });
      return true;
    }
    // While the container has trouble there is no hurry.
    if (format.failuresInARow > 0) await backOff(policy, format.failuresInARow, signal);
    const next = await progress.next(signal);
    if (next === undefined) return true;
    if ('error' in next) await respond(next);
    else yield* scanBatch(scan, next);
  }
  return false;
}

/** Neighbours, which may share files while the version stays the same and nothing fails. */
async function* scanBatch<Batch>(scan: Scan<Batch>, batch: RegionBatch): Slices {
  const cutter = scan.format.newCutter(scan.task);
  for (const region of batch) {
    cutter.enter(region);
    yield* scanRegion(scan, cutter, region);
    assert(equalBytes(cutter.at, region.range.end), 'a region is scanned to its end, or answered with an error');
  }
  await cutter.endFile();
}

/** What the source no longer has at one version is read at a newer one, where there may be one, for as long as that gets further. */
async function* scanRegion<Batch>(scan: Scan<Batch>, cutter: RowCutter<Batch>, region: Region): Slices {
  const { policy, respond, signal, versions } = scan;
  for (let attempt = 1; ; attempt++) {
    const from = cutter.at;
    const hold = versions.hold();
    try {
      yield* scanAt(scan, cutter, region, hold);
      return;
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof AssertionError) throw error;
      // What a source says that does not keep its contract cannot be relied on.
      if (BackupError.is(error, 'ADAPTER_CONTRACT')) cutter.fail(error);
      await cutter.endFile();
      // The last row was the last that there could be.
      if (equalBytes(cutter.at, region.range.end)) return;
      if (!equalBytes(cutter.at, from)) attempt = 0;
      const canRenew = versions.renew !== undefined && BackupError.is(error, 'VERSION_TOO_OLD');
      if (!canRenew || attempt >= policy.maxAttempts) {
        await respond({ range: { begin: cutter.at, end: region.range.end }, error });
        cutter.skipTo(region.range.end);
        return;
      }
    } finally {
      await versions.letGo(hold);
    }
    if (attempt > 1) await backOff(policy, attempt - 1, signal);
    await versions.renew?.(hold, signal);
  }
}

/** Scans from where the cutter is to the region's end, or until it throws: then the cutter knows how far the rows are whole. */
async function* scanAt<Batch>(
  scan: Scan<Batch>,
  cutter: RowCutter<Batch>,
  region: Region,
  { version }: VersionHold,
): Slices {
  const { format, signal, source } = scan;
  const { end } = region.range;
  await cutter.useVersion(version);
  const request = { region, range: { begin: cutter.at, end }, version, signal };
  let sliceEnd = cutter.encodedBytes + SLICE_BYTES;
  let batches = 0;
  for await (const batch of abortableStream(source.scan(request), signal)) {
    await cutter.add(batch, region);
    if (format.givenUp !== undefined) throw format.givenUp.error;
    if (cutter.encodedBytes < sliceEnd && ++batches < SLICE_BATCHES) continue;
    sliceEnd = cutter.encodedBytes + SLICE_BYTES;
    batches = 0;
    yield;
  }
  // A source that merely ends when it is aborted has not said that there are no more rows.
  signal.throwIfAborted();
  cutter.coverTo(end);
}
