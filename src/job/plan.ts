// The recovery plan: which workers have to run, and where each begins. Pure; rules P23 and P24 (FoundationDB: BackupProgress).

import { BackupError } from '../core/errors.js';
import type { LogEpoch, Version } from '../core/version.js';
import { maxVersion } from '../core/version.js';
import type { LogEpochInfo } from '../ports/log-source.js';
import type { TagOfEpoch } from './store-access.js';

export interface RecoveryPlanInput {
  /** Every epoch whose log still exists, oldest first, without holes; the last one is the current one. */
  readonly epochs: readonly LogEpochInfo[];
  /** The active jobs. */
  readonly jobs: readonly { readonly uid: string; readonly startVersion: Version }[];
  /** All records, of all epochs. savedVersion inclusive. */
  readonly progress: readonly (TagOfEpoch & { readonly totalTags: number; readonly savedVersion: Version })[];
  /** All records, of all epochs. noopVersion inclusive. */
  readonly noop: readonly (TagOfEpoch & { readonly noopVersion: Version })[];
  /** The tags of old epochs that are recorded as drained. */
  readonly done: readonly TagOfEpoch[];
}

/** What to start a BackupWorker with. */
export interface PlannedWorker {
  readonly recruitedEpoch: LogEpoch;
  readonly backupEpoch: LogEpoch;
  readonly tag: number;
  readonly totalTags: number;
  /** Inclusive. */
  readonly startVersion: Version;
  /** Inclusive; absent for the current epoch. */
  readonly endVersion?: Version;
}

export interface RecoveryPlan {
  /** Oldest epoch first; the current epoch has one for every tag. */
  readonly workers: readonly PlannedWorker[];
  /** Tags of old epochs for which nothing is left to do and no one has said so yet: the recruiter records them as done (rule P11). */
  readonly done: readonly TagOfEpoch[];
}

/** Throws INVALID_EPOCHS when the epochs have holes, overlap or lack an end. */
export function planRecovery(input: RecoveryPlanInput): RecoveryPlan {
  checkEpochs(input.epochs);
  const workers: PlannedWorker[] = [];
  const done: TagOfEpoch[] = [];
  const current = input.epochs.at(-1) as LogEpochInfo;
  for (const epoch of input.epochs) {
    for (let tag = 0; tag < epoch.totalTags; tag++) {
      const place = { epoch: epoch.epoch, tag };
      if (epoch.end === undefined) {
        workers.push(plannedWorker(current, epoch, tag, beginOf(input, epoch, tag)));
      } else if (!input.done.some((entry) => entry.epoch === place.epoch && entry.tag === tag)) {
        const worker = plannedWorker(current, epoch, tag, beginOf(input, epoch, tag));
        if (isNeeded(input, worker)) workers.push(worker);
        else done.push(place);
      }
    }
  }
  return { workers, done };
}

function plannedWorker(current: LogEpochInfo, epoch: LogEpochInfo, tag: number, startVersion: Version): PlannedWorker {
  return {
    recruitedEpoch: current.epoch,
    backupEpoch: epoch.epoch,
    tag,
    totalTags: epoch.totalTags,
    startVersion,
    ...(epoch.end === undefined ? {} : { endVersion: epoch.end - 1n }),
  };
}

/** An old epoch needs no worker when nothing is left of it, or no active job starts in it. */
function isNeeded(input: RecoveryPlanInput, worker: PlannedWorker): boolean {
  const endVersion = worker.endVersion as Version;
  return worker.startVersion <= endVersion && input.jobs.some((job) => job.startVersion <= endVersion);
}

/**
 * The version after everything that is recorded for this tag. Progress of earlier epochs counts too, if it has the same totalTags; a NOOP record only
 * for its own epoch and tag.
 */
function beginOf(input: RecoveryPlanInput, epoch: LogEpochInfo, tag: number): Version {
  let begin = epoch.begin;
  for (const record of input.progress) {
    if (record.tag === tag && record.epoch <= epoch.epoch && record.totalTags === epoch.totalTags) {
      begin = maxVersion(begin, record.savedVersion + 1n);
    }
  }
  for (const record of input.noop) {
    if (record.tag === tag && record.epoch === epoch.epoch) begin = maxVersion(begin, record.noopVersion + 1n);
  }
  return begin;
}

/** An epoch must begin where the one before it ends: otherwise no file would claim the stretch between. */
function checkEpochs(epochs: readonly LogEpochInfo[]): void {
  if (epochs.length === 0)
    throw new BackupError('INVALID_EPOCHS', 'planRecovery: epochs must name at least the current one');
  epochs.forEach((epoch, index) => {
    const isCurrent = index === epochs.length - 1;
    if (!Number.isSafeInteger(epoch.totalTags) || epoch.totalTags < 1) {
      throw invalid(epoch, `totalTags must be at least 1, got ${epoch.totalTags}`);
    }
    if (isCurrent !== (epoch.end === undefined)) {
      throw invalid(epoch, isCurrent ? 'the newest epoch must have no end' : 'an old epoch must have an end');
    }
    if (epoch.end !== undefined && epoch.end < epoch.begin)
      throw invalid(epoch, `end ${epoch.end} is below begin ${epoch.begin}`);
    const previous = epochs[index - 1];
    if (previous === undefined) return;
    if (previous.epoch >= epoch.epoch)
      throw invalid(epoch, `epochs must be in ascending order, got ${previous.epoch} before it`);
    if (previous.end !== epoch.begin) {
      throw invalid(
        epoch,
        `begin ${epoch.begin} must equal the end ${String(previous.end)} of epoch ${previous.epoch}`,
      );
    }
  });
}

function invalid(epoch: LogEpochInfo, what: string): BackupError {
  return new BackupError('INVALID_EPOCHS', `epoch ${epoch.epoch}: ${what}`, { epoch: epoch.epoch });
}

/**
 * What a host reports as `LogSystemInfo.oldestBackupEpoch`: the oldest epoch with a tag that is not drained; the newest epoch when there is none.
 * `epochs` as in the recovery plan.
 */
export function oldestBackupEpoch(epochs: readonly LogEpochInfo[], done: readonly TagOfEpoch[]): LogEpoch {
  checkEpochs(epochs);
  for (const epoch of epochs) {
    for (let tag = 0; tag < epoch.totalTags; tag++) {
      if (!done.some((entry) => entry.epoch === epoch.epoch && entry.tag === tag)) return epoch.epoch;
    }
  }
  return (epochs.at(-1) as LogEpochInfo).epoch;
}
