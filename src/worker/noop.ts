// NOOP mode: no job is active, so the log is discarded up to its committed version and nothing is stored (rule P6).
// Must never discard what a job that joins meanwhile has been promised: the version is recorded first, in a transaction that sees no active job.

import { abortable } from '../core/abort.js';
import type { Version } from '../core/version.js';
import type { NoopOutcome } from '../job/worker-transactions.js';
import { recordNoop } from '../job/worker-transactions.js';
import { refreshJobs } from './job-monitor.js';
import type { Run } from './run.js';
import { triggerOrSleep } from './trigger.js';
import type { WorkerPath } from './worker-path.js';

/** Returns when a job is active or the run is displaced. Goes on while the backup is paused (rule P21). */
export async function noopMode(run: Run, signal: AbortSignal): Promise<void> {
  const isOver = () => run.jobs.size > 0 || run.displacement !== undefined;
  while (!isOver()) {
    run.setState('NOOPMode.Popping');
    // The log of an epoch that is over may never answer.
    const committed = await run.untilDisplaced(signal, (inner) => askCommitted(run, inner));
    if (committed === undefined || isOver()) return;
    if (committed > run.poppableVersion && !(await discardUpTo(run, committed, signal))) return;
    if (isOver()) return;
    run.setState('NOOPMode.Waiting');
    await waitUntil(run, run.options.noopPopDelay, isOver, signal);
  }
}

/** The min known committed version of the backup epoch, also kept in the run. */
export async function askCommitted(run: Run, signal: AbortSignal): Promise<Version> {
  const { logSource, backupEpoch } = run.options;
  const committed = await run.retry('minKnownCommittedVersion', signal, () =>
    abortable(logSource.minKnownCommittedVersion({ epoch: backupEpoch, signal }), signal),
  );
  run.noteCommitted(committed);
  return committed;
}

/** False: a job is active in the store. The popper does the rest. */
async function discardUpTo(run: Run, version: Version, signal: AbortSignal): Promise<boolean> {
  const transaction = run.transact(`record NOOP version ${version}`, signal, (tx) =>
    recordNoop(tx, run.owner, version),
  );
  const recorded = transaction.then((outcome) => {
    run.rules.met(NOOP_PATHS[outcome]);
    // In the step in which the answer arrives: whoever waits for the transaction finds nextVersion moved.
    if (outcome !== 'refused') applyNoop(run, version);
    return outcome;
  });
  // Who waits for it only wants to know that it has ended; its failure is thrown here.
  run.noopInFlight = recorded.then(
    () => undefined,
    () => undefined,
  );
  const outcome = await recorded.finally(() => (run.noopInFlight = undefined));
  if (outcome === 'refused') await refreshJobs(run, signal);
  return outcome !== 'refused';
}

const NOOP_PATHS = {
  recorded: 'P06 noop recorded',
  known: 'P06 noop had been recorded by a lost try',
  refused: 'P06 noop refused: a job is active',
} as const satisfies Record<NoopOutcome, WorkerPath>;

function applyNoop(run: Run, version: Version): void {
  run.noopVersion = version;
  // After a queue was dropped nextVersion may be above it already: those messages were above the committed version.
  if (version >= run.queue.end) run.queue.skipTo(version + 1n);
  else run.rules.met('P06 noop below what was pulled');
  if (run.paused) run.rules.met('P21 noop while paused');
  run.emit('noop', version);
  run.changed.fire();
}

/** Until `ms` have passed or the condition holds; it is looked at on every change of the run. */
async function waitUntil(run: Run, ms: number, condition: () => boolean, signal: AbortSignal): Promise<void> {
  const deadline = run.clock.now() + ms;
  for (;;) {
    const seen = run.changed.count;
    const left = deadline - run.clock.now();
    if (left <= 0 || condition()) return;
    await triggerOrSleep(run.changed, seen, run.clock, left, signal);
  }
}
