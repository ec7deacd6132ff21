// Names of a backup's SST files: built here and nowhere else, and read back here. Pure functions; a name that is not BR's parses to undefined.
// As TiKV builds them (components/backup: backup_file_name), which depends on the kind of storage.

import { createHash } from 'node:crypto';
import { BackupError } from '../../core/errors.js';

/** What TiKV calls its storages. */
export type BrStorageName = 's3' | 'local' | 'noop' | 'gcs' | 'azure' | 'hdfs';

/** Whether files of a store lie in a folder of their own: object stores of S3's kind slow down when all names begin alike. */
export function hasStoreFolder(storage: BrStorageName): boolean {
  return storage === 's3' || storage === 'local';
}

export interface BrFileDescriptor {
  readonly storeId: bigint;
  readonly regionId: bigint;
  readonly epochVersion: bigint;
  /**
   * Of the raw start key of the file's range, 64 hex digits, and the milliseconds since 1970 at which the file was begun. Undefined for a raw KV range without a start key (a transactional one without a start
   * key has the hash of no bytes); files of old releases have the hash alone.
   */
  readonly startKeyHash?: string | undefined;
  readonly unixMs?: number | undefined;
  /** Column family: `default`, `write`, or what a raw backup was asked for. */
  readonly cf: string;
}

/** Whether a file's name can have it: as TiKV's are, of lower-case letters alone. */
export function isColumnFamilyName(cf: string): boolean {
  return /^[a-z]+$/.test(cf);
}

/** Of a range's raw start key: lower-case hex. */
export function startKeyHash(startKey: Uint8Array): string {
  return createHash('sha256').update(startKey).digest('hex');
}

/** INVALID_NAME for what a name cannot hold. */
export function brFileName(descriptor: BrFileDescriptor, storage: BrStorageName): string {
  const { storeId, regionId, epochVersion, startKeyHash: hash, unixMs, cf } = descriptor;
  checkPart('store id', storeId, isUint64(storeId));
  checkPart('region id', regionId, isUint64(regionId));
  checkPart('epoch version', epochVersion, isUint64(epochVersion));
  checkPart('hash of the start key', hash, hash === undefined || /^[0-9a-f]{64}$/.test(hash));
  checkPart(
    'time',
    unixMs,
    hash === undefined ? unixMs === undefined : unixMs === undefined || (Number.isSafeInteger(unixMs) && unixMs >= 0),
  );
  checkPart('column family', cf, isColumnFamilyName(cf));
  let name = `${storeId}${hasStoreFolder(storage) ? '/' : '_'}${regionId}_${epochVersion}`;
  if (hash !== undefined) name += `_${hash}`;
  if (unixMs !== undefined) name += `_${unixMs}`;
  return `${name}_${cf}.sst`;
}

const NAME = /^(\d{1,20})[/_](\d{1,20})_(\d{1,20})(?:_([0-9a-f]{64})(?:_(\d{1,16}))?)?_([a-z]+)\.sst$/;

/** Undefined for a name that is not of that form. */
export function parseBrFileName(name: string): BrFileDescriptor | undefined {
  const match = NAME.exec(name);
  if (match === null) return undefined;
  const [, store, region, epoch, hash, ms, cf] = match;
  const [storeId, regionId, epochVersion] = [store, region, epoch].map((digits) => BigInt(digits ?? 0));
  const unixMs = ms === undefined ? undefined : Number(ms);
  if (storeId === undefined || regionId === undefined || epochVersion === undefined || cf === undefined)
    return undefined;
  if (![storeId, regionId, epochVersion].every(isUint64)) return undefined;
  if (unixMs !== undefined && !Number.isSafeInteger(unixMs)) return undefined;
  return { storeId, regionId, epochVersion, startKeyHash: hash, unixMs, cf };
}

function isUint64(value: bigint): boolean {
  return value >= 0n && BigInt.asUintN(64, value) === value;
}

function checkPart(what: string, value: unknown, isFine: boolean): void {
  if (!isFine) throw new BackupError('INVALID_NAME', `${what} cannot be part of a file name: ${String(value)}`);
}
