// Log files of both formats, and single mutations. Each answer is held against a slow reader that shares no code with the library.

import type { Mutation } from '../../../src/core/mutation.js';
import { CHECKSUM_FLAG, CHECKSUM_INDEX_FLAG, decodeMutation, encodeMutation } from '../../../src/core/mutation.js';
import { crc32c } from '../../../src/core/crc32c.js';
import { MAX_VERSION } from '../../../src/core/version.js';
import type { DecodedLogFile, DecodedRecord } from '../../../src/format/fdb/log-file-decoder.js';
import { LogRecordReader, decodeLogFile } from '../../../src/format/fdb/log-file-decoder.js';
import { convertUnpartitionedLog, hashOfSecond } from '../../../src/format/fdb/unpartitioned-log.js';
import { BackupError } from '../../../src/core/errors.js';
import type { SimRandom } from '../../../src/testing/simulation/random.js';
import { readLogRecords } from '../../../src/testing/simulation/read-log-file.js';
import { encodeLogFile } from '../../format/encode-log-file.js';
import type { TestRecord } from '../../format/encode-log-file.js';
import { randomBytes } from '../mutate.js';
import type { FuzzTarget } from '../target.js';
import { must, mustEqual } from '../target.js';
import { readUnpartitioned } from './slow-unpartitioned.js';
import { withHeader } from './inputs.js';

const BLOCK_SIZES = [1_048_576, 64, 100, 256, 5, 20, 4096, 1 << 30];
const VERSION_RANGES: readonly (readonly [bigint, bigint])[] = [
  [1000n, 9_000_000n],
  [0n, MAX_VERSION],
  [0n, 1n],
  [(1n << 32n) - 3n, (1n << 32n) + 3n],
  [(1n << 53n) - 3n, (1n << 53n) + 3n],
  [MAX_VERSION - 3n, MAX_VERSION],
];
const STORED_TYPES = [0, 0, 0, 1, 1, 2, 6, 7, 8, 9, 12, 13, 14, 15, 16, 17, 18, 19, 20] as const;
const CODES = ['CORRUPT_FILE', 'UNSUPPORTED_FORMAT', 'INVALID_MUTATION', 'CHECKSUM_MISMATCH'] as const;

/** The first two bytes of an input say what the file's name would. */
function fileOf(input: Uint8Array, name: string): Omit<DecodedLogFile, 'size'> {
  const [begin, end] = VERSION_RANGES[(input[1] ?? 0) % VERSION_RANGES.length] as readonly [bigint, bigint];
  return { name, begin, end, blockSize: BLOCK_SIZES[(input[0] ?? 0) % BLOCK_SIZES.length] as number };
}

export function randomStoredMutation(random: SimRandom): Mutation {
  const type = random.pick(STORED_TYPES);
  const param1 = randomBytes(random, random.int(0, 6));
  const param2 = randomBytes(random, random.int(0, 9));
  if (type !== 1) return { type, param1, param2 };
  if (random.chance(0.5)) return { type, param1, param2: Uint8Array.of(...param1, 0) };
  return Buffer.compare(param1, param2) < 0 ? { type, param1, param2 } : { type, param1: param2, param2: param1 };
}

/** With the checksum that newer databases put behind param2. */
export function withChecksum(mutation: Mutation, index: boolean): Uint8Array {
  const plain = encodeMutation(mutation);
  const trailer = Buffer.alloc(index ? 6 : 4);
  trailer.writeUInt32LE(crc32c(mutation.param2, crc32c(mutation.param1, mutation.type)));
  const bytes = Buffer.concat([plain, trailer]);
  const length1 = bytes.readUInt32LE(1);
  bytes.writeUInt32LE(bytes.readUInt32LE(5 + length1) + trailer.length, 5 + length1);
  bytes[0] = mutation.type | CHECKSUM_FLAG | (index ? CHECKSUM_INDEX_FLAG : 0);
  return bytes;
}

function randomRecords(random: SimRandom, [begin, end]: readonly [bigint, bigint]): TestRecord[] {
  const records: TestRecord[] = [];
  let version = begin;
  let subsequence = 0;
  for (let left = random.int(1, 12); left > 0; left--) {
    if (random.chance(0.5) && version + 1n < end) {
      version += BigInt(random.int(1, Number(end - version > 1000n ? 1000n : end - version - 1n) || 1));
      subsequence = 0;
    }
    if (version >= end) break;
    const mutation = randomStoredMutation(random);
    const isPlain = mutation.type === 1 || random.chance(0.8);
    records.push({ version, subsequence, mutation: isPlain ? mutation : withChecksum(mutation, random.chance(0.5)) });
    subsequence += random.int(0, 2);
  }
  return records;
}

