// The range source suite's cases for regions that change and for versions that are too old.

import assert from 'node:assert/strict';
import { compareBytes, keyAfter } from '../core/bytes.js';
import type { Version } from '../core/version.js';
import type { ScanRequest } from '../ports/range-source.js';
import { rejectsWith } from './conformance.js';
import type { RangeCase, RangeDatabase } from './range-tools.js';
import { assertRegionsCover } from './range-tools.js';

export const rangeChangeCases: readonly RangeCase[] = [
  [
    'a region that has changed since it was listed is refused with REGION_CHANGED, and listed anew',
    async (database, signal) => {
      const { rows, version } = await putRows(database, signal);
      const region = await database.regionOf('k50', signal);
      await database.changeRegion('k50');
      const scan = readScan(database, { region, range: region.range, version, signal });
      await rejectsWith('REGION_CHANGED', scan.done, 'a scan of a region as it was before');
      const regions = await database.regions(database.range, signal);
      assertRegionsCover(regions, database.range);
      const isListed = regions.some(({ id, epoch }) => id === region.id && epoch === region.epoch);
      assert.ok(!isListed, `region ${region.id} of epoch ${region.epoch} is still listed`);
      assert.deepEqual(await database.scan(database.range, version, signal), rows);
    },
  ],
  [
    'a region that changes under a scan ends it: what came before is whole up to its last key, and the rest comes from the new regions',
    async (database, signal) => {
      const { rows, version } = await putRows(database, signal);
      const region = await database.regionOf('k50', signal);
      const { range } = region;
      const scan = readScan(database, { region, range, version, signal }, () => database.changeRegion('k50'));
      // A source that had everything read before the change may well end in order.
      await scan.done.catch((error: unknown) =>
        rejectsWith('REGION_CHANGED', Promise.reject(error as Error), 'a scan of a region that changes'),
      );
      const from = scan.last === undefined ? range.begin : keyAfter(scan.last);
      const isInside = compareBytes(from, range.end) < 0;
      const rest = isInside ? await database.scan({ begin: from, end: range.end }, version, signal) : [];
      const before = await database.scan({ begin: database.range.begin, end: range.begin }, version, signal);
      const behind = await database.scan({ begin: range.end, end: database.range.end }, version, signal);
      assert.deepEqual([...before, ...scan.rows, ...rest, ...behind], rows);
    },
  ],
  [
    'other regions are none the worse for one that changes',
    async (database, signal) => {
      const { version } = await putRows(database, signal);
      await database.changeRegion('k50');
      const first = await database.regionOf('k10', signal);
      await database.changeRegion('k90');
      const regions = await database.regions(database.range, signal);
      if (!regions.some(({ id, epoch }) => id === first.id && epoch === first.epoch)) return;
      const scan = readScan(database, { region: first, range: first.range, version, signal });
      await scan.done;
      assert.ok(scan.rows.length > 0, 'the region that did not change has rows');
    },
  ],
];

export const rangeGarbageCases: readonly RangeCase[] = [
  [
    'a version that has been garbage-collected is refused with VERSION_TOO_OLD, and a new one can be read',
    async (database, signal) => {
      const { version: old } = await putRows(database, signal);
      await database.put({ k50: 'later' });
      await database.collectGarbage(old);
      const region = await database.regionOf('k50', signal);
      const scan = readScan(database, { region, range: region.range, version: old, signal });
      await rejectsWith('VERSION_TOO_OLD', scan.done, `a scan at version ${old}`);
      const version = await database.source.readVersion({ atLeast: old, signal });
      assert.ok((await database.scan(database.range, version, signal)).includes('k50=later'));
    },
  ],
  [
    'a version that goes under a scan ends it, or is read to the end: never a mixture',
    async (database, signal) => {
      const { rows, version } = await putRows(database, signal);
      const region = await database.regionOf('k50', signal);
      const names = Array.from(rows, (row) => row.slice(0, 3));
      const first = names.findIndex((name) => compareBytes(database.key(name), region.range.begin) >= 0);
      const scan = readScan(database, { region, range: region.range, version, signal }, async () => {
        const later = names.filter((_, i) => i % 2 === 0).map((name) => [name, 'later']);
        await database.put(Object.fromEntries(later) as Record<string, string>);
        await database.collectGarbage(version);
      });
      await scan.done.catch((error: unknown) =>
        rejectsWith('VERSION_TOO_OLD', Promise.reject(error as Error), 'a scan of a version that goes'),
      );
      assert.deepEqual(scan.rows, rows.slice(first, first + scan.rows.length), 'rows of another version');
    },
  ],
];

/** k00 to k99, of such a size that no source reads all of them at once. */
async function putRows(database: RangeDatabase, signal: AbortSignal): Promise<{ rows: string[]; version: Version }> {
  const value = 'x'.repeat(10_000);
  const names = Array.from({ length: 100 }, (_, i) => `k${String(i).padStart(2, '0')}`);
  const committed = await database.put(Object.fromEntries(names.map((name) => [name, value])));
  const version = await database.source.readVersion({ atLeast: committed, signal });
  return { rows: names.map((name) => `${name}=${value}`), version };
}

interface ScanRead {
  readonly rows: string[];
  last: Uint8Array | undefined;
  done: Promise<void>;
}

/** Reads to the end; `afterFirst` runs when the first batch has come. */
function readScan(database: RangeDatabase, request: ScanRequest, afterFirst?: () => Promise<void>): ScanRead {
  const read: ScanRead = { rows: [], last: undefined, done: Promise.resolve() };
  read.done = (async () => {
    for await (const batch of database.source.scan(request)) {
      const isFirst = read.last === undefined;
      read.rows.push(...database.rows(batch));
      read.last = batch.at(-1)?.[0];
      if (isFirst) await afterFirst?.();
    }
  })();
  return read;
}
