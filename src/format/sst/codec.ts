// How a block's bytes are compressed and taken apart again. The codecs themselves are packages of the host's choice.

/** RocksDB's names. lz4hc blocks are read as lz4; bzip2 and xpress are refused with UNSUPPORTED_FORMAT. */
export type SstCompression = 'none' | 'snappy' | 'zlib' | 'lz4' | 'zstd';

/** The type byte behind a stored block: RocksDB's CompressionType. */
export const COMPRESSION_TYPE: Readonly<Record<SstCompression, number>> = {
  none: 0,
  snappy: 1,
  zlib: 2,
  lz4: 4,
  zstd: 7,
};

/** The bare compressor: no size in front (the block's format says where that stands). Synchronous: it runs on whichever thread has the block. */
export interface BlockCodec {
  readonly compression: SstCompression;
  compress(raw: Uint8Array): Uint8Array;
  /** CORRUPT_FILE unless exactly `rawLength` bytes come out. */
  decompress(stored: Uint8Array, rawLength: number): Uint8Array;
}
