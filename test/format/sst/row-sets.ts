// The spread of rows that SST files are tried with: every size of key and value, every byte, every way in which neighbouring keys can differ.

import { compareBytes, toHex } from '../../../src/core/bytes.js';
import { numbers } from '../../bench/messages.js';
import type { Row } from './write-rows.js';

/** Sorted by key, duplicates dropped. */
export function inOrder(rows: readonly Row[]): Row[] {
  const sorted = [...rows].sort(([a], [b]) => compareBytes(a, b));
  return sorted.filter(([key], i) => i === 0 || compareBytes((sorted[i - 1] as Row)[0], key) !== 0);
}

/** `count` rows of 16-byte keys and 100-byte values, half of each value compressible. */
export function plainRows(count: number): Row[] {
  const random = numbers(11);
  return Array.from({ length: count }, (_, i) => [
    Buffer.from(`row ${String(i).padStart(12, '0')}`),
    halfRandom(random, 100),
  ]);
}

/** Half of it noise, half of it zeros. */
export function halfRandom(random: () => number, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let i = 0; i < length >>> 1; i++) bytes[i] = random() & 0xff;
  return bytes;
}

/** Keys of every length from 0 to 300 and up to 10 KB, of bytes that are few, so that they share prefixes, with values of 0 to 2,000 bytes. */
export function binaryRows(seed: number, count: number): Row[] {
  const random = numbers(seed);
  const alphabet = [0x00, 0x01, 0x7f, 0x80, 0xfe, 0xff];
  const rows: Row[] = [[new Uint8Array(0), new Uint8Array(0)]];
  for (let i = 0; i < count; i++) {
    const length = random() % (i % 50 === 0 ? 10_241 : i % 3 === 0 ? 301 : 8);
    const key = Uint8Array.from({ length }, () => alphabet[random() % alphabet.length] as number);
    rows.push([key, halfRandom(random, random() % (i % 10 === 0 ? 2_001 : 20))]);
    // What extends a key by the bytes that stand behind it in the file, and by a little less.
    if (i % 20 === 0) {
      const extended = [1, 0, 0, 0, 0, 0, 0, 0].slice(0, 1 + (random() % 8));
      rows.push([Uint8Array.from([...key, ...extended]), Uint8Array.of(i & 0xff)]);
    }
    // Long prefixes in common.
    if (i % 25 === 0) {
      for (const last of [0x01, 0x02, 0xff]) rows.push([Uint8Array.from([...key, 0xff, last]), Uint8Array.of(last)]);
    }
  }
  return inOrder(rows);
}

/** Values of 0 bytes to 8 MB between small ones. */
export function largeRows(): Row[] {
  const random = numbers(5);
  const sizes = [0, 1, 65_535, 65_536, 65_537, 300, 8_000_000, 0, 1_100_000, 127, 128, 16_383, 16_384];
  return sizes.map((size, i) => [Uint8Array.of(i), halfRandom(random, size)]);
}

export function sharedPrefixRows(count: number): Row[] {
  const prefix = Buffer.alloc(10_000, 0xab);
  return Array.from({ length: count }, (_, i) => {
    const key = Buffer.concat([prefix, Buffer.alloc(4)]);
    key.writeUInt32BE(i * 3, prefix.length);
    return [key, Uint8Array.of(i & 0xff)];
  });
}

export const ROW_SETS: readonly { readonly name: string; readonly rows: () => readonly Row[] }[] = [
  { name: 'one', rows: () => [[Buffer.from('k'), Buffer.from('v')]] },
  { name: 'empty-key', rows: () => [[new Uint8Array(0), new Uint8Array(0)]] },
  { name: 'many-blocks', rows: () => plainRows(6_000) },
  { name: 'binary', rows: () => binaryRows(1, 1_200) },
  { name: 'long-keys', rows: () => sharedPrefixRows(60) },
];

/** As `sst_dump --command=scan --output_hex` prints a file's rows: upper case. */
export function asScanned(rows: readonly Row[]): string {
  return rows.map(([key, value]) => `'${hex(key)}' seq:0, type:1 => ${hex(value)}\n`).join('');
}

/** As `ldb scan --hex` prints a database. */
export function asListed(rows: readonly Row[]): string {
  return rows.map(([key, value]) => `0x${hex(key)} : 0x${hex(value)}\n`).join('');
}

function hex(bytes: Uint8Array): string {
  return toHex(bytes).toUpperCase();
}
