// SstWriter against RocksDB's own SstFileWriter: uncompressed, the data and index blocks are the same byte for byte; the properties are the same but for a few that are left out on purpose.

import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { toolMissing } from '../../servers/judges.js';
import { writeWithRocksdb, encodeRows } from './rocksdb-writer.js';
import { binaryRows, plainRows, ROW_SETS } from './row-sets.js';
import { COMPRESSIONS, pressFor, type Row, writeSst } from './write-rows.js';

const missing = toolMissing('g++ with librocksdb-dev');

/** Identities, from which RocksDB derives cache keys, and options of its compressors. */
const LEFT_OUT = [
  'rocksdb.compression_options',
  'rocksdb.creating.db.identity',
  'rocksdb.creating.host.identity',
  'rocksdb.creating.session.identity',
  'rocksdb.original.file.number',
];
const TIMEOUT_MS = 120_000;

describe.skipIf(missing !== undefined)(
  `SstWriter and SstFileWriter${missing === undefined ? '' : `: ${missing}`}`,
  () => {
    let folder: string;
    beforeAll(async () => {
      folder = await mkdtemp(path.join(tmpdir(), 'tidemark-sst-same-'));
    });
    afterAll(() => rm(folder, { recursive: true, force: true }));

    const sets: readonly { readonly name: string; readonly rows: () => readonly Row[] }[] = [
      ...ROW_SETS,
      ...[2, 3, 4].map((seed) => ({ name: `binary ${seed}`, rows: () => binaryRows(seed, 800) })),
    ];

    it.each(sets)(
      'the same data and index: $name',
      async ({ rows }) => {
        const input = encodeRows(rows());
        for (const formatVersion of [2, 3, 4, 5] as const) {
          for (const { blockSize, restartInterval } of [
            { blockSize: 4_096, restartInterval: 16 },
            { blockSize: 300, restartInterval: 1 },
            { blockSize: 65_536, restartInterval: 7 },
          ]) {
            const options = { formatVersion, blockSize, restartInterval };
            const { bytes: ours } = await writeSst(rows(), {
              ...options,
              press: await pressFor('none'),
              batchBytes: 10_000,
            });
            const theirs = await rocksdbFile(input, options);
            const end = propertiesAt(theirs);
            expect(propertiesAt(ours), JSON.stringify(options)).toBe(end);
            expect(ours.subarray(0, end).equals(theirs.subarray(0, end)), JSON.stringify(options)).toBe(true);
          }
        }
      },
      TIMEOUT_MS,
    );

    it.each(COMPRESSIONS)(
      'the same properties, but for those left out: %s',
      async (compression) => {
        const rows = plainRows(2_000);
        const theirs = path.join(folder, 'theirs.sst');
        const ours = path.join(folder, 'ours.sst');
        for (const formatVersion of [2, 3, 5] as const) {
          const options = { formatVersion, compression, blockSize: 4_096, restartInterval: 16 };
          await writeWithRocksdb('write', theirs, encodeRows(rows), options);
          const { bytes } = await writeSst(rows, {
            formatVersion,
            blockSize: 4_096,
            press: await pressFor(compression),
          });
          await writeFile(ours, bytes);
          const [wanted, got] = [await properties(theirs), await properties(ours)];
          expect([...wanted.keys()].filter((name) => !got.has(name)).sort()).toEqual(LEFT_OUT);
          for (const name of LEFT_OUT) wanted.delete(name);
          if (compression !== 'none') {
            // The packages hold other releases of the compressors than RocksDB is linked with.
            for (const map of [wanted, got]) map.delete('rocksdb.data.size');
            for (const map of [wanted, got]) map.delete('rocksdb.index.size');
          }
          expect(got).toEqual(wanted);
        }
      },
      TIMEOUT_MS,
    );

    async function rocksdbFile(
      input: Buffer,
      options: { formatVersion: number; blockSize: number; restartInterval: number },
    ) {
      const file = path.join(folder, 'rocksdb.sst');
      await writeWithRocksdb('write', file, input, { ...options, compression: 'none' });
      return await readFile(file);
    }
  },
);

/** Where the properties block begins: from the one entry of the metaindex, which the footer's first handle finds. */
function propertiesAt(file: Buffer): number {
  const footer = file.subarray(-53);
  const [metaindex] = varint(footer, 1);
  // 3 one-byte lengths, then the name.
  const [offset] = varint(file, metaindex + 3 + 'rocksdb.properties'.length);
  return offset;
}

function varint(bytes: Buffer, at: number): [value: number, next: number] {
  let value = 0;
  for (let i = at, scale = 1; ; i++, scale *= 128) {
    const byte = bytes.readUInt8(i);
    value += (byte & 0x7f) * scale;
    if (byte < 0x80) return [value, i + 1];
  }
}

/** All properties of a file by name, their values in hex. */
async function properties(file: string): Promise<Map<string, string>> {
  const bytes = await readFile(file);
  const found = new Map<string, string>();
  let at = propertiesAt(bytes);
  let name = Buffer.alloc(0);
  while (found.size === 0 || at < bytes.length) {
    const [shared, afterShared] = varint(bytes, at);
    const [unshared, afterUnshared] = varint(bytes, afterShared);
    const [length, from] = varint(bytes, afterUnshared);
    // The one restart point at the end of the block looks like an entry without a name.
    if (shared + unshared === 0) break;
    name = Buffer.concat([name.subarray(0, shared), bytes.subarray(from, from + unshared)]);
    at = from + unshared + length;
    found.set(name.toString('latin1'), bytes.subarray(from + unshared, at).toString('hex'));
  }
  return found;
}
