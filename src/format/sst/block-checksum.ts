// The checksums of blocks as RocksDB computes them. CRC-32C needs nothing; the three xxHashes, which are read but never written here, come from the optional package hash-wasm.

import { BackupError } from '../../core/errors.js';
import { loadCrc32c, maskCrc32c } from './native-crc32c.js';
import type { SstChecksumType } from './read-footer.js';

/** Over a block and the byte of its compression, which follows it: the number that stands behind both. */
export type BlockChecksum = (block: Uint8Array) => number;

const PACKAGE = 'hash-wasm';

/** RocksDB's kRandomPrime: how the last byte is mixed in where the hash itself does not cover it. */
const LAST_BYTE_PRIME = 0x6b9083d9;

/** PACKAGE_MISSING if the type needs hash-wasm and it is not installed. */
export async function loadBlockChecksum(type: SstChecksumType): Promise<BlockChecksum> {
  if (type === 'none') return () => 0; // What RocksDB writes then; so a footer that lost its checksum type is found.
  if (type === 'crc32c') {
    const crc32c = await loadCrc32c();
    return (block) => maskCrc32c(crc32c(block));
  }
  const low32 = await loadLow32(type);
  if (type !== 'XXH3') return low32;
  // The hash is of the block alone, the last byte is mixed in: RocksDB spares itself XXH3's slow streaming.
  return (block) => {
    const last = block.length - 1;
    return (low32(block.subarray(0, last)) ^ Math.imul(block[last] as number, LAST_BYTE_PRIME)) >>> 0;
  };
}

type XxHash = 'xxHash' | 'xxHash64' | 'XXH3';

/** An instance takes longer to make than a small file to read, and nobody is interrupted while using it: one for all readers. */
const instances = new Map<XxHash, BlockChecksum>();

async function loadLow32(type: XxHash): Promise<BlockChecksum> {
  const instance = instances.get(type) ?? (await newLow32(type));
  instances.set(type, instance);
  return instance;
}

async function newLow32(type: XxHash): Promise<BlockChecksum> {
  const { createXXHash32, createXXHash64, createXXHash3 } = await importPackage(type);
  const create = { xxHash: createXXHash32, xxHash64: createXXHash64, XXH3: createXXHash3 }[type];
  const hasher = await create();
  return (block) => {
    hasher.init();
    hasher.update(block);
    const digest = hasher.digest('binary');
    // Big-endian: the low half of 64 bits is at the end.
    const at = digest.length - 4;
    return (
      (((digest[at] as number) << 24) |
        ((digest[at + 1] as number) << 16) |
        ((digest[at + 2] as number) << 8) |
        (digest[at + 3] as number)) >>>
      0
    );
  };
}

async function importPackage(type: SstChecksumType) {
  try {
    return await import('hash-wasm');
  } catch (cause) {
    throw new BackupError(
      'PACKAGE_MISSING',
      `SST files with ${type} checksums need the package ${PACKAGE}: npm install ${PACKAGE}`,
      { cause },
    );
  }
}
