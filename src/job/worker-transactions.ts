// What a worker may record, rule by rule (docs/protocol.md). Each function is the body of one transaction: it may run more than once,
// and an earlier run may have committed, so it writes absolute values and treats what is already there as success.
// Every one but the claim checks `owner` first: of two processes for one tag only the later one records anything (rule P1).

import { BackupError, assert } from '../core/errors.js';
import type { LogEpoch, Version } from '../core/version.js';
import { logRouterTag, maxVersion } from '../core/version.js';
import type { ProgressTransaction } from '../ports/progress-store.js';
import { noopKey, ownerKey, registeredKey, PAUSED_KEY } from './keys.js';
import type { JobFailure, JobProgress, JobRecord, StartedJob } from './records.js';
import { decodeOwner, encodeOwner, encodeVersion, isActiveState } from './records.js';
import * as store from './store-access.js';
import type { TagOfEpoch } from './store-access.js';

/** A run of a worker: what it owns, and the random id that it claimed it with. */
export interface WorkerRun extends TagOfEpoch {
  readonly runId: string;
  /** False only in a simulation that plants the bug of not looking (see src/worker/rules.ts). */
  readonly checksClaim: boolean;
  /** Called in every transaction of the run, the claim included; rejects (DISPLACED) when whoever runs it may not any more (rule F3). */
  readonly fence?: Fence | undefined;
}

export type Fence = (tx: ProgressTransaction) => Promise<void>;

export interface ClaimRequest {
  readonly run: WorkerRun;
  readonly recruitedEpoch: LogEpoch;
  readonly totalTags: number;
  /** From the recovery plan: a lower bound. */
  readonly startVersion: Version;
  /** Inclusive; an old epoch's last version. */
  readonly endVersion: Version | undefined;
}

/** A job as a worker carries it. */
export interface ClaimedJob {
  readonly job: JobRecord;
  readonly firstVersion: Version;
  readonly progress: JobProgress;
}

export interface Claim {
  /** Inclusive: where the run begins (rule P12). */
  readonly startVersion: Version;
  readonly noopVersion: Version | undefined;
  /** Inclusive: what earlier runs have recorded as stored. */
  readonly savedVersion: Version | undefined;
  readonly paused: boolean;
  readonly jobs: readonly ClaimedJob[];
  /** The tag of this old epoch is drained: nothing to do. */
  readonly done: boolean;
}

/** P1, P12: takes the tag, and reads in the same transaction where to go on. */
export async function claim(tx: ProgressTransaction, request: ClaimRequest): Promise<Claim> {
  const { run } = request;
  await run.fence?.(tx);
  // Of two claims that overlap one must run again: the late commit of a run that has been stopped, or has died, would take the tag from its replacement.
  await tx.get(ownerKey(run.epoch, run.tag));
  await checkEpoch(tx, request);
  const progress = await store.readProgress(tx, run);
  const noopVersion = await store.readNoop(tx, run);
  const done = await store.isDone(tx, run);
  let startVersion = request.startVersion;
  if (progress !== undefined) startVersion = maxVersion(startVersion, progress.savedVersion + 1n);
  if (noopVersion !== undefined) startVersion = maxVersion(startVersion, noopVersion + 1n);
  const jobs: ClaimedJob[] = [];
  for (const started of done ? [] : await store.readStarted(tx)) {
    const job = await store.readStartedJob(tx, started.uid);
    if (!isActiveState(job.state)) continue;
    let firstVersion = await store.readRegistered(tx, job.uid, run);
    if (firstVersion === undefined) {
      firstVersion = maxVersion(job.startVersion, startVersion);
      tx.set(registeredKey(job.uid, run.epoch, run.tag), encodeVersion(firstVersion));
    }
    const recorded = progress?.jobs.get(job.uid) ?? { nextBegin: firstVersion, bytes: 0, files: 0 };
    if (recorded.nextBegin < startVersion) throw startsTooLate(request, job.uid, recorded.nextBegin, startVersion);
    jobs.push({ job, firstVersion, progress: recorded });
  }
  tx.set(ownerKey(run.epoch, run.tag), encodeOwner(run.runId));
  const paused = (await tx.get(PAUSED_KEY)) !== undefined;
  return { startVersion, noopVersion, savedVersion: progress?.savedVersion, paused, jobs, done };
}

