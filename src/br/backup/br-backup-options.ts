// What a BR backup is asked for with; checked at the door.

import { compareBytes } from '../../core/bytes.js';
import { checkFlag, checkMethods } from '../../core/check-option.js';
import type { Clock, Random } from '../../core/clock.js';
import { BackupError } from '../../core/errors.js';
import type { KeyRange } from '../../core/key-range.js';
import { NORMAL_KEYS, checkRange } from '../../core/key-range.js';
import type { Version } from '../../core/version.js';
import { parseTidbDatabase, parseTidbTable } from '../../format/br/tidb-schema.js';
import type { BackupContainer } from '../../ports/backup-container.js';
import { checkedContainer } from '../../ports/checked-container.js';
import type { RangeSource } from '../../ports/range-source.js';
import type { TxnRangeSource } from '../../ports/txn-range-source.js';
import type { LoadStatistics } from '../../schedule/host-load.js';
import type { TaskPool } from '../../schedule/task-pool.js';
import type { BrFileSettings, BrKnobs, ResolvedBrEndpoint } from './br-endpoint-options.js';
import { checkFileSettings, checkTimestamps, resolveBrEndpoint } from './br-endpoint-options.js';
import type { BrRangeResponse } from './br-range-response.js';
import { defaultMetaVersion } from '../meta/backup-meta-writer.js';
import type { BlockPool } from '../threads/block-pool.js';

/** Where the rows come from. */
export type BrBackupSource =
  | {
      readonly kind: 'txn';
      readonly source: TxnRangeSource;
      /** Exclusive: an incremental backup, of what was written after it; the end ts of the backup that it is to follow. 0: a full backup. Default 0. */
      readonly startTs?: Version | undefined;
    }
  | { readonly kind: 'raw'; readonly source: RangeSource; readonly startTs?: undefined };

/** A table, for whoever restores: names and columns. TiDB's own JSON, as the host has it. */
export interface BrBackupSchema {
  /** model.DBInfo */
  readonly db: Uint8Array;
  /** model.TableInfo. Left out: the database alone, which may be empty. */
  readonly table?: Uint8Array | undefined;
}

/** How far a backup is. Counts are of the whole backup, what an earlier run stored included. */
export interface BrBackupProgress {
  readonly files: number;
  /** Of the files, as they are stored. */
  readonly bytes: number;
  readonly rows: number;
  /** Ranges that failed and are to be asked for again. */
  readonly retrying: number;
}

export type TakeBrBackupOptions = BrBackupSource &
  BrKnobs &
  BrFileSettings & {
    /** A container for this backup alone. */
    readonly container: BackupContainer;
    /** User keys. [] means the normal keys, ["", 0xFF). Files end where a range does, also where two of them touch: BR restores no file that holds keys of several tables. */
    readonly ranges: readonly KeyRange[];
    /** Inclusive: the one timestamp that all rows are of. It must be readable until the backup is done, and is the caller's to keep so. Default: the source's latest, held and released here. */
    readonly endTs?: Version | undefined;
    readonly schemas?: readonly BrBackupSchema[] | undefined;
    /** Of an incremental backup: what was done to schemas since its startTs, in order. TiDB's JSON of one job (model.Job) each. */
    readonly ddls?: readonly Uint8Array[] | undefined;
    /**
     * 1: lists of files, schemas and ranges in files of their own; 0: all in `backupmeta`. BR reads both for tables; of raw and of transactional keys without tables it reads 0 alone, and takes a backup of 1 for an empty one. Default: 1
     * with `schemas`, 0 without.
     */
    readonly metaVersion?: 0 | 1 | undefined;
    /** Told to whoever restores. Default 0. */
    readonly clusterId?: bigint | undefined;
    readonly clusterVersion?: string | undefined;
    /** Which program made it. Default `tidemark`. */
    readonly brVersion?: string | undefined;
    /** Of the names of files: which server's rows they are. Default 1. */
    readonly storeId?: bigint | undefined;
    /** Whether to go on with a backup that was cut off in this container. Only once no process takes it any more: two of them would write the same files. Without one a new backup is begun. Default false. */
    readonly resume?: boolean | undefined;
    /** Threads that compress; not closed. Default: none. */
    readonly threads?: BlockPool | undefined;
    /** Where the scans run; not stopped. Default: one of `numThreads`, for this alone. */
    readonly pool?: TaskPool | undefined;
    /** How busy the host is, for `enableAutoTune`. */
    readonly statistics?: LoadStatistics | undefined;
    readonly clock?: Clock | undefined;
    readonly random?: Random | undefined;
    /** Cancels: what is stored is kept for a resumed backup; no timer, unfinished file or held timestamp stays behind. */
    readonly signal?: AbortSignal | undefined;
    /** Called after each answer. Must not throw. */
    readonly onProgress?: ((progress: BrBackupProgress) => void) | undefined;
    /** Called for each answer of the endpoint: files, or a range's error (which may be tried again). Must not throw. */
    readonly onResponse?: ((response: BrRangeResponse) => void) | undefined;
  };

