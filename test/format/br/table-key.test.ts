import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { compareBytes, fromHex, toHex } from '../../../src/core/bytes.js';
import {
  MAX_INT64,
  MIN_INT64,
  prefixEnd,
  readComparableInt64,
  tableIdOf,
  tableIndexPrefix,
  tableKeyKind,
  tablePrefix,
  tableRange,
  tableRecordPrefix,
  tableRecordPrefixRange,
  tableRecordRange,
  tableRowKey,
  writeComparableInt64,
} from '../../../src/format/br/table-key.js';

const ids = fc.oneof(fc.bigInt(MIN_INT64, MAX_INT64), fc.constantFrom(MIN_INT64, -1n, 0n, 1n, 70n, MAX_INT64 - 1n));
const inRange = (key: Uint8Array, { startKey, endKey }: { startKey: Uint8Array; endKey: Uint8Array }) =>
  compareBytes(startKey, key) <= 0 && compareBytes(key, endKey) < 0;

describe('comparable numbers', () => {
  it.each([
    [0n, '8000000000000000'],
    [1n, '8000000000000001'],
    [-1n, '7fffffffffffffff'],
    [MIN_INT64, '0000000000000000'],
    [MAX_INT64, 'ffffffffffffffff'],
  ])('%s is %s', (value, bytes) => {
    const to = new Uint8Array(10);
    writeComparableInt64(to, 1, value);
    expect(toHex(to.subarray(1, 9))).toBe(bytes);
    expect(readComparableInt64(to, 1)).toBe(value);
  });
});

describe('table keys', () => {
  it('begin with t and the id', () => {
    expect(toHex(tablePrefix(70n))).toBe('748000000000000046');
    expect(toHex(tableRecordPrefix(70n))).toBe('7480000000000000465f72');
    expect(toHex(tableIndexPrefix(70n))).toBe('7480000000000000465f69');
    expect(toHex(tableRowKey(70n, -2n))).toBe('7480000000000000465f727ffffffffffffffe');
  });

  it("of all rows reach from the least handle's to behind the greatest one's", () => {
    const { startKey, endKey } = tableRecordRange(70n);
    expect(toHex(startKey)).toBe('7480000000000000465f720000000000000000');
    expect(toHex(endKey)).toBe('7480000000000000465f72ffffffffffffffff00');
  });

  it('lie in the ranges of their table and of no other', () => {
    fc.assert(
      fc.property(ids, ids, ids, (id, other, handle) => {
        const key = tableRowKey(id, handle);
        const isSame = id === other;
        expect(inRange(key, tableRecordRange(other))).toBe(isSame);
        if (other < MAX_INT64) {
          expect(inRange(key, tableRange(other))).toBe(isSame);
          expect(inRange(key, tableRecordPrefixRange(other))).toBe(isSame);
          expect(inRange(tableIndexPrefix(id), tableRange(other))).toBe(isSame);
        }
        expect(inRange(tableIndexPrefix(id), tableRecordPrefixRange(other))).toBe(false);
      }),
    );
  });

  it('tell the id and what they are', () => {
    fc.assert(
      fc.property(ids, fc.uint8Array({ maxLength: 12 }), (id, rest) => {
        const record = Uint8Array.of(...tableRecordPrefix(id), ...rest);
        const index = Uint8Array.of(...tableIndexPrefix(id), ...rest);
        expect(tableIdOf(record)).toBe(id);
        expect(tableKeyKind(record)).toBe('record');
        expect(tableIdOf(index)).toBe(id);
        expect(tableKeyKind(index)).toBe('index');
        expect(tableKeyKind(tablePrefix(id))).toBe('other');
      }),
    );
  });

  it.each(['', '74', '7480000000000000', '6d80000000000000465f72', '73'])('%s belongs to no table', (key) => {
    expect(tableIdOf(fromHex(key))).toBeUndefined();
    expect(tableKeyKind(fromHex(key))).toBe('other');
  });
});

describe('the end of a prefix', () => {
  it.each([
    ['61', '62'],
    ['61ff', '62'],
    ['61fffe', '61ffff'],
    ['ff', ''],
    ['ffff', ''],
    ['', ''],
  ])('%s: %s', (prefix, end) => {
    expect(toHex(prefixEnd(fromHex(prefix)))).toBe(end);
  });
});