/** A run that was recruited in an older epoch than the newest one does not claim. */
async function checkEpoch(tx: ProgressTransaction, { run, recruitedEpoch, ...request }: ClaimRequest): Promise<void> {
  const newest = await store.readEpoch(tx);
  if (newest === undefined && run.epoch === recruitedEpoch) {
    // A store without any epoch is a new one, whose host starts its workers by itself: it announces the epoch with them.
    const { totalTags, startVersion } = request;
    store.writeEpoch(tx, { epoch: recruitedEpoch, begin: startVersion, totalTags });
  } else if (newest !== undefined && newest.epoch > recruitedEpoch) {
    throw displaced(run, `epoch ${newest.epoch} has begun; this worker was recruited in epoch ${recruitedEpoch}`);
  } else if (newest === undefined || newest.epoch < recruitedEpoch) {
    throw new BackupError(
      'EPOCH_NOT_ANNOUNCED',
      `the progress store knows ${newest === undefined ? 'no epoch' : `epochs up to ${newest.epoch}`}, the worker was recruited in ${recruitedEpoch}: call announceEpoch() before workers of a new epoch start`,
      { epoch: recruitedEpoch, tag: logRouterTag(run.tag) },
    );
  }
}

function startsTooLate(request: ClaimRequest, uid: string, nextBegin: Version, startVersion: Version): BackupError {
  return new BackupError(
    'INVALID_OPTION',
    `startVersion ${request.startVersion} would leave a gap: job ${uid} has files up to ${nextBegin} (exclusive) only, and the worker would begin at ${startVersion}; ` +
      'start it with the begin that planRecovery() gives',
    {
      epoch: request.run.epoch,
      tag: logRouterTag(request.run.tag),
      jobUid: uid,
      versions: { begin: nextBegin, end: startVersion },
    },
  );
}

export function displaced(run: TagOfEpoch, why: string): BackupError {
  return new BackupError('DISPLACED', `worker of epoch ${run.epoch}, tag ${run.tag} is displaced: ${why}`, {
    epoch: run.epoch,
    tag: logRouterTag(run.tag),
  });
}

/** P1, F3: throws DISPLACED unless the run still owns its tag. */
export async function checkOwner(tx: ProgressTransaction, run: WorkerRun): Promise<void> {
  await run.fence?.(tx);
  const key = ownerKey(run.epoch, run.tag);
  const value = await tx.get(key);
  if (!run.checksClaim) return;
  const owner = value && decodeOwner(key, value);
  if (owner !== run.runId) throw displaced(run, `run ${owner ?? '(none)'} has claimed the tag from run ${run.runId}`);
}

/** The active jobs with their records, as one consistent read. */
export async function readActiveJobs(
  tx: ProgressTransaction,
  run: WorkerRun,
): Promise<{ started: StartedJob; job: JobRecord }[]> {
  await checkOwner(tx, run);
  const jobs: { started: StartedJob; job: JobRecord }[] = [];
  for (const started of await store.readStarted(tx)) {
    const job = await store.readStartedJob(tx, started.uid);
    if (isActiveState(job.state)) jobs.push({ started, job });
  }
  return jobs;
}

/** P2: records the firstVersion that the worker has fixed. False: the job is not active any more. */
export async function register(
  tx: ProgressTransaction,
  run: WorkerRun,
  uid: string,
  firstVersion: Version,
): Promise<boolean> {
  await checkOwner(tx, run);
  const active = (await store.readStarted(tx)).some((job) => job.uid === uid);
  if (active) tx.set(registeredKey(uid, run.epoch, run.tag), encodeVersion(firstVersion));
  return active;
}

export interface SaveRequest {
  readonly run: WorkerRun;
  readonly totalTags: number;
  /** Inclusive. */
  readonly cut: Version;
  /** Inclusive: what this run knows to be recorded, by itself or one before it; undefined: nothing. */
  readonly recorded: Version | undefined;
  /** The jobs that took part in the round, and their progress after it. */
  readonly jobs: ReadonlyMap<string, JobProgress>;
  /** The firstVersions of those among them whose registration has not been acknowledged: what is stored for a job is registered with it at the latest. */
  readonly unregistered: ReadonlyMap<string, Version>;
}

/**
 * P4: records a round. Returns the active jobs that should have been part of it and were not: if there is one, nothing is recorded
 * and the round has to be redone with it.
 */
