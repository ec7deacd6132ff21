// The upload actor: decides when a round is due and how far it may cut (rules P14, P15, P17). Must never cut above what is committed.

import type { Version } from '../core/version.js';
import { JobWriter } from './job-writer.js';
import { askCommitted } from './noop.js';
import { isPulledToEnd } from './pull.js';
import { uploadRound } from './round.js';
import type { Run } from './run.js';
import { triggerOrSleep } from './trigger.js';
import type { WriteLimiter } from './write-limiter.js';

/** ms between questions for the committed version while memory is short: the lock must not wait for a peek that waits for the lock (rule P15). */
const PRESSURE_DELAY = 100;

export interface UploadSignals {
  /** Ends with pull mode. */
  readonly pullMode: AbortSignal;
  readonly run: AbortSignal;
}

/** Runs until the signal aborts, an old epoch is saved to its end, or a displaced worker has stored what it can. */
export async function upload(run: Run, limiter: WriteLimiter, signals: UploadSignals): Promise<void> {
  const { clock, options } = run;
  const writer = new JobWriter(run, limiter);
  let lastLook = clock.now();
  let lastSave = clock.now();
  while (!isSavedToEnd(run)) {
    const seen = run.changed.count;
    const left = lastLook + options.uploadDelay - clock.now();
    if (left > 0 && !isUrgent(run)) {
      await triggerOrSleep(run.changed, seen, clock, left, signals.pullMode);
      continue;
    }
    const cut = await committedCut(run, signals);
    const isIdleDue = clock.now() - lastSave >= options.idleUploadDelay;
    lastLook = clock.now();
    if (cut !== undefined && isWorthARound(run, cut, isIdleDue)) {
      noteCut(run, cut);
      run.setState('PullMode.Uploading');
      await uploadRound(run, writer, cut, signals);
      run.setState('PullMode.Pulling');
      lastSave = clock.now();
    } else if (run.displacement !== undefined) return;
    // Something presses, and nothing can be done about it yet: not more often than this.
    else if (isUrgent(run)) await clock.sleep(Math.min(PRESSURE_DELAY, options.uploadDelay), signals.pullMode);
  }
}

export function isSavedToEnd(run: Run): boolean {
  const { endVersion } = run.options;
  return endVersion !== undefined && run.savedVersion >= endVersion;
}

/** Sooner than the delay: memory fills up, or there is nothing to wait for. */
function isUrgent(run: Run): boolean {
  return (
    run.queue.bytes >= run.options.uploadBytes ||
    run.lock.waiters > 0 ||
    isPulledToEnd(run) ||
    run.displacement !== undefined
  );
}

/** How far a round may go; undefined when nothing that was pulled is unsaved. Asks the log by itself: peeks may stand still (rule P15). */
async function committedCut(run: Run, signals: UploadSignals): Promise<Version | undefined> {
  const pulledEnd = run.queue.end;
  const known = run.minKnownCommittedVersion;
  if (pulledEnd - 1n <= run.savedVersion) return undefined;
  if (!isPulledToEnd(run) && run.displacement === undefined && (known === undefined || known < pulledEnd - 1n)) {
    noteQuestion(run);
    await run.untilDisplaced(signals.pullMode, (signal) => askCommitted(run, signal));
  }
  if (run.minKnownCommittedVersion === undefined) return undefined;
  // The queue may have grown, or have lost a tail that was rolled back, while the log was asked.
  const cut = run.rules.cut({
    pulledEnd: run.queue.end,
    minKnownCommittedVersion: run.minKnownCommittedVersion,
    endVersion: run.options.endVersion,
  });
  return cut > run.savedVersion ? cut : undefined;
}

/** Messages always are. An empty stretch is when it must be claimed soon, at the end of things, and else after the idle delay. */
function isWorthARound(run: Run, cut: Version, isIdleDue: boolean): boolean {
  if (run.queue.hasMessagesThrough(cut)) return true;
  if (isPulledToEnd(run) || run.displacement !== undefined) return true;
  if (isIdleDue) {
    run.rules.met('P17 idle round after the delay');
    return true;
  }
  const jobs = run.jobs.values();
  if (jobs.some(({ progress }) => progress.files === 0 && progress.nextBegin <= cut)) {
    run.rules.met('P17 first file at once');
    return true;
  }
  return jobs.some(({ stopVersion }) => stopVersion !== undefined && run.savedVersion < stopVersion);
}

function noteQuestion(run: Run): void {
  run.rules.met('P15 asks what is committed');
  if (run.paused) run.rules.met('P15 asks while paused');
  if (run.lock.waiters > 0) run.rules.met('P15 asks while the lock is full');
  if (run.queue.messages === 0) run.rules.met('P15 asks for an empty stretch');
}

function noteCut(run: Run, cut: Version): void {
  if (run.paused) run.rules.met('P21 uploads while paused');
  if (cut === run.options.endVersion) run.rules.met('P14 cut at the end of an old epoch');
  else if (cut === run.queue.end - 1n) run.rules.met('P14 cut at everything that is pulled');
  else run.rules.met('P14 cut below what is pulled: not committed');
}
