// What one etcd transaction must carry so that a body's writes go through only if all that it read is still so. It must never let a transaction through whose reads are out of date, nor one twice.
//
// All reads are of one revision R. A key still is what it was if its mod_revision is the one that was read (0: it does not exist). A range is still the same if none of its keys has a mod_revision above R (no
// new and no changed ones; a compare over a range says it of every key in it) and each key that was found has the mod_revision that was found (none is gone: a compare over a range does not see deletions). So
// a range of n keys takes n + 1 compares.
//
// etcd takes 128 compares and 128 operations in one transaction (--max-txn-ops; etcd: checkTxnRequest in api/v3rpc/key.go counts the larger of the two lists). Operations beyond it go into inner transactions
// without compares: n outer ones, each with what n has left of the limit (n * (128 - n)). Compares do not nest so: where there are too many, ONE compare says that nobody at all has committed since R. For that
// every commit writes the store's `commit` key. Only the ends of leases do not go through a commit, so every lease's key that was found is compared in both cases.
//
// A key that is written without having been read is compared too: nobody has written it since R. Not for the sake of order (a write that has read nothing may take place at any time) but because a request
// may arrive late or twice: the client sends it again when the connection breaks, and what is on its way may be delivered after the caller was told that nobody knows. It can then no longer overwrite what
// others have written since, and of two copies the second fails by the first.

import type { ICompare, IRequestOp, ITxnRequest } from 'etcd3';
import { asBuffer } from '../../etcd/keys.js';
import { BackupError } from '../../core/errors.js';
import { isLeaseKey } from '../lease-record.js';
import type { ReadRange, ReadValue } from './etcd-transaction.js';
import type { StoreKeys } from './store-keys.js';

export interface CommitLimits {
  /** etcd's --max-txn-ops. */
  readonly operations: number;
  /** etcd's --max-request-bytes. */
  readonly bytes: number;
}

export interface CommitContent {
  readonly revision: number;
  readonly reads: ReadonlyMap<string, ReadValue>;
  readonly ranges: readonly ReadRange[];
  /** Not empty. undefined: the key is cleared. */
  readonly writes: ReadonlyMap<string, Uint8Array | undefined>;
}

/** Throws ETCD_LIMIT for what cannot be made to fit. `id` is the commit's own. */
export function commitRequest(keys: StoreKeys, content: CommitContent, id: string, limits: CommitLimits): ITxnRequest {
  const operations = operationsOf(keys, content, id);
  const request =
    fitted(exactCompares(keys, content), operations, limits) ??
    fitted(coarseCompares(keys, content), operations, limits);
  if (request === undefined) {
    throw new BackupError(
      'ETCD_LIMIT',
      `a transaction of ${content.writes.size} writes that read ${content.reads.size} keys does not fit into etcd's limit of ${limits.operations} operations: raise etcd's --max-txn-ops and the store's maxOperations`,
    );
  }
  const bytes = sizeOf(request);
  if (bytes > limits.bytes) {
    throw new BackupError(
      'ETCD_LIMIT',
      `a transaction of ${bytes} bytes is larger than the ${limits.bytes} that etcd takes: raise etcd's --max-request-bytes and the store's maxRequestBytes`,
    );
  }
  return request;
}

function operationsOf(keys: StoreKeys, { writes }: CommitContent, id: string): IRequestOp[] {
  const operations: IRequestOp[] = [{ request_put: { key: keys.commit, value: Buffer.from(id) } }];
  for (const [key, value] of writes) {
    const etcdKey = keys.encode(key);
    operations.push(
      value === undefined
        ? { request_delete_range: { key: etcdKey } }
        : { request_put: { key: etcdKey, value: asBuffer(value) } },
    );
  }
  return operations;
}

function exactCompares(keys: StoreKeys, { revision, reads, ranges, writes }: CommitContent): ICompare[] {
  const compares = ranges.map(({ begin, end }) => notModifiedSince(keys.encode(begin), revision, keys.encode(end)));
  for (const [key, { modified }] of reads) compares.push(modifiedAt(keys.encode(key), modified));
  for (const key of writes.keys()) {
    const isCompared = reads.has(key) || ranges.some(({ begin, end }) => key >= begin && key < end);
    if (!isCompared) compares.push(notModifiedSince(keys.encode(key), revision));
  }
  return compares;
}

function coarseCompares(keys: StoreKeys, { revision, reads }: CommitContent): ICompare[] {
  const compares = [notModifiedSince(keys.commit, revision)];
  for (const [key, { modified }] of reads) {
    if (isLeaseKey(key) && modified > 0) compares.push(modifiedAt(keys.encode(key), modified));
  }
  return compares;
}

export function modifiedAt(key: Buffer, revision: number): ICompare {
  return { key, target: 'Mod', result: 'Equal', mod_revision: revision };
}

/** Of every key of the range, if there is a `rangeEnd`. */
function notModifiedSince(key: Buffer, revision: number, rangeEnd?: Buffer): ICompare {
  const compare: ICompare = { key, target: 'Mod', result: 'Less', mod_revision: revision + 1 };
  return rangeEnd === undefined ? compare : { ...compare, range_end: rangeEnd };
}

/** undefined: it does not fit. */
function fitted(compare: ICompare[], operations: IRequestOp[], limits: CommitLimits): ITxnRequest | undefined {
  const limit = limits.operations;
  if (compare.length > limit) return undefined;
  if (operations.length <= limit) return { compare, success: operations };
  for (let groups = 2; groups < limit; groups++) {
    const perGroup = limit - Math.max(compare.length, groups);
    if (groups * perGroup < operations.length) continue;
    const success: IRequestOp[] = [];
    for (let at = 0; at < operations.length; at += perGroup) {
      success.push({ request_txn: { success: operations.slice(at, at + perGroup) } });
    }
    return { compare, success };
  }
  return undefined;
}

/** Of a field or message: its tag, its length, numbers, rounded up. */
const OVERHEAD = 40;

/** Bytes, not less than what etcd will count. */
function sizeOf({ compare = [], success = [] }: ITxnRequest): number {
  let bytes = 4 * OVERHEAD;
  for (const { key, range_end } of compare) bytes += OVERHEAD + (key?.length ?? 0) + (range_end?.length ?? 0);
  for (const { request_put: put, request_delete_range: clear, request_txn: inner } of success) {
    bytes += OVERHEAD + (put?.key?.length ?? 0) + (put?.value?.length ?? 0) + (clear?.key?.length ?? 0);
    if (inner !== undefined) bytes += sizeOf(inner);
  }
  return bytes;
}
