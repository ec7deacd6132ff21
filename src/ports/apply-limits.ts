// What a restore target takes at once: what counts towards it, and operations cut to it.

import { printableBytes } from '../core/bytes.js';
import { BackupError } from '../core/errors.js';
import type { RestoreLimits, RestoreOperation } from './restore-target.js';

/** What an operation counts towards `RestoreLimits.bytes`. */
export function operationBytes(operation: RestoreOperation): number {
  if (operation.type === 'set') return operation.key.length + operation.value.length;
  return operation.begin.length + operation.end.length;
}

export const NO_LIMITS: RestoreLimits = { operations: Infinity, bytes: Infinity };

/** OPERATION_TOO_LARGE for an operation that no batch could hold. That a batch holds no more than it may is the engine's own affair. */
export function checkWithinLimits(operations: readonly RestoreOperation[], { bytes }: RestoreLimits): void {
  for (const operation of operations) {
    const size = operationBytes(operation);
    if (size > bytes) throw tooLarge(operation, size, bytes);
  }
}

/** The operations in their order, in batches that the target takes. */
export function* batchesWithin<T extends RestoreOperation>(
  operations: readonly T[],
  { operations: most, bytes: mostBytes }: RestoreLimits,
): Generator<T[], void, undefined> {
  let batch: T[] = [];
  let bytes = 0;
  for (const operation of operations) {
    const size = operationBytes(operation);
    if (batch.length > 0 && (batch.length === most || bytes + size > mostBytes)) {
      yield batch;
      batch = [];
      bytes = 0;
    }
    batch.push(operation);
    bytes += size;
  }
  if (batch.length > 0) yield batch;
}

function tooLarge(operation: RestoreOperation, size: number, most: number): BackupError {
  const what =
    operation.type === 'set'
      ? `the value of "${printableBytes(operation.key)}" makes, with its key,`
      : `the clear from "${printableBytes(operation.begin)}" to "${printableBytes(operation.end)}" makes`;
  return new BackupError(
    'OPERATION_TOO_LARGE',
    `${what} ${size} bytes, and the target takes ${most} at once; let it take more, or restore other ranges`,
  );
}
