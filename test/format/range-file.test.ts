import { readFileSync } from 'node:fs';
import path from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BufferPool } from '../../src/core/buffer-pool.js';
import { compareBytes, equalBytes, keyAfter, toHex, utf8 } from '../../src/core/bytes.js';
import { Crc64Xor } from '../../src/core/crc64.js';
import { BackupError } from '../../src/core/errors.js';
import { FileSumsBuilder, checkBlocks } from '../../src/format/fdb/file-sums.js';
import { parseRangeFileName } from '../../src/format/fdb/names.js';
import { RangeFileReader, decodeRangeFile } from '../../src/format/fdb/range-file-decoder.js';
import { RangeFileEncoder, rangeBlockSizeFor } from '../../src/format/fdb/range-file-encoder.js';
import type { Row } from './encode-range-file.js';
import { encodeRangeFile } from './encode-range-file.js';
import { GOLDEN_NAMES, filesBelow, goldenContainer } from './golden.js';

const FILE = 'kvranges/snapshot.000000000000000005/0/range,5,abababababababababababababababab,64';
const EMPTY = new Uint8Array(0);
const key = (text: string) => utf8(text);
const invalid = expect.objectContaining({ code: 'INVALID_OPTION' }) as Error;
const corrupt = expect.objectContaining({ code: 'CORRUPT_FILE', file: FILE }) as Error;

function hexRows(rows: readonly Row[]): string[][] {
  return rows.map(([k, v]) => [toHex(k), toHex(v)]);
}

/** Rows in order, each key once. */
function inOrder(rows: readonly Row[]): Row[] {
  return [...rows]
    .sort(([a], [b]) => compareBytes(a, b))
    .filter(([k], i, all) => i === 0 || !equalBytes(k, all[i - 1]![0]));
}

/** Reads a file in runs of so many blocks; each run's memory is overwritten once the next one is loaded. */
function readInRuns(bytes: Uint8Array, blockSize: number, blocks: number): string[][] {
  const reader = new RangeFileReader({ name: FILE, size: bytes.length, blockSize });
  const rows: string[][] = [];
  let run = EMPTY;
  while (reader.nextOffset < bytes.length) {
    const next = bytes.slice(reader.nextOffset, reader.nextOffset + blocks * blockSize);
    reader.load(next);
    run.fill(0x5a);
    run = next;
    while (reader.next()) rows.push([toHex(reader.key()), toHex(reader.value())]);
  }
  return rows;
}

