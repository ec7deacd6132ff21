// Makes a raw block of a stored one: checks its checksum, then takes the compression off. Whoever reads a block gets it here and nowhere else, so that no byte is used before its checksum was right.

import { BackupError } from '../../core/errors.js';
import { readUint32LE } from '../../core/mutation.js';
import type { BlockChecksum } from './block-checksum.js';
import type { BlockCodec, SstCompression } from './codec.js';
import type { SstFile } from './sst-file.js';
import { refuseSst } from './sst-file.js';
import { TRAILER_BYTES } from './read-footer.js';
import { readVarint32 } from './varint.js';

/** How blocks are stored: RocksDB's CompressionType. lz4hc makes what lz4 reads; 0x40 is zstd from before its format was final, which it did not change. */
const COMPRESSIONS: ReadonlyMap<number, SstCompression> = new Map([
  [0, 'none'],
  [1, 'snappy'],
  [2, 'zlib'],
  [4, 'lz4'],
  [5, 'lz4'],
  [7, 'zstd'],
  [0x40, 'zstd'],
]);

const UNREAD_COMPRESSIONS: ReadonlyMap<number, string> = new Map([
  [3, 'bzip2'],
  [6, 'xpress'],
]);

export interface BlockOpenerOptions {
  readonly file: Pick<SstFile, 'name'>;
  readonly checksum: BlockChecksum;
  readonly loadCodec: (compression: SstCompression) => Promise<BlockCodec>;
  /** A block that is larger, stored or raw, is refused with UNSUPPORTED_FORMAT before memory is taken for it. */
  readonly maxBlockBytes: number;
}

export class BlockOpener {
  readonly #options: BlockOpenerOptions;
  readonly #codecs = new Map<SstCompression, BlockCodec>();
  /** Files with a compression dictionary: their compressed blocks cannot be read without it. */
  readonly #dictionary: boolean;

  constructor(options: BlockOpenerOptions, dictionary = false) {
    this.#options = options;
    this.#dictionary = dictionary;
  }

  /** The same, for the data blocks of a file whose compression uses a dictionary. */
  withDictionary(): BlockOpener {
    return new BlockOpener(this.#options, true);
  }

  /** Whether `open` can do without a codec that is not loaded yet. */
  isReady(block: Uint8Array): boolean {
    const compression = COMPRESSIONS.get(block[block.length - TRAILER_BYTES] as number);
    return compression === undefined || compression === 'none' || this.#codecs.has(compression);
  }

  /** Loads the codec of a block that is not ready. PACKAGE_MISSING names the package to install. */
  async prepare(block: Uint8Array, offset: number): Promise<void> {
    if (this.isReady(block)) return;
    this.#checkChecksum(block, offset);
    const compression = COMPRESSIONS.get(block[block.length - TRAILER_BYTES] as number);
    if (compression !== undefined) this.#codecs.set(compression, await this.#options.loadCodec(compression));
  }

  /** `block`: as stored, with its trailer; `offset`: where it begins in the file. The result may share its memory. */
  open(block: Uint8Array, offset: number): Uint8Array {
    this.#checkChecksum(block, offset);
    return this.openUnchecked(block, offset);
  }

  /** For the properties, whose checksum has a rule of its own. */
  openUnchecked(block: Uint8Array, offset: number): Uint8Array {
    const size = block.length - TRAILER_BYTES;
    const type = block[size] as number;
    const compression = COMPRESSIONS.get(type);
    if (compression === undefined) return this.#refuseType(type, offset);
    const stored = block.subarray(0, size);
    return compression === 'none' ? stored : this.#decompress(compression, stored, offset);
  }

  checksumIsRight(block: Uint8Array): boolean {
    const size = block.length - TRAILER_BYTES;
    return this.#options.checksum(block.subarray(0, size + 1)) === readUint32LE(block, size + 1);
  }

  #checkChecksum(block: Uint8Array, offset: number): void {
    if (this.checksumIsRight(block)) return;
    const what = `the checksum of the block of ${block.length - TRAILER_BYTES} bytes is wrong: it is damaged`;
    refuseSst(this.#options.file, offset, what, 'CHECKSUM_MISMATCH');
  }

  #decompress(compression: SstCompression, stored: Uint8Array, offset: number): Uint8Array {
    const { file, maxBlockBytes } = this.#options;
    if (this.#dictionary) {
      refuseSst(file, offset, 'blocks compressed with a dictionary are not read', 'UNSUPPORTED_FORMAT');
    }
    const codec = this.#codecs.get(compression);
    if (codec === undefined)
      return refuseSst(file, offset, `the codec of ${compression} is not loaded`, 'INVALID_STATE');
    // snappy states the raw length itself, in the same form.
    const rawLength = readVarint32(stored, 0);
    if (rawLength === undefined) return refuseSst(file, offset, `the ${compression} block does not state its length`);
    checkBlockBytes(file, offset, rawLength.value, maxBlockBytes);
    const bare = compression === 'snappy' ? stored : stored.subarray(rawLength.next);
    try {
      return codec.decompress(bare, rawLength.value);
    } catch (error) {
      if (!BackupError.is(error, 'CORRUPT_FILE')) throw error;
      return refuseSst(file, offset, error.message, 'CORRUPT_FILE', error);
    }
  }

  #refuseType(type: number, offset: number): never {
    const name = UNREAD_COMPRESSIONS.get(type);
    const what = `compression ${name ?? type} is not read, only none, snappy, zlib, lz4 and zstd are`;
    return refuseSst(this.#options.file, offset, what, 'UNSUPPORTED_FORMAT');
  }
}

/** UNSUPPORTED_FORMAT for more than `maxBlockBytes`. */
export function checkBlockBytes(
  file: Pick<SstFile, 'name'>,
  offset: number,
  bytes: number,
  maxBlockBytes: number,
): void {
  if (bytes <= maxBlockBytes) return;
  const what = `a block takes ${bytes} bytes, maxBlockBytes allows for ${maxBlockBytes}`;
  refuseSst(file, offset, what, 'UNSUPPORTED_FORMAT');
}
