// The checksums of blocks as RocksDB computes them. CRC-32C needs nothing; the three xxHashes, which are read but never written here, come from the optional package hash-wasm.

import { loadCrc32c, maskCrc32c } from './native-crc32c.js';
import type { SstChecksumType } from './read-footer.js';
import { loadXxh } from './xxh.js';

/** Over a block and the byte of its compression, which follows it: the number that stands behind both. */
export type BlockChecksum = (block: Uint8Array) => number;

/** RocksDB's kRandomPrime: how the last byte is mixed in where the hash itself does not cover it. */
const LAST_BYTE_PRIME = 0x6b9083d9;

/** PACKAGE_MISSING if the type needs hash-wasm and it is not installed. */
export async function loadBlockChecksum(type: SstChecksumType): Promise<BlockChecksum> {
  if (type === 'none') return () => 0; // What RocksDB writes then; so a footer that lost its checksum type is found.
  if (type === 'crc32c') {
    const crc32c = await loadCrc32c();
    return (block) => maskCrc32c(crc32c(block));
  }
  const low32 = await loadXxh(type);
  if (type !== 'XXH3') return low32;
  // The hash is of the block alone, the last byte is mixed in: RocksDB spares itself XXH3's slow streaming.
  return (block) => {
    const last = block.length - 1;
    return (low32(block.subarray(0, last)) ^ Math.imul(block[last] as number, LAST_BYTE_PRIME)) >>> 0;
  };
}
