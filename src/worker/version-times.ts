// Version times (rule P26): which version was current when, so that a restore can be asked for a time. Tag 0's worker asks the log now and then, and notes the answers in the
// containers of the jobs once they have stored the version. Must never hold up a round or fail a job: what goes wrong here is tried again, and in the end left out.

import { abortable } from '../core/abort.js';
import { AssertionError, BackupError } from '../core/errors.js';
import { lingerFor } from '../core/linger.js';
import type { Version } from '../core/version.js';
import { maxVersion } from '../core/version.js';
import type { VersionTime } from '../format/fdb/version-times.js';
import { versionTimeName } from '../format/fdb/version-times.js';
import type { BackupContainer } from '../ports/backup-container.js';
import { openJobContainer } from './job-container.js';
import type { JobInRun } from './job-set.js';
import { backoff } from './retry.js';
import type { WorkerRules } from './rules.js';
import { workerRules } from './rules.js';
import type { Run } from './run.js';
import { withHelpers } from './task-group.js';
import { Trigger } from './trigger.js';

/** Times per job that wait for their version to be stored. Beyond it every other one goes: a job that is behind by hours has coarser times for them. */
const MAX_PENDING = 64;

/** ms: a try includes the opening of the job's container, which in an object store takes a dozen requests; with less none would ever come to its end. */
const SHORTEST_LIMIT = 10_000;

/** What of a job is stored. */
export interface StoredPart {
  /** Inclusive: every tag has the job from here on. */
  readonly completeFrom: Version;
  /** Inclusive: stored by every tag. */
  readonly savedVersion: Version;
}

interface TimesOfJob {
  /** Ascending versions and times of asking. */
  pending: readonly VersionTime[];
  /** Of the newest pair, waiting or written. */
  newest: Version;
  /** Inclusive; -1 as long as nothing is known. */
  savedVersion: Version;
  /** Inclusive; 0 as long as nothing is known. */
  completeFrom: Version;
}

/** The times of one run, by job. */
export class VersionTimes {
  /** Fired when a time may be written down. */
  readonly changed = new Trigger();
  readonly #jobs = new Map<string, TimesOfJob>();
  readonly #met: WorkerRules['met'];

  constructor(met: WorkerRules['met'] = workerRules.met) {
    this.#met = met;
  }

  /** A pair for all these jobs; others are forgotten. */
  add(pair: VersionTime, uids: readonly string[]): void {
    for (const uid of this.#jobs.keys()) if (!uids.includes(uid)) this.#jobs.delete(uid);
    for (const uid of uids) {
      const job = this.#jobs.get(uid) ?? { pending: [], newest: -1n, savedVersion: -1n, completeFrom: 0n };
      this.#jobs.set(uid, job);
      // A log that stands still: the earlier time of its version says more.
      if (pair.version <= job.newest) {
        this.#met('P26 time of a version that has not moved');
        continue;
      }
      job.newest = pair.version;
      if (pair.version < job.completeFrom) {
        this.#met('P26 time below completeFrom dropped');
        continue;
      }
      job.pending = [...job.pending, pair];
      if (job.pending.length > MAX_PENDING) job.pending = job.pending.filter((_, index) => index % 2 === 0);
    }
  }

  /** Whoever looks after the jobs has seen how far one is stored. */
  noteStored(uid: string, { completeFrom, savedVersion }: StoredPart): void {
    const job = this.#jobs.get(uid);
    if (job === undefined) return;
    job.savedVersion = maxVersion(job.savedVersion, savedVersion);
    // Nobody can restore to a version at which the job was not complete: neither one that waits, nor one that the log still has to give when the job's start lies ahead of it.
    job.completeFrom = maxVersion(job.completeFrom, completeFrom);
    if (job.pending.some(({ version }) => version < completeFrom)) this.#met('P26 time below completeFrom dropped');
    job.pending = job.pending.filter(({ version }) => version >= completeFrom);
    if (this.due(uid) !== undefined) this.changed.fire();
  }

  /** The oldest pair of the job that is to be written down; undefined: none. */
  due(uid: string): VersionTime | undefined {
    const job = this.#jobs.get(uid);
    const first = job?.pending[0];
    return job !== undefined && first !== undefined && first.version <= job.savedVersion ? first : undefined;
  }

  written(uid: string, pair: VersionTime): void {
    const job = this.#jobs.get(uid);
    if (job !== undefined) job.pending = job.pending.filter((other) => other !== pair);
    this.#met('P26 time recorded');
  }
}

/** Runs until aborted or displaced. */
export async function recordVersionTimes(run: Run, times: VersionTimes, signal: AbortSignal): Promise<void> {
  await run.untilDisplaced(signal, (inner) =>
    withHelpers(inner, (asking) => askForVersions(run, times, asking), [
      (writing) => new VersionTimeWriter(run, times).run(writing),
    ]),
  );
}

/**
 * The time is read after the answer: all that the version stands for was committed by then. What was acknowledged before the question is in the version: so nothing older than
 * the question is missing.
 */
async function askForVersions(run: Run, times: VersionTimes, signal: AbortSignal): Promise<void> {
  const { clock, options } = run;
  for (;;) {
    const seen = run.changed.count;
    if (run.jobs.size === 0) {
      await run.changed.after(seen, signal);
      continue;
    }
    try {
      const version = await abortable(options.logSource.committedVersion(signal), signal);
      times.add({ version, time: Math.ceil(clock.wallTime()) }, run.jobs.uids());
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof AssertionError) throw error;
      run.retryPolicy.onRetry('ask for a version and its time', error, options.versionTimeInterval);
    }
    await clock.sleep(options.versionTimeInterval, signal);
  }
}

