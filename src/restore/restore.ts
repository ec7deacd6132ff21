// restore: rebuilds the database at one version. What it cannot rebuild exactly it refuses before it writes anything.

import { checkFlag, checkMethods } from '../core/check-option.js';
import type { Clock } from '../core/clock.js';
import { systemClock } from '../core/clock.js';
import { BackupError } from '../core/errors.js';
import type { KeyRange } from '../core/key-range.js';
import type { Version } from '../core/version.js';
import { minVersion } from '../core/version.js';
import type { BackupContainer } from '../ports/backup-container.js';
import { checkedContainer } from '../ports/checked-container.js';
import { checkedTarget } from '../ports/checked-target.js';
import { listingLagOf } from '../ports/listing-lag.js';
import type { RestoreTarget } from '../ports/restore-target.js';
import { describeBackup } from './describe.js';
import { KeyRewriter } from './key-rewriter.js';
import type { PrefixOptions } from './key-rewriter.js';
import { findChosen, findDone, hashRequest, restoreIdOf } from './restore-id.js';
import type { RestoreProgress } from './restore-progress.js';
import { prepareTarget } from './restore-resume.js';
import type { RestoreRun } from './restore-run.js';
import { runRestore } from './restore-run.js';
import type { RestoreSet } from './restore-pieces.js';
import type { RestoreBaseline } from './restore-start.js';
import { checkStartOptions } from './restore-start.js';
import { findReadableStarts, planVersion } from './plan-restore.js';
import type { WantedVersion } from './wanted-version.js';
import { checkWantedVersion, resolveVersion } from './wanted-version.js';

export type { RestoreProgress } from './restore-progress.js';

export interface RestoreOptions extends WantedVersion, PrefixOptions {
  readonly container: BackupContainer;
  readonly target: RestoreTarget;
  /** Inclusive: the version to rebuild, or `latest`: the last one that can be. Either this or `timestamp`. */
  readonly version?: Version | 'latest' | undefined;
  /** A time, as a Date or in milliseconds since 1970: rebuilds the newest version that was recorded at or before it. */
  readonly timestamp?: Date | number | undefined;
  /** Keys to restore, as they are in the backup; default: all that the job backed up. Keys outside of the job's ranges are not in the backup and stay as they are. */
  readonly ranges?: readonly KeyRange[] | undefined;
  /** Default: the newest snapshot that serves; for a log-only job without one, an empty database. `empty`: replay the log alone, over nothing, whatever snapshots there are. */
  readonly baseline?: RestoreBaseline | undefined;
  /** Inclusive: the first version at which the database can have written anything. Default: what the job said when it was submitted. */
  readonly firstVersion?: Version | undefined;
  /** Put in front of every key. Must not begin with 0xFF. */
  readonly addPrefix?: Uint8Array | undefined;
  /**
   * Taken off every key, before `addPrefix` is put on. Keys that do not have it are not restored, and clears only do what concerns keys that have it; without `addPrefix` keys
   * that would begin with 0xFF are not restored either. `ranges` that go beyond these keys are refused. Must not begin with 0xFF.
   */
  readonly removePrefix?: Uint8Array | undefined;
  /** Clear the ranges in the target first. Default false: a target that is not empty there is refused. */
  readonly clearTarget?: boolean | undefined;
  /**
   * Read and check every log file first, and do without those that are damaged where others hold their versions. Default false: a damaged file that is needed by its name ends the restore. The
   * same call may be made with and without it.
   */
  readonly deep?: boolean | undefined;
  /** Into how many parts, by their keys, the work is divided at most, for a target that has shards. Default 4. One snapshot file is never divided. */
  readonly shards?: number | undefined;
  /** Bytes of rows or mutations per `apply`, as far as versions allow. Default 1 MiB. */
  readonly applyBytes?: number | undefined;
  /** Bytes read at a time from each file. Default 1 MiB. */
  readonly readBytes?: number | undefined;
  /** Called after each `apply`. */
  readonly onProgress?: ((progress: RestoreProgress) => void) | undefined;
  /** How long after a file was finished or deleted the container's listings may still be wrong about it, ms: so long, and a fifth longer, it lists again when a listed file is gone. Default: what the container says, else 10,000. */
  readonly listingLag?: number | undefined;
  /** Aborting leaves the target where the last `apply` left it; the same call goes on from there. */
  readonly signal?: AbortSignal | undefined;
  readonly clock?: Clock | undefined;
}

export interface RestoreResult {
  readonly version: Version;
  /** What was restored, as the keys are in the backup: sorted and disjoint. */
  readonly ranges: readonly KeyRange[];
  /** Name of the snapshot that it started from; undefined: an empty database. */
  readonly snapshot: string | undefined;
  /** An earlier, interrupted run had begun. */
  readonly resumed: boolean;
  /** The version up to which it had come; undefined: it had not come to the log. */
  readonly resumedAfter: Version | undefined;
  /** Of this run: rows of the snapshot, mutations of the log that count, and sets and clears that the target was given. */
  readonly rows: number;
  readonly mutations: number;
  readonly operations: number;
  readonly bytesRead: number;
}

const DEFAULT_APPLY_BYTES = 1 << 20;
const DEFAULT_READ_BYTES = 1 << 20;
const DEFAULT_SHARDS = 4;
const MAX_SHARDS = 256;
/** Waited before the container is listed again because a file was gone, in listing lags; together longer than one. */
const LOOKS = [0.01, 0.04, 0.15, 0.4, 0.6];

