// The codec for a compression: one place that knows them all.

import { BackupError } from '../../../core/errors.js';
import type { BlockCodec, SstCompression } from '../codec.js';
import { checkRawLength } from './codec-error.js';
import { loadLz4Codec } from './lz4.js';
import { loadSnappyCodec } from './snappy.js';
import { zlibCodec } from './zlib.js';
import { loadZstdCodec } from './zstd.js';

export interface CodecOptions {
  /** zstd: -7 to 22, default 3. zlib: -1 (its own default) to 9. The others have no level and ignore it, as RocksDB does. */
  readonly level?: number | undefined;
}

const LEVELS = { zstd: [-7, 22], zlib: [-1, 9] } as const;

/** PACKAGE_MISSING names the package to install; INVALID_OPTION for a level out of bounds or a compression that does not exist. */
export async function loadCodec(compression: SstCompression, options: CodecOptions = {}): Promise<BlockCodec> {
  const { level } = options;
  switch (compression) {
    case 'none':
      return NO_COMPRESSION;
    case 'snappy':
      return await loadSnappyCodec();
    case 'lz4':
      return await loadLz4Codec();
    case 'zlib':
      return zlibCodec(checkLevel(compression, level));
    case 'zstd':
      return await loadZstdCodec(checkLevel(compression, level));
    default:
      throw new BackupError(
        'INVALID_OPTION',
        `compression must be none, snappy, zlib, lz4 or zstd, got ${String(compression)}`,
      );
  }
}

function checkLevel(compression: 'zstd' | 'zlib', level: number | undefined): number | undefined {
  const [least, most] = LEVELS[compression];
  if (level === undefined || (Number.isInteger(level) && level >= least && level <= most)) return level;
  throw new BackupError(
    'INVALID_OPTION',
    `the level of ${compression} must be an integer from ${least} to ${most}, got ${level}`,
  );
}

const NO_COMPRESSION: BlockCodec = {
  compression: 'none',
  compress: (raw) => raw,
  decompress: (stored, rawLength) => checkRawLength('none', stored, rawLength),
};
