import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { fromHex, toHex } from '../../../src/core/bytes.js';
import { BackupError } from '../../../src/core/errors.js';
import type { WriteRecord } from '../../../src/format/br/write-record.js';
import {
  MAX_SHORT_VALUE,
  WriteRecordReader,
  encodeWriteRecord,
  parseWriteRecord,
  plainWriteRecordLength,
  writePlainWriteRecord,
} from '../../../src/format/br/write-record.js';

const MAX_U64 = (1n << 64n) - 1n;
const u64 = fc.oneof(
  fc.bigInt(0n, MAX_U64),
  fc.constantFrom(0n, 127n, 128n, (1n << 28n) - 1n, 1n << 28n, 1n << 32n, 1n << 35n, MAX_U64),
);

const records = fc.record<WriteRecord>({
  type: fc.constantFrom('put', 'delete', 'lock', 'rollback'),
  startTs: u64,
  shortValue: fc.option(fc.uint8Array({ maxLength: MAX_SHORT_VALUE }), { nil: undefined }),
  overlappedRollback: fc.boolean(),
  gcFence: fc.option(u64, { nil: undefined }),
  lastChange: fc.option(fc.record({ ts: u64, versions: u64 }), { nil: undefined }),
  txnSource: fc.option(
    u64.filter((source) => source > 0n),
    { nil: undefined },
  ),
});

/** An encoder of its own, from the format's definition. */
function expected(record: WriteRecord): string {
  const varint = (value: bigint): string => {
    const byte = Number(value & 0x7fn);
    return value < 128n ? hexByte(byte) : hexByte(byte | 0x80) + varint(value >> 7n);
  };
  const hexByte = (byte: number) => byte.toString(16).padStart(2, '0');
  const fixed = (value: bigint) => value.toString(16).padStart(16, '0');
  const { startTs, shortValue, gcFence, lastChange, txnSource } = record;
  return [
    { put: '50', delete: '44', lock: '4c', rollback: '52' }[record.type] + varint(startTs),
    shortValue === undefined ? '' : `76${hexByte(shortValue.length)}${toHex(shortValue)}`,
    record.overlappedRollback === true ? '52' : '',
    gcFence === undefined ? '' : `46${fixed(gcFence)}`,
    lastChange === undefined ? '' : `6c${fixed(lastChange.ts)}${varint(lastChange.versions)}`,
    txnSource === undefined ? '' : `53${varint(txnSource)}`,
  ].join('');
}

const plain = { overlappedRollback: false, gcFence: undefined, lastChange: undefined, txnSource: undefined };