/**
 * An interrupted restore is continued by the same call: the target's checkpoint says where, and with `latest` or a timestamp also which version had been chosen. A restore that is
 * done already returns at once, unless `clearTarget` asks for it again.
 *
 * Throws INVALID_OPTION; FILE_NOT_FOUND if there is no container; NOT_RESTORABLE with the reason (which tag, which gap); ENCRYPTION_KEY_MISSING; UNSUPPORTED_FORMAT;
 * TARGET_NOT_EMPTY; CORRUPT_FILE, CHECKSUM_MISMATCH or INVALID_MUTATION, with file and offset, for a damaged file: nothing of the damaged block is applied, the target then holds a
 * part, and its checkpoint says so; the signal's reason; and what the container and the target throw.
 */
export async function restore(options: RestoreOptions): Promise<RestoreResult> {
  checkOptions(options);
  const { container, signal, clock = systemClock } = options;
  const listingLag = listingLagOf(container, options.listingLag);
  const looks: Looks = { runs: [], before: undefined };
  let gone: string | undefined;
  for (let look = 0; ; look++) {
    try {
      return await restoreOnce(options, looks);
    } catch (error) {
      // A listed file is gone: a compaction or an expiry is at work, or the listing lags behind one. What has come in its place is listed sooner or later; the checkpoint says where to go on.
      const wait = LOOKS[look];
      if (!BackupError.is(error, 'FILE_NOT_FOUND') || error.file === undefined || wait === undefined) throw error;
      // One that an exact listing shows again although it is gone will never come.
      if (listingLag === 0 && error.file === gone) throw error;
      gone = error.file;
      if (listingLag > 0) await clock.sleep(wait * listingLag, signal);
    }
  }
}

/** All looks of one call: together they are its run. */
interface Looks {
  readonly runs: RestoreRun[];
  /** What the first one that came to the target found there. */
  before: Pick<RestoreResult, 'resumed' | 'resumedAfter'> | undefined;
}

async function restoreOnce(options: RestoreOptions, looks: Looks): Promise<RestoreResult> {
  const { signal, clock = systemClock } = options;
  const container = checkedContainer(options.container, clock);
  const target = checkedTarget(options.target);
  const rewriter = new KeyRewriter(options);
  const request = { ...options, ranges: rewriter.limit(options.ranges) };
  const description = await describeBackup(container, { signal, clock, deep: options.deep ?? false });
  const starts = findReadableStarts(description, request);
  const hash = hashRequest(description, request);
  const checkpoint = await target.checkpoint();
  const begun = checkpoint === undefined ? undefined : findChosen(checkpoint.restoreId, hash, starts);
  // What is done is done for the version that it was done for: the latest may be another one now.
  const chosen = checkpoint?.phase === 'done' ? undefined : begun;
  const version = chosen?.version ?? (await resolveVersion(container, description, starts, request, signal));
  const same = begun?.version === version ? begun.starts : starts;
  const set = await planVersion(container, description, same, version, request);
  const restoreId = restoreIdOf(hash, set);
  const done = checkpoint === undefined ? undefined : findDone(checkpoint, hash, version);
  if (done !== undefined && options.clearTarget !== true) {
    const snapshot = checkpoint?.restoreId === restoreId ? set.snapshot?.name : done.snapshot;
    return { ...resultOf(set, looks.runs, { resumed: true, resumedAfter: version }), snapshot };
  }
  const state = await prepareTarget({
    target,
    restoreId,
    set,
    targetRanges: set.ranges.map((range) => rewriter.range(range)),
    clearTarget: options.clearTarget ?? false,
    shards: options.shards ?? DEFAULT_SHARDS,
    checkpoint,
  });
  const inLog = state.resumed && state.shards.every(({ phase }) => phase !== 'rows');
  const applied = state.shards.map((shard) => shard.applied);
  const resumedAfter = inLog ? applied.reduce(minVersion) : undefined;
  looks.before ??= { resumed: state.resumed, resumedAfter };
  await runRestore({
    container,
    target,
    restoreId,
    set,
    state,
    rewriter,
    applyBytes: options.applyBytes ?? DEFAULT_APPLY_BYTES,
    readBytes: options.readBytes ?? DEFAULT_READ_BYTES,
    onProgress: options.onProgress,
    signal,
    clock,
    onEnd: (run) => looks.runs.push(run),
  });
  await target.checkKept();
  return resultOf(set, looks.runs, looks.before);
}

function resultOf(set: RestoreSet, runs: readonly RestoreRun[], before: NonNullable<Looks['before']>): RestoreResult {
  const done = { rows: 0, mutations: 0, operations: 0, bytesRead: 0 };
  for (const run of runs) {
    done.rows += run.rows;
    done.mutations += run.mutations;
    done.operations += run.operations;
    done.bytesRead += run.bytesRead;
  }
  return { version: set.version, ranges: set.ranges, snapshot: set.snapshot?.name, ...before, ...done };
}

function checkOptions(options: RestoreOptions): void {
  checkMethods('container', options.container, 'BackupContainer', ['exists', 'readFile', 'listFiles']);
  checkMethods('target', options.target, 'RestoreTarget', ['read', 'apply', 'checkpoint', 'isEmpty']);
  checkFlag('clearTarget', options.clearTarget);
  checkFlag('deep', options.deep);
  checkWantedVersion(options);
  checkStartOptions(options);
  for (const name of ['applyBytes', 'readBytes'] as const) {
    const value = options[name];
    if (value !== undefined && (!Number.isSafeInteger(value) || value < 1)) {
      throw new BackupError('INVALID_OPTION', `${name} must be a whole number of bytes above 0, got ${value}`);
    }
  }
  const { shards } = options;
  if (shards !== undefined && (!Number.isSafeInteger(shards) || shards < 1 || shards > MAX_SHARDS))
    throw new BackupError('INVALID_OPTION', `shards must be a whole number from 1 to ${MAX_SHARDS}, got ${shards}`);
}
