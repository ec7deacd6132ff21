// What the operations of a restore count towards the bytes that a target takes at once.

import type { RestoreOperation } from './restore-target.js';

/** See `RestoreLimits.bytes`. */
export function operationBytes(operation: RestoreOperation): number {
  if (operation.type === 'set') return operation.key.length + operation.value.length;
  return operation.begin.length + operation.end.length;
}
