import { readFileSync } from 'node:fs';
import path from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { evaluateAtomic } from '../../src/core/atomic.js';
import { fromHex, toHex, utf8 } from '../../src/core/bytes.js';
import { BackupError } from '../../src/core/errors.js';
import type { Mutation } from '../../src/core/mutation.js';
import { MutationType } from '../../src/core/mutation.js';
import { FileSumsBuilder, checkBlocks } from '../../src/format/fdb/file-sums.js';
import { LogRecordReader } from '../../src/format/fdb/log-file-decoder.js';
import { parseRangeFileName, parseUnpartitionedLogFileName } from '../../src/format/fdb/names.js';
import { decodeRangeFile } from '../../src/format/fdb/range-file-decoder.js';
import { convertUnpartitionedLog, hashOfSecond } from '../../src/format/fdb/unpartitioned-log.js';
import { digestRows, filesBelow, goldenContainer, goldenFolder, goldenRows } from './golden.js';

const NAME = 'logs/0000/0000/log,1000,9000000,abababababababababababababababab,200';
const FILE = { name: NAME, begin: 1000n, end: 9_000_000n, blockSize: 200 };
const PROTOCOL = 0x0fdb00b062000001n;

interface Version {
  readonly version: bigint;
  readonly mutations: readonly { readonly type: number; readonly param1: Uint8Array; readonly param2: Uint8Array }[];
}

interface Entry {
  readonly version: bigint;
  readonly part: number;
  readonly value: Uint8Array;
  readonly hash?: number;
}

function u32(value: number, littleEndian = true): Buffer {
  const bytes = Buffer.alloc(4);
  if (littleEndian) bytes.writeUInt32LE(value);
  else bytes.writeUInt32BE(value);
  return bytes;
}

function textOf({ mutations }: Version, protocol = PROTOCOL): Buffer {
  const body = mutations.flatMap(({ type, param1, param2 }) => [
    u32(type),
    u32(param1.length),
    u32(param2.length),
    param1,
    param2,
  ]);
  const bytes = Buffer.concat(body);
  const head = Buffer.alloc(8);
  head.writeBigUInt64LE(protocol);
  return Buffer.concat([head, u32(bytes.length), bytes]);
}

/** The entries of a version, its text cut into parts. */
function entriesOf(version: Version, partBytes: number): Entry[] {
  const text = textOf(version);
  const entries: Entry[] = [];
  for (let at = 0; at < text.length; at += partBytes) {
    entries.push({
      version: version.version,
      part: entries.length,
      value: text.subarray(at, at + partBytes),
    });
  }
  return entries;
}

function fileOf(entries: readonly Entry[], blockSize = FILE.blockSize): Buffer {
  let file = Buffer.alloc(0);
  let room = 0;
  for (const { version, part, value, hash } of entries) {
    const key = Buffer.alloc(13);
    key[0] = hash ?? hashOfSecond(Number(version / 1_000_000n));
    key.writeBigInt64BE(version, 1);
    key.writeUInt32BE(part, 9);
    const entry = Buffer.concat([u32(13, false), key, u32(value.length, false), value]);
    if (entry.length > room) {
      file = Buffer.concat([file, Buffer.alloc(room, 0xff), u32(2001)]);
      room = blockSize - 4;
    }
    expect(entry.length).toBeLessThanOrEqual(room);
    file = Buffer.concat([file, entry]);
    room -= entry.length;
  }
  return file;
}

function recordsOf(bytes: Uint8Array, file: Omit<LogRecordReader['file'], 'size'> = FILE) {
  const log = convertUnpartitionedLog(bytes, file);
  const records: { version: bigint; subsequence: number; mutation: Mutation }[] = [];
  if (log.bytes.length === 0) return records;
  const reader = new LogRecordReader(log.file);
  reader.load(log.bytes);
  while (reader.next()) {
    records.push({ version: reader.version, subsequence: reader.subsequence, mutation: reader.mutation() });
  }
  return records;
}

function lines(records: ReturnType<typeof recordsOf>): string[] {
  return records.map(
    ({ version, subsequence, mutation: { type, param1, param2 } }) =>
      `${version} ${subsequence} ${type} ${toHex(param1)} ${toHex(param2)}`,
  );
}

