// Watches `started`: new jobs join (the true-up, rule P2), ended ones leave at once (rule P9).

import type { JobRecord, StartedJob } from '../job/records.js';
import { STARTED_KEY } from '../job/keys.js';
import { readActiveJobs, register } from '../job/worker-transactions.js';
import type { Run } from './run.js';
import { watchOrPoll } from './watch.js';

/** Runs until aborted. */
export async function monitorJobs(run: Run, signal: AbortSignal): Promise<void> {
  for (;;) {
    const seen = await refreshJobs(run, signal);
    await watchOrPoll(run, STARTED_KEY, seen, signal);
  }
}

/** Reads the active jobs and applies what has changed; returns the value that was read. Also called when a transaction has found that this run is behind. */
export async function refreshJobs(run: Run, signal: AbortSignal): Promise<Uint8Array | undefined> {
  return run.jobReads.runExclusive(async () => {
    const { value, jobs } = await run.transact('read the active jobs', signal, async (tx) => ({
      value: await tx.get(STARTED_KEY),
      jobs: await readActiveJobs(tx, run.owner),
    }));
    await applyActiveJobs(run, jobs, signal);
    return value;
  });
}

async function applyActiveJobs(
  run: Run,
  active: readonly { started: StartedJob; job: JobRecord }[],
  signal: AbortSignal,
): Promise<void> {
  for (const uid of run.jobs.uids()) {
    if (active.some(({ job }) => job.uid === uid)) continue;
    removeJob(run, uid);
  }
  for (const { started, job } of active) {
    const known = run.jobs.get(job.uid);
    if (known !== undefined) noteStopVersion(run, known, started);
    else if (run.jobs.hasLeft(job.uid)) run.rules.met('P09 job that has left is still listed');
    else await addJob(run, started, job, signal);
  }
}

function noteStopVersion(run: Run, known: { stopVersion: bigint | undefined }, started: StartedJob): void {
  if (known.stopVersion === started.stopVersion) return;
  known.stopVersion = started.stopVersion;
  run.changed.fire();
}

/** The job leaves the router, and pull mode with it if it was the last. False when it had left before. */
export function removeJob(run: Run, uid: string): boolean {
  if (!run.jobs.leave(uid)) return false;
  run.rules.met('P09 job leaves a run');
  run.emit('jobLeft', uid);
  run.changed.fire();
  return true;
}

async function addJob(run: Run, started: StartedJob, job: JobRecord, signal: AbortSignal): Promise<void> {
  // A noop in flight may have committed a version that this run does not know yet (scenario 4).
  if (run.noopInFlight !== undefined) run.rules.met('P02 noop in flight awaited before a job joins');
  while (run.rules.awaitsNoop && run.noopInFlight !== undefined) await run.noopInFlight;
  // One synchronous step: from here on every cut contains the job's messages.
  const firstVersion = run.rules.firstVersion(job.startVersion, run.queue.nextVersion);
  const joined = run.jobs.join({
    record: job,
    firstVersion,
    progress: { nextBegin: firstVersion, bytes: 0, files: 0 },
    isRegistered: false,
    stopVersion: started.stopVersion,
  });
  run.rules.met('P02 job joins a run');
  if (firstVersion > job.startVersion) run.rules.met('P02 firstVersion above the start version: the true-up');
  run.emit('jobJoined', job.uid, firstVersion);
  run.changed.fire();
  const isActive = await run.transact(`register for job ${job.uid}`, signal, (tx) =>
    register(tx, run.owner, job.uid, firstVersion),
  );
  if (isActive) joined.isRegistered = true;
  else {
    run.rules.met('P02 job gone before it was registered');
    removeJob(run, job.uid);
  }
}
