// The operations of an apply as one etcd transaction takes them. Pure. What comes out has the same effect as the operations in their order.
//
// etcd refuses a transaction that puts a key twice, or one under a range that it deletes ("duplicate key given in txn request"; etcd: api/v3rpc/key.go, checkIntervals). So of each key only the last operation
// counts, and ranges that are deleted are cut around the keys that are put.

import { compareBytes, keyAfter } from '../../core/bytes.js';
import type { KeyRange } from '../../core/key-range.js';
import { coalesceRanges } from '../../core/key-range.js';
import type { RestoreOperation } from '../../ports/restore-target.js';
import { isOnlyEmptyKey, withoutRanges } from './range-parts.js';

export type SetOperation = Extract<RestoreOperation, { readonly type: 'set' }>;

export interface EtcdBatch {
  /** Each key once. */
  readonly puts: readonly SetOperation[];
  /** Single keys to delete, none of them put. */
  readonly deletes: readonly Uint8Array[];
  /** Disjoint, without any key that is put. */
  readonly ranges: readonly KeyRange[];
}

/** How many operations of etcd come of `operations` at most, where `holes` ranges are left alone: a clear that reaches over all, cut around every set and every hole. */
export function mostEtcdOperations(operations: number, holes: number): number {
  return 2 * operations - 1 + holes;
}

/** `holes`: what is left alone, sorted and disjoint. Sets in them are none of this file's business. */
export function etcdBatch(operations: readonly RestoreOperation[], holes: readonly KeyRange[]): EtcdBatch {
  const puts = new Map<string, SetOperation>();
  const deletes = new Map<string, Uint8Array>();
  const wide: KeyRange[] = [];
  // From the last one back: what a later operation has decided stays so.
  for (let i = operations.length - 1; i >= 0; i--) {
    const operation = operations[i] as RestoreOperation;
    if (operation.type === 'clear' && !isOneKey(operation)) {
      if (compareBytes(operation.begin, operation.end) < 0) wide.push(operation);
      continue;
    }
    const key = operation.type === 'set' ? operation.key : operation.begin;
    const name = text(key);
    if (puts.has(name) || deletes.has(name) || isIn(wide, key)) continue;
    if (operation.type === 'set') puts.set(name, operation);
    else if (!isIn(holes, key)) deletes.set(name, key);
  }
  // There is no empty key in etcd: clearing it does nothing.
  deletes.delete('');
  const cleared = coalesceRanges(wide);
  const points = [...puts.values()].map(({ key }) => ({ begin: key, end: keyAfter(key) }));
  points.sort((a, b) => compareBytes(a.begin, b.begin));
  return {
    puts: [...puts.values()],
    deletes: [...deletes.values()].filter((key) => !isIn(cleared, key)),
    ranges: withoutRanges(withoutRanges(cleared, holes), points).filter(({ end }) => !isOnlyEmptyKey(end)),
  };
}

function isOneKey({ begin, end }: KeyRange): boolean {
  if (end.length !== begin.length + 1 || end[begin.length] !== 0) return false;
  for (let i = 0; i < begin.length; i++) if (begin[i] !== end[i]) return false;
  return true;
}

function isIn(ranges: readonly KeyRange[], key: Uint8Array): boolean {
  return ranges.some(({ begin, end }) => compareBytes(begin, key) <= 0 && compareBytes(key, end) < 0);
}

/** One character per byte. */
function text(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');
}
