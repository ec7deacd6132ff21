import { describe, expect, it } from 'vitest';
import { utf8 } from '../../src/core/bytes.js';
import { crc32 } from '../../src/core/crc32.js';
import type { RangeFileSums } from '../../src/format/fdb/snapshot-sums.js';
import {
  encodeSnapshotSums,
  parseSnapshotSums,
  parseSnapshotSumsName,
  snapshotSumsName,
} from '../../src/format/fdb/snapshot-sums.js';

const NAME = 'properties/tidemark_snapshot,5,9,1000';
const corrupt = expect.objectContaining({ code: 'CORRUPT_FILE', file: NAME, offset: 0 }) as Error;

function fileSums(index: number): RangeFileSums {
  return {
    name: `kvranges/snapshot.000000000000000005/0/range,${5 + index},${index.toString(16).padStart(32, '0')},65536`,
    range: { begin: Uint8Array.of(index), end: Uint8Array.of(index, 0xff) },
    version: BigInt(5 + index),
    size: 130_000,
    sha256: 'ab'.repeat(32),
    crc64xor: '995dc9bbdf1939fa',
    rows: 1000,
    rowBytes: 116_000,
    blockSize: 65_536,
    crc32: Uint32Array.of(0, 0xffffffff),
  };
}

describe('the name of a snapshot’s sums', () => {
  it('has the numbers of the manifest’s name', () => {
    const descriptor = { beginVersion: 5n, endVersion: 9n, totalBytes: 1000 };
    expect(snapshotSumsName(descriptor)).toBe(NAME);
    expect(parseSnapshotSumsName(NAME)).toEqual(descriptor);
  });

  it.each([
    'properties/tidemark_snapshot,5,9',
    'properties/tidemark_snapshot,9,5,1000',
    'properties/tidemark_snapshot,5,9,1000,range',
    'properties/tidemark_snapshot_part,5',
    'snapshots/snapshot,5,9,1000',
  ])('is not read from %s', (name) => {
    expect(parseSnapshotSumsName(name)).toBeUndefined();
  });
});

describe('a snapshot’s sums', () => {
  it.each([0, 1, 3])('of %i files come back as they were written', (count) => {
    const sums = { files: Array.from({ length: count }, (_, i) => fileSums(i)) };
    expect(parseSnapshotSums(encodeSnapshotSums(sums), NAME)).toEqual(sums);
  });

  it('are refused after any change', () => {
    const encoded = encodeSnapshotSums({ files: [fileSums(0), fileSums(1)] });
    for (let bit = 0; bit < encoded.length * 8; bit++) {
      const damaged = encoded.slice();
      damaged[bit >> 3]! ^= 1 << (bit & 7);
      expect(() => parseSnapshotSums(damaged, NAME)).toThrow(corrupt);
    }
    for (let length = 0; length < encoded.length; length++) {
      expect(() => parseSnapshotSums(encoded.subarray(0, length), NAME)).toThrow(corrupt);
    }
  });

  it.each([
    ['name', { name: 'kvranges/other' }],
    ['name', { name: 7 }],
    ['version', { version: '6' }],
    ['version', { version: 5 }],
    ['size', { size: -1 }],
    ['size', { size: 2 ** 53 }],
    ['sha256', { sha256: 'ab' }],
    ['crc64xor', { crc64xor: '995DC9BBDF1939FA' }],
    ['rows', { rows: 1.5 }],
    ['rowBytes', { rowBytes: '5' }],
    ['blockSize', { blockSize: 0 }],
    ['crc32', { crc32: '00000000' }],
    ['crc32', { size: Number.MAX_SAFE_INTEGER, blockSize: 1 }],
    ['range', { range: ['00'] }],
    ['range', { range: ['0', '00'] }],
    ['range', { range: 'ab' }],
  ])('are refused with a wrong %s although the check is right', (field, part) => {
    const good = JSON.parse(Buffer.from(encodeSnapshotSums({ files: [fileSums(0)] })).toString()) as {
      files: object[];
    };
    const text = `{"files":[${JSON.stringify({ ...good.files[0], ...part })}]`;
    const check = crc32(utf8(text)).toString(16).padStart(8, '0');
    expect(() => parseSnapshotSums(utf8(`${text},"check":"${check}"}`), NAME)).toThrow(corrupt);
    expect(() => parseSnapshotSums(utf8(`${text},"check":"${check}"}`), NAME)).toThrow(`valid ${field}`);
  });
});