export const logFile: FuzzTarget = {
  name: 'log-file',
  weight: 20,
  form: 'bytes',
  maxBytes: 4096,
  memory: { fixed: 256 << 10, perByte: 256 },
  batch: 128,
  codes: CODES,
  dictionary: [Uint8Array.of(0x0e, 0x10, 0, 0), new Uint8Array(8), Uint8Array.of(0xff, 0xff, 0xff, 0xff)],
  seeds(random) {
    const seeds = [withHeader([0, 0], new Uint8Array(0))];
    for (let range = 0; range < VERSION_RANGES.length; range++) {
      for (let size = 0; size < BLOCK_SIZES.length; size++) {
        if ([4, 5].includes(size)) continue;
        const records = randomRecords(random, VERSION_RANGES[range] as readonly [bigint, bigint]);
        seeds.push(withHeader([size, range], encodeLogFile(records, BLOCK_SIZES[size])));
      }
    }
    return seeds;
  },
  run(input) {
    const file = fileOf(input, 'plogs/0000/0000/log');
    const bytes = input.subarray(2);
    const records = checked(() => [...decodeLogFile(bytes, file)], bytes.length);
    compareRecords(records, bytes, file);
    mustEqual(readInRuns(bytes, file, 1), places(records), 'block by block');
    mustEqual(readInRuns(bytes, file, 3), places(records), 'three blocks at a time');
    return 'accepted';
  },
};

/** A refusal names a place in the file. */
function checked<T>(decode: () => T, size: number): T {
  try {
    return decode();
  } catch (error) {
    if (!BackupError.is(error)) throw error;
    must(error.file !== undefined, 'a refusal without the file');
    must(
      error.offset !== undefined && error.offset >= 0 && error.offset <= size,
      `offset ${String(error.offset)} of ${size}`,
    );
    throw error;
  }
}

function compareRecords(
  records: readonly DecodedRecord[],
  bytes: Uint8Array,
  file: Omit<DecodedLogFile, 'size'>,
): void {
  const slow = readLogRecords(bytes, file.blockSize);
  must(slow.length === records.length, `${records.length} records, the slow reader has ${slow.length}`);
  let before = { version: -1n, subsequence: 0 };
  records.forEach((record, i) => {
    const { version, subsequence, mutation } = record;
    const other = slow[i] as (typeof slow)[number];
    mustEqual([version, subsequence], [other.version, other.subsequence], `record ${i}`);
    must(version >= file.begin && version < file.end, `version ${version} is outside the file`);
    const inOrder = version > before.version || (version === before.version && subsequence >= before.subsequence);
    must(inOrder, `record ${i} is out of order`);
    before = record;
    const flagged: number = other.mutation.type;
    if ((flagged & (CHECKSUM_FLAG | CHECKSUM_INDEX_FLAG)) === 0) mustEqual(mutation, other.mutation, `mutation ${i}`);
    checkMutation(mutation);
  });
}

/** What came out goes in and comes out again. */
function checkMutation(mutation: Mutation): void {
  const { type, param1, param2 } = mutation;
  mustEqual(decodeMutation(encodeMutation(mutation)), { type, param1, param2 }, 'encoded and decoded again');
}

function places(records: readonly DecodedRecord[]): unknown[] {
  return records.map(({ version, subsequence, offset }) => [version, subsequence, offset]);
}

function readInRuns(bytes: Uint8Array, file: Omit<DecodedLogFile, 'size'>, blocks: number): unknown[] {
  const reader = new LogRecordReader({ ...file, size: bytes.length });
  const found: unknown[] = [];
  while (reader.nextOffset < bytes.length) {
    reader.load(bytes.subarray(reader.nextOffset, reader.nextOffset + blocks * file.blockSize));
    while (reader.next()) found.push([reader.version, reader.subsequence, reader.recordOffset]);
  }
  return found;
}

export const mutation: FuzzTarget = {
  name: 'mutation',
  weight: 12,
  form: 'bytes',
  maxBytes: 512,
  memory: { fixed: 64 << 10, perByte: 64 },
  batch: 256,
  codes: ['INVALID_MUTATION', 'CHECKSUM_MISMATCH'],
  seeds: (random) =>
    Array.from({ length: 60 }, (_, i) => {
      const seed = randomStoredMutation(random);
      return i % 3 === 0 ? withChecksum(seed, i % 2 === 0) : encodeMutation(seed);
    }),
  run(input) {
    const decoded = decodeMutation(input);
    checkMutation(decoded);
    const again = encodeMutation(decoded);
    const isPlain = ((input[0] as number) & (CHECKSUM_FLAG | CHECKSUM_INDEX_FLAG)) === 0;
    // A clear of one key is written short, and may have been read long.
    if (isPlain && decoded.type !== 1) mustEqual(again, input, 'encoded again');
    else must(again.length <= input.length, 'encoded again it is longer');
    return 'accepted';
  },
};

