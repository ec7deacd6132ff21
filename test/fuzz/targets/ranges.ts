// Range files: the rows of a snapshot.

import { compareBytes } from '../../../src/core/bytes.js';
import type { KeyRange } from '../../../src/core/key-range.js';
import { BackupError } from '../../../src/core/errors.js';
import { RangeFileReader, decodeRangeFile } from '../../../src/format/fdb/range-file-decoder.js';
import type { SimRandom } from '../../../src/testing/simulation/random.js';
import { readRangeFile } from '../../../src/testing/simulation/read-range-file.js';
import { encodeRangeFile } from '../../format/encode-range-file.js';
import type { Row } from '../../format/encode-range-file.js';
import { randomBytes } from '../mutate.js';
import type { FuzzTarget } from '../target.js';
import { must, mustEqual } from '../target.js';
import { withHeader } from './inputs.js';

const BLOCK_SIZES = [1_048_576, 64, 100, 256, 5, 20, 4096, 1 << 30];
const RANGE: KeyRange = { begin: Uint8Array.of(1), end: Uint8Array.of(9) };

function randomRows(random: SimRandom): Row[] {
  const rows = new Map<string, Row>();
  for (let left = random.int(0, 12); left > 0; left--) {
    const key = Uint8Array.of(random.int(1, 8), ...randomBytes(random, random.int(0, 4)));
    rows.set(Buffer.from(key).toString('hex'), [key, randomBytes(random, random.int(0, 8))]);
  }
  return [...rows.values()].sort(([a], [b]) => compareBytes(a, b));
}

/** A key that an error message should not hold whole. */
function longKeys(): Uint8Array {
  const begin = new Uint8Array(20_000).fill(0x61);
  return withHeader([0, 0], encodeRangeFile({ begin, end: Uint8Array.of(0x62) }, [[begin, begin]], 1_048_576));
}

export const rangeFile: FuzzTarget = {
  name: 'range-file',
  weight: 20,
  form: 'bytes',
  maxBytes: 4096,
  // An accepted file is encoded again, by way of the encoder's staging block of 1.25 MiB.
  memory: { fixed: 1536 << 10, perByte: 256 },
  batch: 128,
  codes: ['CORRUPT_FILE', 'UNSUPPORTED_FORMAT'],
  dictionary: [
    Uint8Array.of(0xe9, 3, 0, 0),
    Uint8Array.of(0, 0, 0, 1, 1),
    Uint8Array.of(0, 0, 0, 1, 9),
    new Uint8Array(4),
  ],
  seeds(random) {
    const seeds = [longKeys()];
    for (const size of [0, 1, 2, 3, 6, 7]) {
      for (const knows of [0, 1]) {
        seeds.push(withHeader([size, knows], encodeRangeFile(RANGE, randomRows(random), BLOCK_SIZES[size] as number)));
      }
    }
    return seeds;
  },
  run(input) {
    const blockSize = BLOCK_SIZES[(input[0] ?? 0) % BLOCK_SIZES.length] as number;
    const range = (input[1] ?? 0) % 2 === 0 ? undefined : RANGE;
    const bytes = input.subarray(2);
    const file = { name: 'kvranges/range', blockSize, range };
    const content = checked(() => decodeRangeFile(bytes, file), bytes.length);
    const rows = content.rows.map(([key, value]) => [hex(key), hex(value)] as const);
    const slow = readRangeFile(bytes, blockSize);
    mustEqual(rows, slow.rows, 'rows, the slow reader has others');
    mustEqual(
      [hex(content.range.begin), hex(content.range.end)],
      [hex(slow.range.begin), hex(slow.range.end)],
      'range',
    );
    checkOrder(content.rows, content.range);
    mustEqual(readInRuns(bytes, file, 1), rows, 'block by block');
    mustEqual(readInRuns(bytes, file, 2), rows, 'two blocks at a time');
    const again = decodeRangeFile(encodeRangeFile(content.range, content.rows, 1_048_576), {
      name: 'again',
      blockSize: 1_048_576,
    });
    mustEqual(again, content, 'encoded and decoded again');
    return 'accepted';
  },
};

function checked<T>(decode: () => T, size: number): T {
  try {
    return decode();
  } catch (error) {
    if (BackupError.is(error)) {
      const { file, offset } = error;
      must(
        file !== undefined && offset !== undefined && offset >= 0 && offset <= size,
        `offset ${String(offset)} of ${size}`,
      );
    }
    throw error;
  }
}

function checkOrder(rows: readonly (readonly [Uint8Array, Uint8Array])[], range: KeyRange): void {
  let before: Uint8Array | undefined;
  for (const [key] of rows) {
    must(
      compareBytes(key, range.begin) >= 0 && compareBytes(key, range.end) < 0,
      `key ${hex(key)} is outside the range`,
    );
    must(before === undefined || compareBytes(before, key) < 0, `key ${hex(key)} is out of order`);
    before = key;
  }
}

function readInRuns(
  bytes: Uint8Array,
  file: { readonly name: string; readonly blockSize: number; readonly range: KeyRange | undefined },
  blocks: number,
): unknown[] {
  const reader = new RangeFileReader({ ...file, size: bytes.length });
  const rows: unknown[] = [];
  while (reader.nextOffset < bytes.length) {
    // A copy: the run before may be written over.
    reader.load(bytes.slice(reader.nextOffset, reader.nextOffset + blocks * file.blockSize));
    while (reader.next()) rows.push([hex(reader.key()), hex(reader.value())]);
    reader.bytes.fill(0xa5, 0, 0);
  }
  return rows;
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex');
}
