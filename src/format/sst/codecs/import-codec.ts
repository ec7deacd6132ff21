// Loads the package of a codec, or says which one to install.

import { BackupError } from '../../../core/errors.js';

/** PACKAGE_MISSING if `load` does not find the package, or finds it without the part that is built for this platform. */
export async function importCodec<T>(name: string, compression: string, load: () => Promise<T>): Promise<T> {
  try {
    return await load();
  } catch (cause) {
    throw new BackupError(
      'PACKAGE_MISSING',
      `${compression} blocks of SST files need the package ${name}: npm install ${name}`,
      { cause },
    );
  }
}
