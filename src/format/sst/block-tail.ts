// The end of a raw block: where its entries end, and the restart points, which are the entries whose keys stand there whole.
//
// block = entries, restart points (u32 LE each), perhaps a hash index (buckets, u16 their number), u32 LE: the number of restart points, its highest bit for the hash index

import { readUint32LE } from '../../core/mutation.js';
import type { SstFile } from './sst-file.js';
import { refuseSst } from './sst-file.js';

const HASH_INDEX_BIT = 0x80000000;
/** Later releases of RocksDB say more in the bits below: values apart from keys, for one. */
const UNKNOWN_BITS = 0x70000000;
/** RocksDB takes the highest bit for a hash index in blocks up to this size only. */
const MAX_HASH_INDEXED_BYTES = 64 * 1024;

export interface BlockTail {
  /** The restart points; the entries end here, and the offsets of all entries are below. */
  readonly restartsAt: number;
  readonly restarts: number;
}

/** `offset`: where the block is stored, for errors. */
export function readBlockTail(file: Pick<SstFile, 'name'>, offset: number, raw: Uint8Array): BlockTail {
  if (raw.length < 8) refuseSst(file, offset, `${raw.length} bytes are too few for a block`);
  let end = raw.length - 4;
  let restarts = readUint32LE(raw, end);
  if (restarts >= HASH_INDEX_BIT && raw.length <= MAX_HASH_INDEXED_BYTES) {
    restarts -= HASH_INDEX_BIT;
    const buckets = (raw[end - 2] as number) | ((raw[end - 1] as number) << 8);
    end -= 2 + buckets;
  }
  if ((restarts & UNKNOWN_BITS) !== 0) {
    refuseSst(file, offset, 'the block has a form that only later releases of RocksDB know', 'UNSUPPORTED_FORMAT');
  }
  const restartsAt = end - 4 * restarts;
  if (restarts === 0 || restartsAt < 0) {
    refuseSst(file, offset, `${restarts} restart points do not fit into a block of ${raw.length} bytes`);
  }
  return { restartsAt, restarts };
}
