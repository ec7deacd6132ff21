import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { utf8 } from '../../src/core/bytes.js';
import { MAX_VERSION } from '../../src/core/version.js';
import {
  PROPERTY,
  encodeEncryptionMetadata,
  encodeJobMarker,
  encodeNumberProperty,
  parseEncryptionMetadata,
  parseJobMarker,
  parseNumberProperty,
} from '../../src/format/fdb/properties.js';
import { GOLDEN_NAMES, goldenContainer } from './golden.js';

const text = (bytes: Uint8Array) => Buffer.from(bytes).toString('latin1');
const corrupt = (file: string) => expect.objectContaining({ code: 'CORRUPT_FILE', file }) as Error;

describe('number properties', () => {
  it('are decimal text and nothing else', () => {
    expect(text(encodeNumberProperty(MAX_VERSION))).toBe('9223372036854775807');
    expect(parseNumberProperty(encodeNumberProperty(MAX_VERSION), 'f')).toBe(MAX_VERSION);
    expect(parseNumberProperty(utf8('12\n'), 'f')).toBe(12n);
  });

  it.each(['', ' ', '-1', '1.5', '0x10', '1 2', '9223372036854775808', '1'.repeat(40), 'true'])(
    'refuses "%s"',
    (value) => {
      expect(() => parseNumberProperty(utf8(value), 'properties/x')).toThrow(corrupt('properties/x'));
    },
  );

  it('refuses bytes that are no text', () => {
    expect(() => parseNumberProperty(Uint8Array.of(0x31, 0xff), 'properties/x')).toThrow(corrupt('properties/x'));
  });
});

describe('encryption metadata', () => {
  it.each([
    '{}',
    '[]',
    'null',
    '{"is_encryption_enabled":1,"encryption_block_size":0}',
    '{"is_encryption_enabled":true}',
    'x',
  ])('refuses %s', (value) => {
    expect(() => parseEncryptionMetadata(utf8(value))).toThrow(corrupt(PROPERTY.encryptionMetadata));
  });

  it.each([
    '{"is_encryption_enabled":true,"encryption_block_size":0}',
    '{"is_encryption_enabled":false,"encryption_block_size":4096}',
  ])('refuses the contradiction %s', (value) => {
    expect(() => parseEncryptionMetadata(utf8(value))).toThrow(corrupt(PROPERTY.encryptionMetadata));
  });
});

describe('the job marker', () => {
  const marker = {
    uid: 'ab'.repeat(16),
    logOnly: true,
    ranges: [{ begin: new Uint8Array(0), end: Uint8Array.of(0xff, 0) }],
    startVersion: MAX_VERSION,
    firstVersion: 3n,
  };

  it('comes back as it went in', () => {
    expect(parseJobMarker(encodeJobMarker(marker))).toEqual(marker);
    expect(parseJobMarker(encodeJobMarker({ ...marker, ranges: [] })).ranges).toEqual([]);
  });

  it('has the first version 1 when it names none, and ignores fields that it does not know', () => {
    const fields = { uid: 'u', logOnly: false, ranges: [], startVersion: '7', color: 'red' };
    expect(parseJobMarker(utf8(JSON.stringify(fields)))).toMatchObject({ startVersion: 7n, firstVersion: 1n });
  });

  it.each([
    ['no uid', { uid: undefined }],
    ['an empty uid', { uid: '' }],
    ['logOnly of another type', { logOnly: 'yes' }],
    ['ranges of another type', { ranges: {} }],
    ['half a range', { ranges: [['00']] }],
    ['a range that is not hex', { ranges: [['00', 'zz']] }],
    ['half a byte', { ranges: [['00', '123']] }],
    ['a backward range', { ranges: [['02', '01']] }],
    ['a version that is a number', { startVersion: 5 }],
    ['a version below zero', { startVersion: '-5' }],
    ['a version beyond int64', { firstVersion: '9223372036854775808' }],
  ])('is refused with %s', (_, part) => {
    const fields = { uid: 'u', logOnly: false, ranges: [], startVersion: '7', firstVersion: '1', ...part };
    expect(() => parseJobMarker(utf8(JSON.stringify(fields)))).toThrow(corrupt('properties/tidemark_job'));
  });
});

describe.each(GOLDEN_NAMES)('properties of golden container %s', (name) => {
  const container = goldenContainer(name);

  it.skipIf(container === undefined)(
    'parse, and are rebuilt byte by byte (skipped where ../shared/golden is absent)',
    () => {
      const read = (file: string) => readFileSync(path.join(container!, file));
      for (const file of [PROPERTY.mutationLogType, PROPERTY.logBeginVersion, PROPERTY.logEndVersion]) {
        expect(text(encodeNumberProperty(parseNumberProperty(read(file), file)))).toBe(text(read(file)));
      }
      const encryption = read(PROPERTY.encryptionMetadata);
      expect(text(encodeEncryptionMetadata(parseEncryptionMetadata(encryption)))).toBe(text(encryption));
      expect(parseEncryptionMetadata(encryption).enabled).toBe(name === 'plogenc');
    },
  );
});
