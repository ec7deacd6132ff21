// Merge, atomic operations and clears against a real database: a snapshot's rows are loaded by hand (restores from snapshots are not there yet), the log above it is replayed with the
// parts that a restore is made of, and the result is what FoundationDB itself returned at that version.

import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { DirectoryContainer } from '../../src/container/directory-container.js';
import { systemClock } from '../../src/core/clock.js';
import { NORMAL_KEYS } from '../../src/core/key-range.js';
import { parseRangeFileName } from '../../src/format/fdb/names.js';
import { describeBackup } from '../../src/restore/describe.js';
import { LogApplier } from '../../src/restore/log-applier.js';
import { mergeLogs } from '../../src/restore/log-merge.js';
import { RangeFilter } from '../../src/restore/range-filter.js';
import { planRestoreSet, remainingSet } from '../../src/restore/restore-set.js';
import { MemoryRestoreTarget } from '../../src/testing/memory-restore-target.js';
import { filesBelow, goldenContainer, goldenFolder } from '../format/golden.js';

/** The rows of a range file, naively: each block is readable alone, and its last key is the begin of the next one. */
function* rangeFileRows(bytes: Buffer, blockSize: number): IterableIterator<[Buffer, Buffer]> {
  for (let block = 0; block < bytes.length; block += blockSize) {
    const end = Math.min(bytes.length, block + blockSize);
    let at = block + 4;
    const item = () => {
      if (at >= end || bytes[at] === 0xff) return undefined;
      const length = bytes.readUInt32BE(at);
      at += 4 + length;
      return bytes.subarray(at - length, at);
    };
    item();
    for (let key = item(), value = item(); key !== undefined && value !== undefined; key = item(), value = item())
      yield [key, value];
  }
}

describe.each(['small3', 'plog1', 'plog3'] as const)('golden container %s', (name) => {
  const folder = goldenFolder(name);

  it.skipIf(folder === undefined).each(['A', 'B'] as const)(
    'replayed from a snapshot gives the database’s own rows at version %s (skipped where ../shared/golden is absent)',
    async (which) => {
      const root = goldenContainer(name)!;
      const container = new DirectoryContainer(root);
      const versions = JSON.parse(readFileSync(path.join(folder!, 'expected.json'), 'utf8')) as {
        A: number;
        B: number;
      };
      const version = BigInt(versions[which]);
      const ranges = filesBelow(root)
        .map((file) => ({ file, facts: parseRangeFileName(file) }))
        .flatMap(({ file, facts }) => (facts === undefined ? [] : [{ file, ...facts }]))
        .sort((a, b) => (a.version < b.version ? -1 : 1));
      const snapshot = ranges.find((range) => range.version <= version)!;

      const target = new MemoryRestoreTarget();
      for (const [key, value] of rangeFileRows(readFileSync(path.join(root, snapshot.file)), snapshot.blockSize))
        target.put(key, value);

      const description = await describeBackup(container);
      const firstVersion = description.logBegin!;
      const job = { uid: 'golden', logOnly: true, ranges: [], startVersion: firstVersion, firstVersion };
      const set = remainingSet(
        planRestoreSet({ ...description, job }, { version, baseline: 'empty' }),
        snapshot.version + 1n,
      );
      const applier = new LogApplier({
        target,
        restoreId: 'golden',
        filter: new RangeFilter([NORMAL_KEYS]),
        applyBytes: 10_000,
        applied: snapshot.version,
        skip: undefined,
        onApplied: () => undefined,
      });
      for await (const batch of mergeLogs(container, set.tags, { clock: systemClock })) await applier.add(batch);
      await applier.finish(version);

      expect(applier.mutations).toBeGreaterThan(500);
      const rows = [...target.rows()].map(
        ({ key, value }) => `${Buffer.from(key).toString('hex')} ${Buffer.from(value).toString('hex')}`,
      );
      const expected = readFileSync(path.join(folder!, `rows-${which}.txt`), 'utf8')
        .trimEnd()
        .split('\n')
        .map((line) => line.trimEnd());
      expect(rows.length).toBe(expected.length);
      for (let i = 0; i < rows.length; i++) expect(rows[i]?.trimEnd()).toBe(expected[i]);
    },
  );
});
