// The xxHashes that RocksDB's checksums are made of, from the optional package hash-wasm. Only read: no file is written with them here.

import { importPackage } from '../../core/import-package.js';

/** The low 32 bits of the hash, seed 0. */
export type Xxh = (bytes: Uint8Array) => number;

export type XxHash = 'xxHash' | 'xxHash64' | 'XXH3';

/** An instance takes longer to make than a small file to read, and nobody is interrupted while using it: one for all readers. */
const instances = new Map<XxHash, Xxh>();

/** PACKAGE_MISSING without hash-wasm. */
export async function loadXxh(type: XxHash): Promise<Xxh> {
  const instance = instances.get(type) ?? (await newXxh(type));
  instances.set(type, instance);
  return instance;
}

async function newXxh(type: XxHash): Promise<Xxh> {
  const { createXXHash32, createXXHash64, createXXHash3 } = await importPackage(
    'hash-wasm',
    `SST files with ${type} checksums need`,
    () => import('hash-wasm'),
  );
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
