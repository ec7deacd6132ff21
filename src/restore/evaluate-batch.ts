// Turns a batch of mutations into plain sets and clears: atomic operations are evaluated over what the target holds and over what the batch itself has done before them.

import { VALUE_SIZE_LIMIT, evaluateAtomic } from '../core/atomic.js';
import { compareBytes, keyAfter } from '../core/bytes.js';
import { BackupError } from '../core/errors.js';
import type { Mutation } from '../core/mutation.js';
import { MutationType } from '../core/mutation.js';
import type { RestoreOperation, RestoreTarget } from '../ports/restore-target.js';

/** What a restore is going to do, before atomic operations are evaluated. */
export type PendingOperation = RestoreOperation | PendingAtomic;

export interface PendingAtomic {
  readonly type: 'atomic';
  readonly mutation: Mutation;
}

/** More bytes than this no operation has that the mutation becomes: what does not come out as long as its operand, or shorter, changes nothing, is an appended value, or clears the key. */
export function mostAtomicBytes({ type, param1: key, param2: operand }: Mutation): number {
  if (type === MutationType.CompareAndClear) return 2 * key.length + 1;
  if (type === MutationType.AppendIfFits) return key.length + Math.max(operand.length, VALUE_SIZE_LIMIT);
  return key.length + operand.length;
}

/** The operations come out in the same order. One `read` of the target. */
export async function evaluateBatch(
  pending: readonly PendingOperation[],
  target: Pick<RestoreTarget, 'read'>,
): Promise<RestoreOperation[]> {
  const overlay = await Overlay.read(pending, target);
  const operations: RestoreOperation[] = [];
  for (const operation of pending) {
    if (operation.type === 'atomic') {
      evaluate(operation.mutation, overlay, operations);
    } else {
      if (operation.type === 'set') overlay.set(operation.key, operation.value);
      else overlay.clear(operation.begin, operation.end);
      operations.push(operation);
    }
  }
  return operations;
}

function evaluate(
  { type, param1: key, param2: operand }: Mutation,
  overlay: Overlay,
  operations: RestoreOperation[],
): void {
  const before = overlay.get(key);
  const after = evaluateAtomic(type, before, operand);
  if (after === before) return;
  overlay.set(key, after);
  if (after === undefined) operations.push({ type: 'clear', begin: key, end: keyAfter(key) });
  else operations.push({ type: 'set', key, value: after });
}

/** The current values of the keys that the batch's atomic operations touch; other keys do not matter to it. */
class Overlay {
  readonly #values = new Map<string, Uint8Array | undefined>();
  /** Sorted: a clear finds the keys that it covers by binary search. */
  readonly #keys: readonly Uint8Array[];

  private constructor(keys: readonly Uint8Array[]) {
    this.#keys = keys;
  }

  static async read(pending: readonly PendingOperation[], target: Pick<RestoreTarget, 'read'>): Promise<Overlay> {
    const distinct = new Map<string, Uint8Array>();
    for (const operation of pending)
      if (operation.type === 'atomic') distinct.set(text(operation.mutation.param1), operation.mutation.param1);
    const keys = [...distinct.values()].sort(compareBytes);
    const values = await target.read(keys);
    if (values.length !== keys.length) {
      throw new BackupError(
        'ADAPTER_CONTRACT',
        `read of ${keys.length} keys of the restore target returned ${values.length} values`,
      );
    }
    const overlay = new Overlay(keys);
    for (const [i, key] of keys.entries()) overlay.#values.set(text(key), values[i]);
    return overlay;
  }

  get(key: Uint8Array): Uint8Array | undefined {
    return this.#values.get(text(key));
  }

  set(key: Uint8Array, value: Uint8Array | undefined): void {
    const name = text(key);
    if (this.#values.has(name)) this.#values.set(name, value);
  }

  clear(begin: Uint8Array, end: Uint8Array): void {
    let low = 0;
    let high = this.#keys.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (compareBytes(this.#keys[middle] as Uint8Array, begin) < 0) low = middle + 1;
      else high = middle;
    }
    for (let i = low; i < this.#keys.length; i++) {
      const key = this.#keys[i] as Uint8Array;
      if (compareBytes(key, end) >= 0) return;
      this.#values.set(text(key), undefined);
    }
  }
}

/** One character per byte. */
function text(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');
}
