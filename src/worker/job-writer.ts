// Writes one job's files of a round: tries again what may pass, gives up when it has stalled for too long (rule P10). Must never make a file visible after the job has left,
// nor a log file before its checksums.

import { abortable, AbortScope } from '../core/abort.js';
import { BufferPool } from '../core/buffer-pool.js';
import { AssertionError, BackupError } from '../core/errors.js';
import { lingerFor } from '../core/linger.js';
import { errorWithoutSecret } from '../core/redact-error.js';
import type { Version } from '../core/version.js';
import type { FileSums } from '../format/fdb/file-sums.js';
import { encodeFileSums, sumsFileName } from '../format/fdb/file-sums.js';
import { blockSizeFor } from '../format/fdb/log-file-encoder.js';
import { logFileName } from '../format/fdb/names.js';
import type { JobProgress } from '../job/records.js';
import { writeLogFile } from '../pipeline/log-file-writer.js';
import type { RoutedJob } from '../pipeline/routed-job.js';
import type { BackupContainer, BackupFile } from '../ports/backup-container.js';
import { openJobContainer } from './job-container.js';
import type { JobInRun } from './job-set.js';
import { JobHasLeft } from './job-set.js';
import { backoff, isTransient } from './retry.js';
import type { Run } from './run.js';
import { NoJobLeft } from './run.js';
import { StallWatch } from './stall-watch.js';
import { withHelpers } from './task-group.js';
import type { WriteLimiter } from './write-limiter.js';

export type WriteOutcome =
  | { readonly kind: 'written'; readonly progress: JobProgress }
  /** The job is not active any more: whatever happened to its files does not matter (rule P9). */
  | { readonly kind: 'left' }
  | { readonly kind: 'failed'; readonly error: BackupError };

/** ms without progress after which a write does not count towards the concurrency any more. */
const LEND_DELAY = 1_000;
/** More than any file has bytes: so that a finished file is further than any byte of the one before. */
const FILE_STEP = 2 ** 40;

/** What stays the same over all rounds of a pull. */
export class JobWriter {
  readonly #run: Run;
  readonly #limiter: WriteLimiter;
  readonly #pool = new BufferPool();
  readonly #containers = new Map<string, BackupContainer>();

  constructor(run: Run, limiter: WriteLimiter) {
    this.#run = run;
    this.#limiter = limiter;
  }

  /** Everything of `routed` in [the job's next begin, end), as one file, or two at a folder's boundary (rule P20). Rejects when the signal aborts. */
  async write(job: JobInRun, routed: RoutedJob, end: Version, signal: AbortSignal): Promise<WriteOutcome> {
    using scope = new AbortScope(signal);
    const onDeparture = () => scope.end(job.departure.signal.reason);
    if (job.departure.signal.aborted) onDeparture();
    else job.departure.signal.addEventListener('abort', onDeparture, { once: true });
    try {
      const round = new JobRound(job, routed, end, this.#run);
      if (round.stretches.length > 1) this.#run.rules.met('P20 file split at a folder boundary');
      return await this.#writeWithRetries(round, scope.signal);
    } catch (error) {
      signal.throwIfAborted();
      if (job.departure.signal.aborted) {
        this.#run.rules.met('P09 file of a job that has left given up');
        return { kind: 'left' };
      }
      throw error;
    } finally {
      job.departure.signal.removeEventListener('abort', onDeparture);
    }
  }

  async #writeWithRetries(round: JobRound, signal: AbortSignal): Promise<WriteOutcome> {
    let last: unknown;
    for (let attempt = 0; ; attempt++) {
      const before = { left: round.stall.left, furthest: round.stall.furthest };
      try {
        // The turn is given back while this job waits for its next try: others go on.
        await abortable(
          this.#limiter.run(() => this.#attempt(round, attempt === 0, signal)),
          signal,
        );
        return { kind: 'written', progress: round.progress };
      } catch (error) {
        if (signal.aborted) await this.#linger(round, signal.reason);
        signal.throwIfAborted();
        if (error instanceof AssertionError) throw error;
        round.stall.count();
        if (round.stall.left <= 0 || !mayPass(error))
          return this.#fail(last !== undefined && this.#wasCutShort(error, round, before) ? last : error, round);
        last = error;
        const delay = Math.min(backoff(this.#run.retryPolicy, attempt), round.stall.left);
        this.#run.retryPolicy.onRetry(
          `write files of job ${round.uid}`,
          errorWithoutSecret(error, round.job.record.url),
          delay,
        );
        await this.#run.clock.sleep(delay, signal);
        round.stall.count(delay);
        // The last error is the reason that an operator needs; another try would only run into the time limit.
        if (round.stall.left <= 0) return this.#fail(error, round);
      }
    }
  }

  /** The time ran out in the midst of a try, after earlier ones had failed for most of it: those are the reason, and not that this one was not done. */
  #wasCutShort(error: unknown, { stall }: JobRound, before: Pick<StallWatch, 'left' | 'furthest'>): boolean {
    if (!BackupError.is(error, 'TIMEOUT') || stall.left > 0 || stall.furthest > before.furthest) return false;
    return before.left < this.#run.options.jobStallTimeout / 2;
  }

