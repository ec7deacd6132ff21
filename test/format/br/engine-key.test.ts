import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { compareBytes, fromHex, toHex } from '../../../src/core/bytes.js';
import { BackupError } from '../../../src/core/errors.js';
import {
  checkTxnDataKey,
  decodeTxnDataKey,
  compareTs,
  encodeTxnDataKey,
  engineKeyOf,
  joinTs,
  tsHighOf,
  tsLowOf,
  tsOf,
  userKeyOf,
  writeTxnDataKey,
} from '../../../src/format/br/engine-key.js';

const MAX_TS = (1n << 64n) - 1n;
const userKeys = fc.uint8Array({ maxLength: 30 });
const timestamps = fc.oneof(
  fc.bigInt(0n, MAX_TS),
  fc.constantFrom(0n, 1n, 0x7fff_ffffn, 0x8000_0000n, 0xffff_ffffn, 1n << 32n, 1n << 63n, MAX_TS),
);

describe('keys of transactional rows', () => {
  it.each([
    ['', 0n, '7a' + '0000000000000000f7' + 'ffffffffffffffff'],
    ['616263', 5n, '7a' + '6162630000000000fa' + 'fffffffffffffffa'],
    ['6162636465666768', 0x0102030405060708n, '7a' + '6162636465666768ff0000000000000000f7' + 'fefdfcfbfaf9f8f7'],
    ['61', MAX_TS, '7a' + '6100000000000000f8' + '0000000000000000'],
  ])('%s at %s is z, the memcomparable key and the inverted timestamp', (userKey, ts, dataKey) => {
    expect(toHex(encodeTxnDataKey(fromHex(userKey), ts))).toBe(dataKey);
    const key = fromHex(dataKey);
    checkTxnDataKey(key);
    expect(toHex(userKeyOf(key))).toBe(userKey);
    expect(tsOf(key)).toBe(ts);
    expect(decodeTxnDataKey(key)).toEqual({ userKey: fromHex(userKey), ts });
    expect(() => decodeTxnDataKey(key.subarray(1))).toThrow(/does not begin with z/);
  });

  it('come back as they were, whole and as halves', () => {
    fc.assert(
      fc.property(userKeys, timestamps, (userKey, ts) => {
        const key = encodeTxnDataKey(userKey, ts);
        checkTxnDataKey(key);
        expect(userKeyOf(key)).toEqual(new Uint8Array(userKey));
        expect(tsOf(key)).toBe(ts);
        expect(joinTs(tsHighOf(key), tsLowOf(key))).toBe(ts);
        const again = new Uint8Array(key.length);
        expect(writeTxnDataKey(userKey, tsHighOf(key) | 0, tsLowOf(key) | 0, again)).toBe(key.length);
        expect(again).toEqual(key);
      }),
    );
  });

  it('order by user key, then the newest first', () => {
    fc.assert(
      fc.property(userKeys, timestamps, userKeys, timestamps, (aKey, aTs, other, bTs) => {
        for (const bKey of [other, aKey]) {
          const byKey = compareBytes(aKey, bKey);
          const a = encodeTxnDataKey(aKey, aTs);
          const b = encodeTxnDataKey(bKey, bTs);
          const expected = byKey === 0 ? Number(bTs - aTs > 0n) - Number(bTs - aTs < 0n) : Math.sign(byKey);
          expect(Math.sign(compareBytes(a, b))).toBe(expected);
          const ts = compareTs(tsHighOf(a), tsLowOf(a), tsHighOf(b), tsLowOf(b));
          expect(Math.sign(ts)).toBe(Number(aTs > bTs) - Number(aTs < bTs));
        }
      }),
    );
  });

  it.each([
    ['nothing', ''],
    ['no z', '7b' + '6100000000000000f8' + '0000000000000000'],
    ['z alone', '7a'],
    ['no timestamp', '7a' + '6100000000000000f8'],
    ['half a timestamp', '7a' + '6100000000000000f8' + '00000000'],
    ['a timestamp that is too long', '7a' + '6100000000000000f8' + '000000000000000000'],
    ['a key that is not memcomparable', '7a' + '6101000000000000f8' + '0000000000000000'],
    ['nothing but a timestamp', '7a' + '0000000000000000'],
    ['less than a timestamp', '7a000000000000'],
    ['as much as a timestamp', '7a00000000000000'],
  ])('%s is refused', (_what, dataKey) => {
    expect(() => checkTxnDataKey(fromHex(dataKey), 'f')).toThrow(
      expect.objectContaining({ code: 'CORRUPT_FILE', file: 'f' }) as Error,
    );
  });

  it('any bytes are a key that gives the same bytes, or refused', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 30 }), fc.boolean(), (bytes, withZ) => {
        if (withZ) bytes[0] = 0x7a;
        try {
          checkTxnDataKey(bytes);
        } catch (error) {
          expect(BackupError.is(error, 'CORRUPT_FILE')).toBe(true);
          return;
        }
        expect(encodeTxnDataKey(userKeyOf(bytes), tsOf(bytes))).toEqual(new Uint8Array(bytes));
      }),
      { numRuns: 2000 },
    );
  });
});

describe('keys of raw rows', () => {
  it('are z and the key', () => {
    expect(toHex(engineKeyOf(fromHex('7a0041')))).toBe('0041');
    expect(toHex(engineKeyOf(fromHex('7a')))).toBe('');
  });

  it('without a z are refused', () => {
    expect(() => engineKeyOf(fromHex('0041'), 'f')).toThrow(/does not begin with z/);
    expect(() => engineKeyOf(fromHex(''), 'f')).toThrow(/does not begin with z/);
  });
});
