// What a snapshot is asked for with; checked at the door.

import { checkFlag, checkMethods } from '../core/check-option.js';
import type { Clock, Random } from '../core/clock.js';
import { systemClock, systemRandom } from '../core/clock.js';
import { checkVersion } from '../core/check-version.js';
import { BackupError } from '../core/errors.js';
import type { KeyRange } from '../core/key-range.js';
import { NORMAL_KEYS, checkRange, coalesceRanges } from '../core/key-range.js';
import type { Version } from '../core/version.js';
import { DEFAULT_BLOCK_SIZE, MAX_BLOCK_SIZE } from '../format/fdb/names.js';
import type { BackupContainer } from '../ports/backup-container.js';
import { checkedContainer } from '../ports/checked-container.js';
import { checkListingLag, listingLagOf } from '../ports/listing-lag.js';
import { checkedRangeSource } from '../ports/checked-range-source.js';
import type { RangeSource } from '../ports/range-source.js';
import type { BackupSettings } from '../schedule/backup-settings.js';
import { backupSettings } from '../schedule/backup-settings.js';
import type { LoadStatistics } from '../schedule/host-load.js';
import type { TaskPool } from '../schedule/task-pool.js';
import type { RangeResponse } from './range-response.js';

/** The numbers that an operator may turn. Times in ms, sizes in bytes. Names as in TiKV's backup configuration where it has them. */
export interface SnapshotKnobs extends Partial<BackupSettings> {
  /** A range file ends once it is this large: at the next row, at most a block later. Default 128 MiB. */
  readonly maxFileSize?: number;
  /** Of range files. FoundationDB's tools take any; a row that does not fit gets larger blocks for its file. Default 1 MiB. */
  readonly blockSize?: number;
  /** Encoded rows that may wait for the save workers. A scan that is ahead by more waits. Default 16 MiB. */
  readonly channelBytes?: number;
  /** Most bytes per second that are given to the container, all save workers together. Default: no limit. */
  readonly rateLimit?: number | undefined;
  /** How often in a row a range is tried without getting any further before it is given up. Default 8. */
  readonly maxAttempts?: number;
  /** First wait before something is tried again; doubles each time, with jitter. Default 100. */
  readonly retryMinDelay?: number;
  /** Longest wait between two tries. Default 10,000. */
  readonly retryMaxDelay?: number;
}

export interface EndpointOptions extends SnapshotKnobs {
  readonly source: RangeSource;
  /** Where the scans run. Pass one to share it with other work of the process; it is not stopped. Default: one of `numThreads`, for this alone. */
  readonly pool?: TaskPool | undefined;
  /** How busy the host is, for `enableAutoTune`: see HostLoad. */
  readonly statistics?: LoadStatistics | undefined;
  readonly clock?: Clock;
  readonly random?: Random;
}

/** How far a snapshot is. Counts are of the whole snapshot, what an earlier run stored included. */
export interface SnapshotProgress {
  readonly files: number;
  /** Of range files, bytes. */
  readonly bytes: number;
  readonly rows: number;
  /** Ranges that failed and are to be asked for again. */
  readonly retrying: number;
  /** At which new scans read now. */
  readonly version: Version;
}

export interface TakeSnapshotOptions extends EndpointOptions {
  readonly container: BackupContainer;
  /** What to store. [] means the normal keys, as in a job. */
  readonly ranges: readonly KeyRange[];
  /** Inclusive: no row is read at a lower version. For a job that also backs up the log: its `completeFrom` (rule P3). Default 0. */
  readonly atLeast?: Version;
  /** Inclusive: read at this version, while the source has it; then at newer ones. It must be committed, and is the caller's to release. Default: the latest, `source.readVersion`. */
  readonly version?: Version;
  /** Whether to go on with a snapshot of the same ranges that was cut off. Default true. */
  readonly resume?: boolean;
  /** A snapshot that was begun longer ago is not resumed, ms by `clock.wallTime()`. Default 24 hours. */
  readonly resumeWithin?: number;
  /**
   * How long after a file was finished or deleted the container's listings may still be wrong about it, ms. It is waited only where something is to be deleted because a listing does not show that it is
   * needed: seldom, and after the snapshot is complete, or before one that follows a half snapshot whose end was cut off. Default: what the container says, else 10,000.
   */
  readonly listingLag?: number;
  /** Cancels: what is stored is kept for the next call; no timer, unfinished file or held version stays behind. */
  readonly signal?: AbortSignal;
  /** Called after each file. Must not throw. */
  readonly onProgress?: (progress: SnapshotProgress) => void;
  /** Called for each answer of the endpoint: a file, or a range's error (which may be tried again). Must not throw. */
  readonly onResponse?: (response: RangeResponse) => void;
}

export type ResolvedEndpoint = Required<Omit<EndpointOptions, 'rateLimit' | 'pool' | 'statistics'>> & {
  readonly rateLimit: number | undefined;
  readonly statistics: LoadStatistics | undefined;
  readonly pool: TaskPool | undefined;
};