const set = (key: string, value: string) => ({ type: 0, param1: utf8(key), param2: utf8(value) });
const corruptAt = (offset: number, code = 'CORRUPT_FILE') =>
  expect.objectContaining({ code, file: NAME, offset }) as Error;

describe('an unpartitioned log', () => {
  it('gives its records by version, whatever the order of its entries and the size of its parts', () => {
    const mutation = fc.record({
      type: fc.constantFrom(0, 2, 6, 7, 8, 9, 12, 13, 16, 17, 18, 19, 20),
      param1: fc.uint8Array({ maxLength: 12 }),
      param2: fc.uint8Array({ maxLength: 300 }),
    });
    const versions = fc.uniqueArray(
      fc.record({
        version: fc.bigInt({ min: FILE.begin, max: FILE.end - 1n }),
        mutations: fc.array(mutation, { maxLength: 4 }),
      }),
      { selector: ({ version }) => version, maxLength: 6 },
    );
    fc.assert(
      fc.property(versions, fc.integer({ min: 1, max: 170 }), fc.infiniteStream(fc.nat()), (list, partBytes, order) => {
        const entries = list
          .flatMap((version) => entriesOf(version, partBytes))
          .map((entry) => ({ entry, place: order.next().value as number }))
          .sort((a, b) => a.place - b.place)
          .map(({ entry }) => entry);
        const expected = [...list]
          .sort((a, b) => (a.version < b.version ? -1 : 1))
          .flatMap(({ version, mutations }) =>
            mutations.map((m, i) => `${version} ${i} ${m.type} ${toHex(m.param1)} ${toHex(m.param2)}`),
          );
        expect(lines(recordsOf(fileOf(entries)))).toEqual(expected);
      }),
    );
  });

  it('of 0 bytes has no records', () => {
    expect(recordsOf(new Uint8Array(0))).toEqual([]);
  });

  it('reads clears of one key, long and short, and mutations with a checksum', () => {
    const mutations = [
      { type: 1, param1: utf8('k'), param2: utf8('k\0') },
      { type: 1, param1: utf8('k\0'), param2: utf8('') },
      { type: 1, param1: utf8('a'), param2: utf8('z') },
    ];
    const cleared = ['6b 6b00', '6b 6b00', '61 7a'];
    expect(lines(recordsOf(fileOf(entriesOf({ version: 5000n, mutations }, 150))))).toEqual(
      cleared.map((keys, i) => `5000 ${i} 1 ${keys}`),
    );
    const bad = { type: 0x80, param1: utf8('k'), param2: Uint8Array.of(1, 2, 3, 4) };
    expect(() => recordsOf(fileOf(entriesOf({ version: 5000n, mutations: [bad] }, 150)))).toThrow(
      corruptAt(4 + 21 + 12, 'CHECKSUM_MISMATCH'),
    );
  });
});

