// restore: rebuilds the database at one version. What it cannot rebuild exactly it refuses before it writes anything.

import { createHash } from 'node:crypto';
import { toHex } from '../core/bytes.js';
import type { Clock } from '../core/clock.js';
import { systemClock } from '../core/clock.js';
import { BackupError } from '../core/errors.js';
import type { KeyRange } from '../core/key-range.js';
import { NORMAL_KEYS, checkRange, formatRange } from '../core/key-range.js';
import type { Version } from '../core/version.js';
import { checkVersion } from '../core/check-version.js';
import type { JobMarker } from '../format/fdb/properties.js';
import type { BackupContainer } from '../ports/backup-container.js';
import type { RestoreCheckpoint, RestoreTarget } from '../ports/restore-target.js';
import { describeBackup } from './describe.js';
import { LogApplier, parseCursor } from './log-applier.js';
import type { PartOfVersion } from './log-applier.js';
import { mergeLogs } from './log-merge.js';
import { RangeFilter, intersectRangeSets } from './range-filter.js';
import type { RestoreBaseline, RestoreSet } from './restore-set.js';
import { planRestoreSet, remainingSet } from './restore-set.js';

export interface RestoreProgress {
  readonly phase: RestoreCheckpoint['phase'];
  /** Everything at or below it is in the target. */
  readonly version: Version;
  /** Bytes of log files read, of those that this run has to read in all. */
  readonly bytesRead: number;
  readonly bytesTotal: number;
  /** Mutations that were applied so far by this run. */
  readonly mutations: number;
}

export interface RestoreOptions {
  readonly container: BackupContainer;
  readonly target: RestoreTarget;
  /** Inclusive: the version to rebuild. */
  readonly version: Version;
  /** Keys to restore; default: all that the job backed up. Keys outside of the job's ranges are not in the backup and stay as they are. */
  readonly ranges?: readonly KeyRange[] | undefined;
  /** `empty`: replay the log alone, over nothing. Possible for log-only jobs whose log begins with the database. Restores from snapshots follow in a later release. */
  readonly baseline?: RestoreBaseline | undefined;
  /** Inclusive: the first version at which the database can have written anything. Default: what the job said when it was submitted. */
  readonly firstVersion?: Version | undefined;
  /** Clear the ranges in the target first. Default false: a target that is not empty is refused. */
  readonly clearTarget?: boolean | undefined;
  /** Bytes of mutations per `apply`, as far as versions allow. Default 1 MiB. */
  readonly applyBytes?: number | undefined;
  /** Bytes read at a time from each tag's log. Default 1 MiB. */
  readonly readBytes?: number | undefined;
  /** Called after each `apply`. */
  readonly onProgress?: ((progress: RestoreProgress) => void) | undefined;
  /** Aborting leaves the target where the last `apply` left it; the same call goes on from there. */
  readonly signal?: AbortSignal | undefined;
  readonly clock?: Clock | undefined;
}

export interface RestoreResult {
  readonly version: Version;
  /** What was restored: sorted and disjoint. */
  readonly ranges: readonly KeyRange[];
  /** The version up to which an earlier, interrupted run had come; undefined: this one began at the beginning. */
  readonly resumedAfter: Version | undefined;
  /** Of this run. */
  readonly mutations: number;
  readonly operations: number;
  readonly bytesRead: number;
}

const DEFAULT_APPLY_BYTES = 1 << 20;

/**
 * An interrupted restore is continued by the same call: the target's checkpoint says where. A restore that is done already returns at once, unless `clearTarget` asks for it again.
 *
 * Throws INVALID_OPTION; FILE_NOT_FOUND if there is no container; NOT_RESTORABLE with the reason (which tag, which gap); UNSUPPORTED_FORMAT; TARGET_NOT_EMPTY; CORRUPT_FILE,
 * CHECKSUM_MISMATCH or INVALID_MUTATION, with file and offset, for a damaged log file: the target then holds a part, and its checkpoint says so; the signal's reason; and what the
 * container and the target throw.
 */
export async function restore(options: RestoreOptions): Promise<RestoreResult> {
  checkOptions(options);
  const { container, version, signal, clock = systemClock } = options;
  const description = await describeBackup(container, { signal, clock });
  const set = planRestoreSet(description, options);
  const job = description.job as JobMarker; // planRestoreSet has refused a container without one
  const ranges = chooseRanges(job, options.ranges);
  const restoreId = identify(job, set, ranges);
  const start = await prepareTarget(options, set, ranges, restoreId);
  if (start === 'done') return { version, ranges, resumedAfter: version, mutations: 0, operations: 0, bytesRead: 0 };
  return replay(options, set, ranges, restoreId, start, clock);
}

function checkOptions(options: RestoreOptions): void {
  checkVersion(options.version, 'version');
  if (options.firstVersion !== undefined) checkVersion(options.firstVersion, 'firstVersion');
  if (options.baseline !== undefined && options.baseline !== 'empty') {
    throw new BackupError('INVALID_OPTION', `baseline must be 'empty' or left out, got ${String(options.baseline)}`);
  }
  if (options.ranges?.length === 0)
    throw new BackupError('INVALID_OPTION', 'ranges must not be an empty list; leave it out to restore everything');
  options.ranges?.forEach((range, i) => checkRange(range, `ranges[${i}]`));
  for (const name of ['applyBytes', 'readBytes'] as const) {
    const value = options[name];
    if (value !== undefined && (!Number.isSafeInteger(value) || value < 1)) {
      throw new BackupError('INVALID_OPTION', `${name} must be a whole number of bytes above 0, got ${value}`);
    }
  }
}

