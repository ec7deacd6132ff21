import { expect, it } from 'vitest';

import { utf8 } from '../../src/core/bytes.js';
import { crc32c } from '../../src/core/crc32c.js';

it('crc32c gives the check value of its definition, in one piece or in several', () => {
  expect(crc32c(utf8('123456789'))).toBe(0xe3069283);
  expect(crc32c(utf8('56789'), crc32c(utf8('1234')))).toBe(0xe3069283);
  expect(crc32c(new Uint8Array(32))).toBe(0x8a9136aa); // RFC 3720, B.4
  expect(crc32c(utf8(''))).toBe(0);
});
