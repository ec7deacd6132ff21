import { readFileSync } from 'node:fs';
import path from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { toHex } from '../../src/core/bytes.js';
import { crc32c } from '../../src/core/crc32c.js';
import type { BackupErrorCode } from '../../src/core/errors.js';
import { BackupError } from '../../src/core/errors.js';
import { encodeMutation } from '../../src/core/mutation.js';
import type { DecodedRecord } from '../../src/format/fdb/log-file-decoder.js';
import { LogRecordReader, decodeLogFile } from '../../src/format/fdb/log-file-decoder.js';
import { parseLogFileName } from '../../src/format/fdb/names.js';
import { add, clear, encodeLogFile, encodeRecord, set } from './encode-log-file.js';
import { filesBelow, goldenContainer, goldenFolder } from './golden.js';

const file = { name: 'plogs/0000/0000/log,10,100,…', begin: 10n, end: 100n, blockSize: 128 };

function refusal(bytes: Uint8Array, facts: Partial<typeof file> = {}): BackupError {
  try {
    for (const record of decodeLogFile(bytes, { ...file, ...facts })) expect(record.offset).toBeGreaterThan(0);
  } catch (error) {
    if (BackupError.is(error)) return error;
    throw error;
  }
  throw new Error('the file was accepted');
}

function expectRefusal(
  bytes: Uint8Array,
  code: BackupErrorCode,
  offset: number,
  facts: Partial<typeof file> = {},
): void {
  const error = refusal(bytes, facts);
  expect({ code: error.code, offset: error.offset, file: error.file }).toEqual({ code, offset, file: file.name });
  expect(error.message).toContain(file.name);
}

const one = { version: 10n, subsequence: 1, mutation: set('key', 'value') };
const recordBytes = encodeRecord(one).length; // 33

