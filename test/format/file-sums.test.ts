import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { utf8 } from '../../src/core/bytes.js';
import { crc32 } from '../../src/core/crc32.js';
import {
  FileSumsBuilder,
  checkBlocks,
  encodeFileSums,
  parseFileSums,
  parseSumsFileName,
  sumsFileName,
} from '../../src/format/fdb/file-sums.js';

const BLOCK = 512;
const FILE = 'plogs/0000/0000/log,1,2,abababababababababababababababab,0-of-1,1048576';
const SUMS_FILE =
  'properties/tidemark_sums/plogs/0000/0000/sums,log,1,2,abababababababababababababababab,0-of-1,1048576';

function sumsOf(bytes: Uint8Array, blockSize = BLOCK) {
  const builder = new FileSumsBuilder(blockSize);
  builder.update(bytes);
  return builder.build();
}

function bytesOf(length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => (i * 31 + (i >> 8)) & 0xff);
}

const mismatchAt = (offset: number) =>
  expect.objectContaining({ code: 'CHECKSUM_MISMATCH', file: FILE, offset }) as Error;

describe('the name of a sums file', () => {
  it('is that of the data file with another base name', () => {
    expect(sumsFileName(FILE)).toBe(SUMS_FILE);
    expect(parseSumsFileName(SUMS_FILE)).toBe(FILE);
  });

  it.each(['logs/0000/0000/log,1,2,ab,16', 'kvranges/snapshot.000000000000000001/0/range,1,ab,16'])(
    'leads back to %s',
    (name) => {
      expect(parseSumsFileName(sumsFileName(name))).toBe(name);
    },
  );

  it.each(['properties/log_begin_version', 'snapshots/snapshot,1,2,3', 'plogs/', 'other'])(
    'is not made for %s, which is no data file',
    (name) => {
      expect(() => sumsFileName(name)).toThrow(expect.objectContaining({ code: 'INVALID_NAME' }) as Error);
    },
  );

  it.each([
    'properties/tidemark_sums/plogs/0000/0000/log,1',
    'properties/tidemark_sums/plogs/0000/0000/sums,',
    'properties/tidemark_sums/snapshots/sums,snapshot,1,2,3',
    'properties/tidemark_sums/sums,a',
    FILE,
  ])('is not read from %s', (name) => {
    expect(parseSumsFileName(name)).toBeUndefined();
  });
});

