// What makes a stored block of a raw one: compression, the type byte and the checksum. On this thread, or on others.

/**
 * Raw blocks in, stored blocks out, in the same order: the compressed bytes (or the raw ones where compression does not make them smaller by an eighth, as RocksDB decides), the type byte, and 4 bytes of masked CRC-32C over
 * both. The raw blocks' memory is the press's from the call on (a press on another thread transfers it).
 */
export interface BlockPress {
  press(blocks: readonly Uint8Array[]): Promise<readonly Uint8Array[]> | readonly Uint8Array[];
  /** How many `press` calls may be under way at once with a benefit: 1 on this thread. */
  readonly concurrency: number;
}