describe('LogRecordReader', () => {
  it('reads what was written, block after block', () => {
    const records = Array.from({ length: 20 }, (_, i) => ({
      version: BigInt(10 + Math.floor(i / 3)),
      subsequence: i,
      mutation: i % 4 === 0 ? clear(`k${i}`, `k${i}z`) : i % 4 === 1 ? add(`n${i}`, i) : set(`k${i}`, 'v'.repeat(i)),
    }));
    const bytes = encodeLogFile(records, 128);
    expect(bytes.length).toBeGreaterThan(4 * 128);
    expect([...decodeLogFile(bytes, file)].map(({ offset: _, ...record }) => plain(record))).toEqual(
      records.map(plain),
    );
  });

  it('gives the offset of every record', () => {
    const bytes = encodeLogFile(
      [one, { ...one, subsequence: 2 }, { ...one, subsequence: 3 }, { ...one, subsequence: 4 }],
      128,
    );
    expect([...decodeLogFile(bytes, file)].map((record) => record.offset)).toEqual([4, 37, 70, 132]);
  });

  it('reads an empty file as no records', () => {
    expect([...decodeLogFile(new Uint8Array(0), file)]).toEqual([]);
  });

  it('expands a clear that is stored short', () => {
    const [record] = [
      ...decodeLogFile(encodeLogFile([{ ...one, mutation: clear('a', 'a\0') }]), { ...file, blockSize: 1_048_576 }),
    ];
    expect(plain(record!)).toEqual(plain({ ...one, mutation: clear('a', 'a\0') }));
  });

  it('P18: keeps every record of a pair that repeats (a clear clipped to several ranges)', () => {
    const records = [clear('a', 'b'), clear('d', 'e'), clear('x', 'y')].map((mutation) => ({
      version: 12n,
      subsequence: 7,
      mutation,
    }));
    expect([...decodeLogFile(encodeLogFile(records), { ...file, blockSize: 1_048_576 })]).toHaveLength(3);
  });

  it('reads versions beyond 2^53 exactly', () => {
    const begin = (1n << 62n) + 1n;
    const records = [0n, 1n, 3n].map((i) => ({ ...one, version: begin + i }));
    const facts = { ...file, begin, end: begin + 4n };
    expect([...decodeLogFile(encodeLogFile(records, 128), facts)].map((r) => r.version)).toEqual(
      records.map((r) => r.version),
    );
    expectRefusal(encodeLogFile(records, 128), 'CORRUPT_FILE', 70, { ...facts, end: begin + 3n });
    expectRefusal(encodeLogFile(records, 128), 'CORRUPT_FILE', 4, { ...facts, begin: begin + 1n });
  });

  it('accepts a last block with padding, which ends a block wherever it is', () => {
    const bytes = Buffer.concat([encodeLogFile([one]), Buffer.alloc(5, 0xff)]);
    expect([...decodeLogFile(bytes, file)]).toHaveLength(1);
  });

  describe('refuses', () => {
    it('an unknown block version', () => {
      const bytes = encodeLogFile([one]);
      bytes.writeUInt32LE(2001, 0);
      expectRefusal(bytes, 'UNSUPPORTED_FORMAT', 0);
    });

    it('an unknown version of a later block', () => {
      const bytes = encodeLogFile(
        [1, 2, 3, 4].map((subsequence) => ({ ...one, subsequence })),
        128,
      );
      bytes.writeUInt32LE(4111, 128);
      expectRefusal(bytes, 'UNSUPPORTED_FORMAT', 128);
    });

    it('padding that holds another byte', () => {
      const bytes = encodeLogFile(
        [1, 2, 3, 4].map((subsequence) => ({ ...one, subsequence })),
        128,
      );
      bytes[120] = 0xfe;
      expectRefusal(bytes, 'CORRUPT_FILE', 120);
    });

    it('zeros where a record or padding should be', () => {
      const bytes = encodeLogFile(
        [1, 2, 3, 4].map((subsequence) => ({ ...one, subsequence })),
        128,
      );
      bytes.fill(0, 4 + 3 * recordBytes, 128);
      expectRefusal(bytes, 'CORRUPT_FILE', 4 + 3 * recordBytes);
    });

    it('a file cut at any byte within a record', () => {
      const bytes = encodeLogFile([one, { ...one, subsequence: 2 }]);
      for (let length = 4 + recordBytes + 1; length < bytes.length; length++) {
        expectRefusal(bytes.subarray(0, length), 'CORRUPT_FILE', 4 + recordBytes);
      }
      for (let length = 1; length < 4; length++) expectRefusal(bytes.subarray(0, length), 'CORRUPT_FILE', 0);
    });

    it('a record that reaches beyond its block', () => {
      const bytes = encodeLogFile(
        [1, 2, 3, 4].map((subsequence) => ({ ...one, subsequence })),
        128,
      );
      bytes.writeUInt32BE(60, 4 + 2 * recordBytes + 12);
      expectRefusal(bytes, 'CORRUPT_FILE', 4 + 2 * recordBytes);
    });

    it.each([
      ['a version that goes back', { version: 11n, subsequence: 1 }, { version: 10n, subsequence: 5 }],
      ['a subsequence that goes back', { version: 11n, subsequence: 5 }, { version: 11n, subsequence: 4 }],
      ['a version below the begin', { version: 10n, subsequence: 1 }, { version: 9n, subsequence: 1 }],
      ['a version at the end', { version: 10n, subsequence: 1 }, { version: 100n, subsequence: 1 }],
      [
        'a version with its upper half wrong',
        { version: 10n, subsequence: 1 },
        { version: (1n << 32n) + 20n, subsequence: 1 },
      ],
    ])('%s', (_, first, second) => {
      const records = [first, second].map((place) => ({ ...one, ...place }));
      expectRefusal(encodeLogFile(records), 'CORRUPT_FILE', 4 + recordBytes);
    });

    it('a first record below the begin and a negative version', () => {
      expectRefusal(encodeLogFile([{ ...one, version: 9n }]), 'CORRUPT_FILE', 4);
      expectRefusal(encodeLogFile([{ ...one, version: -(1n << 62n) }]), 'CORRUPT_FILE', 4);
    });

    it('an order that breaks at the edge of a block', () => {
      const bytes = encodeLogFile(
        [5, 6, 7, 4].map((subsequence) => ({ ...one, subsequence })),
        128,
      );
      expectRefusal(bytes, 'CORRUPT_FILE', 132);
    });

    it.each([
      ['too short for a mutation', Buffer.alloc(8)],
      ['with a param1 longer than itself', withLength(5 - 4, 1000)],
      ['with params shorter than itself', withLength(5 - 4, 2)],
      ['with a length of 2^32 - 1', withLength(5 - 4, 0xffffffff)],
    ])('a mutation %s', (_, mutation) => {
      expectRefusal(encodeLogFile([{ ...one, mutation }]), 'CORRUPT_FILE', 4);
    });

    it.each([3, 4, 5, 10, 11, 21, 22, 23, 24, 63])('mutation type %i', (type) => {
      const mutation = encodeMutation(set('key', 'value'));
      mutation[0] = type;
      expectRefusal(encodeLogFile([{ ...one, mutation }]), 'INVALID_MUTATION', 4);
    });

    it('a checksum that is wrong, and accepts one that is right', () => {
      const good = withChecksum(0);
      const [record] = [...decodeLogFile(encodeLogFile([{ ...one, mutation: good }]), file)];
      expect(plain(record!)).toEqual(plain(one));
      expectRefusal(encodeLogFile([{ ...one, mutation: withChecksum(1) }]), 'CHECKSUM_MISMATCH', 4);
    });
  });

  it('never accepts other bytes, hangs or throws anything else when bytes are damaged', () => {
    const records = Array.from({ length: 12 }, (_, i) => ({
      version: 20n + BigInt(i),
      subsequence: i,
      mutation: set(`key${i}`, `v${i}`),
    }));
    const good = encodeLogFile(records, 128);
    fc.assert(
      fc.property(
        fc.nat(good.length - 1),
        fc.integer({ min: 0, max: 255 }),
        fc.nat(good.length),
        (at, byte, length) => {
          const bytes = Buffer.from(good.subarray(0, length));
          if (at < length) bytes[at] = byte;
          let read: DecodedRecord[] = [];
          try {
            read = [...decodeLogFile(bytes, file)];
          } catch (error) {
            expect(BackupError.is(error)).toBe(true);
            expect((error as BackupError).offset).toBeLessThanOrEqual(length);
          }
          expect(read.length).toBeLessThanOrEqual(records.length);
        },
      ),
      { numRuns: 500 },
    );
  });

  it('can be fed a few blocks at a time', () => {
    const records = Array.from({ length: 30 }, (_, i) => ({
      version: 20n + BigInt(i),
      subsequence: i,
      mutation: set(`key${i}`, `v${i}`),
    }));
    const bytes = encodeLogFile(records, 128);
    for (const step of [128, 256, 1280]) {
      const reader = new LogRecordReader({ ...file, size: bytes.length });
      const versions: bigint[] = [];
      while (reader.nextOffset < bytes.length) {
        reader.load(bytes.subarray(reader.nextOffset, reader.nextOffset + step));
        while (reader.next()) versions.push(reader.version);
      }
      expect(versions).toEqual(records.map((record) => record.version));
    }
  });
});