  #fail(error: unknown, round: JobRound): WriteOutcome {
    const hasStalled = round.stall.left <= 0;
    this.#run.rules.met(
      hasStalled ? 'P10 failed: no progress for too long' : 'P10 failed: the container refuses for good',
    );
    return { kind: 'failed', error: asJobError(error, round) };
  }

  /** One try, in its turn. A container that hangs is left to itself when the job has stalled for too long. */
  async #attempt(round: JobRound, isFirst: boolean, signal: AbortSignal): Promise<void> {
    // The job may have left while it waited for its turn: then not even its container is made.
    signal.throwIfAborted();
    if (isFirst) round.stall.restart();
    const write = (inner: AbortSignal) => {
      round.underWay = this.#writeFiles(round, inner);
      return abortable(round.underWay, inner);
    };
    await withHelpers(signal, write, [
      (inner) => round.stall.expire(`the container of job ${round.uid}`, inner),
      (inner) => this.#lendTurn(round, inner),
    ]);
  }

  /** When the run ends, a container call that is under way may end too. A job's departure waits for nothing (rule P9). */
  async #linger(round: JobRound, reason: unknown): Promise<void> {
    if (round.underWay === undefined || reason instanceof JobHasLeft || reason instanceof NoJobLeft) return;
    await lingerFor(round.underWay, this.#run.clock);
  }

  async #lendTurn(round: JobRound, signal: AbortSignal): Promise<void> {
    await round.stall.stalled(LEND_DELAY, signal);
    const giveBack = this.#limiter.lend();
    this.#run.rules.met('P10 turn lent to another job');
    if (signal.aborted) giveBack();
    else signal.addEventListener('abort', giveBack, { once: true });
  }

  async #writeFiles(round: JobRound, signal: AbortSignal): Promise<void> {
    const container = await this.#open(round, signal);
    while (round.next < round.stretches.length) {
      await this.#writeFile(container, round, round.stretches[round.next] as Stretch, signal);
    }
  }

  async #open(round: JobRound, signal: AbortSignal): Promise<BackupContainer> {
    const known = this.#containers.get(round.uid);
    if (known !== undefined) return known;
    const container = await openJobContainer(this.#run.options.openContainer, round.job.record);
    signal.throwIfAborted();
    this.#containers.set(round.uid, container);
    round.stall.reached(1);
    return container;
  }

  async #writeFile(container: BackupContainer, round: JobRound, stretch: Stretch, signal: AbortSignal): Promise<void> {
    const { clock, random, options, rules } = this.#run;
    const blockSize = blockSizeFor(stretch.routed.maxRecordBytes, options.blockSize);
    if (stretch.routed.messages === 0) rules.met('P17 empty file');
    if (blockSize !== options.blockSize) {
      rules.met('P20 larger block for a long record');
      this.#run.emit('largeRecord', round.uid, stretch.routed.maxRecordBytes, blockSize);
    }
    const { begin, end } = stretch;
    const { tag, totalTags } = options;
    const name = logFileName({ begin, end, uid: random.uid(), tag: tag.id, totalTags, blockSize });
    const watched = round.stall.watcher(round.next * FILE_STEP + 1);
    const file = watched(await container.writeFile(name));
    let hasSums = false;
    try {
      const onSums = async (sums: FileSums) => {
        await writeSums(watched(await container.writeFile(sumsFileName(name))), sums, signal);
        hasSums = true;
        rules.met('P25 checksums written');
      };
      const written = await writeLogFile(file, stretch.routed, { blockSize, pool: this.#pool, clock, signal, onSums });
      // Between the last byte and the moment of being visible: a job that has left gets no file.
      signal.throwIfAborted();
      await file.finish();
      round.finished(written.bytes);
      this.#run.bytesWritten += written.bytes;
      this.#run.filesWritten++;
      if (!signal.aborted) this.#run.emit('fileWritten', { jobUid: round.uid, name, begin, end, ...written });
    } catch (error) {
      if (hasSums) rules.met('P25 checksums left without their file');
      await file.abort();
      throw error;
    }
  }
}

