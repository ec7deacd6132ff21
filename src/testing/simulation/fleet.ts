// What keeps the workers of a simulated cluster running: the simulation's own recruiter, one worker to a process, or hosts that run the library's.

import type { BackupWorker } from '../../worker/backup-worker.js';
import type { WorkerKnobs } from '../../worker/options.js';
import type { WorkerRules } from '../../worker/rules.js';
import { workerRules } from '../../worker/rules.js';
import type { FleetUnrest } from './check-fleet.js';
import type { SimHits } from './hits.js';
import type { SimProcess } from './process.js';
import { describeError } from './trace.js';

export interface SimFleet {
  start(): void;
  /** Asks everything to stop, and starts nothing any more. */
  stop(): void;
  /** One worker or host is stopped in good order, and started again. */
  restartOne(): void;
  /** The flow locks of all that run, at a moment at which nothing is half done. */
  checkAccounts(): void;
  /** What the wall clocks of those that take snapshots show. */
  readonly wallTimes: readonly number[];
  /** What has not ended, in words; frozen ones too. */
  readonly running: readonly string[];
  /** What is not as it must become, when everything else is at rest. */
  readonly unrest?: FleetUnrest | undefined;
  /** After all have ended in good order. */
  checkEnd?(): void;
}

export type SimKnobs = WorkerKnobs & { readonly lockBytes: number };

/** What a worker decides, with planted bugs, and where it has been. */
export function countedRules(hits: SimHits, planted: Partial<WorkerRules> = {}): WorkerRules {
  return { ...workerRules, met: (path) => hits.add(path), ...planted };
}

/** Counts what a worker says, and puts it into the trace. */
export function listenToWorker(worker: BackupWorker, process: SimProcess, who = ''): void {
  const { hits, trace } = process.world;
  countEvents(worker, hits);
  if (!trace.enabled) return;
  const note = (what: string) => process.note(`${who}${what}`);
  worker.on('state', (state) => note(`state ${state}`));
  worker.on('jobFailed', (uid) => note(`job ${uid} fails`));
  worker.on('saved', (version) => note(`saved ${version}`));
  worker.on('jobJoined', (uid, first) => note(`job ${uid} joins from ${first}`));
  worker.on('jobLeft', (uid) => note(`job ${uid} leaves`));
  worker.on('retry', (what, error, delay) =>
    note(`retries ${what} in ${delay.toFixed(1)} ms: ${describeError(error)}`),
  );
}

function countEvents(worker: BackupWorker, hits: SimHits): void {
  worker.on('state', (state) => hits.add(`state: ${state}`));
  worker.on('jobFailed', () => hits.add('worker: job failed (P10)'));
  worker.on('largeRecord', () => hits.add('worker: record larger than a block'));
  worker.on('paused', () => hits.add('worker: sees pause or resume'));
}