describe('golden container small3', () => {
  const container = goldenContainer('small3')!;

  it('has exactly the records that an independent decoder found, one by one', () => {
    const expected = readFileSync(path.join(goldenFolder('small3')!, 'mutations.txt'), 'utf8')
      .trimEnd()
      .split('\n');
    const read: DecodedRecord[] = [];
    for (const name of filesBelow(container)) {
      const descriptor = parseLogFileName(name);
      if (descriptor !== undefined)
        read.push(...decodeLogFile(readFileSync(path.join(container, name)), { ...descriptor, name }));
    }
    read.sort((a, b) => Number(a.version - b.version) || a.subsequence - b.subsequence);
    const lines = read.map(({ version, subsequence, mutation }) =>
      [version, subsequence, mutation.type, toHex(mutation.param1), toHex(mutation.param2)].join(' '),
    );
    expect(lines.length).toBe(expected.length);
    for (let i = 0; i < lines.length; i++) expect(lines[i]).toBe(expected[i]);
  });
});

describe.each(['plog1', 'plog3'] as const)('golden container %s', (name) => {
  const container = goldenContainer(name);

  it.skipIf(container === undefined)('decodes whole, every file (skipped where ../shared/golden is absent)', () => {
    let records = 0;
    for (const file of filesBelow(container!)) {
      const descriptor = parseLogFileName(file);
      if (descriptor === undefined) continue;
      for (const record of decodeLogFile(readFileSync(path.join(container!, file)), { ...descriptor, name: file })) {
        records++;
        expect(record.version).toBeLessThan(descriptor.end);
      }
    }
    expect(records).toBeGreaterThan(1000);
  });
});

function plain(record: {
  version: bigint;
  subsequence: number;
  mutation: { type: number; param1: Uint8Array; param2: Uint8Array };
}): string {
  const { type, param1, param2 } = record.mutation;
  return [record.version, record.subsequence, type, toHex(param1), toHex(param2)].join(' ');
}

/** The mutation set('key', 'value') with another u32 LE at `at`. */
function withLength(at: number, length: number): Buffer {
  const mutation = Buffer.from(encodeMutation(set('key', 'value')));
  mutation.writeUInt32LE(length, at);
  return mutation;
}

function withChecksum(error: number): Buffer {
  const plainMutation = Buffer.from(encodeMutation(set('key', 'value')));
  const crc = Buffer.alloc(4);
  crc.writeUInt32LE((crc32c(Buffer.from('value'), crc32c(Buffer.from('key'), 0)) + error) >>> 0);
  const mutation = Buffer.concat([plainMutation, crc]);
  mutation[0] = 0x80;
  mutation.writeUInt32LE(5 + 4, 8);
  return mutation;
}
