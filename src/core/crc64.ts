// The checksum that TiKV's backup keeps of rows: the xor over all rows of the CRC-64 (XZ's: ECMA polynomial, reflected) of key, then value. It does not depend on the
// order of the rows, nor on which file holds them. No bigint: halves of 32 bits.
//
// It runs for every row of a snapshot, so it does not compute a CRC per row. A CRC without its initial and final inversion is linear over xor, and zeros in front change
// nothing; so the rows are xored onto each other, aligned at their ends, and one CRC is computed of the result. The initial inversion is an xor of the first eight bytes
// with ones, the final one counts by the parity of the rows. (Measured, rows of 116 bytes: 60 ns each; with eight tables 150.)

import { setBytes } from './bytes.js';
import { assert } from './errors.js';

/** The polynomial, bits reversed. */
const POLYNOMIAL_HIGH = 0xc96c5795;
const POLYNOMIAL_LOW = 0xd7870f42;

/** TABLES[2 * (256 * k + b)] and the one after it: lower and upper half of the CRC of byte b with k zero bytes behind it. */
const TABLES = makeTables();

function makeTables(): Int32Array {
  const tables = new Int32Array(8 * 256 * 2);
  for (let byte = 0; byte < 256; byte++) {
    let low = byte;
    let high = 0;
    for (let k = 0; k < 8; k++) {
      for (let bit = 0; bit < 8; bit++) {
        const odd = (low & 1) === 1;
        low = (low >>> 1) | (high << 31);
        high = high >>> 1;
        if (odd) {
          low ^= POLYNOMIAL_LOW;
          high ^= POLYNOMIAL_HIGH;
        }
      }
      tables[2 * (256 * k + byte)] = low;
      tables[2 * (256 * k + byte) + 1] = high;
    }
  }
  return tables;
}

/** A CRC on its way, without inversions. */
class Remainder {
  low: number;
  high: number;

  constructor(initial: number) {
    this.low = initial;
    this.high = initial;
  }

  add(bytes: Uint8Array, from: number, to: number): void {
    const tables = TABLES;
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    let low = this.low;
    let high = this.high;
    let at = from;
    for (; at + 8 <= to; at += 8) {
      low ^= view.getInt32(at, true);
      high ^= view.getInt32(at + 4, true);
      const t7 = 3584 + 2 * (low & 0xff);
      const t6 = 3072 + 2 * ((low >>> 8) & 0xff);
      const t5 = 2560 + 2 * ((low >>> 16) & 0xff);
      const t4 = 2048 + 2 * (low >>> 24);
      const t3 = 1536 + 2 * (high & 0xff);
      const t2 = 1024 + 2 * ((high >>> 8) & 0xff);
      const t1 = 512 + 2 * ((high >>> 16) & 0xff);
      const t0 = 2 * (high >>> 24);
      low =
        (tables[t7] as number) ^
        (tables[t6] as number) ^
        (tables[t5] as number) ^
        (tables[t4] as number) ^
        (tables[t3] as number) ^
        (tables[t2] as number) ^
        (tables[t1] as number) ^
        (tables[t0] as number);
      high =
        (tables[t7 + 1] as number) ^
        (tables[t6 + 1] as number) ^
        (tables[t5 + 1] as number) ^
        (tables[t4 + 1] as number) ^
        (tables[t3 + 1] as number) ^
        (tables[t2 + 1] as number) ^
        (tables[t1 + 1] as number) ^
        (tables[t0 + 1] as number);
    }
    for (; at < to; at++) {
      const t0 = 2 * ((low ^ (bytes[at] as number)) & 0xff);
      low = ((low >>> 8) | (high << 24)) ^ (tables[t0] as number);
      high = (high >>> 8) ^ (tables[t0 + 1] as number);
    }
    this.low = low;
    this.high = high;
  }
}

/** Rows of up to so many bytes are xored; the few that are longer have their CRC computed. */
const CAPACITY = 128 << 10;
/** A row must hold the eight bytes that the initial inversion changes. */
const SHORTEST = 8;

