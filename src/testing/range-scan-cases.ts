// The range source suite's cases for regions that stand still, and for scans.

import assert from 'node:assert/strict';
import { compareBytes, keyAfter, toHex, utf8 } from '../core/bytes.js';
import type { Version } from '../core/version.js';
import { seededRandom } from './conformance.js';
import { rejectsWithReason } from './log-tools.js';
import type { RangeCase, RangeDatabase } from './range-tools.js';
import { assertRegionsCover } from './range-tools.js';

export const rangeScanCases: readonly RangeCase[] = [
  [
    'regions cover any range in order, without overlap or hole, and no more than it',
    async (database, signal) => {
      await putMany(database, 300, signal);
      const { range } = database;
      const inner = database.between('k0100', 'k0200');
      const ranges = [range, inner, { begin: range.begin, end: inner.end }, { begin: inner.begin, end: range.end }];
      const one = database.key('k0123');
      for (const each of [...ranges, { begin: one, end: keyAfter(one) }]) {
        assertRegionsCover(await database.regions(each, signal), each);
      }
    },
  ],
  [
    'a database without rows has regions all the same, and a scan of them yields none',
    async (database, signal) => {
      await database.put({ a: '1' });
      const committed = await database.clear('a', 'b');
      const version = await database.source.readVersion({ atLeast: committed, signal });
      assertRegionsCover(await database.regions(database.range, signal), database.range);
      assert.deepEqual(await database.scan(database.range, version, signal), []);
    },
  ],
  [
    'a scan yields every row once, in key order, over as many batches as it takes',
    async (database, signal) => {
      const { rows, version } = await putMany(database, 3000, signal);
      assert.deepEqual(await database.scan(database.range, version, signal), rows);
    },
  ],
  [
    "a scan's begin is inclusive and its end exclusive, wherever in a region they lie",
    async (database, signal) => {
      const { rows, version } = await putMany(database, 60, signal);
      for (const [begin, end] of [
        [0, 60],
        [10, 11],
        [59, 60],
        [20, 40],
      ] as const) {
        const range = database.between(rowName(begin), rowName(end));
        assert.deepEqual(await database.scan(range, version, signal), rows.slice(begin, end));
      }
      const between = { begin: keyAfter(database.key(rowName(5))), end: database.key(rowName(6)) };
      assert.deepEqual(await database.scan(between, version, signal), []);
      // Begins behind a row, and ends right behind one.
      const behind = { begin: keyAfter(database.key(rowName(5))), end: keyAfter(database.key(rowName(7))) };
      assert.deepEqual(await database.scan(behind, version, signal), rows.slice(6, 8));
    },
  ],
  [
    'keys and values are bytes: zeros, 0xFF, nothing at all, and long ones come as they went in',
    async (database, signal) => {
      const names = [[0], [0, 0], [0, 255], [1], [1, 0], [97, 255, 255], [97, 255, 255, 0], [239, 191]];
      const values = [[], [0], [255, 255, 255, 255], [0, 0, 0, 0], [49], [50], [], [51]];
      const keys = names.map((name) => database.key(Uint8Array.from(name)));
      const changes = keys.map((key, i) => ({ key, value: Uint8Array.from(values[i] as number[]) }));
      const long = { key: database.key('z'.repeat(500)), value: new Uint8Array(50_000).fill(0xfe) };
      await database.commit([...changes, long]);
      const version = await database.source.readVersion({ atLeast: 0n, signal });
      const found: string[] = [];
      for (const region of await database.regions(database.range, signal)) {
        for await (const batch of database.source.scan({ region, range: region.range, version, signal })) {
          for (const [key, value] of batch) found.push(`${toHex(key)}=${toHex(value)}`);
        }
      }
      const wanted = [...changes, long].sort((a, b) => compareBytes(a.key, b.key));
      assert.deepEqual(
        found,
        wanted.map(({ key, value }) => `${toHex(key)}=${toHex(value)}`),
      );
    },
  ],
  [
    'the memory of a batch belongs to the receiver, also while the scan goes on',
    async (database, signal) => {
      const { rows, version } = await putMany(database, 1000, signal);
      for (let i = 0; i < 2; i++) {
        const kept = [];
        for (const region of await database.regions(database.range, signal)) {
          for await (const batch of database.source.scan({ region, range: region.range, version, signal })) {
            kept.push(batch);
          }
        }
        assert.deepEqual(
          kept.flatMap((batch) => database.rows(batch)),
          rows,
        );
        // The second time finds the same: what a receiver does with its batch is its own affair.
        for (const batch of kept) for (const [key, value] of batch) for (const bytes of [key, value]) bytes.fill(0);
      }
    },
  ],
  [
    'scans run side by side, each by itself',
    async (database, signal) => {
      const { rows, version } = await putMany(database, 900, signal);
      const thirds = [0, 300, 600].map((from) => [rowName(from), rowName(from + 300)] as const);
      const scans = thirds.map(([begin, end]) => database.scan(database.between(begin, end), version, signal));
      assert.deepEqual((await Promise.all(scans)).flat(), rows);
    },
  ],
  [
    'a scan is exact while the rows that it is about to reach are written and cleared',
    async (database, signal) => {
      const { rows, version } = await putMany(database, 1000, signal);
      const found: string[] = [];
      for (const region of await database.regions(database.range, signal)) {
        for await (const batch of database.source.scan({ region, range: region.range, version, signal })) {
          found.push(...database.rows(batch));
          await database.put({ [rowName(990)]: 'later', [`${rowName(995)}x`]: 'new' });
          await database.clear(rowName(970), rowName(980));
        }
      }
      assert.deepEqual(found, rows);
    },
  ],
  [
    'a scan that is left early, or ended by its signal, leaves the source as it was',
    async (database, signal) => {
      const { rows, version } = await putMany(database, 1000, signal);
      const region = await database.regionOf(rowName(500), signal);
      const { range } = region;
      const reason = new Error('enough');
      const before = database.source.scan({ region, range, version, signal: AbortSignal.abort(reason) });
      await rejectsWithReason(drain(before), reason);
      for await (const _ of database.source.scan({ region, range, version, signal })) break;
      const stop = new AbortController();
      const during = database.source.scan({ region, range, version, signal: stop.signal });
      await rejectsWithReason(
        drain(during, () => stop.abort(reason)),
        reason,
      );
      assert.deepEqual(await database.scan(database.range, version, signal), rows);
    },
  ],
];

