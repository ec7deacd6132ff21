// What a BackupWorker is made with; checked at the door.

import type { Clock, Random } from '../core/clock.js';
import { systemClock, systemRandom } from '../core/clock.js';
import { BackupError } from '../core/errors.js';
import type { LogEpoch, Tag, Version } from '../core/version.js';
import { checkVersion } from '../core/check-version.js';
import { LOG_ROUTER_LOCALITY, formatTag } from '../core/version.js';
import { DEFAULT_BLOCK_SIZE, MAX_BLOCK_SIZE } from '../format/fdb/names.js';
import type { BackupContainer } from '../ports/backup-container.js';
import { checkedOpen } from '../ports/checked-container.js';
import { checkedLogSource } from '../ports/checked-log-source.js';
import { checkedStore } from '../ports/checked-progress-store.js';
import type { LogSource } from '../ports/log-source.js';
import type { ProgressStore } from '../ports/progress-store.js';

/** The numbers that an operator may turn. Times in ms, sizes in bytes. */
export interface WorkerKnobs {
  /** Memory for messages that are queued: the flow lock's permits. A single batch that is larger still passes, alone. Default 128 MiB. */
  readonly lockBytes?: number;
  /** Encoded bytes wanted from one peek. Default 4 MiB; at most lockBytes. */
  readonly peekBytes?: number;
  /** Longest wait between two rounds while there is something to store. Default 10,000. */
  readonly uploadDelay?: number;
  /** A round begins sooner when this much is queued. Default 32 MiB; at most lockBytes. */
  readonly uploadBytes?: number;
  /** An idle tag writes one empty file per job this often, so that the restorable version moves on. Default 60,000. */
  readonly idleUploadDelay?: number;
  /** Block size of log files. FoundationDB's restore assumes its own knob's value, 1 MiB: keep the default for containers meant for it. */
  readonly blockSize?: number;
  /** Container writes at a time, for this worker alone. Default: 2 together with all other workers of the process that leave this out. */
  readonly concurrentWrites?: number;
  /** Time between pops while no job is active. Default 5,000. */
  readonly noopPopDelay?: number;
  /** How long a job whose container fails or hangs, without getting any further, may hold up the others before it is failed for good. Default 60,000. */
  readonly jobStallTimeout?: number;
  /**
   * Tag 0: how often the version that is committed and the time are noted in each job's container, once the job has stored that version: so that a restore can be asked for a time
   * (rule P26). A restore to a time may lack what was committed that long before it. Default 60,000; 0: never.
   */
  readonly versionTimeInterval?: number;
  /** Default 5,000. */
  readonly metricsInterval?: number;
  /** Time between looks at the store when no watch fires. Default 5,000. */
  readonly pollInterval?: number;
  /** Tag 0: time between looks whether a job can be called started or completed. Default 1,000. */
  readonly coordinationInterval?: number;
  /** First wait before a failed call is tried again; doubles each time, with jitter. Default 100. */
  readonly retryMinDelay?: number;
  /** Longest wait between two tries. Default 10,000. */
  readonly retryMaxDelay?: number;
}

export interface BackupWorkerOptions extends WorkerKnobs {
  readonly logSource: LogSource;
  readonly progressStore: ProgressStore;
  /** Called for a job before its first file, again after a failure and each time the worker comes back from NOOP mode. What it throws is treated like an error of the container. */
  readonly openContainer: (url: string) => BackupContainer | Promise<BackupContainer>;
  /** The log router tag to drain: {locality: -2, id: 0 to totalTags - 1}. */
  readonly tag: Tag;
  /** Tags of the backup epoch. */
  readonly totalTags: number;
  /** Inclusive: a lower bound; what is recorded in the store moves it up (rule P12). */
  readonly startVersion: Version;
  /** Inclusive: the last version of an old epoch. Leave it out for the current one. */
  readonly endVersion?: Version;
  /** The epoch in which the worker is started. */
  readonly recruitedEpoch: LogEpoch;
  /** The epoch whose log it drains; below recruitedEpoch for an old one. */
  readonly backupEpoch: LogEpoch;
  readonly clock?: Clock;
  readonly random?: Random;
}

export type ResolvedOptions = Required<Omit<BackupWorkerOptions, 'endVersion' | 'concurrentWrites'>> & {
  readonly endVersion: Version | undefined;
  readonly concurrentWrites: number | undefined;
};

const MIB = 1 << 20;
/** ms: Node's timers fire at once when they are asked for more. */
const LONGEST_DELAY = 2 ** 31 - 1;