const PROTOCOLS = [0x0fdb00b062000001n, 0x0fdb00b073000000n, 0x0fdb00a200090001n, 0x0fdb00a200090002n];

function unpartitionedFile(random: SimRandom, blockSize: number, [begin, end]: readonly [bigint, bigint]): Uint8Array {
  const entries: Buffer[] = [];
  for (let left = random.int(1, 5); left > 0; left--) {
    const span = end - begin > 5_000_000n ? 5_000_000 : Number(end - begin);
    const version = begin + BigInt(random.int(0, span - 1));
    const text = unpartitionedText(random);
    const most = blockSize - 4 - 21;
    const part = Math.max(1, random.chance(0.5) ? most : random.int(1, Math.min(most, 40)));
    for (let at = 0, i = 0; at < text.length; at += part, i++)
      entries.push(entryOf(version, i, text.subarray(at, at + part)));
  }
  return intoBlocks(random.chance(0.5) ? entries : random.shuffle(entries), blockSize);
}

function unpartitionedText(random: SimRandom): Buffer {
  const mutations = Array.from({ length: random.int(0, 3) }, () => {
    const { type, param1, param2 } = randomStoredMutation(random);
    const head = Buffer.alloc(12);
    head.writeUInt32LE(type);
    head.writeUInt32LE(param1.length, 4);
    head.writeUInt32LE(param2.length, 8);
    return Buffer.concat([head, param1, param2]);
  });
  const body = Buffer.concat(mutations);
  const head = Buffer.alloc(12);
  head.writeBigUInt64LE(random.pick(PROTOCOLS));
  head.writeUInt32LE(body.length, 8);
  return Buffer.concat([head, body]);
}

function entryOf(version: bigint, part: number, value: Uint8Array): Buffer {
  const head = Buffer.alloc(21);
  head.writeUInt32BE(13);
  head[4] = hashOfSecond(Number(BigInt.asUintN(32, version / 1_000_000n)));
  head.writeBigInt64BE(version, 5);
  head.writeUInt32BE(part, 13);
  head.writeUInt32BE(value.length, 17);
  return Buffer.concat([head, value]);
}

function intoBlocks(entries: readonly Buffer[], blockSize: number): Uint8Array {
  const pieces: Buffer[] = [];
  let room = 0;
  for (const entry of entries) {
    if (entry.length > room) {
      pieces.push(Buffer.alloc(room, 0xff), Buffer.from([0xd1, 0x07, 0, 0]));
      room = blockSize - 4;
    }
    pieces.push(entry);
    room -= entry.length;
  }
  return Buffer.concat(pieces);
}

export const unpartitionedLog: FuzzTarget = {
  name: 'unpartitioned-log',
  weight: 10,
  form: 'bytes',
  maxBytes: 4096,
  memory: { fixed: 256 << 10, perByte: 256 },
  batch: 128,
  codes: CODES,
  dictionary: [
    Uint8Array.of(0xd1, 7, 0, 0),
    Uint8Array.of(0, 0, 0, 13),
    Uint8Array.of(1, 0, 0, 0x62, 0xb0, 0, 0xdb, 0x0f),
  ],
  seeds(random) {
    const seeds: Uint8Array[] = [];
    for (const size of [0, 1, 2, 3, 6, 7, 0, 0, 0, 0]) {
      const range = random.int(0, VERSION_RANGES.length - 1);
      const bytes = unpartitionedFile(
        random,
        BLOCK_SIZES[size] as number,
        VERSION_RANGES[range] as readonly [bigint, bigint],
      );
      seeds.push(withHeader([size, range], bytes));
    }
    return seeds;
  },
  run(input) {
    const file = fileOf(input, 'logs/0000/0000/log');
    const bytes = input.subarray(2);
    const converted = checked(() => convertUnpartitionedLog(bytes, file), bytes.length);
    must(converted.bytes.length <= 4 + 3 * bytes.length, `${converted.bytes.length} bytes from ${bytes.length}`);
    const records = [...decodeLogFile(converted.bytes, converted.file)];
    const found = records.map(({ version, subsequence, mutation: { type, param1, param2 } }) => ({
      version,
      subsequence,
      type,
      param1,
      param2,
    }));
    const slow = readUnpartitioned(bytes, file.blockSize);
    must(found.length === slow.length, `${found.length} records, the slow reader has ${slow.length}`);
    found.forEach((record, i) => {
      const other = slow[i] as (typeof slow)[number];
      mustEqual([record.version, record.subsequence], [other.version, other.subsequence], `record ${i}`);
      if (other.type <= 0x3f && !(other.type === 1 && other.param2.length === 0))
        mustEqual(record, other, `record ${i}`);
    });
    return 'accepted';
  },
};
