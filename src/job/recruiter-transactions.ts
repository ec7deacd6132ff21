// What a recruiter records: the newest epoch before anything else, and the tags of old epochs that need no worker (rules P11, P23, P24).

import { BackupError } from '../core/errors.js';
import { checkVersion } from '../core/check-version.js';
import type { Version } from '../core/version.js';
import { logRouterTag } from '../core/version.js';
import type { LogEpochInfo } from '../ports/log-source.js';
import type { ProgressStore, ProgressTransaction } from '../ports/progress-store.js';
import type { RecoveryPlan } from './plan.js';
import { planRecovery } from './plan.js';
import type { EpochRecord } from './records.js';
import * as store from './store-access.js';
import type { TagOfEpoch } from './store-access.js';

/**
 * Records that an epoch has begun. A recruiter calls it before it plans, starts or marks done anything for that epoch: from then on workers that were recruited earlier
 * cannot claim, and tag 0 of an older epoch decides nothing about a job. Announcing the newest epoch again is fine; throws DISPLACED for an older one.
 */
export async function announceEpoch(progressStore: ProgressStore, epoch: EpochRecord): Promise<void> {
  checkVersion(epoch.begin, 'epoch.begin');
  checkCount(epoch.epoch, 'epoch.epoch', 0);
  checkCount(epoch.totalTags, 'epoch.totalTags', 1);
  await progressStore.transact(async (tx) => {
    const newest = await store.readEpoch(tx);
    if (newest !== undefined && newest.epoch > epoch.epoch) {
      throw new BackupError(
        'DISPLACED',
        `epoch ${epoch.epoch} is over: the progress store already knows epoch ${newest.epoch}`,
        {
          epoch: epoch.epoch,
        },
      );
    }
    const { begin, totalTags } = epoch;
    // A recruiter looks again and again: nothing is written when nothing has changed.
    if (newest?.epoch === epoch.epoch && newest.begin === begin && newest.totalTags === totalTags) return;
    store.writeEpoch(tx, { epoch: epoch.epoch, begin, totalTags });
  });
}

function checkCount(value: unknown, what: string, least: number): void {
  if (!Number.isSafeInteger(value) || (value as number) < least) {
    throw new BackupError('INVALID_OPTION', `${what} must be a whole number from ${least}, got ${String(value)}`);
  }
}

/**
 * The plan from recorded state, in the one transaction that also records what needs no worker. `epochs` as in `LogSystemInfo`. Throws DISPLACED
 * when a newer epoch has been announced, EPOCH_NOT_ANNOUNCED when this one has not.
 */
export async function planFromStore(
  progressStore: ProgressStore,
  epochs: readonly LogEpochInfo[],
): Promise<RecoveryPlan> {
  return progressStore.transact(async (tx) => {
    const current = epochs.at(-1);
    const newest = await store.readEpoch(tx);
    if (current !== undefined && newest?.epoch !== current.epoch) throw notCurrent(current, newest);
    const jobs = await store.readStarted(tx);
    const progress = await store.readAllProgress(tx);
    for (const record of progress) checkNotRolledBack(record, epochs, jobs);
    const plan = planRecovery({
      epochs,
      jobs,
      progress,
      noop: await store.readAllNoop(tx),
      done: await store.readAllDone(tx),
    });
    for (const place of plan.done) store.writeDone(tx, place);
    return plan;
  });
}

/**
 * P14: no epoch's log calls anything committed that lies above its end. One that did has had void versions stored as committed, and the worker of the next epoch would begin above them: what
 * was committed there instead would be missing without a word. The way out is that of a gap: abort the jobs that have them.
 */
function checkNotRolledBack(
  { epoch, tag, savedVersion }: TagOfEpoch & { readonly savedVersion: Version },
  epochs: readonly LogEpochInfo[],
  jobs: readonly { readonly uid: string; readonly startVersion: Version }[],
): void {
  const next = epochs.find((other) => other.epoch > epoch);
  if (next === undefined || savedVersion < next.begin) return;
  const job = jobs.find(({ startVersion }) => startVersion <= savedVersion);
  if (job === undefined) return;
  throw new BackupError(
    'ADAPTER_CONTRACT',
    `LogSource broke its contract: versions ${next.begin} to ${savedVersion} of epoch ${epoch}, tag ${tag}, were stored as committed, and the epoch ended below them: what is stored of them is void. ` +
      `Abort job ${job.uid} and every other that was active then, and submit new ones`,
    { epoch, tag: logRouterTag(tag), jobUid: job.uid, versions: { begin: next.begin, end: savedVersion + 1n } },
  );
}

function notCurrent(current: LogEpochInfo, newest: EpochRecord | undefined): BackupError {
  return newest !== undefined && newest.epoch > current.epoch
    ? new BackupError('DISPLACED', `epoch ${current.epoch} is over: epoch ${newest.epoch} has begun`, {
        epoch: current.epoch,
      })
    : new BackupError(
        'EPOCH_NOT_ANNOUNCED',
        `epoch ${current.epoch} has not been announced: call announceEpoch() first`,
        {
          epoch: current.epoch,
        },
      );
}

/** The tags of old epochs that are drained: what `oldestBackupEpoch()` needs. */
export async function readDone(progressStore: ProgressStore): Promise<TagOfEpoch[]> {
  return progressStore.transact((tx: ProgressTransaction) => store.readAllDone(tx));
}