const rowName = (i: number) => `k${String(i).padStart(4, '0')}`;

/** Rows with values of different lengths, over several commits; some are written twice. Returns what is there at a version that can be read. */
async function putMany(
  database: RangeDatabase,
  count: number,
  signal: AbortSignal,
): Promise<{ rows: string[]; version: Version }> {
  const random = seededRandom(count);
  let committed = 0n;
  const values = new Map<string, string>();
  for (let from = 0; from < count; from += 250) {
    const changes = [];
    for (let i = from; i < Math.min(count, from + 250); i++) {
      for (let times = random() < 0.1 ? 2 : 1; times > 0; times--) {
        const value = `${i}.${times}.${'x'.repeat(Math.floor(random() * 60))}`;
        values.set(rowName(i), value);
        changes.push({ key: database.key(rowName(i)), value: utf8(value) });
      }
    }
    committed = await database.commit(changes);
  }
  const version = await database.source.readVersion({ atLeast: committed, signal });
  return { rows: [...values].map(([name, value]) => `${name}=${value}`), version };
}

/** `onBatch` is called for the first batch only; what aborts there may come with the next batch, or at the end. */
async function drain(stream: AsyncIterable<unknown>, onBatch: () => void = () => undefined): Promise<void> {
  for await (const _ of stream) onBatch();
}