describe('a range file', () => {
  it('has the bytes that the format says, blocks beginning with the last row of the one before', () => {
    const bytes = encodeRangeFile(
      { begin: key('a'), end: key('z') },
      [
        [key('b'), key('one')],
        [key('cc'), EMPTY],
        [key('d'), key('four')],
      ],
      36,
    );
    const blocks = [
      [
        'e9030000',
        '00000001',
        '61',
        '00000001',
        '62',
        '00000003',
        '6f6e65',
        '00000002',
        '6363',
        '00000000',
        'ffffffffff',
      ],
      [
        'e9030000',
        '00000002',
        '6363',
        '00000002',
        '6363',
        '00000000',
        '00000001',
        '64',
        '00000004',
        '666f7572',
        'ffffff',
      ],
      ['e9030000', '00000001', '64', '00000001', '64', '00000004', '666f7572', '00000001', '7a'],
    ];
    expect(toHex(bytes)).toBe(blocks.flat().join(''));
  });

  it('without rows holds its begin and end keys', () => {
    const bytes = encodeRangeFile({ begin: EMPTY, end: Uint8Array.of(0xff) }, [], 64);
    expect(toHex(bytes)).toBe('e90300000000000000000001ff');
    const { range, rows } = decodeRangeFile(bytes, { name: FILE, blockSize: 64 });
    expect([toHex(range.begin), toHex(range.end), rows]).toEqual(['', 'ff', []]);
  });

  const keys = fc.oneof(
    fc.uint8Array({ maxLength: 12 }),
    fc.uint8Array({ minLength: 35, maxLength: 60 }),
    fc.nat(12).map((length) => new Uint8Array(length).fill(0xff)),
    fc.constant(EMPTY),
  );
  const values = fc.oneof(
    fc.uint8Array({ maxLength: 40 }),
    fc.nat(40).map((length) => new Uint8Array(length).fill(0xff)),
  );
  const end = new Uint8Array(61).fill(0xff);

  it('comes back as it went in, whatever the rows, the size of its blocks, and how it is taken and loaded', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(keys, values), { maxLength: 40 }).map(inOrder),
        fc.integer({ min: rangeBlockSizeFor(100, 0), max: 700 }),
        fc.integer({ min: 1, max: 10 }),
        (rows, blockSize, step) => {
          const bytes = encodeRangeFile({ begin: EMPTY, end }, rows, blockSize, step);
          expect(readInRuns(bytes, blockSize, step)).toEqual(hexRows(rows));
          // The rows do not depend on the groups, so the bytes must not either.
          expect(toHex(encodeRangeFile({ begin: EMPTY, end }, rows, blockSize))).toBe(toHex(bytes));
        },
      ),
    );
  });

  it('each of its blocks can be read alone, as the original does', () => {
    const rows = Array.from({ length: 30 }, (_, i): Row => [Uint8Array.of(i, 1), new Uint8Array(i).fill(i)]);
    const blockSize = 150;
    const bytes = encodeRangeFile({ begin: EMPTY, end }, rows, blockSize);
    const found: Row[] = [];
    for (let at = 0; at < bytes.length; at += blockSize) {
      const block = bytes.subarray(at, Math.min(at + blockSize, bytes.length));
      const isLast = at + blockSize >= bytes.length;
      // A block alone, its last row's value dropped, is a whole file of one block.
      const items = itemsOf(block);
      const pairs = items.slice(1, isLast ? -1 : -2);
      for (let i = 0; i < pairs.length; i += 2) found.push([pairs[i]!, pairs[i + 1]!]);
    }
    expect(hexRows(found)).toEqual(hexRows(rows));
  });

  function itemsOf(block: Uint8Array): Uint8Array[] {
    const items: Uint8Array[] = [];
    const view = new DataView(block.buffer, block.byteOffset, block.length);
    expect(view.getUint32(0, true)).toBe(1001);
    for (let at = 4; at < block.length && block[at] !== 0xff;) {
      const length = view.getUint32(at);
      items.push(block.subarray(at + 4, at + 4 + length));
      at += 4 + length;
    }
    return items;
  }

  it('has long pads and rows longer than any buffer', () => {
    const rows = Array.from({ length: 6 }, (_, i): Row => [
      Uint8Array.of(i),
      new Uint8Array(1_000_000 + i * 150_000).fill(i),
    ]);
    const blockSize = 3_700_000;
    const bytes = encodeRangeFile({ begin: EMPTY, end }, rows, blockSize, 1);
    expect(bytes.length).toBeGreaterThan(2 * blockSize);
    expect(equalBytes(encodeRangeFile({ begin: EMPTY, end }, rows, blockSize), bytes)).toBe(true);
    const decoded = decodeRangeFile(bytes, { name: FILE, blockSize });
    expect(decoded.rows.every(([k, v], i) => equalBytes(k, rows[i]![0]) && equalBytes(v, rows[i]![1]))).toBe(true);
    expect(decoded.rows.length).toBe(rows.length);
  });
});