describe('the sums of a file', () => {
  it('are one per block, the last one of what is left', () => {
    const bytes = bytesOf(2 * BLOCK + 7);
    const sums = sumsOf(bytes);
    expect(sums.size).toBe(bytes.length);
    expect([...sums.crc32]).toEqual([
      crc32(bytes.subarray(0, BLOCK)),
      crc32(bytes.subarray(BLOCK, 2 * BLOCK)),
      crc32(bytes.subarray(2 * BLOCK)),
    ]);
  });

  it.each([0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 16 * BLOCK, 16 * BLOCK + 1, 40 * BLOCK])(
    'do not depend on the pieces a file of %i bytes came in',
    (size) => {
      const bytes = bytesOf(size);
      fc.assert(
        fc.property(fc.array(fc.nat(2 * BLOCK), { maxLength: 60 }), (cuts) => {
          const builder = new FileSumsBuilder(BLOCK);
          let at = 0;
          for (const cut of cuts) {
            builder.update(bytes.subarray(at, at + cut));
            at = Math.min(size, at + cut);
          }
          builder.update(bytes.subarray(at));
          expect(builder.build()).toEqual(sumsOf(bytes));
        }),
        { numRuns: 20 },
      );
    },
  );

  it.each([0, 511, 1.5, NaN])('refuses a block size of %s', (blockSize) => {
    expect(() => new FileSumsBuilder(blockSize)).toThrow(expect.objectContaining({ code: 'INVALID_OPTION' }) as Error);
  });

  it('come back as they were written', () => {
    for (const size of [0, 5, BLOCK, 3 * BLOCK + 1, 16 * BLOCK + 1]) {
      const sums = sumsOf(bytesOf(size));
      expect(sums.crc32.length).toBe(Math.ceil(size / BLOCK));
      expect(parseFileSums(encodeFileSums(sums), SUMS_FILE)).toEqual(sums);
    }
  });

  it('are refused as damaged themselves after any change of their own file, and never blamed on the data', () => {
    const encoded = encodeFileSums(sumsOf(bytesOf(2 * BLOCK + 7)));
    const refused = expect.objectContaining({ code: 'CORRUPT_FILE', file: SUMS_FILE }) as Error;
    for (let bit = 0; bit < encoded.length * 8; bit++) {
      const damaged = encoded.slice();
      damaged[bit >> 3]! ^= 1 << (bit & 7);
      expect(() => parseFileSums(damaged, SUMS_FILE)).toThrow(refused);
    }
    for (let length = 0; length < encoded.length; length++) {
      expect(() => parseFileSums(encoded.subarray(0, length), SUMS_FILE)).toThrow(refused);
    }
  });

  it.each([
    ['a size below zero', '{"size":-1,"blockSize":512,"crc32":""'],
    ['a size beyond what a number holds', '{"size":1e300,"blockSize":512,"crc32":""'],
    ['a block size of nothing', '{"size":5,"blockSize":0,"crc32":""'],
    ['too few checksums', '{"size":513,"blockSize":512,"crc32":"00000000"'],
    ['too many checksums', '{"size":512,"blockSize":512,"crc32":"0000000000000000"'],
    ['checksums that are not hex', '{"size":512,"blockSize":512,"crc32":"0000000g"'],
    ['a huge count', '{"size":9007199254740991,"blockSize":512,"crc32":"00000000"'],
    ['an array', '["size"'],
  ])('are refused with %s although the check is right', (_, text) => {
    const check = crc32(utf8(text)).toString(16).padStart(8, '0');
    expect(() => parseFileSums(utf8(`${text},"check":"${check}"}`), SUMS_FILE)).toThrow(
      expect.objectContaining({ code: 'CORRUPT_FILE', file: SUMS_FILE }) as Error,
    );
  });
});

describe('checkBlocks', () => {
  const bytes = bytesOf(3 * BLOCK + 100);
  const sums = sumsOf(bytes);

  it('accepts any run of whole blocks', () => {
    checkBlocks(sums, FILE, 0, bytes);
    checkBlocks(sums, FILE, BLOCK, bytes.subarray(BLOCK, 3 * BLOCK));
    checkBlocks(sums, FILE, 3 * BLOCK, bytes.subarray(3 * BLOCK));
    checkBlocks(sums, FILE, 0, bytes.subarray(0, 0));
  });

  it('finds every flipped bit, and names its block', () => {
    const small = bytes.subarray(BLOCK);
    for (let bit = 0; bit < small.length * 8; bit += 37) {
      const damaged = small.slice();
      damaged[bit >> 3]! ^= 1 << (bit & 7);
      const block = BLOCK + Math.floor(bit / 8 / BLOCK) * BLOCK;
      expect(() => checkBlocks(sums, FILE, BLOCK, damaged)).toThrow(mismatchAt(block));
    }
  });

  it('finds a cut tail and a longer file', () => {
    expect(() => checkBlocks({ ...sums, size: bytes.length - 3 }, FILE, 0, bytes)).toThrow(
      mismatchAt(bytes.length - 3),
    );
    expect(() => checkBlocks(sums, FILE, 0, bytes.subarray(0, -1))).toThrow(mismatchAt(3 * BLOCK));
    expect(() => checkBlocks(sumsOf(new Uint8Array(0)), FILE, 0, bytes)).toThrow(mismatchAt(0));
  });

  it('finds two blocks that have changed places', () => {
    const swapped = bytes.slice();
    swapped.set(bytes.subarray(BLOCK, 2 * BLOCK), 0);
    swapped.set(bytes.subarray(0, BLOCK), BLOCK);
    expect(() => checkBlocks(sums, FILE, 0, swapped)).toThrow(mismatchAt(0));
  });
});
