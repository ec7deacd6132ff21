// Byte strings in a form that orders like them and can have something behind it: groups of 8 bytes, each with a marker. What TiKV (codec: MemComparableByteCodec) and TiDB write, ascending only.
// Must never give a key for bytes that are not exactly what encoding that key gives: two encodings of one key would order apart.

import { BackupError } from '../../core/errors.js';

const GROUP = 8;
/** Of a group without padding; one with n bytes of padding has 0xFF - n. */
const FULL = 0xff;

/** Bytes that a key of so many bytes takes: one group more than there are whole ones. */
export function memcomparableLength(keyLength: number): number {
  return (Math.floor(keyLength / GROUP) + 1) * (GROUP + 1);
}

/** Writes the encoded key to `to` from `at` on, and returns where it ends. The caller has made room (memcomparableLength). */
export function writeMemcomparable(key: Uint8Array, to: Uint8Array, at: number): number {
  const { length } = key;
  let out = at;
  let from = 0;
  for (; from + GROUP <= length; from += GROUP) {
    for (let i = 0; i < GROUP; i++) to[out + i] = key[from + i] as number;
    to[out + GROUP] = FULL;
    out += GROUP + 1;
  }
  const rest = length - from;
  for (let i = 0; i < GROUP; i++) to[out + i] = i < rest ? (key[from + i] as number) : 0;
  to[out + GROUP] = FULL - (GROUP - rest);
  return out + GROUP + 1;
}

export function encodeMemcomparable(key: Uint8Array): Uint8Array {
  const encoded = new Uint8Array(memcomparableLength(key.length));
  writeMemcomparable(key, encoded, 0);
  return encoded;
}

/** Where the encoded key that begins at `from` ends; undefined when the bytes are no encoded key. Reads nothing from `to` on. */
export function memcomparableEnd(bytes: Uint8Array, from: number, to: number = bytes.length): number | undefined {
  for (let at = from; at + GROUP < to; at += GROUP + 1) {
    const padding = FULL - (bytes[at + GROUP] as number);
    if (padding === 0) continue;
    if (padding > GROUP) return undefined;
    for (let i = GROUP - padding; i < GROUP; i++) if (bytes[at + i] !== 0) return undefined;
    return at + GROUP + 1;
  }
  return undefined;
}

/** The key whose encoded form is bytes[from, end), as memcomparableEnd has found it. A copy. */
export function decodeMemcomparableAt(bytes: Uint8Array, from: number, end: number): Uint8Array {
  const groups = (end - from) / (GROUP + 1);
  const key = new Uint8Array(groups * GROUP - (FULL - (bytes[end - 1] as number)));
  let out = 0;
  for (let at = from; at < end; at += GROUP + 1) {
    const stop = Math.min(out + GROUP, key.length);
    for (let i = at; out < stop; i++, out++) key[out] = bytes[i] as number;
  }
  return key;
}

/** The key, when `encoded` is its encoded form and nothing else; otherwise CORRUPT_FILE, with `file` where one is given. */
export function decodeMemcomparable(encoded: Uint8Array, file?: string): Uint8Array {
  if (memcomparableEnd(encoded, 0) !== encoded.length) {
    throw new BackupError('CORRUPT_FILE', `${encoded.length} bytes are no memcomparable key`, { file });
  }
  return decodeMemcomparableAt(encoded, 0, encoded.length);
}