export interface ResolvedBrBackup extends ResolvedBrEndpoint {
  readonly asked: TakeBrBackupOptions;
  readonly container: BackupContainer;
  /** Sorted and disjoint, at least one; they may touch. */
  readonly ranges: readonly KeyRange[];
  readonly startTs: Version;
  readonly schemas: readonly BrBackupSchema[];
  readonly metaVersion: 0 | 1;
}

/** Throws INVALID_OPTION with the option's name and value. */
export function resolveBrBackup(options: TakeBrBackupOptions): ResolvedBrBackup {
  const { kind, ranges, startTs = 0n, endTs, schemas = [] } = options;
  const { metaVersion = defaultMetaVersion(schemas) } = options;
  if (kind !== 'txn' && kind !== 'raw')
    throw new BackupError('INVALID_OPTION', `kind must be txn or raw, got ${String(kind)}`);
  checkMethods('container', options.container, 'BackupContainer', ['writeFile', 'readFile', 'listFiles', 'deleteFile']);
  if (!Array.isArray(ranges)) throw new BackupError('INVALID_OPTION', 'ranges must be an array of key ranges');
  for (const [index, range] of (ranges as readonly KeyRange[]).entries()) checkRange(range, `ranges[${index}]`);
  checkTimestamps(kind, startTs, endTs);
  checkFileSettings(options);
  checkFlag('resume', options.resume);
  checkSchemas(schemas);
  if (metaVersion !== 0 && metaVersion !== 1)
    throw new BackupError('INVALID_OPTION', `metaVersion must be 0 or 1, got ${String(metaVersion)}`);
  const endpoint = resolveBrEndpoint({
    ...options,
    ...(options.kind === 'txn' ? { txn: options.source } : { raw: options.source }),
  });
  return {
    ...endpoint,
    asked: options,
    container: checkedContainer(options.container, endpoint.clock),
    ranges: disjointRanges(ranges.length === 0 ? [NORMAL_KEYS] : ranges),
    startTs,
    schemas,
    metaVersion,
  };
}

/** In key order. Those that touch stay apart, as TiKV keeps sub-ranges apart; of those that overlap the later one begins where the earlier one ends. */
function disjointRanges(ranges: readonly KeyRange[]): KeyRange[] {
  const result: KeyRange[] = [];
  for (const { begin, end } of [...ranges].sort((a, b) => compareBytes(a.begin, b.begin))) {
    const at = result.at(-1)?.end ?? begin;
    const from = compareBytes(begin, at) < 0 ? at : begin;
    if (compareBytes(from, end) < 0) result.push({ begin: from, end });
  }
  return result;
}

/** At the door, and not after hours. */
function checkSchemas(schemas: readonly BrBackupSchema[]): void {
  for (const [index, { db, table }] of schemas.entries()) {
    try {
      parseTidbDatabase(db);
      if (table !== undefined) parseTidbTable(table);
    } catch (cause) {
      if (!BackupError.is(cause)) throw cause;
      throw new BackupError('INVALID_OPTION', `schemas[${index}] must be TiDB's JSON: ${cause.message}`, { cause });
    }
  }
}