describe('RangeFileEncoder', () => {
  const encoder = (blockSize: number, begin: Uint8Array = EMPTY, crc64?: Crc64Xor) =>
    new RangeFileEncoder({ blockSize, begin, pool: new BufferPool(), crc64 });

  it.each([11, 1.5, NaN, 2 ** 30 + 1])('refuses a block size of %s', (blockSize) => {
    expect(() => encoder(blockSize)).toThrow(invalid);
  });

  it('refuses a block size that does not hold the begin key', () => {
    expect(() => encoder(21, new Uint8Array(10))).toThrow(invalid);
    encoder(23, new Uint8Array(10)).finish(Uint8Array.of(1));
  });

  it('refuses keys out of order, and stays as it was', () => {
    const file = encoder(100, key('b'));
    expect(() => file.add(key('a'), EMPTY)).toThrow(invalid);
    file.add(key('b'), EMPTY);
    for (const wrong of ['b', 'a', '']) expect(() => file.add(key(wrong), EMPTY)).toThrow(invalid);
    file.add(key('ba'), EMPTY);
    for (const wrong of ['ba', 'b', 'a']) expect(() => file.finish(key(wrong))).toThrow(invalid);
    file.finish(key('bb'));
    expect(file.rows).toBe(2);
    expect(file.rowBytes).toBe(3);
    expect(() => file.add(key('c'), EMPTY)).toThrow('no row comes after the end key');
  });

  it('refuses an end key that is the begin key', () => {
    expect(() => encoder(100, key('b')).finish(key('b'))).toThrow(invalid);
  });

  it('refuses rows that do not fit into a block two by two, and goes on without them', () => {
    const file = encoder(64);
    expect(file.fits(key('a'), new Uint8Array(49))).toBe(false);
    expect(() => file.add(key('a'), new Uint8Array(49))).toThrow(invalid);
    file.add(key('a'), new Uint8Array(20));
    expect(() => file.add(key('b'), new Uint8Array(20))).toThrow(invalid);
    file.add(key('c'), new Uint8Array(10));
    file.finish(key('d'));
    const decoded = decodeRangeFile(file.takeGroup()!.chunks[0]!, { name: FILE, blockSize: 64 });
    expect(hexRows(decoded.rows)).toEqual([
      ['61', '00'.repeat(20)],
      ['63', '00'.repeat(10)],
    ]);
  });

  it('takes what fits, and can always end right behind it', () => {
    const row = fc.tuple(fc.uint8Array({ maxLength: 20 }), fc.uint8Array({ maxLength: 60 }));
    fc.assert(
      fc.property(
        fc.array(row, { maxLength: 20 }).map(inOrder),
        fc.integer({ min: 40, max: 200 }),
        (rows, blockSize) => {
          const file = encoder(blockSize);
          const taken: Row[] = [];
          for (const [k, v] of rows) {
            if (!file.fits(k, v)) continue;
            file.add(k, v);
            taken.push([k, v]);
          }
          const end = keyAfter(taken.at(-1)?.[0] ?? EMPTY);
          expect(file.fitsEnd(end)).toBe(true);
          file.finish(end);
          const bytes = Buffer.concat(file.takeGroup()!.chunks);
          expect(readInRuns(bytes, blockSize, 2)).toEqual(hexRows(taken));
        },
      ),
    );
  });

  it.each([1, 7, 100, 5000])('has room for any two rows of %i bytes in blocks of rangeBlockSizeFor', (pair) => {
    const blockSize = rangeBlockSizeFor(pair, 0);
    for (const keyLength of new Set([1, (pair + 1) >> 1, pair])) {
      const file = encoder(blockSize, new Uint8Array(keyLength));
      for (let i = 1; i < 5; i++) {
        const k = new Uint8Array(keyLength).fill(i);
        const v = new Uint8Array(pair - keyLength);
        expect(file.fits(k, v)).toBe(true);
        file.add(k, v);
      }
      const end = new Uint8Array(pair).fill(9);
      expect(file.fitsEnd(end)).toBe(true);
      file.finish(end);
    }
    expect(rangeBlockSizeFor(pair, 1 << 20)).toBe(1 << 20);
  });

  it('says that an end key does not fit', () => {
    const file = encoder(64);
    file.add(key('a'), new Uint8Array(20));
    const longest = new Uint8Array(64 - 4 - 4 - 29 - 4).fill(1);
    longest[0] = 0x62;
    expect(file.fitsEnd(longest)).toBe(true);
    const longer = keyAfter(longest);
    expect(file.fitsEnd(longer)).toBe(false);
    expect(() => file.finish(longer)).toThrow(invalid);
    file.finish(longest);
  });

  it('gives its rows to a checksum', () => {
    const crc64 = new Crc64Xor();
    const expected = new Crc64Xor();
    const file = encoder(100, EMPTY, crc64);
    for (let i = 0; i < 50; i++) {
      file.add(Uint8Array.of(i), new Uint8Array(i % 20).fill(i));
      expected.add(Uint8Array.of(i), new Uint8Array(i % 20).fill(i));
      if (i % 7 === 0) file.takeGroup();
    }
    expect(crc64.digest()).toBe(expected.digest());
  });

  it('takes one buffer from the pool for a group that is taken in time, and copies rows at once', () => {
    const pool = new BufferPool();
    const file = new RangeFileEncoder({ blockSize: 1 << 16, begin: EMPTY, pool });
    const k = new Uint8Array(4);
    const v = new Uint8Array(100);
    for (let i = 0; i < 30_000; i++) {
      new DataView(k.buffer).setUint32(0, i);
      v.fill(i & 0xff);
      file.add(k, v);
      if (i % 9000 !== 8999) continue;
      const group = file.takeGroup()!;
      expect(group.chunks.length).toBe(1);
      expect(group.staging?.buffer).toBe(group.chunks[0]?.buffer);
      pool.give(group.staging!);
    }
    pool.give(file.takeGroup()!.staging!);
    expect(pool.idleBytes).toBe(1.25 * 2 ** 20);
    expect(file.takeGroup()).toBeUndefined();
  });
});

