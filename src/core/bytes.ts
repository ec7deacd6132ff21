// Keys and values are byte strings. Keys order as unsigned bytes, a prefix before what extends it.

import { types } from 'node:util';

export const EMPTY_BYTES: Uint8Array = new Uint8Array(0);

/**
 * `setBytes.call(to, from, at)` is to.set(from, at), for hot paths: taken from the prototype once, because the engine looks `to.set` up anew at every call where
 * `to` is not a constant (measured: 5 ns of 22).
 */
// eslint-disable-next-line @typescript-eslint/unbound-method -- always called with its `this`
export const setBytes = Uint8Array.prototype.set;

/** Buffers are, and so are arrays of another realm (a test runner's, say), which are no instances of this one's class. */
export function isBytes(value: unknown): value is Uint8Array {
  return value instanceof Uint8Array || types.isUint8Array(value);
}

/** < 0, 0 or > 0. A plain loop: for keys it beats Buffer.compare of subarrays by four times (measured, 16-byte keys). */
export function compareBytes(a: Uint8Array, b: Uint8Array): number {
  const length = a.length < b.length ? a.length : b.length;
  for (let i = 0; i < length; i++) {
    const difference = (a[i] as number) - (b[i] as number);
    if (difference !== 0) return difference;
  }
  return a.length - b.length;
}

export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && compareBytes(a, b) === 0;
}

/** The first key after `key`: `key` followed by a zero byte. */
export function keyAfter(key: Uint8Array): Uint8Array {
  const after = new Uint8Array(key.length + 1);
  after.set(key);
  return after;
}

export function toHex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex');
}

export function fromHex(hex: string): Uint8Array {
  return new Uint8Array(Buffer.from(hex, 'hex'));
}

const encoder = new TextEncoder();

export function utf8(text: string): Uint8Array {
  return encoder.encode(text);
}

/** Bytes of a key that a message shows; a key in a damaged file may have any length. */
const MAX_PRINTED = 256;

/** Printable ASCII as it is, every other byte as \xNN: how keys appear in error messages. Of a long key only the first bytes. */
export function printableBytes(bytes: Uint8Array): string {
  let text = '';
  for (const byte of bytes.subarray(0, MAX_PRINTED)) {
    text +=
      byte >= 0x20 && byte < 0x7f && byte !== 0x5c
        ? String.fromCharCode(byte)
        : `\\x${byte.toString(16).padStart(2, '0')}`;
  }
  return bytes.length <= MAX_PRINTED ? text : `${text}… (${bytes.length} bytes)`;
}
