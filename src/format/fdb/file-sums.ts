// Checksums of a data file's blocks, in a small file of our own beside it: the original's files have none, so that it restores a flipped byte without a word.
// The name is folder by folder that of the data file; only the base name is another, because an encrypted container makes a file's nonce from the base name.

import { crc32 } from '../../core/crc32.js';
import { BackupError, assert } from '../../core/errors.js';
import { AsciiBuilder } from './ascii-builder.js';
import { closeCheckedJson, crcsFromHex, crcsToHex, isCount, parseCheckedJson, refuseFile } from './checked-json.js';
import { LOG_FOLDER, PROPERTY_FOLDER, RANGE_FOLDER, UNPARTITIONED_LOG_FOLDER } from './names.js';

export interface FileSums {
  /** Bytes of the file. */
  readonly size: number;
  /** Bytes that one checksum is of; the last one may be of fewer. Need not be the block size in the file's name. */
  readonly blockSize: number;
  /** One per block. */
  readonly crc32: Uint32Array;
}

export const SUMS_FOLDER = `${PROPERTY_FOLDER}tidemark_sums/`;
const SUMS_PREFIX = 'sums,';
const DATA_FOLDERS = [LOG_FOLDER, UNPARTITIONED_LOG_FOLDER, RANGE_FOLDER];

/** Enough for the checksums of two million blocks. */
export const MAX_FILE_SUMS_BYTES = 16 << 20;
const MIN_SUMS_BLOCK_SIZE = 512;

/** `properties/tidemark_sums/<folder>/sums,<base name>`. INVALID_NAME for a name that is no data file's. */
export function sumsFileName(name: string): string {
  const slash = name.lastIndexOf('/') + 1;
  if (slash === name.length || !DATA_FOLDERS.some((folder) => name.startsWith(folder))) {
    throw new BackupError('INVALID_NAME', `${name} is not the name of a data file`, { file: name });
  }
  return `${SUMS_FOLDER}${name.slice(0, slash)}${SUMS_PREFIX}${name.slice(slash)}`;
}

/** The name of the file that the checksums are of; undefined for a name of another form. */
export function parseSumsFileName(path: string): string | undefined {
  if (!path.startsWith(SUMS_FOLDER)) return undefined;
  const slash = path.lastIndexOf('/') + 1;
  if (!path.startsWith(SUMS_PREFIX, slash) || slash + SUMS_PREFIX.length === path.length) return undefined;
  const folder = path.slice(SUMS_FOLDER.length, slash);
  if (!DATA_FOLDERS.some((known) => folder.startsWith(known))) return undefined;
  return folder + path.slice(slash + SUMS_PREFIX.length);
}

/** Builds a file's checksums from its bytes as they are written, in pieces of any size. */
export class FileSumsBuilder {
  readonly #blockSize: number;
  #sums = new Uint32Array(16);
  #size = 0;
  #crc = 0;

  /** `blockSize`: bytes per checksum, 512 at least. */
  constructor(blockSize: number) {
    if (!Number.isSafeInteger(blockSize) || blockSize < MIN_SUMS_BLOCK_SIZE) {
      throw new BackupError(
        'INVALID_OPTION',
        `blockSize must be a whole number >= ${MIN_SUMS_BLOCK_SIZE}, got ${String(blockSize)}`,
      );
    }
    this.#blockSize = blockSize;
  }

  /** Bytes so far. */
  get size(): number {
    return this.#size;
  }

  update(chunk: Uint8Array): void {
    for (let at = 0; at < chunk.length;) {
      const inBlock = this.#size % this.#blockSize;
      const length = Math.min(chunk.length - at, this.#blockSize - inBlock);
      this.#crc = crc32(chunk.subarray(at, at + length), this.#crc);
      at += length;
      this.#size += length;
      if (inBlock + length === this.#blockSize) this.#close();
    }
  }

  /** The sums of everything so far. More may be added afterwards. */
  build(): FileSums {
    const whole = Math.floor(this.#size / this.#blockSize);
    const sums = this.#sums.slice(0, Math.ceil(this.#size / this.#blockSize));
    if (whole < sums.length) sums[whole] = this.#crc;
    return { size: this.#size, blockSize: this.#blockSize, crc32: sums };
  }

  #close(): void {
    const index = this.#size / this.#blockSize - 1;
    // One more than is closed: `build` puts the open block's sum behind them.
    if (index + 1 >= this.#sums.length) {
      const larger = new Uint32Array(this.#sums.length * 2);
      larger.set(this.#sums);
      this.#sums = larger;
    }
    this.#sums[index] = this.#crc;
    this.#crc = 0;
  }
}

export function encodeFileSums(sums: FileSums): Uint8Array {
  assert(sums.crc32.length === Math.ceil(sums.size / sums.blockSize), 'there is one checksum for every block');
  const text = new AsciiBuilder();
  text.add(`{"size":${sums.size},"blockSize":${sums.blockSize},"crc32":"${crcsToHex(sums.crc32)}"`);
  return closeCheckedJson(text);
}

/** CORRUPT_FILE for anything but what encodeFileSums makes; unknown fields are ignored. */
export function parseFileSums(bytes: Uint8Array, file: string): FileSums {
  const refuse = refuseFile(file);
  const { size, blockSize, crc32: hex } = parseCheckedJson(bytes, refuse);
  if (!isCount(size)) return refuse('has no valid size');
  if (!isCount(blockSize, MIN_SUMS_BLOCK_SIZE)) return refuse('has no valid blockSize');
  const crcs = crcsFromHex(hex, Math.ceil(size / blockSize));
  if (crcs === undefined) return refuse('does not have one checksum for every block');
  return { size, blockSize, crc32: crcs };
}

/**
 * `bytes` are what file `name` holds from `offset` on: whole blocks of its sums, or all that is left of the file. Throws CHECKSUM_MISMATCH with the offset of the
 * first block that is not what was written; a file that was cut shows by its last block, one that has grown by bytes beyond the size that was recorded.
 */
export function checkBlocks(sums: FileSums, name: string, offset: number, bytes: Uint8Array): void {
  const { size, blockSize } = sums;
  const end = offset + bytes.length;
  assert(offset % blockSize === 0, 'checksums are checked from the begin of a block');
  for (let at = offset; at < end; at += blockSize) {
    if (at >= size || Math.min(end, at + blockSize) > size) {
      throw new BackupError('CHECKSUM_MISMATCH', `${name} goes on beyond the ${size} bytes that were written`, {
        file: name,
        offset: size,
      });
    }
    const computed = crc32(bytes.subarray(at - offset, Math.min(at - offset + blockSize, bytes.length)));
    if (computed !== sums.crc32[at / blockSize]) {
      throw new BackupError(
        'CHECKSUM_MISMATCH',
        `${name}: the block at offset ${at} is not what was written (its checksum differs)`,
        { file: name, offset: at },
      );
    }
  }
}