/**
 * A log file's checksums are there before it is: who finds one of ours without them knows that they were lost. When the log file fails after this they stay, an orphan that readers ignore: the
 * log file's end may have taken effect although it failed.
 */
async function writeSums(file: BackupFile, sums: FileSums, signal: AbortSignal): Promise<void> {
  try {
    signal.throwIfAborted();
    await file.append([encodeFileSums(sums)]);
    signal.throwIfAborted();
    await file.finish();
  } catch (error) {
    await file.abort();
    throw error;
  }
}

/** One file to be. */
interface Stretch {
  readonly begin: Version;
  readonly end: Version;
  readonly routed: RoutedJob;
}

/** How far one job has come in one round, over all tries. */
class JobRound {
  readonly job: JobInRun;
  readonly uid: string;
  readonly stretches: readonly Stretch[];
  readonly stall: StallWatch;
  /** Index of the first file that is not finished. */
  next = 0;
  /** The try that is under way, or the last one. */
  underWay: Promise<void> | undefined;
  readonly #end: Version;
  #bytes = 0;

  constructor(job: JobInRun, routed: RoutedJob, end: Version, run: Run) {
    this.job = job;
    this.uid = job.record.uid;
    this.#end = end;
    const begin = job.progress.nextBegin;
    const bounds = [begin, ...run.rules.splitFile(begin, end), end];
    this.stretches = bounds.slice(1).map((to, index) => {
      const from = bounds[index] as Version;
      return { begin: from, end: to, routed: bounds.length === 2 ? routed : routed.slice(from, to) };
    });
    this.stall = new StallWatch(run.clock, run.options.jobStallTimeout, () =>
      run.rules.met('P10 the process stood still: its time does not count'),
    );
  }

  finished(bytes: number): void {
    this.#bytes += bytes;
    this.next++;
    this.stall.reached(this.next * FILE_STEP);
  }

  /** The job's progress once the round is saved. */
  get progress(): JobProgress {
    const before = this.job.progress;
    return { nextBegin: this.#end, bytes: before.bytes + this.#bytes, files: before.files + this.stretches.length };
  }
}

/** Rights that were taken away by mistake, keys that are being exchanged: a store that denies may soon allow again, and a job that has failed never comes back. */
function mayPass(error: unknown): boolean {
  return isTransient(error) || BackupError.is(error, 'CONTAINER_ACCESS_DENIED');
}

function asJobError(thrown: unknown, { job, uid }: JobRound): BackupError {
  // Kept with the job, and shown.
  const error = errorWithoutSecret(thrown, job.record.url);
  const facts = { jobUid: uid, container: job.record.url, cause: error };
  if (BackupError.is(error)) return new BackupError(error.code, error.message, { ...facts, file: error.file });
  return new BackupError('CONTAINER_UNAVAILABLE', `the container of job ${uid} failed: ${String(error)}`, facts);
}