function chooseRanges(job: JobMarker, wanted: readonly KeyRange[] | undefined): readonly KeyRange[] {
  const stored = job.ranges.length === 0 ? [NORMAL_KEYS] : job.ranges;
  const ranges = intersectRangeSets(stored, wanted ?? stored);
  if (ranges.length === 0) {
    const names = wanted?.map(formatRange).join(', ') ?? '';
    throw new BackupError(
      'INVALID_OPTION',
      `ranges: none of ${names} is in the backup, which has ${stored.map(formatRange).join(', ')}`,
    );
  }
  return ranges;
}

/** The same for every run of one restore, and different for any other: what makes a checkpoint worth continuing. Not the container's URL: a backup may be moved. */
function identify(job: JobMarker, set: RestoreSet, ranges: readonly KeyRange[]): string {
  const facts = [
    'tidemark restore 1',
    job.uid,
    `${set.version}`,
    `${set.logBegin}`,
    ...ranges.map((r) => `${toHex(r.begin)}-${toHex(r.end)}`),
  ];
  return createHash('sha256').update(facts.join('\n')).digest('hex').slice(0, 32);
}

interface Start {
  /** Everything below it is applied. */
  readonly from: Version;
  readonly part: PartOfVersion | undefined;
  readonly resumed: boolean;
}

/** Where to go on, or that there is nothing to do. A target that is no half-done restore of the same kind must be empty, or is cleared if that was asked for. */
async function prepareTarget(
  options: RestoreOptions,
  set: RestoreSet,
  ranges: readonly KeyRange[],
  restoreId: string,
): Promise<Start | 'done'> {
  const { target, clearTarget = false } = options;
  const checkpoint = await target.checkpoint();
  if (checkpoint?.restoreId === restoreId) {
    if (checkpoint.phase === 'done' && !clearTarget) return 'done';
    if (checkpoint.phase === 'log') return resume(checkpoint, set);
  }
  const full: KeyRange[] = [];
  for (const range of ranges) if (!(await target.isEmpty(range))) full.push(range);
  if (full.length > 0) {
    if (!clearTarget) {
      const what =
        checkpoint === undefined || checkpoint.restoreId === restoreId
          ? ''
          : ` (it was last written by another restore, which is ${checkpoint.phase === 'done' ? 'done' : 'not done'})`;
      throw new BackupError(
        'TARGET_NOT_EMPTY',
        `the target holds keys in ${formatRange(full[0]!)}${what}; pass clearTarget: true to clear the restored ranges first`,
      );
    }
    const clears = full.map(({ begin, end }) => ({ type: 'clear' as const, begin, end }));
    await target.apply(clears, { restoreId, phase: 'clearing', version: 0n });
  }
  return { from: set.logBegin, part: undefined, resumed: false };
}

function resume(checkpoint: RestoreCheckpoint, set: RestoreSet): Start {
  const part = checkpoint.cursor === undefined ? undefined : parseCursor(checkpoint.cursor);
  const known = checkpoint.version >= set.logBegin - 1n && checkpoint.version <= set.version;
  if (!known || (checkpoint.cursor !== undefined && part === undefined)) {
    throw new BackupError(
      'ADAPTER_CONTRACT',
      `the target's checkpoint (version ${checkpoint.version}, cursor ${String(checkpoint.cursor)}) is not one that was stored`,
    );
  }
  return { from: checkpoint.version + 1n, part, resumed: true };
}

async function replay(
  options: RestoreOptions,
  set: RestoreSet,
  ranges: readonly KeyRange[],
  restoreId: string,
  start: Start,
  clock: Clock,
): Promise<RestoreResult> {
  const { container, target, version, signal, onProgress, applyBytes = DEFAULT_APPLY_BYTES } = options;
  const remaining = remainingSet(set, start.from);
  let bytesRead = 0;
  const applier: LogApplier = new LogApplier({
    target,
    restoreId,
    filter: new RangeFilter(ranges),
    applyBytes,
    applied: start.from - 1n,
    skip: start.part,
    onApplied: (checkpoint) =>
      onProgress?.({
        phase: checkpoint.phase,
        version: checkpoint.version,
        bytesRead,
        bytesTotal: remaining.bytes,
        mutations: applier.mutations,
      }),
  });
  const batches = mergeLogs(container, remaining.tags, {
    clock,
    signal,
    ...(options.readBytes === undefined ? {} : { readBytes: options.readBytes }),
    onBytes: (bytes) => {
      bytesRead = bytes;
    },
  });
  for await (const batch of batches) {
    await applier.add(batch);
    signal?.throwIfAborted();
  }
  signal?.throwIfAborted();
  await applier.finish(version);
  const resumedAfter = start.resumed ? start.from - 1n : undefined;
  return { version, ranges, resumedAfter, mutations: applier.mutations, operations: applier.operations, bytesRead };
}
