// The one error class of the library. Every code is stable: hosts switch on it; docs/operating.md lists them all.

import { redactUrl } from './redact-url.js';
import type { LogEpoch, Tag, Version } from './version.js';

/** What went wrong. Stable across releases; new ones may be added. */
export type BackupErrorCode =
  // The caller's mistake
  | 'INVALID_OPTION' // an option is missing, of the wrong type or out of bounds
  | 'INVALID_STATE' // the call does not fit the object's state (for example, run() twice)
  | 'INVALID_NAME' // a file name that leaves the container or that the format cannot hold
  // Adapters
  | 'ADAPTER_CONTRACT' // a LogSource, BackupContainer, ProgressStore or RestoreTarget broke its port's contract
  | 'CONTAINER_UNAVAILABLE' // the container could not be reached; retried
  | 'CONTAINER_ACCESS_DENIED' // the store refuses the credentials, or what they may do
  | 'CONTAINER_IN_USE' // the container belongs to another job
  | 'EXCLUSIVE_WRITE_UNSUPPORTED' // the store ignores the condition of an exclusive write
  | 'FILE_NOT_FOUND'
  | 'FILE_EXISTS' // an exclusive write found the name taken
  | 'STORE_UNAVAILABLE' // the progress store could not be reached; retried
  | 'STORE_CONFLICT' // a transaction lost too many times in a row; retried
  | 'STORE_CORRUPT' // the progress store holds something that is not ours or is damaged
  | 'ETCD_UNAVAILABLE' // etcd gave no answer, or has no leader; retried
  | 'ETCD_NO_SPACE' // etcd takes no writes, because its quota is used up; retried
  | 'ETCD_DENIED' // etcd refuses the user, or what the user asks for
  | 'ETCD_COMPACTED' // etcd no longer keeps that revision
  | 'ETCD_LIMIT' // more in one request than etcd takes
  | 'ETCD_FAILED' // etcd refuses the request for another reason
  | 'TIKV_UNAVAILABLE' // a store of TiKV could not be reached, or could not back up a range yet: busy, a region that changed, a key that is locked; retried
  | 'TIKV_DENIED' // a store of TiKV refuses the credentials
  | 'TIKV_FAILED' // a store of TiKV refuses a backup for another reason
  | 'TIMEOUT'
  | 'REGION_CHANGED' // a RangeSource no longer has the region as it was listed; it is listed again
  | 'VERSION_TOO_OLD' // a RangeSource can no longer read at that version; a newer one is taken
  | 'LEASE_LOST' // a lease has expired, or another holder has it
  // Scheduling
  | 'QUEUE_FULL' // a worker's capacity of pending tasks is used up
  | 'STOPPED' // the worker or pool has been stopped and takes no more tasks
  | 'THREAD_FAILED' // a worker thread died, or could not do its work
  // Worker and jobs
  | 'DISPLACED' // a newer run or epoch has taken over
  | 'LOG_GAP' // the log discarded data that no file holds and no NOOP pop explains
  | 'LOG_INCONSISTENT' // the log leaves out a version, went back, or is another one than before
  | 'EPOCH_NOT_ANNOUNCED' // the store's newest epoch is older than the one a worker was recruited in
  | 'INVALID_EPOCHS' // the log system's epochs contradict each other
  | 'JOB_NOT_FOUND'
  | 'JOB_EXISTS' // a UID is never used twice
  | 'JOB_ABORTED'
  | 'JOB_FAILED'
  // Bytes
  | 'CORRUPT_FILE' // bytes in a file are not what the format says; `file` and `offset` tell where
  | 'UNSUPPORTED_FORMAT' // a block version, log type or feature that this release does not read
  | 'CHECKSUM_MISMATCH'
  | 'ENCRYPTION_KEY_MISSING' // the container is encrypted and no key was given
  | 'ENCRYPTION_KEY_WRONG' // the key does not open any block that was tried
  | 'DECRYPTION_FAILED' // the key is right and the block is not what was written
  | 'PACKAGE_MISSING' // an optional package is needed; the message names it
  | 'INVALID_MUTATION' // a mutation that the format does not know or that breaks its rules
  // Snapshots and the care of a backup
  | 'SNAPSHOT_INCOMPLETE' // some ranges could not be stored; what was is kept for a resumed snapshot
  | 'EXPIRE_REFUSED' // nothing restorable would be left where it was asked for
  // Restore
  | 'NOT_RESTORABLE' // the wanted version cannot be rebuilt exactly; the message names the tag and the gap
  | 'OPERATION_TOO_LARGE' // a row or mutation is larger than the restore target takes in one step
  | 'TARGET_NOT_EMPTY';

/** The facts of an error, as fields, so that no one has to parse a message. */
export interface BackupErrorFacts {
  readonly file?: string | undefined;
  /** Byte offset in `file`. */
  readonly offset?: number | undefined;
  readonly tag?: Tag | undefined;
  readonly epoch?: LogEpoch | undefined;
  readonly version?: Version | undefined;
  /** Inclusive begin, exclusive end. */
  readonly versions?: { readonly begin: Version; readonly end: Version } | undefined;
  readonly jobUid?: string | undefined;
  /** The container's URL; shown without the secrets that it may hold. */
  readonly container?: string | undefined;
  /** True when trying the same thing again later may succeed. Workers retry such errors with backoff. Default false. */
  readonly retryable?: boolean | undefined;
  readonly cause?: unknown;
}

/** Every error that Tidemark throws on purpose. The message says what, where and what to do. */
export class BackupError extends Error {
  readonly code: BackupErrorCode;
  readonly file: string | undefined;
  readonly offset: number | undefined;
  readonly tag: Tag | undefined;
  readonly epoch: LogEpoch | undefined;
  readonly version: Version | undefined;
  readonly versions: { readonly begin: Version; readonly end: Version } | undefined;
  readonly jobUid: string | undefined;
  readonly container: string | undefined;
  readonly retryable: boolean;

  constructor(code: BackupErrorCode, message: string, facts: BackupErrorFacts = {}) {
    super(message, facts.cause === undefined ? undefined : { cause: facts.cause });
    this.name = 'BackupError';
    this.code = code;
    this.file = facts.file;
    this.offset = facts.offset;
    this.tag = facts.tag;
    this.epoch = facts.epoch;
    this.version = facts.version;
    this.versions = facts.versions;
    this.jobUid = facts.jobUid;
    // Whoever throws it: a URL may hold a secret, and errors are logged.
    this.container = facts.container === undefined ? undefined : redactUrl(facts.container);
    this.retryable = facts.retryable ?? false;
  }

  static is(error: unknown, code?: BackupErrorCode): error is BackupError {
    return error instanceof BackupError && (code === undefined || error.code === code);
  }
}

/** Our own mistake, not the caller's: something that must hold does not. Never caught, never retried. */
export class AssertionError extends Error {
  constructor(message: string) {
    super(`${message} (this is a bug in Tidemark)`);
    this.name = 'AssertionError';
  }
}

export function assert(condition: boolean, message: string): asserts condition {
  if (!condition) throw new AssertionError(message);
}