describe('RangeFileReader refuses', () => {
  const blockSize = 64;
  const range = { begin: key('a'), end: key('zz') };
  const rows = 'bcdefgh'.split('').map((k, i): Row => [key(k), new Uint8Array(i * 2).fill(0x41 + i)]);
  const bytes = encodeRangeFile(range, rows, blockSize);
  const decode = (damaged: Uint8Array, part: object = { range }) =>
    decodeRangeFile(damaged, { name: FILE, blockSize, ...part });
  const sums = (() => {
    const builder = new FileSumsBuilder(512);
    builder.update(bytes);
    return builder.build();
  })();
  const mismatch = expect.objectContaining({ code: 'CHECKSUM_MISMATCH', file: FILE }) as Error;

  it('nothing of the file as it is', () => {
    expect(bytes.length).toBeGreaterThan(2 * blockSize);
    expect(hexRows(decode(bytes).rows)).toEqual(hexRows(rows));
    checkBlocks(sums, FILE, 0, bytes);
  });

  it('every cut', () => {
    for (let length = 0; length < bytes.length; length++) {
      expect(() => decode(bytes.subarray(0, length))).toThrow(corrupt);
      if (length > 0) expect(() => checkBlocks(sums, FILE, 0, bytes.subarray(0, length))).toThrow(mismatch);
    }
  });

  it('every flipped bit that changes the structure; the checksums find the others too', () => {
    let refused = 0;
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      const damaged = bytes.slice();
      damaged[bit >> 3]! ^= 1 << (bit & 7);
      expect(() => checkBlocks(sums, FILE, 0, damaged)).toThrow(mismatch);
      try {
        const { rows: found } = decode(damaged);
        // One byte of one key or value is another, nothing else.
        const before = hexRows(rows).flat();
        const after = hexRows(found).flat();
        expect(after.map((text) => text.length)).toEqual(before.map((text) => text.length));
        expect(after.filter((text, i) => text !== before[i]).length).toBe(1);
      } catch (error) {
        if (!BackupError.is(error)) throw error;
        expect(['CORRUPT_FILE', 'UNSUPPORTED_FORMAT']).toContain(error.code);
        expect(error.file).toBe(FILE);
        expect(error.offset).toBeLessThanOrEqual(bytes.length);
        refused++;
      }
    }
    expect(refused).toBeGreaterThan(bytes.length * 4);
  });

  it('a file that covers other keys than it should', () => {
    expect(() => decode(bytes, { range: { begin: key('b'), end: range.end } })).toThrow(corrupt);
    expect(() => decode(bytes, { range: { begin: range.begin, end: key('zzz') } })).toThrow(corrupt);
  });

  it('another block size than the file’s', () => {
    for (const other of [32, 63, 65, 128, 1024]) {
      expect(() => decode(bytes, { blockSize: other })).toThrow(
        expect.objectContaining({ file: FILE, name: 'BackupError' }) as Error,
      );
    }
  });

  it('blocks that are missing, doubled or have changed places', () => {
    const block = (index: number) => bytes.subarray(index * blockSize, (index + 1) * blockSize);
    const rest = bytes.subarray(2 * blockSize);
    expect(() => decode(Buffer.concat([block(0), rest]))).toThrow(corrupt);
    expect(() => decode(Buffer.concat([block(0), block(1), block(1), rest]))).toThrow(corrupt);
    expect(() => decode(Buffer.concat([block(1), block(0), rest]))).toThrow(corrupt);
    expect(() => decode(Buffer.concat([bytes.subarray(0, 2 * blockSize), bytes]))).toThrow(corrupt);
  });

  it.each([
    ['a file of 0 bytes', '', 0],
    ['half a header', 'e903', 0],
    ['no begin key', 'e9030000', 4],
    ['a begin key of 4 GiB', 'e9030000fffffffe61', 4],
    ['a begin key beyond the block', 'e90300000000000261', 4],
    ['a key of almost 4 GiB', 'e903000000000000fefffffe61', 8],
    ['a key of 2 GiB', 'e9030000000000008000000061', 8],
    ['a value of almost 4 GiB', 'e903000000000000000000016200fffffe61', 13],
    ['half a length', 'e9030000000000000000', 8],
    ['half a length of a value', 'e903000000000000000000016200', 13],
    ['no end key', 'e903000000000000000000016200000000', 17],
    ['an end key that is the begin key', 'e90300000000000161'.concat('0000000161'), 9],
    ['an end key below a row', 'e903000000000000'.concat('000000016200000000', '0000000161'), 17],
    ['a row below the begin key', 'e90300000000000163'.concat('000000016200000000', '000000017a'), 9],
    ['a key twice', 'e903000000000000'.concat('000000016200000000', '000000016200000000', '000000017a'), 17],
    ['padding with another byte in it', 'e903000000000000'.concat('000000017a', 'ffff00ff'), 15],
  ])('%s', (_, hex, offset) => {
    const damaged = Buffer.from(hex, 'hex');
    const expected = expect.objectContaining({ code: 'CORRUPT_FILE', file: FILE, offset }) as Error;
    expect(() => decodeRangeFile(damaged, { name: FILE, blockSize })).toThrow(expected);
  });

  it('a block of an unknown version', () => {
    const expected = expect.objectContaining({ code: 'UNSUPPORTED_FORMAT', file: FILE, offset: 0 }) as Error;
    expect(() => decode(Buffer.from('ea0300000000000000000001ff', 'hex'))).toThrow(expected);
  });

  it('an end key before the last block, and a block after one without rows', () => {
    const first = new Uint8Array(blockSize).fill(0xff);
    first.set(encodeRangeFile(range, [], blockSize));
    expect(() => decode(Buffer.concat([first, bytes]))).toThrow(corrupt);
    first.set(encodeRangeFile(range, [[key('b'), EMPTY]], blockSize));
    const second = encodeRangeFile({ begin: key('b'), end: range.end }, [[key('b'), EMPTY]], blockSize);
    expect(() => decode(Buffer.concat([first, second]))).toThrow(corrupt);
    const noRow = new Uint8Array(blockSize).fill(0xff);
    noRow.set(Buffer.from('e90300000000000161', 'hex'));
    const beginsAgain = Buffer.from('e90300000000000161'.concat('000000016100000000', '000000027a7a'), 'hex');
    expect(hexRows(decode(beginsAgain).rows)).toEqual([['61', '']]);
    expect(() => decode(Buffer.concat([noRow, beginsAgain]))).toThrow(corrupt);
  });

  it('nothing of a last block that is padded, as the original’s simulation makes them', () => {
    const padded = new Uint8Array(Math.ceil(bytes.length / blockSize) * blockSize).fill(0xff);
    padded.set(bytes);
    expect(hexRows(decode(padded).rows)).toEqual(hexRows(rows));
  });
});

describe.each(GOLDEN_NAMES.filter((golden) => golden !== 'plogenc'))('range files of golden container %s', (golden) => {
  const container = goldenContainer(golden);

  it.skipIf(container === undefined)(
    'decode, and are rebuilt byte by byte (skipped where ../shared/golden is absent)',
    () => {
      const files = filesBelow(container!).filter((file) => file.startsWith('kvranges/'));
      expect(files.length).toBeGreaterThan(0);
      for (const name of files) {
        const bytes = new Uint8Array(readFileSync(path.join(container!, name)));
        const { blockSize } = parseRangeFileName(name)!;
        const { range, rows } = decodeRangeFile(bytes, {
          name,
          blockSize,
          range: { begin: EMPTY, end: Uint8Array.of(0xff) },
        });
        expect(rows.length).toBeGreaterThan(100);
        for (const takeEvery of [7, 1e9]) {
          expect(equalBytes(encodeRangeFile(range, rows, blockSize, takeEvery), bytes)).toBe(true);
        }
        expect(readInRuns(bytes, blockSize, 3)).toEqual(hexRows(rows));
      }
    },
  );
});
