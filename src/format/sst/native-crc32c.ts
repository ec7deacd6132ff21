// CRC-32C of blocks: the processor's instruction through the optional package @node-rs/crc32, else the table in core. Both give the same sums; only the speed differs (some six times).

import { crc32c as tableCrc32c } from '../../core/crc32c.js';

/** Goes on from `crc`, the result for what came before (0 for nothing). Not masked. */
export type Crc32c = (bytes: Uint8Array, crc?: number) => number;

/** Never fails for a missing package: the slow way gives the same answer. */
export async function loadCrc32c(): Promise<Crc32c> {
  try {
    return (await import('@node-rs/crc32')).crc32c;
  } catch {
    // Not installed, or not built for this platform.
    return tableCrc32c;
  }
}

const MASK_DELTA = 0xa282ead8;

/** RocksDB's mask: a CRC that stands beside the bytes which it covers must not look like the CRC of them all. */
export function maskCrc32c(crc: number): number {
  return (((crc >>> 15) | (crc << 17)) + MASK_DELTA) >>> 0;
}
