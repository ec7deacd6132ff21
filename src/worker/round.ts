// One round of uploading. The order of effects is what everything hangs on: files finished -> progress saved -> messages leave the queue -> savedVersion -> pop.

import { assert } from '../core/errors.js';
import type { Version } from '../core/version.js';
import type { JobProgress } from '../job/records.js';
import { failJob, save } from '../job/worker-transactions.js';
import type { Cut } from '../pipeline/message-queue.js';
import { refreshJobs, removeJob } from './job-monitor.js';
import type { JobInRun } from './job-set.js';
import type { JobWriter, WriteOutcome } from './job-writer.js';
import type { Run } from './run.js';

/** A round that has to be redone this often shows a store that contradicts itself. */
const MAX_REDOS = 10;

/** The signals of a round: files stop with pull mode, transactions only with the run (a save in flight is joined, whatever becomes of the jobs). */
export interface RoundSignals {
  readonly pullMode: AbortSignal;
  readonly run: AbortSignal;
}

/** Stores everything up to `cutVersion` (inclusive) for every job, and records it. Rejects when pull mode ends before the files are written. */
export async function uploadRound(
  run: Run,
  writer: JobWriter,
  cutVersion: Version,
  signals: RoundSignals,
): Promise<void> {
  for (let redo = 0; ; redo++) {
    assert(redo < MAX_REDOS, `a round was redone ${MAX_REDOS} times`);
    // One synchronous step: who joins from here on begins above the cut (rule P2).
    const cut = run.queue.cut(cutVersion);
    const members = run.jobs.values().filter((job) => job.progress.nextBegin <= cutVersion);
    if (members.length < run.jobs.size) run.rules.met('P17 no file: firstVersion is above the cut');
    if (!run.rules.savesBeforePop) await popTooEarly(run, cutVersion, signals.run);
    const written = await writeFiles(run, writer, cut, members, signals);
    signals.pullMode.throwIfAborted();
    const unregistered = unregisteredJobs(run);
    const missing = await run.transact(`save ${cutVersion}`, signals.run, (tx) =>
      save(tx, {
        run: run.owner,
        totalTags: run.options.totalTags,
        cut: cutVersion,
        recorded: run.recordedVersion,
        jobs: written,
        unregistered,
      }),
    );
    if (missing.length === 0) {
      if (unregistered.size > 0) run.rules.met('P02 registered with its first save');
      applySaved(run, cutVersion, written);
      return;
    }
    for (const uid of missing) assert(!run.jobs.hasLeft(uid), `job ${uid} has left this run but is active`);
    run.rules.met('P04 round done again with a job that was not in it');
    await refreshJobs(run, signals.run);
  }
}

function unregisteredJobs(run: Run): Map<string, Version> {
  const waiting = run.jobs.values().filter((job) => !job.isRegistered);
  return new Map(waiting.map((job) => [job.record.uid, job.firstVersion]));
}

/** Rule P4, after the commit, in one synchronous step. If the last job left meanwhile the queue is empty already. */
function applySaved(run: Run, cutVersion: Version, written: ReadonlyMap<string, JobProgress>): void {
  for (const [uid, progress] of written) {
    const job = run.jobs.get(uid);
    if (job !== undefined) job.progress = progress;
  }
  run.queue.dropThrough(cutVersion);
  run.savedVersion = cutVersion;
  run.recordedVersion = cutVersion;
  run.rounds++;
  run.rules.met('P04 round saved');
  if (run.jobs.size === 0) run.rules.met('P04 last job left while the round was saved');
  run.emit('saved', cutVersion);
  run.changed.fire();
}

/** Files side by side. Returns the progress of the jobs that have theirs and are still there; those that failed are recorded as such. */
async function writeFiles(
  run: Run,
  writer: JobWriter,
  cut: Cut,
  members: readonly JobInRun[],
  signals: RoundSignals,
): Promise<Map<string, JobProgress>> {
  const requests = members.map((job) => ({ uid: job.record.uid, begin: job.progress.nextBegin }));
  const routed = await run.router.route(cut, requests, { clock: run.clock, signal: signals.pullMode });
  const outcomes = await settleAll(
    members.map(async (job) => {
      const parts = routed.get(job.record.uid);
      assert(parts !== undefined, `the router left job ${job.record.uid} out`);
      return { job, outcome: await writer.write(job, parts, cut.end, signals.pullMode) };
    }),
  );
  for (const { job, outcome } of outcomes) {
    if (outcome.kind === 'failed') await recordFailure(run, job, outcome, signals.run);
  }
  const written = new Map<string, JobProgress>();
  for (const { job, outcome } of outcomes) {
    // A job that has left since its file was finished is not part of the round any more (rule P9).
    if (outcome.kind !== 'written') continue;
    if (run.jobs.has(job.record.uid)) written.set(job.record.uid, outcome.progress);
    else run.rules.met('P09 job left between its file and the save');
  }
  return written;
}

/** All have settled before the first failure is thrown: nothing goes on behind the caller's back. */
async function settleAll<T>(promises: readonly Promise<T>[]): Promise<T[]> {
  const settled = await Promise.allSettled(promises);
  return settled.map((result) => {
    if (result.status === 'rejected') throw result.reason;
    return result.value;
  });
}

/** P10: the job leaves at once, and is recorded as failed before anything else is saved. */
async function recordFailure(
  run: Run,
  job: JobInRun,
  { error }: WriteOutcome & { readonly kind: 'failed' },
  signal: AbortSignal,
): Promise<void> {
  const uid = job.record.uid;
  if (!removeJob(run, uid)) {
    run.rules.met('P10 had left before its failure was recorded');
    return;
  }
  await run.transact(`record that job ${uid} has failed`, signal, (tx) =>
    failJob(tx, run.owner, uid, {
      code: error.code,
      message: error.message,
      tag: run.owner.tag,
      lastGoodVersion: job.progress.nextBegin - 1n,
    }),
  );
  run.emit('jobFailed', uid, error);
}

/** Only a simulation that plants this bug comes here. */
async function popTooEarly(run: Run, upTo: Version, signal: AbortSignal): Promise<void> {
  if (!run.isOldestEpoch) return;
  const { logSource, tag, backupEpoch } = run.options;
  await run.retry('pop too early', signal, () => logSource.pop({ epoch: backupEpoch, tag, upTo }));
}
