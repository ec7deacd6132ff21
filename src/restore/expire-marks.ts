// The properties of a container that are plain numbers: moving them forwards only.

import { BackupError } from '../core/errors.js';
import type { Version } from '../core/version.js';
import { PROPERTY, encodeNumberProperty } from '../format/fdb/properties.js';
import type { BackupContainer, WriteFileOptions } from '../ports/backup-container.js';
import { readNumberProperty } from './number-property.js';

/** A container has no compare-and-set. Another writer can only be noticed afterwards; so often is its smaller value put right. */
const MAX_ATTEMPTS = 5;

/** Makes the mark at least `value`. It never moves backwards: neither by this call nor, as far as it can see, by another's at the same time. */
export async function advanceMark(container: BackupContainer, name: string, value: Version): Promise<void> {
  for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
    const present = await readNumberProperty(container, name);
    if (present !== undefined && present >= value) return;
    await writeSmallFile(container, name, encodeNumberProperty(value));
  }
}

/** Brings the cache of the gapless log above `end`, or removes it when nothing of it is left. */
export async function advanceLogCache(container: BackupContainer, end: Version): Promise<void> {
  const logBegin = await readCache(container, PROPERTY.logBeginVersion);
  const logEnd = await readCache(container, PROPERTY.logEndVersion);
  if (logBegin === 'damaged' || logEnd === 'damaged' || (logEnd !== undefined && logEnd <= end)) {
    await container.deleteFile(PROPERTY.logBeginVersion);
    await container.deleteFile(PROPERTY.logEndVersion);
  } else if (logBegin !== undefined && logBegin < end) {
    await writeSmallFile(container, PROPERTY.logBeginVersion, encodeNumberProperty(end));
  }
}

async function readCache(container: BackupContainer, name: string): Promise<Version | undefined | 'damaged'> {
  try {
    return await readNumberProperty(container, name);
  } catch (error) {
    if (BackupError.is(error, 'CORRUPT_FILE')) return 'damaged';
    throw error;
  }
}

/** Writes a file that is in memory whole. */
export async function writeSmallFile(
  container: BackupContainer,
  name: string,
  bytes: Uint8Array,
  options?: WriteFileOptions,
): Promise<void> {
  const file = await container.writeFile(name, options);
  try {
    if (bytes.length > 0) await file.append([bytes]);
    await file.finish();
  } catch (error) {
    await file.abort();
    throw error;
  }
}
