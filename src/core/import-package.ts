// Packages that a host installs only for a part of the library: loaded when that part is first used.

import { BackupError } from './errors.js';

/**
 * What `load` gives; PACKAGE_MISSING where it does not find the package. `needs` says for what it is, as the beginning of a sentence ("backups over gRPC need"), and `otherwise`, if there is a way without it, which.
 * A package that is there and fails while it is loaded fails with its own error.
 */
export async function importPackage<T>(
  name: string,
  needs: string,
  load: () => Promise<T>,
  otherwise?: string,
): Promise<T> {
  try {
    return await load();
  } catch (cause) {
    const isMissing = cause instanceof Error && 'code' in cause && cause.code === 'ERR_MODULE_NOT_FOUND';
    // One that the package itself needs and lacks is told as it is.
    if (!isMissing || !cause.message.includes(name)) throw cause;
    const advice = otherwise === undefined ? '' : `; ${otherwise}`;
    throw new BackupError('PACKAGE_MISSING', `${needs} the package ${name}: npm install ${name}${advice}`, { cause });
  }
}
