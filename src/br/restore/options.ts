// What a restore of a TiKV backup (BR) is asked for, and what it answers: types, and the checks at the door.

import { checkFlag, checkMethods, checkWholeNumber } from '../../core/check-option.js';
import type { Clock } from '../../core/clock.js';
import { BackupError } from '../../core/errors.js';
import type { KeyRange } from '../../core/key-range.js';
import { checkRange } from '../../core/key-range.js';
import type { BrCipher } from '../../format/br/messages.js';
import { MAX_INT64, MIN_INT64 } from '../../format/br/table-key.js';
import type { BackupContainer } from '../../ports/backup-container.js';
import type { RestoreTarget } from '../../ports/restore-target.js';

/** One backup of a chain. */
export interface BrChainLink {
  /** Holds the backup's `backupmeta` and its files. */
  readonly container: BackupContainer;
  /** What the backup was encrypted with. Shown nowhere. */
  readonly cipher?: BrCipher | undefined;
}

/** A table's keys are written under another table id. */
export interface BrTableRewrite {
  /** Physical ids: of a table without partitions its own, of one with partitions each partition's. */
  readonly from: bigint;
  readonly to: bigint;
}

export interface RestoreBrOptions {
  /**
   * A full backup, then incremental ones, each of which begins at the timestamp at which the one before it ends; all of one cluster, of one kind and of one API version. A raw backup has no timestamps, so it
   * stands alone.
   */
  readonly chain: readonly BrChainLink[];
  readonly target: RestoreTarget;
  /**
   * The timestamp to rebuild, inclusive: the newest state of each key that was committed at or below it. It must be the end version of a backup of the chain; the later ones are then not read. Any other is
   * NOT_RESTORABLE: a backup holds only the newest state of each key as of its end, so that what a key had been at an earlier moment is not in it. Default: the end of the chain. Not for raw backups.
   */
  readonly version?: bigint | undefined;
  /**
   * Keys to restore, as their users know them (not encoded, as they are in the backup, before `rewrite`). Default: all that the backup says it covers: the ranges of a raw backup; the tables that it
   * lists, and the ranges of its files. What a raw backup does not cover stays as it is in the target.
   */
  readonly ranges?: readonly KeyRange[] | undefined;
  /**
   * Only these tables, rows and indexes: each by the name `db.table`, in which `*` stands for any characters and `?` for one, compared without regard to case as TiDB does; or by its id, or the id of one of its partitions. They are looked up in
   * the schemas of the newest backup that is used; a table's partitions belong to it. One that matches nothing is INVALID_OPTION.
   */
  readonly tables?: readonly (string | bigint)[] | undefined;
  /** Tables that become others; all others keep their ids. Values are written as they are, also where a value holds an id (entries of a global index). */
  readonly rewrite?: readonly BrTableRewrite[] | undefined;
  /** Clear the restored ranges in the target first. Default false: a target that is not empty there is refused. */
  readonly clearTarget?: boolean | undefined;
  /** Bytes of keys and values per `apply`, as far as the target's limits allow. Default 1 MiB. */
  readonly applyBytes?: number | undefined;
  /** Bytes read at a time while files are checked, and of an SST file's blocks, of which two reads more are ahead. Default 1 MiB. */
  readonly readBytes?: number | undefined;
  /** Reads at a time, 1 to 256. Default 4. */
  readonly concurrency?: number | undefined;
  /** Called after each file that was checked, and after each `apply`. Must not throw. */
  readonly onProgress?: ((progress: RestoreBrProgress) => void) | undefined;
  /** Aborting leaves the target where the last `apply` left it; the same call goes on from there. */
  readonly signal?: AbortSignal | undefined;
  readonly clock?: Clock | undefined;
}

export interface RestoreBrProgress {
  /** `checking`: the files' sha256 are compared, nothing is written yet; `rows`: rows are read and applied; `done`. */
  readonly phase: 'checking' | 'rows' | 'done';
  /** Of the files that this run has to read: each is read once while checking and once for its rows. */
  readonly bytesRead: number;
  readonly bytesTotal: number;
  /** Rows that were given to the target so far, by this run. */
  readonly rows: number;
  /** Milliseconds until the restore is done if it goes on as it went; undefined before anything was read. */
  readonly estimatedMsLeft: number | undefined;
}

export interface RestoreBrResult {
  /** The timestamp that was rebuilt; 0 for a raw backup. */
  readonly version: bigint;
  /** What was restored, as the keys are in the backup: sorted and disjoint. */
  readonly ranges: readonly KeyRange[];
  /** Backups of the chain that were needed. */
  readonly links: number;
  /** Tables that were restored, by name, from the schemas; empty for a backup without schemas. */
  readonly tables: readonly RestoredBrTable[];
  /** Physical ids of tables that an older backup of the chain has and the newest does not: dropped or truncated in between, their rows are left out. */
  readonly droppedTables: readonly bigint[];
  /** An earlier, interrupted run had begun. */
  readonly resumed: boolean;
  /** Of this run: rows that the target was given. */
  readonly rows: number;
  /** Keys whose newest state is a delete. */
  readonly deletes: number;
  /** Rows of the restored keys that a newer state, of the same or of a later backup, has superseded. */
  readonly superseded: number;
  /** Rows of a raw backup that expire: the target is given their values, not their time to live. */
  readonly expiring: number;
  /** SST files that were read, and bytes that were: each file is read twice, once for its sha256. */
  readonly files: number;
  readonly bytesRead: number;
}