/** Throws INVALID_OPTION with the option's name and value. */
export function resolveOptions(options: BackupWorkerOptions): ResolvedOptions {
  const knob = (name: keyof WorkerKnobs, fallback: number, least: number, most: number, kind: string): number => {
    const value = options[name] ?? fallback;
    const isRight = kind === 'a number of ms' ? Number.isFinite(value) : Number.isSafeInteger(value);
    if (!isRight || value < least || value > most) {
      throw new BackupError('INVALID_OPTION', `${name} must be ${kind} from ${least} to ${most}, got ${String(value)}`);
    }
    return value;
  };
  const ms = (name: keyof WorkerKnobs, fallback: number, least = 1) =>
    knob(name, fallback, least, LONGEST_DELAY, 'a number of ms');
  const count = (name: keyof WorkerKnobs, fallback: number, least = 1, most = Number.MAX_SAFE_INTEGER) =>
    knob(name, fallback, least, most, 'a whole number');
  checkPorts(options);
  checkEpochs(options);
  const lockBytes = count('lockBytes', 128 * MIB);
  const retryMinDelay = ms('retryMinDelay', 100, 0);
  const clock = options.clock ?? systemClock;
  return {
    logSource: checkedLogSource(options.logSource, clock),
    progressStore: checkedStore(options.progressStore, clock),
    openContainer: checkedOpen(options.openContainer, clock),
    tag: options.tag,
    totalTags: options.totalTags,
    startVersion: options.startVersion,
    endVersion: options.endVersion,
    recruitedEpoch: options.recruitedEpoch,
    backupEpoch: options.backupEpoch,
    clock,
    random: options.random ?? systemRandom,
    lockBytes,
    peekBytes: count('peekBytes', Math.min(4 * MIB, lockBytes), 1, lockBytes),
    uploadDelay: ms('uploadDelay', 10_000),
    uploadBytes: count('uploadBytes', Math.min(32 * MIB, lockBytes), 1, lockBytes),
    idleUploadDelay: ms('idleUploadDelay', 60_000),
    blockSize: count('blockSize', DEFAULT_BLOCK_SIZE, 64, MAX_BLOCK_SIZE),
    concurrentWrites: options.concurrentWrites === undefined ? undefined : count('concurrentWrites', 2, 1, 1_000),
    noopPopDelay: ms('noopPopDelay', 5_000),
    jobStallTimeout: ms('jobStallTimeout', 60_000),
    versionTimeInterval: ms('versionTimeInterval', 60_000, 0),
    metricsInterval: ms('metricsInterval', 5_000),
    pollInterval: ms('pollInterval', 5_000),
    coordinationInterval: ms('coordinationInterval', 1_000),
    retryMinDelay,
    retryMaxDelay: ms('retryMaxDelay', Math.max(10_000, retryMinDelay), retryMinDelay),
  };
}

function checkPorts(options: BackupWorkerOptions): void {
  const needs: readonly [string, unknown, string][] = [
    ['logSource.peek', (options.logSource as Partial<LogSource> | undefined)?.peek, 'LogSource'],
    [
      'progressStore.transact',
      (options.progressStore as Partial<ProgressStore> | undefined)?.transact,
      'ProgressStore',
    ],
    ['openContainer', options.openContainer, '(url) => BackupContainer'],
  ];
  for (const [name, value, type] of needs) {
    if (typeof value !== 'function') {
      throw new BackupError('INVALID_OPTION', `${name} must be a function: pass a ${type}, got ${typeof value}`);
    }
  }
}

function checkEpochs(options: BackupWorkerOptions): void {
  const { tag, totalTags, recruitedEpoch, backupEpoch, startVersion, endVersion } = options;
  const fail = (what: string) => new BackupError('INVALID_OPTION', what);
  if (!Number.isSafeInteger(totalTags) || totalTags < 1)
    throw fail(`totalTags must be an integer above 0, got ${String(totalTags)}`);
  if (tag?.locality !== LOG_ROUTER_LOCALITY || !Number.isSafeInteger(tag.id) || tag.id < 0 || tag.id >= totalTags) {
    const got = tag === undefined ? 'undefined' : formatTag(tag);
    throw fail(
      `tag must be a log router tag, ${LOG_ROUTER_LOCALITY}:0 to ${LOG_ROUTER_LOCALITY}:${totalTags - 1}, got ${got}`,
    );
  }
  if (!Number.isSafeInteger(recruitedEpoch) || recruitedEpoch < 0) {
    throw fail(`recruitedEpoch must be an integer from 0, got ${String(recruitedEpoch)}`);
  }
  if (!Number.isSafeInteger(backupEpoch) || backupEpoch < 0 || backupEpoch > recruitedEpoch) {
    throw fail(`backupEpoch must be an integer from 0 to recruitedEpoch ${recruitedEpoch}, got ${String(backupEpoch)}`);
  }
  checkVersion(startVersion, 'startVersion');
  if (endVersion !== undefined) checkVersion(endVersion, 'endVersion');
  if (backupEpoch < recruitedEpoch !== (endVersion !== undefined)) {
    throw fail(
      endVersion === undefined
        ? `endVersion is needed: backupEpoch ${backupEpoch} is older than recruitedEpoch ${recruitedEpoch}`
        : `endVersion ${endVersion} must be left out for the current epoch ${backupEpoch}`,
    );
  }
}
