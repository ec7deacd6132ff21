// lz4 blocks, from the optional package lz4-napi: a bare block, which the package wants behind its length (4 bytes, little-endian).

import type { BlockCodec } from '../codec.js';
import { asBuffer, asPlainBytes } from './as-buffer.js';
import { checkRawLength, refuseStored } from './codec-error.js';
import { importCodec } from './import-codec.js';

const LENGTH_BYTES = 4;
/** One byte of the format stands for 255 bytes at most, plus what fits into the last token. */
const MAX_RATIO = 255;
const MAX_BEYOND_RATIO = 64;

/** PACKAGE_MISSING without lz4-napi. */
export async function loadLz4Codec(): Promise<BlockCodec> {
  const { compressSync, uncompressSync } = await importCodec('lz4-napi', 'lz4', () => import('lz4-napi'));
  return {
    compression: 'lz4',
    compress: (raw) => asPlainBytes(compressSync(asBuffer(raw))).subarray(LENGTH_BYTES),
    decompress(stored, rawLength) {
      // The package allocates what the length says before it looks at the bytes.
      if (rawLength > stored.length * MAX_RATIO + MAX_BEYOND_RATIO) {
        refuseStored('lz4', `${stored.length} bytes cannot become ${rawLength}`);
      }
      const withLength = Buffer.allocUnsafe(LENGTH_BYTES + stored.length);
      withLength.writeUInt32LE(rawLength, 0);
      withLength.set(stored, LENGTH_BYTES);
      return checkRawLength('lz4', uncompress(uncompressSync, withLength), rawLength);
    },
  };
}

function uncompress(uncompressSync: (bytes: Uint8Array) => Uint8Array, withLength: Uint8Array): Uint8Array {
  try {
    return uncompressSync(withLength);
  } catch (cause) {
    return refuseStored('lz4', cause instanceof Error ? cause.message : String(cause), cause);
  }
}