export async function save(tx: ProgressTransaction, request: SaveRequest): Promise<readonly string[]> {
  const { run, cut } = request;
  await checkOwner(tx, run);
  const started = await store.readStarted(tx);
  const missing: string[] = [];
  for (const { uid } of started) {
    if (request.jobs.has(uid)) continue;
    const firstVersion = await store.readRegistered(tx, uid, run);
    if (firstVersion !== undefined && firstVersion <= cut) missing.push(uid);
  }
  if (missing.length > 0) return missing;
  const before = await store.readProgress(tx, run);
  checkKept(request, before?.savedVersion);
  if (before !== undefined && before.savedVersion >= cut) {
    // An earlier run of this body has committed. Nobody else can have: the run owns the tag.
    assert(
      before.savedVersion === cut || !run.checksClaim,
      `saved version goes back from ${before.savedVersion} to ${cut}`,
    );
  }
  // Jobs that have ended leave the record; their totals are in `job/<uid>` by then.
  const jobs = new Map<string, JobProgress>();
  for (const { uid } of started) {
    const progress = request.jobs.get(uid) ?? before?.jobs.get(uid);
    if (progress !== undefined) jobs.set(uid, progress);
    const firstVersion = request.unregistered.get(uid);
    if (firstVersion !== undefined) tx.set(registeredKey(uid, run.epoch, run.tag), encodeVersion(firstVersion));
  }
  store.writeProgress(tx, run, { savedVersion: cut, totalTags: request.totalTags, jobs });
  return [];
}

export type NoopOutcome =
  | 'recorded'
  /** By an earlier try, whose answer was lost. */
  | 'known'
  /** A job is active. */
  | 'refused';

/** The log has forgotten what was recorded: a store that has lost it must not go unnoticed until the next run begins below it. */
function checkKept({ run, recorded }: SaveRequest, found: Version | undefined): void {
  if (recorded === undefined || !run.checksClaim || (found !== undefined && found >= recorded)) return;
  throw new BackupError(
    'ADAPTER_CONTRACT',
    `ProgressStore.transact broke its contract: version ${recorded} of epoch ${run.epoch}, tag ${run.tag}, was recorded as saved, and the store ` +
      (found === undefined ? 'has no record of it' : `now says ${found}`),
    { epoch: run.epoch, tag: logRouterTag(run.tag), version: recorded },
  );
}

/** P6: records that the log may be discarded up to `version` although nothing was stored. */
export async function recordNoop(tx: ProgressTransaction, run: WorkerRun, version: Version): Promise<NoopOutcome> {
  await checkOwner(tx, run);
  const before = await store.readNoop(tx, run);
  // Before the look at the jobs: the answer of a first try that has committed may have been lost (scenario 5).
  if (before !== undefined && before >= version) return 'known';
  if ((await store.readStarted(tx)).length > 0) return 'refused';
  tx.set(noopKey(run.epoch, run.tag), encodeVersion(version));
  return 'recorded';
}

export interface GapFacts {
  readonly noopVersion: Version | undefined;
  readonly done: boolean;
}

/** P7: what may explain that the log has discarded more than was asked for. */
export async function readGapFacts(tx: ProgressTransaction, run: WorkerRun): Promise<GapFacts> {
  await checkOwner(tx, run);
  return { noopVersion: await store.readNoop(tx, run), done: await store.isDone(tx, run) };
}

/** P10: the job has failed for good on this tag. Nothing happens if it is not active any more. */
export async function failJob(
  tx: ProgressTransaction,
  run: WorkerRun,
  uid: string,
  failure: JobFailure,
): Promise<void> {
  await checkOwner(tx, run);
  const job = await store.readJob(tx, uid);
  if (job === undefined || !isActiveState(job.state)) return;
  await endJob(tx, { ...job, state: 'Failed', failure });
}

/** Puts the job into a final state, with its totals, and takes it from the active ones. */
export async function endJob(tx: ProgressTransaction, job: JobRecord): Promise<void> {
  let bytes = 0;
  let files = 0;
  for (const progress of await store.readAllProgress(tx)) {
    bytes += progress.jobs.get(job.uid)?.bytes ?? 0;
    files += progress.jobs.get(job.uid)?.files ?? 0;
  }
  store.writeJob(tx, { ...job, bytes, files });
  await store.removeStarted(tx, job.uid);
}

/**
 * P11: the tag of an old epoch is drained. Unless everything up to endVersion is saved, only if every active job starts after it or, as the caller knows,
 * has all it needs. False: there is a job that still needs the tag.
 */
export async function recordDone(
  tx: ProgressTransaction,
  run: WorkerRun,
  endVersion: Version,
  served: (uid: string) => boolean,
): Promise<boolean> {
  await checkOwner(tx, run);
  if (await store.isDone(tx, run)) return true;
  const progress = await store.readProgress(tx, run);
  if (progress === undefined || progress.savedVersion < endVersion) {
    const needed = (await store.readStarted(tx)).some((job) => job.startVersion <= endVersion && !served(job.uid));
    if (needed) return false;
  }
  store.writeDone(tx, run);
  return true;
}