export interface ResolvedSnapshot extends ResolvedEndpoint {
  readonly container: BackupContainer;
  /** Coalesced, at least one. */
  readonly ranges: readonly KeyRange[];
  readonly atLeast: Version;
  readonly version: Version | undefined;
  readonly resume: boolean;
  readonly resumeWithin: number;
  readonly listingLag: number;
  readonly signal: AbortSignal | undefined;
  readonly onProgress: ((progress: SnapshotProgress) => void) | undefined;
  readonly onResponse: ((response: RangeResponse) => void) | undefined;
}

const MIB = 1 << 20;
const DAY = 24 * 60 * 60 * 1000;
/** ms: Node's timers fire at once when they are asked for more. */
const LONGEST_DELAY = 2 ** 31 - 1;
/** Room for a header, a few keys and a row of some size. */
const SMALLEST_BLOCK = 512;

/** Throws INVALID_OPTION with the option's name and value. */
export function resolveEndpoint(options: EndpointOptions): ResolvedEndpoint {
  const number = (
    name: Exclude<keyof SnapshotKnobs, keyof BackupSettings>,
    fallback: number,
    least: number,
    most: number,
    whole = true,
  ): number => {
    const value = options[name] ?? fallback;
    if (!(whole ? Number.isSafeInteger(value) : Number.isFinite(value)) || value < least || value > most) {
      const kind = whole ? 'a whole number' : 'a number';
      throw new BackupError('INVALID_OPTION', `${name} must be ${kind} from ${least} to ${most}, got ${String(value)}`);
    }
    return value;
  };
  checkMethods('source', options.source, 'RangeSource', ['readVersion', 'regions', 'scan']);
  if (options.pool !== undefined) checkMethods('pool', options.pool, 'TaskPool', ['run']);
  const retryMinDelay = number('retryMinDelay', 100, 0, LONGEST_DELAY, false);
  const settings = backupSettings(options);
  if (settings.enableAutoTune && options.statistics === undefined) {
    throw new BackupError('INVALID_OPTION', 'statistics must be given when enableAutoTune is true, got undefined');
  }
  return {
    ...settings,
    source: checkedRangeSource(options.source),
    pool: options.pool,
    statistics: options.statistics,
    clock: options.clock ?? systemClock,
    random: options.random ?? systemRandom,
    maxFileSize: number('maxFileSize', 128 * MIB, 1, Number.MAX_SAFE_INTEGER),
    blockSize: number('blockSize', DEFAULT_BLOCK_SIZE, SMALLEST_BLOCK, MAX_BLOCK_SIZE),
    channelBytes: number('channelBytes', 16 * MIB, 1, Number.MAX_SAFE_INTEGER),
    rateLimit: options.rateLimit === undefined ? undefined : number('rateLimit', 0, 1, Number.MAX_SAFE_INTEGER, false),
    maxAttempts: number('maxAttempts', 8, 1, 1_000_000),
    retryMinDelay,
    retryMaxDelay: number('retryMaxDelay', Math.max(10_000, retryMinDelay), retryMinDelay, LONGEST_DELAY, false),
  };
}

/** Throws INVALID_OPTION with the option's name and value. */
export function checkResumption({
  resume,
  resumeWithin = DAY,
  listingLag,
}: Pick<TakeSnapshotOptions, 'resume' | 'resumeWithin' | 'listingLag'>) {
  checkFlag('resume', resume);
  checkListingLag(listingLag);
  if (!Number.isFinite(resumeWithin) || resumeWithin < 0) {
    throw new BackupError('INVALID_OPTION', `resumeWithin must be a number of ms >= 0, got ${String(resumeWithin)}`);
  }
}

/** Throws INVALID_OPTION with the option's name and value. */
export function resolveSnapshot(options: TakeSnapshotOptions): ResolvedSnapshot {
  const { atLeast = 0n, version, resumeWithin = DAY } = options;
  checkMethods('container', options.container, 'BackupContainer', ['writeFile', 'readFile', 'listFiles', 'deleteFile']);
  if (!Array.isArray(options.ranges)) throw new BackupError('INVALID_OPTION', 'ranges must be an array of key ranges');
  for (const [index, range] of options.ranges.entries()) checkRange(range as KeyRange, `ranges[${index}]`);
  checkVersion(atLeast, 'atLeast');
  if (version !== undefined) checkVersion(version, 'version');
  if (version !== undefined && version < atLeast) {
    throw new BackupError('INVALID_OPTION', `version must be at or above atLeast ${atLeast}, got ${version}`);
  }
  checkResumption(options);
  const container = checkedContainer(options.container, options.clock ?? systemClock);
  return {
    ...resolveEndpoint(options),
    container,
    ranges: coalesceRanges(options.ranges.length === 0 ? [NORMAL_KEYS] : options.ranges),
    atLeast,
    version,
    resume: options.resume ?? true,
    resumeWithin,
    listingLag: listingLagOf(container, options.listingLag),
    signal: options.signal,
    onProgress: options.onProgress,
    onResponse: options.onResponse,
  };
}
