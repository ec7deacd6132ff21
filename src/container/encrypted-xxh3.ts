// XXH3-128, from the optional package hash-wasm: the one hash of the format that Node does not bring.

import { BackupError } from '../core/errors.js';

const PACKAGE = 'hash-wasm';

/** 16 bytes: high half first, both big-endian. */
export type Xxh3 = (bytes: Uint8Array) => Uint8Array;

/** PACKAGE_MISSING if the package is not installed. */
export async function loadXxh3(): Promise<Xxh3> {
  const { createXXHash128 } = await importPackage();
  const hasher = await createXXHash128();
  return (bytes) => {
    hasher.init();
    hasher.update(bytes);
    return hasher.digest('binary');
  };
}

async function importPackage() {
  try {
    return await import('hash-wasm');
  } catch (cause) {
    const missing = cause instanceof Error && 'code' in cause && cause.code === 'ERR_MODULE_NOT_FOUND';
    if (!missing) throw cause;
    throw new BackupError(
      'PACKAGE_MISSING',
      `encrypted containers need the package ${PACKAGE}: npm install ${PACKAGE}`,
      {
        cause,
      },
    );
  }
}
