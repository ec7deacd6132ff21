// What makes a stored block of a raw one: compression, the type byte and the checksum. On this thread, or on others.

import type { SstCompression } from './codec.js';

/** What follows a stored block: the type byte, and 4 bytes of masked CRC-32C over the block and the type byte. */
export const BLOCK_TRAILER_BYTES = 5;

/**
 * Raw blocks in, stored blocks out, in the same order: the compressed bytes (or the raw ones where compression does not make them smaller by an eighth, as RocksDB decides), the type byte, and 4 bytes of masked CRC-32C over
 * both.
 *
 * The memory of the raw blocks, and of the BLOCK_TRAILER_BYTES behind each of them, is the press's from the call on: it may press in place, and transfer it to another thread. Blocks of one call may share an ArrayBuffer, which
 * then holds nothing of another call. The stored blocks lie in that memory, wherever it has been transferred to, or in fresh memory: either way it is the caller's, and the press does not touch it again.
 */
export interface BlockPress {
  /** The compression that it uses, which the file's properties name: RocksDB reads a file by that name, so it must be true. */
  readonly compression: SstCompression;
  /** How many `press` calls may be under way at once with a benefit: 1 on this thread. */
  readonly concurrency: number;
  press(blocks: readonly Uint8Array[]): Promise<readonly Uint8Array[]> | readonly Uint8Array[];
}
