// Internal keys: the user key, then 8 bytes: sequence number and type as one little-endian number. Ascending user keys, of one user key the newest first.

import { compareBytes } from '../../core/bytes.js';
import { INTERNAL_BYTES } from './entry-types.js';

export function userKeyOf(internalKey: Uint8Array): Uint8Array {
  return internalKey.subarray(0, internalKey.length - INTERNAL_BYTES);
}

/** Both have 8 bytes at least. */
export function compareInternalKeys(a: Uint8Array, b: Uint8Array): number {
  const order = compareBytes(userKeyOf(a), userKeyOf(b));
  if (order !== 0) return order;
  for (let i = 1; i <= INTERNAL_BYTES; i++) {
    const difference = (b[b.length - i] as number) - (a[a.length - i] as number);
    if (difference !== 0) return difference;
  }
  return 0;
}
