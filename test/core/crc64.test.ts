import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { utf8 } from '../../src/core/bytes.js';
import { Crc64Xor } from '../../src/core/crc64.js';

const EMPTY = new Uint8Array(0);
const NO_ROWS = '0'.repeat(16);

/** Bit by bit, from the definition of CRC-64/XZ. */
function crc64(bytes: Iterable<number>): bigint {
  const ones = (1n << 64n) - 1n;
  let crc = ones;
  for (const byte of bytes) {
    crc ^= BigInt(byte);
    for (let bit = 0; bit < 8; bit++) crc = (crc & 1n) === 1n ? (crc >> 1n) ^ 0xc96c5795d7870f42n : crc >> 1n;
  }
  return crc ^ ones;
}

function expected(rows: readonly (readonly [Uint8Array, Uint8Array])[]): string {
  return rows
    .reduce((sum, [key, value]) => sum ^ crc64([...key, ...value]), 0n)
    .toString(16)
    .padStart(16, '0');
}

describe('Crc64Xor', () => {
  it.each([
    ['123456789', '995dc9bbdf1939fa'],
    ['a', '330284772e652b05'],
    ['', NO_ROWS],
  ])('of the one row "%s" is the known CRC-64/XZ', (text, crc) => {
    const bytes = utf8(text);
    for (let cut = 0; cut <= bytes.length; cut++) {
      const sum = new Crc64Xor();
      sum.add(bytes.subarray(0, cut), bytes.subarray(cut));
      expect(sum.digest()).toBe(crc);
    }
  });

  it('of no rows is 0, and so is that of two equal rows', () => {
    const sum = new Crc64Xor();
    expect(sum.digest()).toBe(NO_ROWS);
    sum.add(utf8('some key'), utf8('some value'));
    expect(sum.digest()).not.toBe(NO_ROWS);
    sum.add(utf8('some key'), utf8('some value'));
    expect(sum.digest()).toBe(NO_ROWS);
  });

  it('is the xor of the rows’ CRCs, both ways of adding a row, digests in between', () => {
    const bytes = fc.uint8Array({ maxLength: 40 });
    fc.assert(
      fc.property(fc.array(fc.tuple(bytes, bytes), { maxLength: 8 }), fc.nat(5), (rows, gap) => {
        const apart = new Crc64Xor();
        const together = new Crc64Xor();
        const block = new Uint8Array(1000);
        let at = 0;
        rows.forEach(([key, value], index) => {
          apart.add(key, value);
          const keyStart = at + gap;
          const valueStart = keyStart + key.length + gap;
          block.set(key, keyStart);
          block.set(value, valueStart);
          at = valueStart + value.length;
          together.addRow(block, keyStart, keyStart + key.length, valueStart, at);
          expect(apart.digest()).toBe(expected(rows.slice(0, index + 1)));
        });
        expect(together.digest()).toBe(expected(rows));
      }),
    );
  });

  it.each([131_000, 131_064, 131_065, 131_072, 200_003])(
    'takes rows of %i bytes, around its own buffer’s size',
    (length) => {
      const key = Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8);
      const value = Uint8Array.from({ length }, (_, i) => (i * 7) & 0xff);
      const sum = new Crc64Xor();
      sum.add(key, value);
      sum.add(key, EMPTY);
      expect(sum.digest()).toBe(
        expected([
          [key, value],
          [key, EMPTY],
        ]),
      );
    },
  );

  it('takes rows from another array each time', () => {
    const [one, two] = [utf8('key one value'), utf8('key two value')];
    const sum = new Crc64Xor();
    for (const row of [one, two, one.slice(), two]) sum.addRow(row, 0, 7, 7, row.length);
    sum.addRow(two, 0, 7, 7, two.length);
    expect(sum.digest()).toBe(expected([[two, EMPTY]]));
  });

  it('refuses a row beyond its array', () => {
    const sum = new Crc64Xor();
    expect(() => sum.addRow(new Uint8Array(10), 0, 5, 5, 11)).toThrow('a row lies in its array');
    expect(() => sum.addRow(new Uint8Array(10), 5, 4, 5, 9)).toThrow('a row lies in its array');
  });
});
