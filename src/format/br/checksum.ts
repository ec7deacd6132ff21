// The checksum of a backup's rows as the messages hold it: a whole number of 64 bits.

import type { Crc64Xor } from '../../core/crc64.js';

/** Of the rows that were added so far; 0 for none. Those of two sets of rows are xored to get that of both. */
export function crc64xorOf(sum: Crc64Xor): bigint {
  return BigInt(`0x${sum.digest()}`);
}
