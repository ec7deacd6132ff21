// Every bit of a file flipped, every length cut: found by opening or verifying it, or without effect for a reason that is given here.

import { describe, expect, it } from 'vitest';

import { BackupError } from '../../../src/core/errors.js';
import type { BlockCodec, SstCompression } from '../../../src/format/sst/codec.js';
import { loadCodec } from '../../../src/format/sst/codecs/load-codec.js';
import { FOOTER_BYTES } from '../../../src/format/sst/footer.js';
import { missingRocksDb, openBytes, readEntries, readRows, writeWithRocksDb } from './rocksdb-file.js';
import type { DumpedEntry } from './rocksdb-file.js';

const TIMEOUT_MS = 120_000;

const CASES: Readonly<Record<string, Readonly<Record<string, string | number>>>> = {
  'a flushed file with XXH3, all types, a partitioned index and partitioned filters': {
    n: 30,
    keys: 20,
    ops: 'ppmdr',
    snapshots: 1,
    block: 128,
    index: 'twolevel',
    metablock: 60,
    filter: 'bloom',
    partitionfilters: 1,
  },
  'a file to ingest with CRC-32C and zstd, format version 2': {
    mode: 'external',
    n: 40,
    format: 2,
    checksum: 1,
    compression: 'zstd',
    vallen: 200,
    block: 512,
  },
  'a file with xxHash64, format version 3, a hash index and a filter': {
    n: 30,
    format: 3,
    checksum: 3,
    index: 'hash',
    hashdata: 1,
    filter: 'ribbon',
    block: 200,
  },
  'a file with xxHash, format version 4 and first keys in the index': {
    n: 30,
    format: 4,
    checksum: 2,
    index: 'firstkey',
    indexrestart: 4,
    block: 100,
  },
  'a file with aligned blocks and CRC-32C': { n: 10, align: 1, checksum: 1, block: 512, keylen: 3, vallen: 9 },
};

const VERSION_AT = FOOTER_BYTES - 12;

interface Content {
  readonly entries: readonly DumpedEntry[];
  readonly rows: readonly (readonly [string, string])[] | string;
}

const codecs = new Map<SstCompression, BlockCodec>();

/** Loaded once: a test runner's imports are slow. */
async function loadOnce(compression: SstCompression): Promise<BlockCodec> {
  const codec = codecs.get(compression) ?? (await loadCodec(compression));
  codecs.set(compression, codec);
  return codec;
}

async function contentOf(bytes: Uint8Array): Promise<Content> {
  const reader = await openBytes(bytes, { loadCodec: loadOnce });
  await reader.verify();
  const rows = await readRows(reader).catch((error: unknown) =>
    BackupError.is(error) ? error.code : Promise.reject(error as Error),
  );
  return { entries: await readEntries(reader), rows };
}

/** The content, if nothing is found. Fails for any other error than a documented one. */
async function foundBy(bytes: Uint8Array): Promise<Content | string> {
  try {
    return await contentOf(bytes);
  } catch (error) {
    if (!BackupError.is(error)) throw error;
    expect(['CORRUPT_FILE', 'CHECKSUM_MISMATCH', 'UNSUPPORTED_FORMAT']).toContain(error.code);
    expect(error.file).toBe('test.sst');
    return error.code;
  }
}

const withoutSeqnos = ({ entries, rows }: Content) => ({
  rows,
  entries: entries.map((entry) => ({ ...entry, seqno: 0n })),
});

describe.skipIf(missingRocksDb !== undefined)(
  `damage${missingRocksDb === undefined ? '' : `: ${missingRocksDb}`}`,
  () => {
    it.each(Object.entries(CASES))(
      'every flipped bit of %s',
      async (_, args) => {
        const { bytes } = await writeWithRocksDb(args);
        const good = await contentOf(bytes);
        // The value stands behind the name, whose end no other property shares.
        const seqnoName = Buffer.from(bytes).indexOf('global_seqno');
        const seqnoAt = seqnoName < 0 ? Infinity : seqnoName + 'global_seqno'.length;
        const versionAt = bytes.length - FOOTER_BYTES + VERSION_AT;
        const unnoticed: string[] = [];
        for (let bit = 0; bit < 8 * bytes.length; bit++) {
          const at = bit >> 3;
          const damaged = bytes.slice();
          damaged[at] = (damaged[at] as number) ^ (1 << (bit & 7));
          const content = await foundBy(damaged);
          if (typeof content === 'string') continue;
          if (at >= seqnoAt && at < seqnoAt + 8) {
            // The one place that RocksDB changes without a new checksum: when it ingests the file. It is what a file says of itself, and changes no row.
            expect(withoutSeqnos(content)).toEqual(withoutSeqnos(good));
            continue;
          }
          // Without effect: 2 and 3, and 4 and 5, differ in what the properties say anyway (the keys of the index) and in filters, which are not used.
          expect(content).toEqual(good);
          expect(at).toBe(versionAt);
          unnoticed.push(`${bytes[at] as number} to ${damaged[at]}`);
        }
        const version = bytes[versionAt] as number;
        const others: Readonly<Record<number, readonly string[]>> = {
          2: ['2 to 3'],
          // Index keys without sequence numbers are known from 3 on, handles as differences from 4 on.
          3: [],
          4: ['4 to 5'],
          5: ['5 to 4'],
        };
        expect(unnoticed).toEqual(others[version]);
      },
      TIMEOUT_MS,
    );

    it.each(Object.entries(CASES))(
      'every cut of %s',
      async (_, args) => {
        const { bytes } = await writeWithRocksDb(args);
        for (let length = 0; length < bytes.length; length++) {
          expect(typeof (await foundBy(bytes.subarray(0, length)))).toBe('string');
        }
        for (const more of [1, 8, FOOTER_BYTES]) {
          const longer = new Uint8Array(bytes.length + more);
          longer.set(bytes);
          expect(typeof (await foundBy(longer))).toBe('string');
          const shifted = new Uint8Array(bytes.length + more);
          shifted.set(bytes, more);
          expect(typeof (await foundBy(shifted))).toBe('string');
        }
      },
      TIMEOUT_MS,
    );
  },
);