describe('an unpartitioned log is refused', () => {
  const versions: Version[] = [
    { version: 2_000_001n, mutations: [set('b', 'two'), set('c', 'x'.repeat(150))] },
    { version: 2000n, mutations: [set('a', 'one')] },
  ];
  const entries = versions.flatMap((version) => entriesOf(version, 100));
  const bytes = fileOf(entries);
  const [first] = entries as [Entry];
  const sums = (() => {
    const builder = new FileSumsBuilder(512);
    builder.update(bytes);
    return builder.build();
  })();
  const mismatch = expect.objectContaining({ code: 'CHECKSUM_MISMATCH', file: NAME }) as Error;

  it('never as it is', () => {
    expect(recordsOf(bytes).length).toBe(3);
    checkBlocks(sums, NAME, 0, bytes);
  });

  it('after every cut inside an entry or a version, and by its checksums after every cut', () => {
    let accepted = 0;
    for (let length = 1; length < bytes.length; length++) {
      expect(() => checkBlocks(sums, NAME, 0, bytes.subarray(0, length))).toThrow(mismatch);
      try {
        // A whole version fewer: nothing in the file tells.
        expect(recordsOf(bytes.subarray(0, length)).length).toBeLessThan(3);
        accepted++;
      } catch (error) {
        expect(error).toEqual(expect.objectContaining({ name: 'BackupError', file: NAME }));
      }
    }
    expect(accepted).toBeLessThan(10);
  });

  it('after every flipped bit of the structure, and by its checksums after every flip', () => {
    const before = lines(recordsOf(bytes));
    let refused = 0;
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      const damaged = Buffer.from(bytes);
      damaged[bit >> 3]! ^= 1 << (bit & 7);
      expect(() => checkBlocks(sums, NAME, 0, damaged)).toThrow(mismatch);
      try {
        // A version, a type, a byte of a key or a value may be another one of the same length; a border between key and value another place.
        const after = lines(recordsOf(damaged));
        expect(after.join('').length).toBeCloseTo(before.join('').length, -1);
      } catch (error) {
        if (!BackupError.is(error)) throw error;
        expect(error.file).toBe(NAME);
        expect(error.offset).toBeLessThanOrEqual(bytes.length);
        refused++;
      }
    }
    expect(refused).toBeGreaterThan(500);
  });

  it.each([
    ['half a block head', 'd107', 0, 'CORRUPT_FILE'],
    ['another block version', 'd2070000', 0, 'UNSUPPORTED_FORMAT'],
    ['half a key', 'd10700000000000d', 4, 'CORRUPT_FILE'],
    ['a key of 12 bytes', `d10700000000000c${'00'.repeat(20)}`, 4, 'CORRUPT_FILE'],
    ['a key of almost 4 GiB', `d1070000fefffffe${'00'.repeat(20)}`, 4, 'CORRUPT_FILE'],
    ['padding with another byte in it', 'd1070000ffff00', 6, 'CORRUPT_FILE'],
  ])('with %s', (_, hex, offset, code) => {
    expect(() => recordsOf(fromHex(hex))).toThrow(corruptAt(offset, code));
  });

  it('with a value of almost 4 GiB', () => {
    const damaged = Buffer.from(bytes);
    damaged.writeUInt32BE(0xfefffffe, 4 + 17);
    expect(() => recordsOf(damaged)).toThrow(corruptAt(4));
  });

  it.each([
    ['a version below the file’s', { version: 999n }],
    ['a version beyond the file’s', { version: 9_000_000n }],
    ['a version below zero', { version: -5n }],
    ['another version’s hash', { hash: hashOfSecond(3) }],
    ['no first part', { part: 1 }],
    ['a part far away', { part: 0xffffffff }],
  ])('with %s', (_, change) => {
    expect(() => recordsOf(fileOf([{ ...first, ...change }]))).toThrow(corruptAt(4));
  });

  it('with a part that is missing or there twice', () => {
    expect(() => recordsOf(fileOf([entries[0]!, entries[2]!]))).toThrow(BackupError);
    expect(() => recordsOf(fileOf([entries[0]!, entries[1]!, entries[1]!, entries[2]!]))).toThrow(
      expect.objectContaining({ code: 'CORRUPT_FILE', offset: 404 }) as Error,
    );
  });

  const withText = (value: Uint8Array) => fileOf([{ version: 2000n, part: 0, value }]);
  const text = textOf(versions[1]!);

  it.each([0x0fdb00a200090001n, 0x0fdb00a200080000n, 0n, 0x1fdb00b062000001n, 0xffffffffffffffffn])(
    'with the protocol version %s',
    (protocol) => {
      expect(() => recordsOf(withText(textOf(versions[1]!, protocol)))).toThrow(corruptAt(25, 'UNSUPPORTED_FORMAT'));
    },
  );

  it('with a text that is shorter or longer than it says, or cut off', () => {
    expect(() => recordsOf(withText(text.subarray(0, 11)))).toThrow(corruptAt(25));
    expect(() => recordsOf(withText(text.subarray(0, -1)))).toThrow(corruptAt(25));
    expect(() => recordsOf(withText(Buffer.concat([text, Buffer.alloc(1)])))).toThrow(corruptAt(25));
    const longer = Buffer.concat([text, Buffer.alloc(5)]);
    longer.writeUInt32LE(longer.length - 12, 8);
    expect(() => recordsOf(withText(longer))).toThrow(corruptAt(25 + text.length));
  });

  it.each([
    ['a key of almost 4 GiB', 16, 0xfffffffe],
    ['a value of almost 4 GiB', 20, 0xffffffff],
    ['a key that is a byte longer', 16, 2],
    ['a value that is a byte shorter', 20, 2],
  ])('with %s', (_, at, length) => {
    const damaged = Buffer.from(text);
    damaged.writeUInt32LE(length, at);
    expect(() => recordsOf(withText(damaged))).toThrow(
      expect.objectContaining({ code: 'CORRUPT_FILE', file: NAME }) as Error,
    );
  });

  it.each([3, 5, 11, 23, 24, 63, 256, 0xffffffff])('with a mutation of type %i', (type) => {
    const damaged = Buffer.from(text);
    damaged.writeUInt32LE(type, 12);
    expect(() => recordsOf(withText(damaged))).toThrow(corruptAt(25 + 12, 'INVALID_MUTATION'));
  });

  it('with a clear that begins a part', () => {
    const backward = { type: 1, param1: utf8('z'), param2: utf8('a') };
    const parts = entriesOf({ version: 2000n, mutations: [set('a', 'x'.repeat(75)), backward] }, 100);
    expect(() => recordsOf(fileOf(parts))).toThrow(corruptAt(4 + 21 + 100 + 21, 'INVALID_MUTATION'));
  });

  it('with a clear that runs backwards, named where it lies in a later part', () => {
    const backward = { type: 1, param1: utf8('z'), param2: utf8('a') };
    const parts = entriesOf({ version: 2000n, mutations: [set('a', 'x'.repeat(120)), backward] }, 100);
    expect(parts.length).toBe(2);
    // The clear begins 12 + 12 + 1 + 120 bytes into the text, 45 into its second part.
    expect(() => recordsOf(fileOf(parts))).toThrow(corruptAt(200 + 25 + 45, 'INVALID_MUTATION'));
  });
});

