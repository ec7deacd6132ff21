// snappy blocks, from the optional package snappy: its raw format, which begins with the raw length as a varint.

import type { BlockCodec } from '../codec.js';
import { readVarint32 } from '../varint.js';
import { asPlainBytes } from './as-buffer.js';
import { checkRawLength, refuseStored } from './codec-error.js';
import { importCodec } from './import-codec.js';

/** A copy of 64 bytes takes 3: no element of the format stands for more. */
const MAX_RATIO = 22;

/** PACKAGE_MISSING without snappy. */
export async function loadSnappyCodec(): Promise<BlockCodec> {
  const { compressSync, uncompressSync } = await importCodec('snappy', 'snappy', () => import('snappy'));
  return {
    compression: 'snappy',
    compress: (raw) => asPlainBytes(compressSync(raw)),
    decompress(stored, rawLength) {
      // The package allocates what the bytes say: they must say what the caller expects, and it must be possible.
      const stated = readVarint32(stored, 0)?.value;
      if (stated !== rawLength) refuseStored('snappy', `it states ${stated ?? 'no'} bytes, not ${rawLength}`);
      if (rawLength > stored.length * MAX_RATIO) {
        refuseStored('snappy', `${stored.length} bytes cannot become ${rawLength}`);
      }
      return checkRawLength('snappy', uncompress(uncompressSync, stored), rawLength);
    },
  };
}

function uncompress(uncompressSync: (bytes: Uint8Array) => string | Uint8Array, stored: Uint8Array): Uint8Array {
  try {
    const raw = uncompressSync(stored);
    return typeof raw === 'string' ? refuseStored('snappy', 'the package gave text') : raw;
  } catch (cause) {
    return refuseStored('snappy', cause instanceof Error ? cause.message : String(cause), cause);
  }
}
