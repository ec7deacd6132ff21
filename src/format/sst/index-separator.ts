// The keys of the index: for two neighbouring blocks the shortest key that is not below the one's last key and is below the other's first key. The same choice as RocksDB's bytewise comparator makes.

import { compareBytes } from '../../core/bytes.js';
import { INTERNAL_TRAILER_BYTES } from './block-builder.js';

/**
 * Behind a separator that is no key of the file: sequence number 2^56 - 1, type 0x16 (what RocksDB 7 seeks with), so that as an internal key it comes before whatever has its user key.
 */
const SEEK_TRAILER: readonly number[] = [0x16, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
/** Behind a key of the file: sequence number 0, type 1 (a value). */
const VALUE_TRAILER: readonly number[] = [1, 0, 0, 0, 0, 0, 0, 0];

/** The index key of a block as an internal key, in memory of its own. `last`: the block's last user key; `next`: the next block's first one, above it; undefined behind the last block. */
export function indexSeparator(last: Uint8Array, next: Uint8Array | undefined): Uint8Array {
  const shorter = next === undefined ? undefined : shortestSeparator(last, next);
  return shorter === undefined ? internalKey(last, VALUE_TRAILER) : internalKey(shorter, SEEK_TRAILER);
}

/** A key above `last`, below `next` and no longer than `last`; undefined where `last` itself is the one to take. */
export function shortestSeparator(last: Uint8Array, next: Uint8Array): Uint8Array | undefined {
  const common = Math.min(last.length, next.length);
  let at = 0;
  while (at < common && last[at] === next[at]) at++;
  // One is the begin of the other.
  if (at >= common) return undefined;
  const lastByte = last[at] as number;
  const nextByte = next[at] as number;
  if (lastByte >= nextByte) return undefined;
  // Raising this byte would give `next` itself, or more: the first byte behind it that can be raised is raised instead.
  if (lastByte + 1 === nextByte && at === next.length - 1) {
    at++;
    while (at < last.length && last[at] === 0xff) at++;
    if (at >= last.length) return undefined;
  }
  // Not slice: a Buffer's gives a view.
  const shorter = new Uint8Array(last.subarray(0, at + 1));
  shorter[at] = (shorter[at] as number) + 1;
  return compareBytes(last, shorter) < 0 ? shorter : undefined;
}

function internalKey(userKey: Uint8Array, trailer: readonly number[]): Uint8Array {
  const key = new Uint8Array(userKey.length + INTERNAL_TRAILER_BYTES);
  key.set(userKey);
  key.set(trailer, userKey.length);
  return key;
}
