import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { utf8 } from '../../../src/core/bytes.js';
import { fileNameProblem } from '../../../src/core/file-name.js';
import type { BrFileDescriptor, BrStorageName } from '../../../src/format/br/file-name.js';
import { brFileName, hasStoreFolder, parseBrFileName, startKeyHash } from '../../../src/format/br/file-name.js';

const STORAGES: readonly BrStorageName[] = ['s3', 'local', 'noop', 'gcs', 'azure', 'hdfs'];
const HASH = createHash('sha256').update('abc').digest('hex');
const base: BrFileDescriptor = { storeId: 1n, regionId: 2n, epochVersion: 3n, cf: 'default' };

const u64 = fc.bigInt(0n, (1n << 64n) - 1n);
const descriptors = fc
  .record({
    storeId: u64,
    regionId: u64,
    epochVersion: u64,
    startKey: fc.option(fc.uint8Array({ maxLength: 20 })),
    unixMs: fc.option(fc.nat({ max: Number.MAX_SAFE_INTEGER })),
    cf: fc.constantFrom('default', 'write', 'lock'),
  })
  .map(({ startKey, unixMs, ...rest }): BrFileDescriptor => {
    if (startKey === null) return { ...rest, startKeyHash: undefined, unixMs: undefined };
    return { ...rest, startKeyHash: startKeyHash(startKey), unixMs: unixMs ?? undefined };
  });

describe('names of SST files', () => {
  it.each([
    ['s3', '1/2_3_'],
    ['local', '1/2_3_'],
    ['gcs', '1_2_3_'],
    ['azure', '1_2_3_'],
    ['hdfs', '1_2_3_'],
    ['noop', '1_2_3_'],
  ] as const)('in %s begin with %s', (storage, begin) => {
    const name = brFileName({ ...base, startKeyHash: startKeyHash(utf8('abc')), unixMs: 1234, cf: 'write' }, storage);
    expect(name).toBe(`${begin}${HASH}_1234_write.sst`);
    expect(hasStoreFolder(storage)).toBe(begin.includes('/'));
  });

  it('of a raw range without a start key have neither hash nor time', () => {
    expect(brFileName(base, 'local')).toBe('1/2_3_default.sst');
    expect(brFileName(base, 'gcs')).toBe('1_2_3_default.sst');
  });

  it('of a transactional range without a start key hash no bytes', () => {
    expect(startKeyHash(new Uint8Array(0))).toBe('e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855');
  });

  it('are read back, and are names that a container takes', () => {
    fc.assert(
      fc.property(descriptors, fc.constantFrom(...STORAGES), (descriptor, storage) => {
        const name = brFileName(descriptor, storage);
        expect(fileNameProblem(name)).toBeUndefined();
        expect(parseBrFileName(name)).toEqual(descriptor);
      }),
    );
  });

  it.each([
    '',
    'backupmeta',
    'backup.lock',
    'backupmeta.datafile.000000001',
    '1/2_3.sst',
    '1/2_default.sst',
    '1/2_3_default.ss',
    '1/2_3_DEFAULT.sst',
    '/1/2_3_default.sst',
    '1/2/3_default.sst',
    `1/2_3_${HASH.slice(1)}_5_default.sst`,
    `1/2_3_${HASH}_99999999999999999_default.sst`,
    `1/2_3_${HASH}_9999999999999999_default.sst`,
    '1/2_99999999999999999999_default.sst',
    '1/2_184467440737095516150_default.sst',
    'x1/2_3_default.sst',
  ])('%s is none', (name) => {
    expect(parseBrFileName(name)).toBeUndefined();
  });

  it.each<[string, Partial<BrFileDescriptor>]>([
    ['a negative id', { storeId: -1n }],
    ['an id of 65 bits', { regionId: 1n << 64n }],
    ['a hash that is none', { startKeyHash: 'abc', unixMs: 1 }],
    ['a time without a hash', { unixMs: 1 }],
    ['a time with a fraction', { startKeyHash: HASH, unixMs: 1.5 }],
    ['a column family that is none', { cf: 'a/b' }],
  ])('%s is refused', (_what, part) => {
    expect(() => brFileName({ ...base, ...part }, 's3')).toThrow(
      expect.objectContaining({ code: 'INVALID_NAME' }) as Error,
    );
  });
});
