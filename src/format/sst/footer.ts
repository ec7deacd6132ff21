// The footer of block-based tables of format versions 1 to 5, and the block handles that it and the index hold.
//
// footer = checksum type, handle of the metaindex, handle of the index, zeros up to 41 bytes, u32 LE format version, 8 bytes magic; a handle = varint offset, varint size (without the block's trailer)

import { writeUint32LE } from '../../core/mutation.js';
import { varintLength, writeVarint } from './write-varint.js';

export const FOOTER_BYTES = 53;
/** RocksDB's kBlockBasedTableMagicNumber, as its 8 bytes stand at the end of a file. */
export const BLOCK_BASED_MAGIC: readonly number[] = [0xf7, 0xcf, 0xf4, 0x85, 0xb7, 0x41, 0xe2, 0x88];
/** RocksDB's ChecksumType for CRC-32C. */
export const CRC32C_CHECKSUM = 1;

/** The two format versions in between differ in how index entries are encoded; 5 from 4 in filters only, which are not written here. */
export type SstFormatVersion = 2 | 3 | 4 | 5;

const VERSION_AT = FOOTER_BYTES - 12;
const MAGIC_AT = FOOTER_BYTES - 8;

/** Where a block lies. */
export interface BlockHandle {
  readonly offset: number;
  /** Bytes as stored, without the trailer. */
  readonly size: number;
}

export function encodeBlockHandle({ offset, size }: BlockHandle): Uint8Array {
  const bytes = new Uint8Array(varintLength(offset) + varintLength(size));
  writeVarint(bytes, writeVarint(bytes, 0, offset), size);
  return bytes;
}

export function encodeFooter(metaindex: BlockHandle, index: BlockHandle, formatVersion: SstFormatVersion): Uint8Array {
  const bytes = new Uint8Array(FOOTER_BYTES);
  bytes[0] = CRC32C_CHECKSUM;
  const first = encodeBlockHandle(metaindex);
  bytes.set(first, 1);
  bytes.set(encodeBlockHandle(index), 1 + first.length);
  writeUint32LE(bytes, VERSION_AT, formatVersion);
  bytes.set(BLOCK_BASED_MAGIC, MAGIC_AT);
  return bytes;
}
