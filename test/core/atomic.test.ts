// The expected values were worked out by hand from the rules of FoundationDB's Atomic.h.

import { describe, expect, it } from 'vitest';
import fc from 'fast-check';
import { VALUE_SIZE_LIMIT, evaluateAtomic, isAtomicType } from '../../src/core/atomic.js';
import { fromHex, toHex } from '../../src/core/bytes.js';
import { MutationType } from '../../src/core/mutation.js';

/** hex, or 'none' for no value. */
type Row = readonly [what: string, existing: string, operand: string, expected: string];

const tables: Record<string, readonly Row[]> = {
  AddValue: [
    ['a missing value gives the operand', 'none', '0500', '0500'],
    ['an empty value gives the operand', '', '0500', '0500'],
    ['adds', '0300', '0500', '0800'],
    ['carries over bytes', 'ff00', '0100', '0001'],
    ['carries into the zero-extended part of a shorter value', 'ff', '01ff00', '000001'],
    ['drops the carry out of the last byte', 'ffff', '0100', '0000'],
    ['cuts a longer value to the operand', '010203', '01', '02'],
    ['an empty operand leaves an empty value', '0102', '', ''],
    ['an empty operand on a missing value leaves an empty value', 'none', '', ''],
    ['adds minus one as two’s complement', '00010000', 'ffffffff', 'ff000000'],
  ],
  And: [
    ['a missing value counts as zero', 'none', 'ff0f', '0000'],
    ['an empty value counts as zero', '', 'ff0f', '0000'],
    ['ands', '3c3c', 'ff0f', '3c0c'],
    ['a shorter value is zero-extended', '3c', 'ff0f', '3c00'],
    ['a longer value is cut', '3c3c3c', 'ff', '3c'],
    ['an empty operand leaves an empty value', '3c', '', ''],
    ['an empty operand on a missing value leaves an empty value', 'none', '', ''],
  ],
  AndV2: [
    ['a missing value gives the operand', 'none', 'ff0f', 'ff0f'],
    ['an empty value counts as zero', '', 'ff0f', '0000'],
    ['ands', '3c3c', 'ff0f', '3c0c'],
    ['a shorter value is zero-extended', '3c', 'ff0f', '3c00'],
    ['a longer value is cut', '3c3c3c', 'ff', '3c'],
    ['an empty operand leaves an empty value', '3c', '', ''],
    ['an empty operand on a missing value leaves an empty value', 'none', '', ''],
  ],
  Or: [
    ['a missing value gives the operand', 'none', 'f00f', 'f00f'],
    ['an empty value gives the operand', '', 'f00f', 'f00f'],
    ['ors', '0a0a', 'f000', 'fa0a'],
    ['a shorter value is zero-extended', '0a', 'f00f', 'fa0f'],
    ['a longer value is cut', '0a0b0c', 'f0', 'fa'],
    ['an empty operand leaves an empty value', '0a', '', ''],
    ['an empty operand on a missing value leaves an empty value', 'none', '', ''],
  ],
  Xor: [
    ['a missing value gives the operand', 'none', 'f00f', 'f00f'],
    ['an empty value gives the operand', '', 'f00f', 'f00f'],
    ['xors', 'ff0a', 'f00a', '0f00'],
    ['a shorter value is zero-extended', 'ff', 'f00f', '0f0f'],
    ['a longer value is cut', 'ff0b0c', 'f0', '0f'],
    ['an empty operand leaves an empty value', '0a', '', ''],
    ['an empty operand on a missing value leaves an empty value', 'none', '', ''],
  ],
  AppendIfFits: [
    ['a missing value gives the operand', 'none', '0102', '0102'],
    ['an empty value gives the operand', '', '0102', '0102'],
    ['appends a longer operand', '01', '0203', '010203'],
    ['appends a shorter operand', '0102', '03', '010203'],
    ['an empty operand changes nothing', '01', '', '01'],
    ['an empty operand on a missing value makes an empty value', 'none', '', ''],
    ['fills the limit exactly', 'aa'.repeat(VALUE_SIZE_LIMIT - 1), 'bb', 'aa'.repeat(VALUE_SIZE_LIMIT - 1) + 'bb'],
    ['changes nothing beyond the limit', 'aa'.repeat(VALUE_SIZE_LIMIT - 1), 'bbbb', 'aa'.repeat(VALUE_SIZE_LIMIT - 1)],
  ],
  Max: [
    ['a missing value gives the operand', 'none', '0500', '0500'],
    ['an empty value gives the operand', '', '0500', '0500'],
    ['a larger operand wins, most significant byte last', 'ff01', '0002', '0002'],
    ['a larger value wins', '0002', 'ff01', '0002'],
    ['equal', '0500', '0500', '0500'],
    ['a shorter value is zero-extended when it wins', 'ff', '0500', 'ff00'],
    ['a shorter value loses to an operand with a higher byte', 'ff', '0001', '0001'],
    ['a longer value is cut before it is compared', '0500ff', '0600', '0600'],
    ['a longer value is cut when it wins', '0700ff', '0600', '0700'],
    ['an empty operand leaves an empty value', '0a', '', ''],
    ['an empty operand on a missing value leaves an empty value', 'none', '', ''],
  ],
  Min: [
    ['a missing value counts as zero', 'none', '0500', '0000'],
    ['an empty value counts as zero', '', '0500', '0000'],
    ['a smaller operand wins', 'ff02', '0001', '0001'],
    ['a smaller value wins', '0001', 'ff02', '0001'],
    ['equal', '0500', '0500', '0500'],
    ['a shorter value is zero-extended when it wins', 'ff', '0001', 'ff00'],
    ['a shorter value loses to a smaller operand', 'ff', '0500', '0500'],
    ['a longer value is cut before it is compared', '0500ff', '0600', '0500'],
    ['a longer value loses by its low bytes', '0700ff', '0600', '0600'],
    ['an empty operand leaves an empty value', '0a', '', ''],
    ['an empty operand on a missing value leaves an empty value', 'none', '', ''],
  ],
  MinV2: [
    ['a missing value gives the operand', 'none', '0500', '0500'],
    ['an empty value counts as zero', '', '0500', '0000'],
    ['a smaller operand wins', 'ff02', '0001', '0001'],
    ['a smaller value wins', '0001', 'ff02', '0001'],
    ['a shorter value is zero-extended when it wins', 'ff', '0001', 'ff00'],
    ['a longer value is cut before it is compared', '0500ff', '0600', '0500'],
    ['an empty operand leaves an empty value', '0a', '', ''],
    ['an empty operand on a missing value leaves an empty value', 'none', '', ''],
  ],
  ByteMin: [
    ['a missing value gives the operand', 'none', '0500', '0500'],
    ['an empty value is the smallest', '', '0500', ''],
    ['orders as keys do, first byte first', '01ff', '02', '01ff'],
    ['a smaller operand wins', '02', '01ff', '01ff'],
    ['a prefix is smaller', '0102', '01', '01'],
    ['a shorter value keeps its length', '01', '0102', '01'],
    ['an empty operand is the smallest', '0a', '', ''],
    ['an empty operand on a missing value makes an empty value', 'none', '', ''],
  ],
  ByteMax: [
    ['a missing value gives the operand', 'none', '0500', '0500'],
    ['an empty value is the smallest', '', '0500', '0500'],
    ['orders as keys do, first byte first', '02', '01ff', '02'],
    ['a larger operand wins', '01ff', '02', '02'],
    ['a longer value keeps its length', '0102', '01', '0102'],
    ['a longer operand wins over its prefix', '01', '0102', '0102'],
    ['an empty operand is the smallest', '0a', '', '0a'],
    ['an empty operand on a missing value makes an empty value', 'none', '', ''],
  ],
  CompareAndClear: [
    ['a missing value stays missing', 'none', '0500', 'none'],
    ['an equal value is cleared', '0500', '0500', 'none'],
    ['another value stays', '0501', '0500', '0501'],
    ['a shorter value is not equal', '05', '0500', '05'],
    ['a longer value is not equal', '050000', '0500', '050000'],
    ['an empty value equals an empty operand', '', '', 'none'],
    ['an empty operand leaves another value', '05', '', '05'],
    ['a missing value stays missing with an empty operand', 'none', '', 'none'],
  ],
};

