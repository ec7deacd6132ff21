// What codecs say when bytes cannot be decompressed. Codecs know neither file nor offset: the block reader adds both.

import { BackupError } from '../../../core/errors.js';
import type { SstCompression } from '../codec.js';
import { asPlainBytes } from './as-buffer.js';

/** Always throws CORRUPT_FILE. */
export function refuseStored(compression: SstCompression, why: string, cause?: unknown): never {
  throw new BackupError('CORRUPT_FILE', `a ${compression} block does not decompress: ${why}`, { cause });
}

/** `raw` as no Buffer; CORRUPT_FILE unless it has exactly the stated length. */
export function checkRawLength(compression: SstCompression, raw: Uint8Array, rawLength: number): Uint8Array {
  if (raw.length !== rawLength) {
    refuseStored(compression, `${raw.length} bytes came out, the block states ${rawLength}`);
  }
  return asPlainBytes(raw);
}
