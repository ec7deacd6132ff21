// The properties of a container that are plain numbers. Nothing in such a file says where it ends, so its end is looked for.

import { BackupError } from '../core/errors.js';
import { MAX_PROPERTY_BYTES, parseNumberProperty } from '../format/fdb/properties.js';
import type { BackupContainer } from '../ports/backup-container.js';
import { readToEnd } from '../ports/read-to-end.js';

/** undefined if there is none. CORRUPT_FILE if it is no number, ADAPTER_CONTRACT if the container gives only a part of it. */
export async function readNumberProperty(container: BackupContainer, name: string): Promise<bigint | undefined> {
  let bytes: Uint8Array;
  try {
    bytes = await readToEnd(container, name, MAX_PROPERTY_BYTES);
  } catch (error) {
    if (BackupError.is(error, 'FILE_NOT_FOUND')) return undefined;
    throw error;
  }
  if (bytes.length <= MAX_PROPERTY_BYTES) return parseNumberProperty(bytes, name);
  throw new BackupError('CORRUPT_FILE', `${name} is longer than the ${MAX_PROPERTY_BYTES} bytes that it may have`, {
    file: name,
    offset: MAX_PROPERTY_BYTES,
    container: container.url,
  });
}
