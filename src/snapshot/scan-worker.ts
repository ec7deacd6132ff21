// Takes regions in batches and scans them. A generator: each step is a slice for the task pool, between two of which a scan can be set aside.

import { abortableStream } from '../core/abort.js';
import { equalBytes } from '../core/bytes.js';
import { AssertionError, BackupError, assert } from '../core/errors.js';
import type { RangeSource, Region } from '../ports/range-source.js';
import type { TaskHandle } from '../schedule/task.js';
import type { RetryPolicy } from './backoff.js';
import { backOff } from './backoff.js';
import type { RangeResponse } from './range-response.js';
import type { RowCutter } from './row-cutter.js';
import type { SaveWorkers } from './save-workers.js';
import type { RegionBatch, ScanProgress } from './scan-progress.js';
import type { SnapshotVersions, VersionHold } from './versions.js';

export interface ScanContext {
  readonly source: RangeSource;
  readonly progress: ScanProgress;
  readonly versions: SnapshotVersions;
  readonly saving: SaveWorkers;
  readonly policy: RetryPolicy;
  /** One for each batch of regions. */
  readonly newCutter: (task: TaskHandle) => RowCutter;
  readonly respond: (response: RangeResponse) => Promise<void>;
}

/** What one scan worker has at hand. */
interface Scan extends ScanContext {
  readonly task: TaskHandle;
  /** Aborts with the request, and when the pool is stopped. */
  readonly signal: AbortSignal;
}

export type Slices = AsyncGenerator<undefined, void, undefined>;

/** Encoded bytes, and batches of rows, after which a scan lets others have a turn. */
const SLICE_BYTES = 128 << 10;
const SLICE_BATCHES = 64;

/** Goes on until there are no regions left, which it then says, or until it has scanned so many batches. */
export async function* scanWorker(
  context: ScanContext,
  task: TaskHandle,
  maxBatches = Infinity,
): AsyncGenerator<undefined, boolean, undefined> {
  const { policy, progress, respond, saving } = context;
  const { signal } = task;
  const scan: Scan = { ...context, task, signal };
  for (let batches = 0; batches < maxBatches; batches++) {
    if (saving.givenUp !== undefined) {
      for (const range of progress.stop()) await respond({ range, error: saving.givenUp.error });
      return true;
    }
    // While the container has trouble there is no hurry.
    if (saving.failuresInARow > 0) await backOff(policy, saving.failuresInARow, signal);
    const next = await progress.next(signal);
    if (next === undefined) return true;
    if ('error' in next) await respond(next);
    else yield* scanBatch(scan, next);
  }
  return false;
}

/** Neighbours, whose rows go on in one file while the version stays the same and nothing fails. */
async function* scanBatch(scan: Scan, batch: RegionBatch): Slices {
  const cutter = scan.newCutter(scan.task);
  for (const region of batch) {
    cutter.goTo(region.range.begin);
    yield* scanRegion(scan, cutter, region);
    assert(equalBytes(cutter.at, region.range.end), 'a region is scanned to its end, or answered with an error');
  }
  await cutter.endFile();
}

/** What the source no longer has at one version is read at a newer one, for as long as that gets further. */
async function* scanRegion(scan: Scan, cutter: RowCutter, region: Region): Slices {
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
      if (!BackupError.is(error, 'VERSION_TOO_OLD') || attempt >= policy.maxAttempts) {
        await respond({ range: { begin: cutter.at, end: region.range.end }, error });
        cutter.goTo(region.range.end);
        return;
      }
    } finally {
      await versions.letGo(hold);
    }
    if (attempt > 1) await backOff(policy, attempt - 1, signal);
    await versions.renew(hold, signal);
  }
}

/** Scans from where the cutter is to the region's end, or until it throws: then the cutter knows how far the rows are whole. */
async function* scanAt(scan: Scan, cutter: RowCutter, region: Region, { version }: VersionHold): Slices {
  const { saving, signal, source } = scan;
  const { end } = region.range;
  await cutter.useVersion(version);
  const request = { region, range: { begin: cutter.at, end }, version, signal };
  let sliceEnd = cutter.encodedBytes + SLICE_BYTES;
  let batches = 0;
  for await (const batch of abortableStream(source.scan(request), signal)) {
    await cutter.add(batch, region);
    if (saving.givenUp !== undefined) throw saving.givenUp.error;
    if (cutter.encodedBytes < sliceEnd && ++batches < SLICE_BATCHES) continue;
    sliceEnd = cutter.encodedBytes + SLICE_BYTES;
    batches = 0;
    yield;
  }
  // A source that merely ends when it is aborted has not said that there are no more rows.
  signal.throwIfAborted();
  cutter.coverTo(end);
}
