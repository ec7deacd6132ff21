import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { utf8 } from '../../src/core/bytes.js';
import { crc32, crc32ByTable } from '../../src/core/crc32.js';

describe.each([
  ['zlib where Node has it', crc32],
  ['the table of our own', crc32ByTable],
])('crc32 by %s', (_, sum) => {
  it('has the known value of the standard check string', () => {
    expect(sum(utf8('123456789'))).toBe(0xcbf43926);
    expect(sum(new Uint8Array(0))).toBe(0);
    expect(sum(new Uint8Array(32).fill(0xff))).toBe(0xff6cab0b);
  });

  it('goes on from what came before', () => {
    expect(sum(utf8('6789'), sum(utf8('12345')))).toBe(0xcbf43926);
  });
});

it('both ways give the same', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), fc.nat(0xffffffff), (bytes, seed) => {
      expect(crc32(bytes, seed)).toBe(crc32ByTable(bytes, seed));
    }),
  );
});
