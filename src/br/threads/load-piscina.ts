// The thread pool, from the optional package piscina.

import { BackupError } from '../../core/errors.js';

const PACKAGE = 'piscina';

/** PACKAGE_MISSING if the package is not installed. */
export async function loadPiscina() {
  try {
    return await import('piscina');
  } catch (cause) {
    const missing = cause instanceof Error && 'code' in cause && cause.code === 'ERR_MODULE_NOT_FOUND';
    if (!missing) throw cause;
    throw new BackupError(
      'PACKAGE_MISSING',
      `compression on worker threads needs the package ${PACKAGE}: npm install ${PACKAGE}; numThreads: 0 does without`,
      { cause },
    );
  }
}