/** Sums rows in any order; the digest of no rows is 0. */
export class Crc64Xor {
  /** The xor of all rows, the last byte of each at the end. */
  readonly #sum = new Uint8Array(CAPACITY);
  readonly #sumView = new DataView(this.#sum.buffer);
  /** Everything before it is zero. */
  #begin = CAPACITY;
  /** How many rows are in it, modulo 2. */
  #odd = 0;
  /** The xor of the CRCs of all other rows. */
  #low = 0;
  #high = 0;
  /** A view of the array that was last given to addRow: a new one for every row would cost more than the row. */
  #bytes: Uint8Array = this.#sum;
  #view: DataView = this.#sumView;
  /** Where `add` puts a row together. */
  #copy = new Uint8Array(512);
  #copyView = new DataView(this.#copy.buffer);

  add(key: Uint8Array, value: Uint8Array): void {
    const length = key.length + value.length;
    if (length < SHORTEST || length > CAPACITY) {
      this.#addCrc(key, 0, key.length, value, 0, value.length);
      return;
    }
    // A copy and a view that is there already cost less than a loop over bytes or a view of each array.
    if (length > this.#copy.length) {
      this.#copy = new Uint8Array(Math.min(CAPACITY, 2 * length));
      this.#copyView = new DataView(this.#copy.buffer);
    }
    setBytes.call(this.#copy, key, 0);
    setBytes.call(this.#copy, value, key.length);
    this.#xor(this.#enter(length), this.#copyView, 0, length);
  }

  /** The row whose key is bytes[keyStart, keyEnd) and whose value is bytes[valueStart, valueEnd): the fast way, if many rows lie in one array. */
  addRow(bytes: Uint8Array, keyStart: number, keyEnd: number, valueStart: number, valueEnd: number): void {
    const keyLength = keyEnd - keyStart;
    const valueLength = valueEnd - valueStart;
    assert(keyLength >= 0 && valueLength >= 0 && valueEnd <= bytes.length, 'a row lies in its array');
    const length = keyLength + valueLength;
    if (length < SHORTEST || length > CAPACITY) {
      this.#addCrc(bytes, keyStart, keyEnd, bytes, valueStart, valueEnd);
      return;
    }
    if (bytes !== this.#bytes) {
      this.#bytes = bytes;
      this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    }
    const at = this.#enter(length);
    this.#xor(at, this.#view, keyStart, keyEnd);
    this.#xor(at + keyLength, this.#view, valueStart, valueEnd);
  }

  /** 16 hex digits. More rows may be added afterwards. */
  digest(): string {
    const crc = new Remainder(0);
    crc.add(this.#sum, this.#begin, CAPACITY);
    return hex(crc.high ^ this.#high ^ -this.#odd) + hex(crc.low ^ this.#low ^ -this.#odd);
  }

  /** Makes room for a row and puts the initial inversion in; returns where it begins. */
  #enter(length: number): number {
    const at = CAPACITY - length;
    if (at < this.#begin) this.#begin = at;
    this.#odd ^= 1;
    const view = this.#sumView;
    view.setInt32(at, ~view.getInt32(at, true), true);
    view.setInt32(at + 4, ~view.getInt32(at + 4, true), true);
    return at;
  }

  #xor(to: number, view: DataView, start: number, end: number): void {
    const sum = this.#sumView;
    let at = to;
    let from = start;
    // Four words a turn: a tenth faster (measured).
    for (; from + 16 <= end; from += 16, at += 16) {
      sum.setInt32(at, sum.getInt32(at, true) ^ view.getInt32(from, true), true);
      sum.setInt32(at + 4, sum.getInt32(at + 4, true) ^ view.getInt32(from + 4, true), true);
      sum.setInt32(at + 8, sum.getInt32(at + 8, true) ^ view.getInt32(from + 8, true), true);
      sum.setInt32(at + 12, sum.getInt32(at + 12, true) ^ view.getInt32(from + 12, true), true);
    }
    for (; from + 4 <= end; from += 4, at += 4) {
      sum.setInt32(at, sum.getInt32(at, true) ^ view.getInt32(from, true), true);
    }
    for (; from < end; from++, at++) sum.setUint8(at, sum.getUint8(at) ^ view.getUint8(from));
  }

  #addCrc(
    keys: Uint8Array,
    keyStart: number,
    keyEnd: number,
    values: Uint8Array,
    valueStart: number,
    valueEnd: number,
  ): void {
    const crc = new Remainder(-1);
    crc.add(keys, keyStart, keyEnd);
    crc.add(values, valueStart, valueEnd);
    this.#low ^= ~crc.low;
    this.#high ^= ~crc.high;
  }
}

function hex(half: number): string {
  return (half >>> 0).toString(16).padStart(8, '0');
}
