// zlib blocks: raw deflate, as RocksDB writes it (window bits -14). Comes with Node.

import { constants, deflateRawSync, inflateRawSync } from 'node:zlib';
import type { BlockCodec } from '../codec.js';
import { asPlainBytes } from './as-buffer.js';
import { checkRawLength, refuseStored } from './codec-error.js';

/** RocksDB's default: larger windows would be read by nobody but us. */
const WINDOW_BITS = 14;

export function zlibCodec(level: number = constants.Z_DEFAULT_COMPRESSION): BlockCodec {
  return {
    compression: 'zlib',
    compress: (raw) => asPlainBytes(deflateRawSync(raw, { level, windowBits: WINDOW_BITS })),
    decompress: (stored, rawLength) => checkRawLength('zlib', inflate(stored, rawLength), rawLength),
  };
}

function inflate(stored: Uint8Array, rawLength: number): Uint8Array {
  try {
    // Node takes no bound of 0; one byte too many is found by the check of the length.
    return inflateRawSync(stored, { maxOutputLength: Math.max(rawLength, 1) });
  } catch (cause) {
    return refuseStored('zlib', cause instanceof Error ? cause.message : String(cause), cause);
  }
}
