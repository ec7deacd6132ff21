// XXH3-128, from the optional package hash-wasm: the one hash of the format that Node does not bring.

import { importPackage } from '../core/import-package.js';

/** 16 bytes: high half first, both big-endian. */
export type Xxh3 = (bytes: Uint8Array) => Uint8Array;

/** PACKAGE_MISSING if the package is not installed. */
export async function loadXxh3(): Promise<Xxh3> {
  const { createXXHash128 } = await importPackage('hash-wasm', 'encrypted containers need', () => import('hash-wasm'));
  const hasher = await createXXHash128();
  return (bytes) => {
    hasher.init();
    hasher.update(bytes);
    return hasher.digest('binary');
  };
}
