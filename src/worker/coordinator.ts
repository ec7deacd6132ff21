// Tag 0 of the current epoch looks after the jobs as wholes: calls them started (P3), chooses stop versions and calls them completed (P8), records overall progress.

import { abortable } from '../core/abort.js';
import type { JobStep } from '../job/coordinator-transactions.js';
import { advanceJob, readSavedVersion, recordSavedVersion, setStopVersion } from '../job/coordinator-transactions.js';
import { refreshJobs } from './job-monitor.js';
import type { Run } from './run.js';
import { triggerOrSleep, waitForAny } from './trigger.js';
import type { VersionTimes } from './version-times.js';
import { watchOrPoll } from './watch.js';

/** Runs until aborted or displaced. `times` hears how far the jobs are stored. */
export async function coordinateJobs(run: Run, times: VersionTimes | undefined, signal: AbortSignal): Promise<void> {
  const { clock, options } = run;
  let lastReport = clock.now();
  while (run.displacement === undefined) {
    const seen = run.changed.count;
    const missing = await advanceJobs(run, times, signal);
    if (clock.now() - lastReport >= options.metricsInterval) {
      await reportSavedVersions(run, signal);
      lastReport = clock.now();
    }
    await waitForAny(signal, [
      (inner) => pauseOrChange(run, seen, inner),
      ...(missing === undefined ? [] : [(inner: AbortSignal) => watchOrPoll(run, missing, undefined, inner)]),
    ]);
  }
}

/** Other tags' progress shows only when looked at; changes of this run are met at once, but not more often than a tenth of the interval. */
async function pauseOrChange(run: Run, seen: number, signal: AbortSignal): Promise<void> {
  const { clock, options } = run;
  const shortest = options.coordinationInterval / 10;
  await clock.sleep(shortest, signal);
  await triggerOrSleep(run.changed, seen, clock, options.coordinationInterval - shortest, signal);
}

/** Returns a key that has to appear before the next job can start. */
async function advanceJobs(
  run: Run,
  times: VersionTimes | undefined,
  signal: AbortSignal,
): Promise<string | undefined> {
  let missing: string | undefined;
  for (const uid of run.jobs.uids()) {
    const step = await advance(run, uid, signal);
    notePaths(run, uid, step);
    if (step.kind === 'awaiting-registration') missing ??= step.key;
    if (step.kind === 'started') run.emit('jobStarted', uid, step.completeFrom);
    if (step.kind === 'steady' && step.stored !== undefined) times?.noteStored(uid, step.stored);
    if (step.kind === 'needs-stop-version') await chooseStopVersion(run, uid, signal);
    if (step.kind === 'completed') {
      run.emit('jobCompleted', uid);
      await refreshJobs(run, signal);
    }
  }
  return missing;
}

function notePaths(run: Run, uid: string, { kind }: JobStep): void {
  if (kind === 'awaiting-registration') run.rules.met('P03 a tag has not registered yet');
  if (kind === 'started') run.rules.met('P03 set Running');
  if (kind === 'superseded') run.rules.met('P03 left to the newest epoch');
  if (kind === 'completed') run.rules.met('P08 completed');
  if (kind !== 'steady' || run.jobs.get(uid)?.stopVersion === undefined) return;
  if (!run.isOldestEpoch) run.rules.met('P08 completion waits for an older epoch');
  if (run.paused) run.rules.met('P08 completion waits while paused');
}

function advance(run: Run, uid: string, signal: AbortSignal): Promise<JobStep> {
  return run.transact(`look after job ${uid}`, signal, (tx) => advanceJob(tx, factsOf(run), uid));
}

/** P8: the log is asked after Stopping has been read, and as a whole: this run's own epoch may be over without its knowing (scenario 2). */
async function chooseStopVersion(run: Run, uid: string, signal: AbortSignal): Promise<void> {
  const { logSource } = run.options;
  const committed = await run.retry('committedVersion', signal, () =>
    abortable(logSource.committedVersion(signal), signal),
  );
  await run.transact(`set the stop version of job ${uid}`, signal, (tx) =>
    setStopVersion(tx, run.owner, uid, committed),
  );
  run.rules.met('P08 stop version set');
}

async function reportSavedVersions(run: Run, signal: AbortSignal): Promise<void> {
  for (const uid of run.jobs.uids()) {
    const what = `record the progress of job ${uid}`;
    const saved = await run.transact(what, signal, (tx) => readSavedVersion(tx, factsOf(run), uid));
    if (saved === undefined) continue;
    await run.transact(what, signal, (tx) => recordSavedVersion(tx, run.owner, uid, saved));
  }
}

function factsOf(run: Run) {
  return { run: run.owner, totalTags: run.options.totalTags, olderEpochsDone: run.isOldestEpoch };
}