class VersionTimeWriter {
  readonly #run: Run;
  readonly #times: VersionTimes;
  readonly #containers = new Map<string, BackupContainer>();
  /** Jobs with a call that was left to itself and has not ended: one more for each try would pile up without a bound, each with a file open. */
  readonly #hanging = new Set<string>();

  constructor(run: Run, times: VersionTimes) {
    this.#run = run;
    this.#times = times;
  }

  /** One file at a time, job by job, beside the writes of rounds: it takes no turn of theirs. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, retryPolicy, jobs } = this.#run;
    for (let failures = 0; ;) {
      const seen = this.#times.changed.count;
      for (const uid of this.#containers.keys()) if (!jobs.has(uid)) this.#containers.delete(uid);
      let hasFailed = false;
      const delay = backoff(retryPolicy, failures);
      for (const job of jobs.values()) {
        if (await this.#writeAll(job, delay, signal)) continue;
        hasFailed = true;
      }
      failures = hasFailed ? failures + 1 : 0;
      if (hasFailed) await clock.sleep(delay, signal);
      else await this.#times.changed.after(seen, signal);
    }
  }

  /** False when a write has failed: the rest waits for the next pass. */
  async #writeAll(job: JobInRun, delay: number, signal: AbortSignal): Promise<boolean> {
    const { uid } = job.record;
    const { rules, retryPolicy } = this.#run;
    for (let pair = this.#times.due(uid); pair !== undefined; pair = this.#times.due(uid)) {
      if (job.departure.signal.aborted) return true;
      if (this.#hanging.has(uid)) return false;
      try {
        await this.#write(job, pair, signal);
        this.#times.written(uid, pair);
      } catch (error) {
        signal.throwIfAborted();
        if (error instanceof AssertionError) throw error;
        if (job.departure.signal.aborted) {
          rules.met('P26 job left before its time was written');
          return true;
        }
        this.#containers.delete(uid);
        rules.met('P26 time tried again');
        retryPolicy.onRetry(`write the time of version ${pair.version} for job ${uid}`, error, delay);
        return false;
      }
    }
    return true;
  }

  /** A container that hangs is left to itself after a while: the other jobs' times wait behind this one. */
  async #write(job: JobInRun, pair: VersionTime, signal: AbortSignal): Promise<void> {
    const { clock, options } = this.#run;
    const limit = Math.min(Math.max(options.versionTimeInterval, SHORTEST_LIMIT), options.jobStallTimeout);
    let underWay: Promise<void> | undefined;
    try {
      await withHelpers(
        signal,
        (inner) => {
          underWay = this.#track(job.record.uid, this.#writeFile(job, pair, inner));
          return abortable(underWay, inner);
        },
        [
          async (inner) => {
            await clock.sleep(limit, inner);
            throw new BackupError('TIMEOUT', `the container did not take it within ${limit} ms`, { retryable: true });
          },
        ],
      );
    } catch (error) {
      if (signal.aborted && underWay !== undefined) await lingerFor(underWay, clock);
      throw error;
    }
  }

  async #track(uid: string, call: Promise<void>): Promise<void> {
    this.#hanging.add(uid);
    try {
      await call;
    } finally {
      this.#hanging.delete(uid);
    }
  }

  async #writeFile(job: JobInRun, pair: VersionTime, signal: AbortSignal): Promise<void> {
    const check = () => {
      signal.throwIfAborted();
      job.departure.signal.throwIfAborted();
    };
    const { uid } = job.record;
    const known = this.#containers.get(uid);
    const container = known ?? (await openJobContainer(this.#run.options.openContainer, job.record));
    check();
    this.#containers.set(uid, container);
    const file = await container.writeFile(versionTimeName(pair));
    try {
      check();
      await file.finish();
    } catch (error) {
      await file.abort();
      // An earlier try took effect, and its answer was lost: the name says it all.
      if (!BackupError.is(error, 'FILE_EXISTS')) throw error;
      this.#run.rules.met('P26 time had been written by a lost try');
    }
  }
}