describe('write records', () => {
  it.each<[string, WriteRecord]>([
    ['5005', { ...plain, type: 'put', startTs: 5n, shortValue: undefined }],
    ['44ac02', { ...plain, type: 'delete', startTs: 300n, shortValue: undefined }],
    ['500576' + '03' + '616263', { ...plain, type: 'put', startTs: 5n, shortValue: fromHex('616263') }],
    ['50057600', { ...plain, type: 'put', startTs: 5n, shortValue: new Uint8Array(0) }],
    ['52ffffffffffffffffff01', { ...plain, type: 'rollback', startTs: MAX_U64, shortValue: undefined }],
    ['4c0052', { ...plain, type: 'lock', startTs: 0n, shortValue: undefined, overlappedRollback: true }],
    [
      '5001' + '46' + '0000000000000000' + '6c' + '0000000000000000' + '01' + '5303',
      {
        ...plain,
        type: 'put',
        startTs: 1n,
        shortValue: undefined,
        gcFence: 0n,
        lastChange: { ts: 0n, versions: 1n },
        txnSource: 3n,
      },
    ],
  ])('%s', (bytes, record) => {
    expect(parseWriteRecord(fromHex(bytes))).toEqual(record);
    expect(toHex(encodeWriteRecord(record))).toBe(bytes);
  });

  it('are written and read back with every part', () => {
    fc.assert(
      fc.property(records, (record) => {
        const bytes = encodeWriteRecord(record);
        expect(toHex(bytes)).toBe(expected(record));
        const back = parseWriteRecord(bytes);
        expect({ ...back, shortValue: back.shortValue?.slice() }).toEqual(record);
      }),
    );
  });

  it('end for us where a part is not known', () => {
    fc.assert(
      fc.property(records, fc.uint8Array({ maxLength: 10 }), (record, more) => {
        const bytes = Uint8Array.of(...encodeWriteRecord(record), 0x00, ...more);
        const back = parseWriteRecord(bytes);
        expect({ ...back, shortValue: back.shortValue?.slice() }).toEqual(record);
      }),
    );
  });

  it('of a commit are written without a bigint', () => {
    const to = new Uint8Array(plainWriteRecordLength(MAX_SHORT_VALUE));
    fc.assert(
      fc.property(u64, fc.option(fc.uint8Array({ maxLength: 255 }), { nil: undefined }), (startTs, shortValue) => {
        const high = Number(startTs >> 32n);
        const low = Number(startTs & 0xffff_ffffn);
        const type = shortValue === undefined ? 'delete' : 'put';
        const length = writePlainWriteRecord(type, high | 0, low, shortValue, to);
        expect(toHex(to.subarray(0, length))).toBe(expected({ type, startTs, shortValue }));
      }),
    );
  });

  it('are read one after the other with one reader', () => {
    const reader = new WriteRecordReader();
    fc.assert(
      fc.property(records, (record) => {
        reader.read(encodeWriteRecord(record));
        expect(reader.type).toBe(record.type);
        expect(reader.startTs).toBe(record.startTs);
        expect(reader.hasShortValue).toBe(record.shortValue !== undefined);
        expect(reader.shortValue?.slice()).toEqual(record.shortValue);
        expect(reader.overlappedRollback).toBe(record.overlappedRollback);
      }),
    );
  });

  it('lie in larger arrays, too', () => {
    const bytes = Uint8Array.of(1, 2, 3, ...encodeWriteRecord({ type: 'put', startTs: 9n, gcFence: 77n }));
    expect(parseWriteRecord(bytes.subarray(3))).toMatchObject({ startTs: 9n, gcFence: 77n });
  });

  it('a short value that is too long is refused', () => {
    expect(() => encodeWriteRecord({ type: 'put', startTs: 1n, shortValue: new Uint8Array(256) })).toThrow(
      expect.objectContaining({ code: 'INVALID_OPTION' }) as Error,
    );
  });

  it.each([
    ['nothing', ''],
    ['an unknown type', '5105'],
    ['no start ts', '50'],
    ['a start ts that does not end', '5080'],
    ['a start ts of eleven bytes', '5080808080808080808080' + '00'],
    ['a start ts of 65 bits', '50ffffffffffffffffff02'],
    ['no length of a short value', '500576'],
    ['a short value that is cut', '5005760361' + '62'],
    ['a GC fence that is cut', '500546' + '00000000000000'],
    ['a last change that is cut', '50056c' + '00000000000000'],
    ['a last change without its versions', '50056c' + '0000000000000000'],
    ['no transaction source', '500553'],
  ])('%s is refused', (_what, bytes) => {
    expect(() => parseWriteRecord(fromHex(bytes), 'f')).toThrow(
      expect.objectContaining({ code: 'CORRUPT_FILE', file: 'f' }) as Error,
    );
  });

  it('any bytes are a record or refused, and a cut one is never a longer one', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), fc.constantFrom(0x50, 0x44, 0x4c, 0x52), (bytes, type) => {
        if (bytes.length > 0) bytes[0] = type;
        try {
          const { shortValue } = parseWriteRecord(bytes);
          expect(shortValue?.length ?? 0).toBeLessThanOrEqual(bytes.length);
        } catch (error) {
          expect(BackupError.is(error, 'CORRUPT_FILE')).toBe(true);
        }
      }),
      { numRuns: 3000 },
    );
  });
});
