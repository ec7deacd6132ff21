// zstd blocks, from the optional package @toondepauw/node-zstd; without it from Node itself, where that has zstd (from 22.15).

import * as nodeZlib from 'node:zlib';
import { BackupError } from '../../../core/errors.js';
import type { BlockCodec } from '../codec.js';
import { asBuffer, asPlainBytes } from './as-buffer.js';
import { checkRawLength, refuseStored } from './codec-error.js';
import { importCodec } from './import-codec.js';
import { decodeZstdFrame } from './zstd-frame.js';

const PACKAGE = '@toondepauw/node-zstd';

/** RocksDB's default, and BR's. */
const DEFAULT_LEVEL = 3;

/** ZSTD_c_compressionLevel: the same in every release of zstd. */
const COMPRESSION_LEVEL_PARAMETER = 100;

/** The two bare calls, of whichever library: whole frames in and out. */
export interface ZstdCalls {
  compress(raw: Uint8Array, level: number): Uint8Array;
  decompress(frame: Uint8Array, rawLength: number): Uint8Array;
}

/** PACKAGE_MISSING if there is neither the package nor zstd in Node. */
export async function loadZstdCodec(level: number = DEFAULT_LEVEL): Promise<BlockCodec> {
  return zstdCodec(await loadZstdCalls(), level);
}

/** For tests too, which try the calls one by one. */
export function zstdCodec(calls: ZstdCalls, level: number = DEFAULT_LEVEL): BlockCodec {
  return {
    compression: 'zstd',
    compress: (raw) => asPlainBytes(calls.compress(raw, level)),
    decompress(stored, rawLength) {
      const raw = decodeZstdFrame(stored, rawLength, (frame) => decompress(calls, frame, rawLength));
      return checkRawLength('zstd', raw, rawLength);
    },
  };
}

function decompress(calls: ZstdCalls, frame: Uint8Array, rawLength: number): Uint8Array {
  try {
    return calls.decompress(frame, rawLength);
  } catch (cause) {
    return refuseStored('zstd', cause instanceof Error ? cause.message : String(cause), cause);
  }
}

async function loadZstdCalls(): Promise<ZstdCalls> {
  try {
    return await packageZstdCalls();
  } catch (cause) {
    const ofNode = nodeZstdCalls(nodeZlib);
    if (ofNode === undefined || !BackupError.is(cause, 'PACKAGE_MISSING')) throw cause;
    return ofNode;
  }
}

export async function packageZstdCalls(): Promise<ZstdCalls> {
  const { Decoder, Encoder } = await importCodec(PACKAGE, 'zstd', () => import('@toondepauw/node-zstd'));
  const decoder = new Decoder();
  const encoders = new Map<number, InstanceType<typeof Encoder>>();
  return {
    compress(raw, level) {
      let encoder = encoders.get(level);
      if (encoder === undefined) {
        encoder = new Encoder(level);
        encoders.set(level, encoder);
      }
      return encoder.encodeSync(asBuffer(raw));
    },
    decompress: (frame) => decoder.decodeSync(asBuffer(frame)),
  };
}

/** What node:zlib has where it has zstd. */
interface ZlibWithZstd {
  zstdCompressSync(raw: Uint8Array, options: { readonly params: Readonly<Record<number, number>> }): Uint8Array;
  zstdDecompressSync(frame: Uint8Array, options: { readonly maxOutputLength: number }): Uint8Array;
}

/** undefined where Node has no zstd. */
export function nodeZstdCalls(zlib: object): ZstdCalls | undefined {
  if (!hasZstd(zlib)) return undefined;
  return {
    compress: (raw, level) => zlib.zstdCompressSync(raw, { params: { [COMPRESSION_LEVEL_PARAMETER]: level } }),
    decompress: (frame, rawLength) =>
      // Node takes no bound of 0; one byte too many is found by the check of the length.
      zlib.zstdDecompressSync(frame, { maxOutputLength: Math.max(rawLength, 1) }),
  };
}

function hasZstd(zlib: object): zlib is ZlibWithZstd {
  return 'zstdCompressSync' in zlib && 'zstdDecompressSync' in zlib;
}
