// The blocks of a file that hold no rows: index, properties, metaindex. Built whole at the end of a file, from entries in order.

import { writeUint32LE } from '../../core/mutation.js';
import { BLOCK_TRAILER_BYTES } from './block-press.js';
import { varintLength, writeVarint } from './write-varint.js';

export interface MetaBlockOptions {
  /** Entries per restart point; Infinity: one restart point, as RocksDB builds the properties. Default 1, which shares no prefixes. */
  readonly restartInterval?: number;
  /** False: entries carry no length of their values, as in the index from format version 4 on, where the values are handles. Needs a restart interval of 1: an entry that shares a prefix would have to hold less. */
  readonly valueLengths?: boolean;
}

/** Raw, with room behind it for its trailer. */
export function encodeMetaBlock(
  entries: readonly (readonly [key: Uint8Array, value: Uint8Array])[],
  { restartInterval = 1, valueLengths = true }: MetaBlockOptions = {},
): Uint8Array {
  const restarts = [0];
  const pieces: Uint8Array[] = [];
  let at = 0;
  let last: Uint8Array | undefined;
  let sinceRestart = 0;
  for (const [key, value] of entries) {
    if (sinceRestart >= restartInterval) {
      restarts.push(at);
      sinceRestart = 0;
      last = undefined;
    }
    const shared = last === undefined ? 0 : sharedLength(last, key);
    const head = encodeHead(shared, key.length - shared, valueLengths ? value.length : undefined);
    pieces.push(head, key.subarray(shared), value);
    at += head.length + key.length - shared + value.length;
    last = key;
    sinceRestart++;
  }
  return joined(pieces, at, restarts);
}

function sharedLength(a: Uint8Array, b: Uint8Array): number {
  const length = Math.min(a.length, b.length);
  let at = 0;
  while (at < length && a[at] === b[at]) at++;
  return at;
}

function encodeHead(shared: number, unshared: number, valueLength: number | undefined): Uint8Array {
  const numbers = valueLength === undefined ? [shared, unshared] : [shared, unshared, valueLength];
  const head = new Uint8Array(numbers.reduce((length, value) => length + varintLength(value), 0));
  let at = 0;
  for (const value of numbers) at = writeVarint(head, at, value);
  return head;
}

function joined(pieces: readonly Uint8Array[], bytes: number, restarts: readonly number[]): Uint8Array {
  const length = bytes + 4 * restarts.length + 4;
  const block = new Uint8Array(length + BLOCK_TRAILER_BYTES);
  let at = 0;
  for (const piece of pieces) {
    block.set(piece, at);
    at += piece.length;
  }
  for (const restart of restarts) {
    writeUint32LE(block, at, restart);
    at += 4;
  }
  writeUint32LE(block, at, restarts.length);
  return block.subarray(0, length);
}