const value = (hex: string) => (hex === 'none' ? undefined : fromHex(hex));
const hex = (bytes: Uint8Array | undefined) => (bytes === undefined ? 'none' : toHex(bytes));

describe.each(Object.entries(tables))('%s', (name, rows) => {
  const type = MutationType[name as keyof typeof MutationType];

  it.each(rows)('%s', (_, existing, operand, expected) => {
    const before = [value(existing), fromHex(operand)] as const;
    expect(hex(evaluateAtomic(type, before[0], before[1]))).toBe(expected);
    // The arguments may be shared with the log's buffers and the target's rows.
    expect(hex(before[0])).toBe(existing);
    expect(toHex(before[1])).toBe(operand);
  });
});

describe('the integer operations', () => {
  const bytes = fc.uint8Array({ maxLength: 9 });
  const integer = (value: Uint8Array, length: number): bigint => {
    let result = 0n;
    for (let i = length - 1; i >= 0; i--) result = (result << 8n) | BigInt(value[i] ?? 0);
    return result;
  };
  const models: Record<string, (a: bigint, b: bigint) => bigint> = {
    AddValue: (a, b) => a + b,
    And: (a, b) => a & b,
    AndV2: (a, b) => a & b,
    Or: (a, b) => a | b,
    Xor: (a, b) => a ^ b,
    Max: (a, b) => (a > b ? a : b),
    Min: (a, b) => (a < b ? a : b),
    MinV2: (a, b) => (a < b ? a : b),
  };

  it.each(Object.keys(models))('%s agrees with arithmetic modulo the length of the operand', (name) => {
    const type = MutationType[name as keyof typeof MutationType];
    fc.assert(
      fc.property(bytes, bytes, (existing, operand) => {
        const bits = operand.length * 8;
        const expected = models[name]!(integer(existing, operand.length), integer(operand, operand.length));
        const result = evaluateAtomic(type, existing, operand)!;
        expect(result.length).toBe(operand.length);
        expect(integer(result, result.length)).toBe(BigInt.asUintN(bits, expected));
      }),
    );
  });
});

describe('types', () => {
  it('knows every atomic operation, and has a table for each', () => {
    const atomic = Object.entries(MutationType).filter(([, type]) => isAtomicType(type));
    expect(atomic.map(([name]) => name).sort()).toEqual(Object.keys(tables).sort());
  });

  it.each([0, 1, 3, 4, 5, 10, 11, 21, 255])('refuses type %i, which is no atomic operation', (type) => {
    expect(isAtomicType(type)).toBe(false);
    expect(() => evaluateAtomic(type, undefined, new Uint8Array(1))).toThrow(
      expect.objectContaining({ code: 'INVALID_MUTATION' }) as Error,
    );
  });

  it.each([14, 15])('refuses versionstamped type %i: its stamp is not in the log', (type) => {
    expect(() => evaluateAtomic(type, undefined, new Uint8Array(14))).toThrow(
      expect.objectContaining({ code: 'INVALID_MUTATION' }) as Error,
    );
  });
});