export interface RestoredBrTable {
  readonly database: string;
  readonly name: string;
  readonly id: bigint;
  /** The table's id, or those of its partitions, or those of them that were asked for. */
  readonly physicalIds: readonly bigint[];
}

const DEFAULT_APPLY_BYTES = 1 << 20;
const DEFAULT_READ_BYTES = 1 << 20;
const DEFAULT_CONCURRENCY = 4;
const MAX_CONCURRENCY = 256;
/** Far more than anyone chains: a restore merges them all, with two files of each open. */
const MAX_LINKS = 128;
const MAX_READ_BYTES = 1 << 28;

export interface CheckedBrNumbers {
  readonly applyBytes: number;
  readonly readBytes: number;
  readonly concurrency: number;
}

/** INVALID_OPTION, naming the option, for what cannot be meant. */
export function checkRestoreBrOptions(options: RestoreBrOptions): CheckedBrNumbers {
  const { chain, version, tables } = options;
  if (!Array.isArray(chain) || chain.length === 0 || chain.length > MAX_LINKS)
    throw invalid(`chain must be a list of 1 to ${MAX_LINKS} backups, got ${show(chain)}`);
  for (const [i, link] of (chain as readonly (BrChainLink | undefined)[]).entries())
    checkMethods(`chain[${i}].container`, link?.container, 'BackupContainer', ['readFile', 'listFiles']);
  checkMethods('target', options.target, 'RestoreTarget', ['read', 'apply', 'checkpoint', 'isEmpty']);
  if (version !== undefined && (typeof version !== 'bigint' || version < 0n || version >= 1n << 64n))
    throw invalid(`version must be a timestamp, a bigint from 0 to 2^64 - 1, got ${show(version)}`);
  checkRanges(options.ranges);
  if (tables !== undefined && (!Array.isArray(tables) || tables.length === 0))
    throw invalid(`tables must be a list of names and ids that is not empty, got ${show(tables)}`);
  for (const table of tables ?? []) checkTable(table);
  checkRewrite(options.rewrite);
  checkFlag('clearTarget', options.clearTarget);
  return {
    applyBytes: checkWholeNumber('applyBytes', options.applyBytes ?? DEFAULT_APPLY_BYTES, 1),
    readBytes: checkWholeNumber('readBytes', options.readBytes ?? DEFAULT_READ_BYTES, 1, MAX_READ_BYTES),
    concurrency: checkWholeNumber('concurrency', options.concurrency ?? DEFAULT_CONCURRENCY, 1, MAX_CONCURRENCY),
  };
}

function checkRanges(ranges: readonly KeyRange[] | undefined): void {
  if (ranges === undefined) return;
  if (!Array.isArray(ranges) || ranges.length === 0)
    throw invalid(`ranges must be a list of key ranges that is not empty, got ${show(ranges)}`);
  for (const [i, range] of ranges.entries()) checkRange(range as KeyRange, `ranges[${i}]`);
}

function checkTable(table: unknown): void {
  if (typeof table === 'bigint') return checkId('tables', table);
  if (typeof table === 'string' && /^[^.]+\..+$/su.test(table)) return;
  throw invalid(`tables must hold names such as "db.table", or ids as bigints, got ${show(table)}`);
}

function checkRewrite(rewrite: readonly BrTableRewrite[] | undefined): void {
  if (rewrite === undefined) return;
  if (!Array.isArray(rewrite)) throw invalid(`rewrite must be a list of { from, to }, got ${show(rewrite)}`);
  const from = new Set<bigint>();
  const to = new Set<bigint>();
  for (const each of rewrite as readonly BrTableRewrite[]) {
    checkId('rewrite: from', each?.from);
    checkId('rewrite: to', each?.to);
    if (from.has(each.from)) throw invalid(`rewrite: the table ${each.from} cannot become two others`);
    if (to.has(each.to)) throw invalid(`rewrite: two tables cannot both become ${each.to}`);
    from.add(each.from);
    to.add(each.to);
  }
}

function checkId(option: string, id: unknown): void {
  if (typeof id !== 'bigint' || id < MIN_INT64 || id > MAX_INT64)
    throw invalid(`${option} must be a table id, a bigint of 64 bits, got ${show(id)}`);
}

function invalid(message: string): BackupError {
  return new BackupError('INVALID_OPTION', message);
}

function show(value: unknown): string {
  if (Array.isArray(value)) return `a list of ${value.length}`;
  if (typeof value === 'string') return JSON.stringify(value);
  return typeof value === 'bigint' || typeof value === 'number' || value === null ? String(value) : typeof value;
}
