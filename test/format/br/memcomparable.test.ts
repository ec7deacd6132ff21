import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { compareBytes, fromHex, toHex, utf8 } from '../../../src/core/bytes.js';
import { BackupError } from '../../../src/core/errors.js';
import {
  decodeMemcomparable,
  decodeMemcomparableAt,
  encodeMemcomparable,
  memcomparableEnd,
  memcomparableLength,
} from '../../../src/format/br/memcomparable.js';

// Few values, so that keys often are prefixes of each other and have padding's own byte in them.
const keys = fc.uint8Array({ maxLength: 40 }).chain((bytes) =>
  fc.constantFrom(
    bytes,
    bytes.map((byte) => (byte % 3 === 0 ? 0 : 0xff)),
  ),
);

describe('memcomparable keys', () => {
  it.each([
    ['', '0000000000000000f7'],
    ['00', '0000000000000000f8'],
    ['010203', '0102030000000000fa'],
    ['01020304050607', '01020304050607' + '00' + 'fe'],
    ['0102030405060708', '0102030405060708ff' + '0000000000000000f7'],
    ['010203040506070809', '0102030405060708ff' + '0900000000000000f8'],
    ['ffffffffffffffff', 'ffffffffffffffffff' + '0000000000000000f7'],
  ])('%s is encoded as %s', (key, encoded) => {
    expect(toHex(encodeMemcomparable(fromHex(key)))).toBe(encoded);
    expect(toHex(decodeMemcomparable(fromHex(encoded)))).toBe(key);
    expect(memcomparableLength(key.length / 2)).toBe(encoded.length / 2);
  });

  it('orders like the keys', () => {
    fc.assert(
      fc.property(keys, keys, (a, b) => {
        const order = Math.sign(compareBytes(encodeMemcomparable(a), encodeMemcomparable(b)));
        expect(order).toBe(Math.sign(compareBytes(a, b)));
      }),
      { numRuns: 2000 },
    );
  });

  it('orders like the keys whatever stands behind it', () => {
    fc.assert(
      fc.property(keys, keys, fc.uint8Array({ maxLength: 9 }), fc.uint8Array({ maxLength: 9 }), (a, b, x, y) => {
        fc.pre(compareBytes(a, b) !== 0);
        const order = compareBytes(
          Buffer.concat([encodeMemcomparable(a), x]),
          Buffer.concat([encodeMemcomparable(b), y]),
        );
        expect(Math.sign(order)).toBe(Math.sign(compareBytes(a, b)));
      }),
    );
  });

  it('is found and decoded in the middle of other bytes', () => {
    fc.assert(
      fc.property(keys, fc.uint8Array({ maxLength: 5 }), fc.uint8Array({ maxLength: 12 }), (key, before, behind) => {
        const encoded = encodeMemcomparable(key);
        const bytes = new Uint8Array([...before, ...encoded, ...behind]);
        const end = memcomparableEnd(bytes, before.length);
        expect(end).toBe(before.length + encoded.length);
        expect(decodeMemcomparableAt(bytes, before.length, end ?? 0)).toEqual(new Uint8Array(key));
      }),
    );
  });

  it.each([
    ['nothing', ''],
    ['a group without a marker', '0102030405060708'],
    ['a whole group and no last one', '0102030405060708ff'],
    ['a marker that no padding has', '0000000000000000f6'],
    ['padding that is not zero', '0102030000000100fa'],
    ['padding that is not zero at its begin', '0102030100000000fa'],
    ['something behind it', '0102030000000000fa00'],
  ])('%s is no key', (_what, encoded) => {
    expect(() => decodeMemcomparable(fromHex(encoded), 'f')).toThrow(
      expect.objectContaining({ code: 'CORRUPT_FILE', file: 'f' }) as Error,
    );
  });

  it('bytes are exactly one encoded key, or no key', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 30 }), (bytes) => {
        let key: Uint8Array;
        try {
          key = decodeMemcomparable(bytes);
        } catch (error) {
          expect(BackupError.is(error, 'CORRUPT_FILE')).toBe(true);
          return;
        }
        expect(encodeMemcomparable(key)).toEqual(new Uint8Array(bytes));
      }),
      { numRuns: 2000 },
    );
  });

  it('no byte of an encoded key can be another without changing the key, or its being one', () => {
    for (const key of ['', 'abc', 'abcdefgh', 'abcdefghijk'].map(utf8)) {
      const encoded = encodeMemcomparable(key);
      for (let at = 0; at < encoded.length; at++) {
        for (let bit = 0; bit < 8; bit++) {
          const changed = encoded.slice();
          changed[at] = (changed[at] as number) ^ (1 << bit);
          if (memcomparableEnd(changed, 0) !== changed.length) continue;
          expect(decodeMemcomparable(changed)).not.toEqual(key);
        }
      }
    }
  });
});
