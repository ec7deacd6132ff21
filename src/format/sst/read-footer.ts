// Reads the footer of a block-based table, strictly: nothing but what RocksDB writes is taken, since no checksum covers it.

import { equalBytes } from '../../core/bytes.js';
import { readUint32LE } from '../../core/mutation.js';
import { BLOCK_BASED_MAGIC, FOOTER_BYTES } from './footer.js';
import type { BlockHandle, SstFormatVersion } from './footer.js';
import type { SstFile } from './sst-file.js';
import { readExactly, refuseSst } from './sst-file.js';
import { readVarint64 } from './varint.js';

/** In RocksDB's order: the number that the footer holds is the index. */
export const CHECKSUM_TYPES = ['none', 'crc32c', 'xxHash', 'xxHash64', 'XXH3'] as const;

export type SstChecksumType = (typeof CHECKSUM_TYPES)[number];

/** Behind every block: its compression and its checksum. */
export const TRAILER_BYTES = 5;

export interface SstFooter {
  /** Where the footer begins: blocks end here at the latest. */
  readonly offset: number;
  readonly checksumType: SstChecksumType;
  readonly formatVersion: SstFormatVersion;
  readonly metaindex: BlockHandle;
  readonly index: BlockHandle;
}

const HANDLES_AT = 1;
const VERSION_AT = FOOTER_BYTES - 12;

/** The magics of other kinds of tables that RocksDB has, as their 8 bytes stand at the end. */
const OTHER_MAGICS: readonly (readonly [bytes: readonly number[], what: string])[] = [
  [[0x57, 0xfb, 0x80, 0x8b, 0x24, 0x75, 0x47, 0xdb], 'a table of format version 0 (LevelDB, or RocksDB before 2.7)'],
  [[0xf8, 0xd7, 0xb8, 0x1a, 0x82, 0x4e, 0x34, 0x82], 'a plain table'],
  [[0x6c, 0xdd, 0x6e, 0x15, 0x1e, 0x5f, 0x34, 0x4f], 'a plain table of format version 0'],
  [[0xee, 0xee, 0xee, 0x40, 0xc0, 0xb9, 0x26, 0x92], 'a cuckoo table'],
];

/** CORRUPT_FILE for what is no SST file; UNSUPPORTED_FORMAT for tables of another kind or version. */
export async function readFooter(file: SstFile): Promise<SstFooter> {
  const offset = file.size - FOOTER_BYTES;
  const tail = await readExactly(file, Math.max(offset, 0), Math.min(file.size, FOOTER_BYTES));
  checkMagic(file, tail);
  if (offset < 0) refuseSst(file, 0, `${file.size} bytes are too few for an SST file`);
  const formatVersion = readVersion(file, offset, tail);
  const checksumType = CHECKSUM_TYPES[tail[0] as number];
  if (checksumType === undefined) refuseSst(file, offset, `checksum type ${tail[0] as number} is unknown`);
  const first = readHandle(file, offset, tail, HANDLES_AT);
  const second = readHandle(file, offset, tail, first.next);
  for (let at = second.next; at < VERSION_AT; at++) {
    if (tail[at] !== 0) refuseSst(file, offset + at, 'the padding of the footer holds something');
  }
  return { offset, checksumType, formatVersion, metaindex: first.handle, index: second.handle };
}

function checkMagic(file: SstFile, tail: Uint8Array): void {
  const magic = tail.subarray(-BLOCK_BASED_MAGIC.length);
  if (equalBytes(magic, Uint8Array.from(BLOCK_BASED_MAGIC))) return;
  const offset = Math.max(0, file.size - BLOCK_BASED_MAGIC.length);
  for (const [bytes, what] of OTHER_MAGICS) {
    if (!equalBytes(magic, Uint8Array.from(bytes))) continue;
    refuseSst(file, offset, `${what} is not read, only block-based tables are`, 'UNSUPPORTED_FORMAT');
  }
  refuseSst(file, offset, 'it does not end as an SST file does: it is cut off, or none');
}

function readVersion(file: SstFile, offset: number, tail: Uint8Array): SstFormatVersion {
  const version = readUint32LE(tail, VERSION_AT);
  if (version === 2 || version === 3 || version === 4 || version === 5) return version;
  const why = `format version ${version} is not read, only 2 to 5 are`;
  return refuseSst(file, offset + VERSION_AT, why, 'UNSUPPORTED_FORMAT');
}

function readHandle(
  file: SstFile,
  footerOffset: number,
  tail: Uint8Array,
  at: number,
): { handle: BlockHandle; next: number } {
  const read = decodeHandle(tail, at, VERSION_AT);
  if (read === undefined) refuseSst(file, footerOffset + at, 'the footer holds no block handle');
  if (!handleFits(read.handle, footerOffset)) refuseSst(file, footerOffset + at, describeHandle(read.handle));
  return read;
}

/** undefined: no handle ends before `end`. */
export function decodeHandle(
  bytes: Uint8Array,
  at: number,
  end: number,
): { handle: BlockHandle; next: number } | undefined {
  const offset = readVarint64(bytes, at);
  if (offset === undefined) return undefined;
  const size = readVarint64(bytes, offset.next);
  if (size === undefined || size.next > end) return undefined;
  return { handle: { offset: offset.value, size: size.value }, next: size.next };
}

/** Whether the block and its trailer end at or before `end`. */
export function handleFits({ offset, size }: BlockHandle, end: number): boolean {
  return offset + size + TRAILER_BYTES <= end;
}

export function describeHandle({ offset, size }: BlockHandle): string {
  return `a block of ${size} bytes at ${offset} does not lie in the file`;
}
