// What a BR endpoint is made with, and what it is asked for; checked at the door.

import { compareBytes } from '../../core/bytes.js';
import { checkMethods, checkNumber, checkWholeNumber } from '../../core/check-option.js';
import type { Clock, Random } from '../../core/clock.js';
import { systemClock, systemRandom } from '../../core/clock.js';
import { BackupError } from '../../core/errors.js';
import type { KeyRange } from '../../core/key-range.js';
import { checkRange, formatRange } from '../../core/key-range.js';
import { MAX_VERSION, type Version } from '../../core/version.js';
import { checkCipher } from '../../format/br/cipher.js';
import type { BrStorageName } from '../../format/br/file-name.js';
import type { BrCipher } from '../../format/br/messages.js';
import type { RawApiVersion } from '../../format/br/raw-kv.js';
import type { SstCompression } from '../../format/sst/codec.js';
import type { BackupContainer } from '../../ports/backup-container.js';
import { checkedRangeSource } from '../../ports/checked-range-source.js';
import { checkedTxnRangeSource } from '../../ports/checked-txn-range-source.js';
import type { RangeSource } from '../../ports/range-source.js';
import type { TxnRangeSource } from '../../ports/txn-range-source.js';
import type { BackupSettings } from '../../schedule/backup-settings.js';
import { backupSettings } from '../../schedule/backup-settings.js';
import type { LoadStatistics } from '../../schedule/host-load.js';
import type { TaskPool } from '../../schedule/task-pool.js';
import type { RetryPolicy } from '../../snapshot/backoff.js';
import { DEFAULT_SST_MAX_SIZE } from './br-snapshot-writer.js';
import type { BlockPool } from '../threads/block-pool.js';

/** The numbers that an operator may turn. Times in ms, sizes in bytes. Names as in TiKV's backup configuration where it has them. */
export interface BrKnobs extends Partial<BackupSettings> {
  /** Bytes of user keys and values after which a file ends at the next row. Default 144 MiB. */
  readonly sstMaxSize?: number | undefined;
  /** Most bytes per second that are given to the container, all files together. Default: no limit. */
  readonly rateLimit?: number | undefined;
  /** How often in a row something is tried without getting any further before it is given up. Default 8. */
  readonly maxAttempts?: number | undefined;
  /** First wait before something is tried again; doubles each time, with jitter. Default 100. */
  readonly retryMinDelay?: number | undefined;
  /** Longest wait between two tries. Default 10,000. */
  readonly retryMaxDelay?: number | undefined;
}

export interface BrEndpointOptions extends BrKnobs {
  /** Rows with timestamps, for requests of the kind `txn`. */
  readonly txn?: TxnRangeSource | undefined;
  /** Rows as they are, for requests of the kind `raw`. */
  readonly raw?: RangeSource | undefined;
  /** Of the names of files: which server's rows they are. Default 1. */
  readonly storeId?: bigint | undefined;
  /** Threads that compress; not closed. Default: none, files are compressed on this thread. */
  readonly threads?: BlockPool | undefined;
  /** Where the scans run. Pass one to share it with other work of the process; it is not stopped. Default: one of `numThreads` for each request. */
  readonly pool?: TaskPool | undefined;
  /** How busy the host is, for `enableAutoTune`: see HostLoad. */
  readonly statistics?: LoadStatistics | undefined;
  readonly clock?: Clock | undefined;
  /** IVs come from it. Default: the operating system's generator. */
  readonly random?: Random | undefined;
}

/** What files are like, whatever is in them. */
export interface BrFileSettings {
  /** Default `zstd`, as BR's. Its package must be installed. */
  readonly compression?: SstCompression | undefined;
  /** Default: the codec's own. */
  readonly compressionLevel?: number | undefined;
  /** Default: not encrypted. */
  readonly cipher?: BrCipher | undefined;
  /** Whose names files have: with `s3` and `local` they lie in a folder for each store. Default `local`. */
  readonly storage?: BrStorageName | undefined;
  /** Column family of raw rows. Default `default`. */
  readonly cf?: string | undefined;
  /** How raw rows are stored. Default `v1`: as they are. With `v2` the source yields keys and values as the cluster stores them, encoded, while ranges and regions are of user keys. */
  readonly apiVersion?: RawApiVersion | undefined;
}

