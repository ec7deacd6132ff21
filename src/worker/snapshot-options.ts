// What `runSnapshots` is called with, checked at the door, and what it tells its host.

import type { Clock, Random } from '../core/clock.js';
import { systemClock, systemRandom } from '../core/clock.js';
import { BackupError } from '../core/errors.js';
import { MAX_SNAPSHOT_RETRY_DELAY } from '../job/snapshot-record.js';
import type { JobState } from '../job/records.js';
import type { BackupContainer } from '../ports/backup-container.js';
import { checkedOpen } from '../ports/checked-container.js';
import { checkedStore } from '../ports/checked-progress-store.js';
import { checkedRangeSource } from '../ports/checked-range-source.js';
import type { ProgressStore } from '../ports/progress-store.js';
import type { RangeSource } from '../ports/range-source.js';
import type { SnapshotProgress, TakeSnapshotOptions } from '../snapshot/snapshot-options.js';
import { checkResumption, resolveEndpoint } from '../snapshot/snapshot-options.js';
import type { SnapshotResult } from '../snapshot/take-snapshot.js';

/** How snapshots are taken: see `takeSnapshot`. */
export type ScheduledSnapshotKnobs = Omit<
  TakeSnapshotOptions,
  | 'source'
  | 'container'
  | 'ranges'
  | 'atLeast'
  | 'version'
  | 'signal'
  | 'clock'
  | 'random'
  | 'onProgress'
  | 'onResponse'
>;

export interface RunSnapshotsOptions {
  readonly progressStore: ProgressStore;
  readonly rangeSource: RangeSource;
  /** As for the workers. Called for each snapshot. */
  readonly openContainer: (url: string) => BackupContainer | Promise<BackupContainer>;
  readonly signal: AbortSignal;
  readonly clock?: Clock;
  readonly random?: Random;
  /** Names this process in `status()`. Default: a random id. */
  readonly name?: string;
  /** ms: a snapshot is in the hands of nobody so long after its process has died. Renewed three times as often. Default 30,000. */
  readonly leaseTtl?: number;
  /** ms between looks at the jobs. Default 5,000. */
  readonly pollInterval?: number;
  /** Snapshots at a time in this process. Default 1. */
  readonly concurrentSnapshots?: number;
  /** ms without a sign of life from container and source after which a snapshot is given up, to be tried again. Default 600,000. */
  readonly stallTimeout?: number;
  /** ms until a snapshot that failed is tried again; doubles with each failure in a row, up to ten minutes. Default 10,000. */
  readonly failureDelay?: number;
  /** First wait before a failed call of the store is repeated; doubles each time, with jitter. Default 100. */
  readonly retryMinDelay?: number;
  /** Longest wait between two tries of such a call. Default 10,000. */
  readonly retryMaxDelay?: number;
  /** Passed on to `takeSnapshot`. */
  readonly snapshot?: ScheduledSnapshotKnobs;
  readonly onEvent?: (event: SnapshotEvent) => void;
  /** Called after each file. */
  readonly onProgress?: (jobUid: string, progress: SnapshotProgress) => void;
}

export type SnapshotEvent =
  /** `isResumed`: it was begun before, by this or another process. */
  | { readonly kind: 'started'; readonly jobUid: string; readonly isResumed: boolean }
  /** The snapshot is there, and that is recorded. */
  | { readonly kind: 'finished'; readonly jobUid: string; readonly snapshot: SnapshotResult }
  /** It is tried again at `retryAt`, ms since 1970. What was stored is kept. */
  | { readonly kind: 'failed'; readonly jobUid: string; readonly error: BackupError; readonly retryAt: number }
  /** The job is not Running any more. */
  | { readonly kind: 'dropped'; readonly jobUid: string; readonly state: JobState | undefined }
  /** Another process goes on with it. */
  | { readonly kind: 'leaseLost'; readonly jobUid: string; readonly error: BackupError }
  /** A call of the store failed and is repeated in `delay` ms. */
  | { readonly kind: 'retry'; readonly what: string; readonly error: unknown; readonly delay: number };

export type ResolvedSnapshotsOptions = Required<Omit<RunSnapshotsOptions, 'onEvent' | 'onProgress'>> & {
  readonly onEvent: RunSnapshotsOptions['onEvent'] | undefined;
  readonly onProgress: RunSnapshotsOptions['onProgress'] | undefined;
};

/** ms: Node's timers fire at once when they are asked for more. */
const LONGEST_DELAY = 2 ** 31 - 1;

/** Throws INVALID_OPTION with the option's name and value. */
export function resolveSnapshotsOptions(options: RunSnapshotsOptions): ResolvedSnapshotsOptions {
  checkPorts(options);
  // Refused here, and not with the first snapshot.
  resolveEndpoint({ ...options.snapshot, source: options.rangeSource });
  checkResumption(options.snapshot ?? {});
  const random = options.random ?? systemRandom;
  const name = options.name ?? random.uid();
  if (typeof name !== 'string' || name === '' || name.length > 200) {
    throw new BackupError('INVALID_OPTION', `name must be 1 to 200 characters, got ${JSON.stringify(name)}`);
  }
  const number = (
    option:
      | 'leaseTtl'
      | 'pollInterval'
      | 'concurrentSnapshots'
      | 'stallTimeout'
      | 'failureDelay'
      | 'retryMinDelay'
      | 'retryMaxDelay',
    fallback: number,
    least: number,
    most = LONGEST_DELAY,
  ): number => {
    const value = options[option] ?? fallback;
    if (!Number.isSafeInteger(value) || value < least || value > most) {
      throw new BackupError(
        'INVALID_OPTION',
        `${option} must be a whole number from ${least} to ${most}, got ${String(value)}`,
      );
    }
    return value;
  };
  const retryMinDelay = number('retryMinDelay', 100, 0);
  const clock = options.clock ?? systemClock;
  return {
    progressStore: checkedStore(options.progressStore, clock),
    rangeSource: checkedRangeSource(options.rangeSource),
    openContainer: checkedOpen(options.openContainer, clock),
    signal: options.signal,
    clock,
    random,
    name,
    leaseTtl: number('leaseTtl', 30_000, 3),
    pollInterval: number('pollInterval', 5_000, 1),
    concurrentSnapshots: number('concurrentSnapshots', 1, 1, 1_000),
    stallTimeout: number('stallTimeout', 600_000, 1),
    failureDelay: number('failureDelay', 10_000, 1, MAX_SNAPSHOT_RETRY_DELAY),
    retryMinDelay,
    retryMaxDelay: number('retryMaxDelay', Math.max(10_000, retryMinDelay), retryMinDelay),
    snapshot: options.snapshot ?? {},
    onEvent: options.onEvent,
    onProgress: options.onProgress,
  };
}

function checkPorts(options: RunSnapshotsOptions): void {
  const needs: readonly [string, unknown, string][] = [
    [
      'progressStore.acquireLease',
      (options.progressStore as Partial<ProgressStore> | undefined)?.acquireLease,
      'ProgressStore',
    ],
    ['rangeSource.scan', (options.rangeSource as Partial<RangeSource> | undefined)?.scan, 'RangeSource'],
    ['openContainer', options.openContainer, '(url) => BackupContainer'],
  ];
  for (const [name, value, type] of needs) {
    if (typeof value !== 'function') {
      throw new BackupError('INVALID_OPTION', `${name} must be a function: pass a ${type}, got ${typeof value}`);
    }
  }
  if (!(options.signal instanceof AbortSignal)) {
    throw new BackupError(
      'INVALID_OPTION',
      'signal must be an AbortSignal: without one the runner could not be stopped',
    );
  }
}