describe('the log of golden container mlog1', () => {
  const container = goldenContainer('mlog1');
  const skipped = container === undefined;

  /** All records of its two files. */
  function goldenRecords() {
    return filesBelow(container!)
      .filter((name) => name.startsWith('logs/'))
      .flatMap((name) => {
        const { begin, end, blockSize } = parseUnpartitionedLogFileName(name)!;
        return recordsOf(readFileSync(path.join(container!, name)), { name, begin, end, blockSize });
      });
  }

  it.skipIf(skipped)('is read to its last record (skipped where ../shared/golden is absent)', () => {
    const records = goldenRecords();
    expect(records.length).toBe(5015 + 2895);
    const known = new Set<number>(Object.values(MutationType));
    records.forEach(({ version, subsequence, mutation }, i) => {
      const before = records[i - 1];
      if (before?.version === version) expect(subsequence).toBe(before.subsequence + 1);
      else expect([subsequence, (before?.version ?? 0n) < version]).toEqual([0, true]);
      expect(known.has(mutation.type)).toBe(true);
    });
  });

  it.skipIf(skipped).each(['A', 'B'] as const)(
    'makes its first snapshot the rows that the database returned at version %s',
    (label) => {
      const folder = goldenFolder('mlog1')!;
      const target = BigInt(
        (JSON.parse(readFileSync(path.join(folder, 'expected.json'), 'utf8')) as Record<string, number>)[label]!,
      );
      const name = filesBelow(container!).find((file) => file.startsWith('kvranges/'))!;
      const { version: snapshotVersion, blockSize } = parseRangeFileName(name)!;
      const snapshot = decodeRangeFile(readFileSync(path.join(container!, name)), { name, blockSize });
      const rows = new Map(snapshot.rows.map(([key, value]) => [toHex(key), toHex(value)]));
      for (const { version, mutation } of goldenRecords()) {
        if (version > snapshotVersion && version <= target) apply(rows, mutation);
      }
      const found = [...rows].map(([key, value]) => `${key} ${value}\n`).sort();
      expect(digestRows(found.join(''))).toEqual(goldenRows('mlog1', label));
    },
  );

  function apply(rows: Map<string, string>, mutation: Mutation): void {
    const key = toHex(mutation.param1);
    if (mutation.type === MutationType.ClearRange) {
      const end = toHex(mutation.param2);
      for (const other of rows.keys()) if (other >= key && other < end) rows.delete(other);
      return;
    }
    if (mutation.type === MutationType.SetValue) {
      rows.set(key, toHex(mutation.param2));
      return;
    }
    const old = rows.get(key);
    const value = evaluateAtomic(mutation.type, old === undefined ? undefined : fromHex(old), mutation.param2);
    if (value === undefined) rows.delete(key);
    else rows.set(key, toHex(value));
  }
});
