// One raw block becomes one stored block, in place: the same on whichever thread it is done.

import { assert } from '../../core/errors.js';
import { writeUint32LE } from '../../core/mutation.js';
import { BLOCK_TRAILER_BYTES } from './block-press.js';
import { type BlockCodec, COMPRESSION_TYPE, type SstCompression } from './codec.js';
import { type Crc32c, maskCrc32c } from './native-crc32c.js';
import { varintLength, writeVarint } from './write-varint.js';

/** The stored block, in the memory of the raw one and of the trailer's room behind it. */
export function pressBlock(raw: Uint8Array, codec: BlockCodec, crc32c: Crc32c): Uint8Array {
  if (codec.compression !== 'none') {
    const compressed = codec.compress(raw);
    // Snappy knows the raw length itself; of the others format version 2 and above wants it in front.
    const header = codec.compression === 'snappy' ? 0 : varintLength(raw.length);
    if (isWorthIt(header + compressed.length, raw.length)) {
      const rawLength = raw.length;
      raw.set(compressed, header);
      if (header > 0) writeVarint(raw, 0, rawLength);
      return sealBlock(raw.subarray(0, header + compressed.length), codec.compression, crc32c);
    }
  }
  return sealBlock(raw, 'none', crc32c);
}

/** RocksDB keeps what saves more than an eighth. */
function isWorthIt(storedLength: number, rawLength: number): boolean {
  return storedLength < rawLength - (rawLength >>> 3);
}

/** Writes the type byte and the checksum behind a block, where there must be room for them, and returns the block with them. */
export function sealBlock(block: Uint8Array, compression: SstCompression, crc32c: Crc32c): Uint8Array {
  const { buffer, byteOffset, length } = block;
  assert(byteOffset + length + BLOCK_TRAILER_BYTES <= buffer.byteLength, 'no room behind a block for its trailer');
  const stored = new Uint8Array(buffer, byteOffset, length + BLOCK_TRAILER_BYTES);
  stored[length] = COMPRESSION_TYPE[compression];
  writeUint32LE(stored, length + 1, maskCrc32c(crc32c(stored.subarray(0, length + 1))));
  return stored;
}
