// What a worker tells its host: states, typed events and metrics.

import type { EventEmitter } from 'eventemitter3';
import type { BackupError } from '../core/errors.js';
import type { LogEpoch, Tag, Version } from '../core/version.js';

/**
 * `Initializing`: claims its tag. `CheckingBackupKey`: looks whether a job is active. `PullMode.*`: one is; pulling goes on while a round is uploaded. `NOOPMode.*`: none is, the
 * log is discarded. The others are final: `Displaced` by a newer run or epoch, `Completed` an old epoch, `Stopped` by its signal, `Failed` with an error.
 */
export type WorkerState =
  | 'Initializing'
  | 'CheckingBackupKey'
  | 'PullMode.Pulling'
  | 'PullMode.Uploading'
  | 'NOOPMode.Popping'
  | 'NOOPMode.Waiting'
  | 'Displaced'
  | 'Completed'
  | 'Stopped'
  | 'Failed';

export interface WorkerMetrics {
  readonly tag: Tag;
  readonly backupEpoch: LogEpoch;
  readonly state: WorkerState;
  readonly paused: boolean;
  /** Inclusive: stored and recorded. startVersion - 1 when nothing is. */
  readonly savedVersion: Version;
  /** Inclusive: the largest version discarded in NOOP mode; undefined: none. */
  readonly noopVersion: Version | undefined;
  /** Exclusive: the begin of the next peek. */
  readonly pulledEnd: Version;
  /** Inclusive; undefined until the log has said so. */
  readonly minKnownCommittedVersion: Version | undefined;
  /** Inclusive: the last pop that the log has acknowledged. */
  readonly poppedVersion: Version | undefined;
  /** Versions that are committed, as far as is known, and not yet saved. */
  readonly lag: Version;
  readonly queuedMessages: number;
  /** Bytes held in the flow lock and bytes it has left. */
  readonly bufferedBytes: number;
  readonly availableBytes: number;
  readonly bytesWritten: number;
  readonly filesWritten: number;
  readonly rounds: number;
  readonly retries: number;
  readonly activeJobs: number;
}

export interface WorkerEvents {
  state: (state: WorkerState, previous: WorkerState) => void;
  /** Every metricsInterval. */
  metrics: (metrics: WorkerMetrics) => void;
  /** A file is finished; its progress is not recorded yet. begin inclusive, end exclusive. */
  fileWritten: (file: FileWritten) => void;
  /** Progress is recorded up to this version, inclusive. */
  saved: (version: Version) => void;
  /** The log may discard up to this version, inclusive. */
  popped: (version: Version) => void;
  /** Nothing is stored up to this version, inclusive: no job is active. */
  noop: (version: Version) => void;
  jobJoined: (uid: string, firstVersion: Version) => void;
  jobLeft: (uid: string) => void;
  /** Recorded as failed for good; the other jobs go on. */
  jobFailed: (uid: string, error: BackupError) => void;
  /** Tag 0 only: every tag has registered. */
  jobStarted: (uid: string, completeFrom: Version) => void;
  /** Tag 0 only: a discontinued job has all it needs. */
  jobCompleted: (uid: string) => void;
  /** A file needs a larger block size than the knob says, because a record is longer. */
  largeRecord: (uid: string, recordBytes: number, blockSize: number) => void;
  /** A call failed and will be tried again after `delay` ms. */
  retry: (what: string, error: unknown, delay: number) => void;
  paused: (paused: boolean) => void;
  displaced: (error: BackupError) => void;
}

export interface FileWritten {
  readonly jobUid: string;
  readonly name: string;
  readonly begin: Version;
  readonly end: Version;
  readonly bytes: number;
  readonly messages: number;
}

export type WorkerEventEmitter = EventEmitter<WorkerEvents>;

/** A listener that throws must not end a backup: its error surfaces as an uncaught exception of the host, whose listener it is. */
export function emitSafely<K extends keyof WorkerEvents>(
  events: WorkerEventEmitter,
  name: K,
  ...values: Parameters<WorkerEvents[K]>
): void {
  callSafely(() =>
    (events.emit as (name: K, ...values: Parameters<WorkerEvents[K]>) => boolean).call(events, name, ...values),
  );
}

/** Calls the host's own code; what it throws is the host's to see, as an uncaught exception, and ours to survive. */
export function callSafely(callback: () => unknown): void {
  try {
    callback();
  } catch (error) {
    queueMicrotask(() => {
      throw error;
    });
  }
}
