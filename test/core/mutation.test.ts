import { describe, expect, it } from 'vitest';

import { crc32c } from '../../src/core/crc32c.js';
import { BackupError } from '../../src/core/errors.js';
import {
  MutationType,
  decodeMutation,
  encodeMutation,
  isSingleKeyClear,
  isStorableType,
} from '../../src/core/mutation.js';

function latin1(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text, 'latin1'));
}

/** The stored form, written here by hand. */
function stored(type: number, param1: string, param2: string): Uint8Array {
  const bytes = Buffer.alloc(9 + param1.length + param2.length);
  bytes.writeUInt8(type, 0);
  bytes.writeUInt32LE(param1.length, 1);
  bytes.write(param1, 5, 'latin1');
  bytes.writeUInt32LE(param2.length, 5 + param1.length);
  bytes.write(param2, 9 + param1.length, 'latin1');
  return new Uint8Array(bytes);
}

function u32(value: number): string {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes.toString('latin1');
}

function checksum(type: number, param1: string, param2: string): string {
  return u32(crc32c(latin1(param2), crc32c(latin1(param1), type)));
}

function codeOf(body: () => unknown): string {
  try {
    body();
  } catch (error) {
    if (error instanceof BackupError) return error.code;
    throw error;
  }
  return 'no error';
}

describe('mutation types', () => {
  it('are stored, never stored, or unknown', () => {
    const kinds = Array.from({ length: 64 }, (_, type) => {
      const code = codeOf(() => isStorableType(type));
      return code === 'no error' ? isStorableType(type) : code;
    });
    const storable = kinds.flatMap((kind, type) => (kind === true ? [type] : []));
    expect(storable).toEqual([0, 1, 2, 6, 7, 8, 9, 12, 13, 14, 15, 16, 17, 18, 19, 20]);
    expect(kinds.flatMap((kind, type) => (kind === false ? [type] : []))).toEqual([3, 4, 5, 10, 11, 21, 22, 23]);
    expect(kinds.slice(24).every((kind) => kind === 'INVALID_MUTATION')).toBe(true);
    for (const type of [-1, 256, 1.5]) expect(codeOf(() => isStorableType(type))).toBe('INVALID_MUTATION');
  });
});

describe('encodeMutation and decodeMutation', () => {
  it.each(Object.entries(MutationType))('round-trip %s', (_name, type) => {
    for (const [param1, param2] of [
      ['key', 'zzz'],
      ['', 'v'],
      ['k\x00', 'z'.repeat(300)],
    ] as const) {
      const bytes = encodeMutation({ type, param1: latin1(param1), param2: latin1(param2) });
      expect(bytes).toEqual(stored(type, param1, param2));
      expect(decodeMutation(bytes)).toEqual({ type, param1: latin1(param1), param2: latin1(param2) });
    }
  });

  it.each([
    ['key', 'key\x00'],
    ['', '\x00'],
    ['\x00', '\x00\x00'],
  ])('store the clear of exactly %j short', (key, end) => {
    const mutation = { type: MutationType.ClearRange, param1: latin1(key), param2: latin1(end) };
    expect(isSingleKeyClear(mutation.param1, mutation.param2)).toBe(true);
    const bytes = encodeMutation(mutation);
    expect(bytes).toEqual(stored(1, end, ''));
    expect(decodeMutation(bytes)).toEqual(mutation);
    // The long form of the same is no error.
    expect(decodeMutation(stored(1, key, end))).toEqual(mutation);
  });

  it('do not take a clear of several keys for one of a single key', () => {
    for (const [begin, end] of [
      ['a', 'b\x00'],
      ['a', 'a\x01'],
      ['a', 'a\x00\x00'],
      ['a', 'b'],
    ] as const) {
      expect(isSingleKeyClear(latin1(begin), latin1(end))).toBe(false);
    }
  });

  it('share the memory of the bytes that are decoded', () => {
    const bytes = stored(0, 'key', 'value');
    expect(decodeMutation(bytes).param2.buffer).toBe(bytes.buffer);
  });

  it.each([
    ['no bytes', new Uint8Array(0)],
    ['too few bytes', stored(0, '', '').subarray(0, 8)],
    ['a param1 that is too long', Uint8Array.of(0, 200, 0, 0, 0, 0, 0, 0, 0)],
    ['a param1 of four gigabytes', Uint8Array.of(0, 255, 255, 255, 255, 0, 0, 0, 0)],
    ['a byte too many', Uint8Array.of(...stored(0, 'k', 'v'), 0)],
    ['a byte too few', stored(0, 'k', 'v').subarray(0, 10)],
    ['a type that is never stored', stored(5, 'k', 'v')],
    ['an unknown type', stored(24, 'k', 'v')],
    ['a short clear that does not end with a zero byte', stored(1, 'k', '')],
    ['a clear that ends before it begins', stored(1, 'b', 'a')],
    ['a checksum index without a checksum', stored(0x40, 'k', 'value and more')],
    ['a param2 too short for a checksum', stored(0x80, 'k', 'abc')],
    ['a param2 too short for a checksum and its index', stored(0xc0, 'k', 'abcde')],
  ])('refuse %s', (_what, bytes) => {
    expect(codeOf(() => decodeMutation(bytes))).toBe('INVALID_MUTATION');
  });

  it('refuse to encode what would be refused on reading', () => {
    const clear = { type: MutationType.ClearRange, param1: latin1('b'), param2: latin1('a') };
    expect(codeOf(() => encodeMutation(clear))).toBe('INVALID_MUTATION');
  });
});

describe('checksum flags', () => {
  it('are stripped and the checksum is verified, with and without an index', () => {
    const mutation = { type: MutationType.Xor, param1: latin1('key'), param2: latin1('operand') };
    const crc = checksum(MutationType.Xor, 'key', 'operand');
    expect(decodeMutation(stored(0x80 | 8, 'key', `operand${crc}`))).toEqual(mutation);
    expect(decodeMutation(stored(0xc0 | 8, 'key', `operand${crc}\x05\x00`))).toEqual(mutation);
  });

  it('are over the expanded params of a short clear', () => {
    const crc = checksum(1, 'key', 'key\x00');
    const mutation = { type: MutationType.ClearRange, param1: latin1('key'), param2: latin1('key\x00') };
    expect(decodeMutation(stored(0x81, 'key\x00', crc))).toEqual(mutation);
    expect(decodeMutation(stored(0xc1, 'key\x00', `${crc}ab`))).toEqual(mutation);
  });

  it('refuse a mutation whose bytes are not those that were summed', () => {
    const crc = checksum(0, 'key', 'value');
    for (const bytes of [
      stored(0x80, 'kez', `value${crc}`),
      stored(0x80, 'key', `valuf${crc}`),
      stored(0x82, 'key', `value${crc}`),
    ]) {
      expect(codeOf(() => decodeMutation(bytes))).toBe('CHECKSUM_MISMATCH');
    }
  });
});
