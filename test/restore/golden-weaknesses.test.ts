// Where the original's own restore is weak (as seen with the golden containers), ours is not: each weakness by name.

import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import type { MemoryContainer } from '../../src/container/memory-container.js';
import { BackupError } from '../../src/core/errors.js';
import { toHex } from '../../src/core/bytes.js';
import { decodeLogFile } from '../../src/format/fdb/log-file-decoder.js';
import { logFileName, parseLogFileName } from '../../src/format/fdb/names.js';
import { recordChecksums } from '../../src/restore/record-checksums.js';
import type { RestoreOptions } from '../../src/restore/restore.js';
import { restore } from '../../src/restore/restore.js';
import { MemoryRestoreTarget } from '../../src/testing/memory-restore-target.js';
import { encodeLogFile, set } from '../format/encode-log-file.js';
import type { GoldenName, RowsDigest } from '../format/golden.js';
import { digestRows, filesBelow, goldenContainer, goldenFolder, goldenRows } from '../format/golden.js';
import { newContainer, put, putLog } from './container-builder.js';
import { putSnapshotOf } from './snapshot-model.js';

type Change = (name: string, bytes: Uint8Array) => readonly (readonly [name: string, bytes: Uint8Array])[];

/** The golden container in memory, with other files in place of some. */
async function copyGolden(golden: GoldenName, change: Change): Promise<MemoryContainer> {
  const root = goldenContainer(golden)!;
  const container = await newContainer();
  for (const file of filesBelow(root)) {
    for (const [name, bytes] of change(file, readFileSync(path.join(root, file)))) await put(container, name, bytes);
  }
  return container;
}

const version = (golden: GoldenName) =>
  BigInt((JSON.parse(readFileSync(path.join(goldenFolder(golden)!, 'expected.json'), 'utf8')) as { B: number }).B);

async function restored(options: Omit<RestoreOptions, 'target'>): Promise<RowsDigest> {
  const target = new MemoryRestoreTarget();
  await restore({ ...options, target });
  return digestRows([...target.rows()].map(({ key, value }) => `${toHex(key)} ${toHex(value)}\n`).join(''));
}

describe('where the original’s restore is weak', () => {
  it.each([2048, 16_384, 50_000, 4 << 20])(
    'a log block size other than the usual one (%i) changes nothing',
    async (blockSize) => {
      const container = await copyGolden('small3', (name, bytes) => {
        const facts = parseLogFileName(name);
        if (facts === undefined) return [[name, bytes]];
        const records = [...decodeLogFile(bytes, { name, ...facts })];
        return [[logFileName({ ...facts, blockSize }), encodeLogFile(records, blockSize)]];
      });
      expect(await restored({ container, version: version('small3') })).toEqual(goldenRows('small3', 'B'));
    },
  );

  it('a log file cut by 100 bytes is refused at once, with its name and offset', async () => {
    const names = filesBelow(goldenContainer('small3')!).filter((name) => name.startsWith('plogs/'));
    let refused = 0;
    for (const damaged of names) {
      const container = await copyGolden('small3', (name, bytes) => [
        [name, name === damaged ? bytes.subarray(0, Math.max(0, bytes.length - 100)) : bytes],
      ]);
      const outcome = await restored({ container, version: version('small3') }).catch((error: unknown) => error);
      if (outcome instanceof BackupError) {
        refused++;
        expect(outcome).toMatchObject({ code: 'CORRUPT_FILE', file: damaged });
        expect(outcome.offset).toBeGreaterThan(0);
      } else {
        // The snapshot makes this file, or its end, unnecessary.
        expect(outcome).toEqual(goldenRows('small3', 'B'));
      }
    }
    expect(refused).toBeGreaterThanOrEqual(4);
  });

  it('a flipped byte in a value is refused with file and offset, before anything of its block is applied', async () => {
    const same: Change = (name, bytes) => [[name, bytes]];
    const names = filesBelow(goldenContainer('small3')!);
    const rows = names.find((name) => name.startsWith('kvranges/'))!;
    const log = names.find((name) => name.includes('log,215885387,329804918,') && name.includes(',2-of-3,'))!;
    for (const damaged of [rows, log]) {
      const container = await copyGolden('small3', same);
      await recordChecksums(container);
      expect(await restored({ container, version: version('small3') })).toEqual(goldenRows('small3', 'B'));

      const bytes = await container.readFile(damaged, 0, 1 << 20);
      bytes[9000]! ^= 1;
      await put(container, damaged, bytes);
      const target = new MemoryRestoreTarget();
      await expect(restore({ container, target, version: version('small3'), applyBytes: 1 })).rejects.toMatchObject({
        code: 'CHECKSUM_MISMATCH',
        file: damaged,
        offset: 0,
      });
      expect((await target.checkpoint())?.phase).not.toBe('done');
      if (damaged === rows) expect(target.size).toBe(0);
    }
  });

  it.each([1000, 1 << 20])(
    'one version of more than 256 KiB of mutations is restored (%i bytes per apply)',
    async (applyBytes) => {
      const container = await newContainer();
      const rows = [[Buffer.from('k00001'), Buffer.from('old')]] as const;
      const all = { begin: new Uint8Array(0), end: Uint8Array.of(0xff) };
      await putSnapshotOf(container, [{ range: all, version: 5n, rows }]);
      const mutations = Array.from({ length: 4000 }, (_, i) =>
        set(`k${String(i % 3000).padStart(5, '0')}`, `${i}`.padEnd(100, '.')),
      );
      const records = mutations.map((mutation, i) => ({ version: 7n, subsequence: i + 1, mutation }));
      const other = [{ version: 9n, subsequence: 1, mutation: set('last', 'one') }];
      await putLog(container, { begin: 1n, end: 10n, tag: 0, totalTags: 1 }, [...records, ...other]);
      const target = new MemoryRestoreTarget();
      const result = await restore({ container, target, version: 9n, applyBytes });
      expect(result).toMatchObject({ rows: 1, mutations: 4001 });
      expect(target.size).toBe(3001);
      const value = target.get(Buffer.from('k00001'))!;
      expect(Buffer.from(value).toString().replace(/\.+$/, '')).toBe('3001');
    },
  );
});