export interface BrRangesRequest extends BrFileSettings {
  readonly kind: 'txn' | 'raw';
  readonly container: BackupContainer;
  /** User keys, not encoded. In key order, disjoint, each with begin < end: where a request of BR has no bound, say where the keys end. */
  readonly ranges: readonly KeyRange[];
  /** Exclusive: only what was written after it, deletes too. 0: everything. Default 0, and always 0 for raw rows. */
  readonly startTs?: Version | undefined;
  /** Inclusive. For raw rows the source's version at which they are read. It is the caller's to release. Default: the source's latest, which is held until the last answer. */
  readonly endTs?: Version | undefined;
  /** Bytes per second of this request. Default: the endpoint's limit, which all requests without their own share. */
  readonly rateLimit?: number | undefined;
  /** Regions that are scanned at a time. Default: the endpoint's `numThreads`. */
  readonly concurrency?: number | undefined;
  /** Regions that a scan worker takes at once. Default: the endpoint's. */
  readonly batchSize?: number | undefined;
  readonly sstMaxSize?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface ResolvedBrEndpoint extends BackupSettings, RetryPolicy {
  readonly txn: TxnRangeSource | undefined;
  readonly raw: RangeSource | undefined;
  readonly storeId: bigint;
  readonly sstMaxSize: number;
  readonly rateLimit: number | undefined;
  readonly threads: BlockPool | undefined;
  readonly pool: TaskPool | undefined;
  readonly statistics: LoadStatistics | undefined;
}

const LONGEST_DELAY = 2 ** 31 - 1;

/** Throws INVALID_OPTION with the option's name and value. */
export function resolveBrEndpoint(options: BrEndpointOptions): ResolvedBrEndpoint {
  const { txn, raw, storeId = 1n, pool, threads, statistics } = options;
  if (txn === undefined && raw === undefined)
    throw new BackupError('INVALID_OPTION', 'txn or raw must be given: the source of the rows');
  if (pool !== undefined) checkMethods('pool', pool, 'TaskPool', ['run']);
  if (threads !== undefined) checkMethods('threads', threads, 'BlockPool', ['press']);
  const settings = backupSettings(options);
  if (settings.enableAutoTune && statistics === undefined)
    throw new BackupError('INVALID_OPTION', 'statistics must be given when enableAutoTune is true, got undefined');
  if (typeof storeId !== 'bigint' || BigInt.asUintN(64, storeId) !== storeId)
    throw new BackupError('INVALID_OPTION', `storeId must be a bigint of 64 bits, got ${String(storeId)}`);
  const retryMinDelay = checkNumber('retryMinDelay', options.retryMinDelay ?? 100, 0, LONGEST_DELAY);
  const retryMaxDelay = options.retryMaxDelay ?? Math.max(10_000, retryMinDelay);
  return {
    ...settings,
    txn: txn === undefined ? undefined : checkedTxnRangeSource(txn),
    raw: raw === undefined ? undefined : checkedRangeSource(raw),
    storeId,
    sstMaxSize: checkWholeNumber('sstMaxSize', options.sstMaxSize ?? DEFAULT_SST_MAX_SIZE, 1),
    rateLimit: checkRateLimit(options.rateLimit),
    threads,
    pool,
    statistics,
    clock: options.clock ?? systemClock,
    random: options.random ?? systemRandom,
    maxAttempts: checkWholeNumber('maxAttempts', options.maxAttempts ?? 8, 1, 1_000_000),
    retryMinDelay,
    retryMaxDelay: checkNumber('retryMaxDelay', retryMaxDelay, retryMinDelay, LONGEST_DELAY),
  };
}

/** Throws INVALID_OPTION with the option's name and value. */
export function checkBrRequest(request: BrRangesRequest): void {
  const { kind, container, ranges, startTs = 0n, endTs, concurrency, batchSize, sstMaxSize } = request;
  if (kind !== 'txn' && kind !== 'raw')
    throw new BackupError('INVALID_OPTION', `kind must be txn or raw, got ${String(kind)}`);
  checkMethods('container', container, 'BackupContainer', ['writeFile', 'readFile', 'listFiles', 'deleteFile']);
  checkRanges(ranges);
  checkTimestamps(kind, startTs, endTs);
  checkRateLimit(request.rateLimit);
  checkFileSettings(request);
  if (concurrency !== undefined) checkWholeNumber('concurrency', concurrency, 1, 1024);
  if (batchSize !== undefined) checkWholeNumber('batchSize', batchSize, 1, 65_536);
  if (sstMaxSize !== undefined) checkWholeNumber('sstMaxSize', sstMaxSize, 1);
}

const STORAGES: readonly BrStorageName[] = ['s3', 'local', 'noop', 'gcs', 'azure', 'hdfs'];
const API_VERSIONS: readonly RawApiVersion[] = ['v1', 'v1ttl', 'v2'];

/** Throws INVALID_OPTION with the option's name and value. Of the compression and its level `loadCodec` does. */
export function checkFileSettings({
  cipher,
  storage = 'local',
  cf = 'default',
  apiVersion = 'v1',
}: BrFileSettings): void {
  if (cipher !== undefined) checkCipher(cipher);
  if (!STORAGES.includes(storage))
    throw new BackupError('INVALID_OPTION', `storage must be one of ${STORAGES.join(', ')}, got ${String(storage)}`);
  if (!API_VERSIONS.includes(apiVersion))
    throw new BackupError(
      'INVALID_OPTION',
      `apiVersion must be one of ${API_VERSIONS.join(', ')}, got ${String(apiVersion)}`,
    );
  // It is part of the names of files.
  if (typeof cf !== 'string' || !/^[a-z]+$/.test(cf))
    throw new BackupError('INVALID_OPTION', `cf must be lower-case letters, got ${JSON.stringify(cf)}`);
}

function checkRanges(ranges: readonly KeyRange[]): void {
  if (!Array.isArray(ranges)) throw new BackupError('INVALID_OPTION', 'ranges must be an array of key ranges');
  let before: KeyRange | undefined;
  for (const [index, range] of (ranges as readonly KeyRange[]).entries()) {
    checkRange(range, `ranges[${index}]`);
    if (before !== undefined && compareBytes(before.end, range.begin) > 0)
      throw new BackupError('INVALID_OPTION', `ranges must be in key order and disjoint, got ${formatRange(range)}`);
    before = range;
  }
}

export function checkTimestamps(kind: 'txn' | 'raw', startTs: Version, endTs: Version | undefined): void {
  if (typeof startTs !== 'bigint' || startTs < 0n || startTs > MAX_VERSION)
    throw new BackupError('INVALID_OPTION', `startTs must be a timestamp from 0 on, got ${String(startTs)}`);
  if (kind === 'raw' && startTs !== 0n)
    throw new BackupError('INVALID_OPTION', `startTs must be 0 for raw rows, which have no history, got ${startTs}`);
  if (endTs === undefined) return;
  if (typeof endTs !== 'bigint' || endTs < 0n || endTs > MAX_VERSION)
    throw new BackupError('INVALID_OPTION', `endTs must be a timestamp from 0 on, got ${String(endTs)}`);
  if (kind === 'txn' && endTs <= startTs)
    throw new BackupError('INVALID_OPTION', `endTs must be above startTs ${startTs}, got ${endTs}`);
}

function checkRateLimit(rateLimit: number | undefined): number | undefined {
  return rateLimit === undefined ? undefined : checkNumber('rateLimit', rateLimit, 1, Number.MAX_SAFE_INTEGER);
}
