import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Crc64Xor } from '../../../src/core/crc64.js';
import { fromHex, toHex, utf8 } from '../../../src/core/bytes.js';
import { BackupError } from '../../../src/core/errors.js';
import { crc64xorOf } from '../../../src/format/br/checksum.js';
import type { RawApiVersion } from '../../../src/format/br/raw-kv.js';
import { decodeRawRow } from '../../../src/format/br/raw-kv.js';

const KEY_V2 = '7200000061000000fc' + 'fffffffffffffffa'; // r, keyspace 0, "a"; at 5

describe('raw rows', () => {
  it.each<[RawApiVersion, string, string, string, string, bigint | undefined, boolean]>([
    ['v1', '61', '6263', '61', '6263', undefined, false],
    ['v1', '', '', '', '', undefined, false],
    ['v1ttl', '61', '6263' + '0000000000000000', '61', '6263', undefined, false],
    ['v1ttl', '61', '6263' + '0000000065000000', '61', '6263', 0x65000000n, false],
    ['v1ttl', '61', '0000000000000001', '61', '', 1n, false],
    ['v2', KEY_V2, '626300', '7200000061', '6263', undefined, false],
    ['v2', KEY_V2, '00', '7200000061', '', undefined, false],
    ['v2', KEY_V2, '6263' + '0000000065000000' + '01', '7200000061', '6263', 0x65000000n, false],
    ['v2', KEY_V2, '0000000000000000' + '01', '7200000061', '', 0n, false],
    ['v2', KEY_V2, '02', '7200000061', '', undefined, true],
    ['v2', KEY_V2, '62' + '0000000000000007' + '03', '7200000061', '62', 7n, true],
  ])('of %s: %s = %s', (version, key, value, userKey, userValue, expiresAt, isDelete) => {
    const row = decodeRawRow(version, fromHex(key), fromHex(value));
    expect({ ...row, userKey: toHex(row.userKey), userValue: toHex(row.userValue) }).toEqual({
      userKey,
      userValue,
      expiresAt,
      isDelete,
    });
  });

  it.each<[string, RawApiVersion, string, string]>([
    ['a value of v1ttl without its time', 'v1ttl', '61', '00000000000000'],
    ['a value of v2 without flags', 'v2', KEY_V2, ''],
    ['flags of v2 that are not known', 'v2', KEY_V2, '6204'],
    ['a value of v2 without its time', 'v2', KEY_V2, '0000000000000001'],
    ['a key of v2 that is not memcomparable', 'v2', '7200000061' + '0000000000000000', '00'],
    ['a key of v2 without a timestamp', 'v2', '7200000061000000fc', '00'],
    ['no key of v2', 'v2', '', '00'],
    ['a key of v2 shorter than a timestamp', 'v2', '72000000610000', '00'],
  ])('%s is refused', (_what, version, key, value) => {
    expect(() => decodeRawRow(version, fromHex(key), fromHex(value), 'f')).toThrow(
      expect.objectContaining({ code: 'CORRUPT_FILE', file: 'f' }) as Error,
    );
  });

  it('any bytes are a row or refused', () => {
    const versions = fc.constantFrom<RawApiVersion>('v1', 'v1ttl', 'v2');
    const some = fc.uint8Array({ maxLength: 30 });
    fc.assert(
      fc.property(versions, fc.oneof(some, fc.constant(fromHex(KEY_V2))), some, (version, key, value) => {
        try {
          expect(decodeRawRow(version, key, value).userValue.length).toBeLessThanOrEqual(value.length);
        } catch (error) {
          expect(BackupError.is(error, 'CORRUPT_FILE')).toBe(true);
        }
      }),
    );
  });
});

describe('the checksum of rows', () => {
  it('is a number, 0 for no rows and for a row twice', () => {
    const sum = new Crc64Xor();
    expect(crc64xorOf(sum)).toBe(0n);
    sum.add(utf8('1234'), utf8('56789'));
    // The check value of CRC-64/XZ.
    expect(crc64xorOf(sum)).toBe(0x995dc9bbdf1939fan);
    sum.add(utf8('12'), utf8('3456789'));
    expect(crc64xorOf(sum)).toBe(0n);
  });
});
