import { expect, it } from 'vitest';

import { utf8 } from '../../src/core/bytes.js';
import { crc32c } from '../../src/core/crc32c.js';

it('crc32c gives the check value of its definition, in one piece or in several', () => {
  expect(crc32c(utf8('123456789'))).toBe(0xe3069283);
  expect(crc32c(utf8('56789'), crc32c(utf8('1234')))).toBe(0xe3069283);
  expect(crc32c(new Uint8Array(32))).toBe(0x8a9136aa); // RFC 3720, B.4
  expect(crc32c(utf8(''))).toBe(0);
});

it('crc32c of any length and any cut is what the definition gives bit by bit', () => {
  const bytes = Uint8Array.from({ length: 300 }, (_, i) => (i * 73 + (i >>> 3)) & 0xff);
  for (let length = 0; length <= bytes.length; length++) {
    const wanted = bitByBit(bytes.subarray(0, length));
    expect(crc32c(bytes.subarray(0, length))).toBe(wanted);
    const cut = Math.floor(length / 3);
    expect(crc32c(bytes.subarray(cut, length), crc32c(bytes.subarray(0, cut)))).toBe(wanted);
  }
});

function bitByBit(bytes: Uint8Array): number {
  let state = 0xffffffff;
  for (const byte of bytes) {
    state ^= byte;
    for (let bit = 0; bit < 8; bit++) state = (state & 1) === 1 ? (state >>> 1) ^ 0x82f63b78 : state >>> 1;
  }
  return ~state >>> 0;
}
