import { join } from 'node:path';
import fc from 'fast-check';
import { BackupError, NORMAL_KEYS, type KeyRange, type KeyValueBatch, type Region, type Version } from 'tidemark';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { ModelRows } from '../../../examples/level-host/history.js';
import { LevelDatabase } from '../../../examples/level-host/level-database.js';
import { SeededRandom } from '../../../examples/level-host/random.js';
import { LevelRangeSource, type LevelRangeSourceOptions } from '../../../examples/level-host/range-source.js';
import { middleOf } from '../../../examples/level-host/regions.js';
import { Transaction } from '../../../examples/level-host/transaction.js';
import { Workload } from '../../../examples/level-host/workload.js';
import { tempFolder } from './temp-folder.js';

const never = new AbortController().signal;

async function openSource(options?: LevelRangeSourceOptions) {
  const database = await LevelDatabase.open(join(await tempFolder(), 'db'), {
    heartbeatInterval: 3_600_000, // versions move on by commits alone
    random: new SeededRandom(1),
  });
  const source = new LevelRangeSource(database, options);
  onTestFinished(async () => {
    await source.close();
    await database.close();
  });
  return { database, source };
}

const bytes = (text: string) => Buffer.from(text);
const hex = (data: Uint8Array) => Buffer.from(data).toString('hex');
const newest = (source: LevelRangeSource) => source.readVersion({ atLeast: 0n, signal: never });
const isCoded = (code: string) => (error: unknown) => BackupError.is(error) && error.code === code;

/** Large values in many transactions, so that LevelDB writes them to its files. */
async function fill(database: LevelDatabase, table: string, rows: number): Promise<void> {
  const random = new SeededRandom(rows);
  for (let i = 0; i < rows; i += 50) {
    const transaction = new Transaction();
    for (let j = i; j < i + 50; j++)
      transaction.set(bytes(`${table}/${String(j).padStart(6, '0')}`), random.bytes(4_000));
    await database.commit(transaction);
  }
}

async function listRegions(source: LevelRangeSource, range: KeyRange = NORMAL_KEYS): Promise<Region[]> {
  const regions: Region[] = [];
  for await (const region of source.regions({ range, signal: never })) regions.push(region);
  return regions;
}

async function rowsAt(source: LevelRangeSource, version: Version): Promise<ModelRows> {
  const rows: ModelRows = new Map();
  for (const region of await listRegions(source)) {
    for await (const batch of source.scan({ region, range: region.range, version, signal: never }))
      for (const [key, value] of batch) rows.set(hex(key), hex(value));
  }
  return rows;
}

describe('a version', () => {
  it('holds exactly the rows of its moment, while commits go on around it', async () => {
    const { database, source } = await openSource();
    const workload = new Workload(database, { seed: 2, rate: Infinity });
    const versions: Version[] = [];
    const writing = workload.run(1_500, never);
    const enough = async () => {
      while (workload.committed < 1_400) {
        versions.push(await newest(source));
        await expect(rowsAt(source, versions.at(-1) ?? 0n)).resolves.toBeDefined();
      }
    };
    await enough();
    const last = versions.slice(-3);
    await writing;
    expect(versions.length).toBeGreaterThan(3);
    for (const version of last) expect(await rowsAt(source, version)).toEqual(workload.history.rowsAt(version));
  });

  it('has in it whatever was acknowledged before it was asked for, and waits for one that is high enough', async () => {
    const { database, source } = await openSource();
    const first = await database.commit(new Transaction().set(bytes('a'), bytes('1')));
    expect(await newest(source)).toBe(first);
    const waiting = source.readVersion({ atLeast: first + 1n, signal: never });
    const second = await database.commit(new Transaction().set(bytes('b'), bytes('2')));
    expect(await waiting).toBe(second);
    expect((await rowsAt(source, second)).size).toBe(2);
    expect((await rowsAt(source, first)).size).toBe(1);
  });

  it('is waited for no longer than its reader does', async () => {
    const { source } = await openSource();
    const abort = new AbortController();
    const reason = new Error('enough');
    const waiting = source.readVersion({ atLeast: 1_000_000n, signal: abort.signal });
    abort.abort(reason);
    await expect(waiting).rejects.toBe(reason);
  });

  it('stays open until everyone who got it has released it', async () => {
    const { database, source } = await openSource();
    const version = await database.commit(new Transaction().set(bytes('a'), bytes('1')));
    expect([await newest(source), await newest(source)]).toEqual([version, version]);
    await source.releaseVersion(version);
    expect((await rowsAt(source, version)).size).toBe(1);
    await source.releaseVersion(version);
    await expect(rowsAt(source, version)).rejects.toSatisfy(isCoded('VERSION_TOO_OLD'));
    await source.releaseVersion(version);
    await source.releaseVersion(version + 5n);
  });

  it('gives way when too many are open: the oldest that is not being scanned', async () => {
    const { database, source } = await openSource({ maxVersions: 2 });
    const versions: Version[] = [];
    const openOne = async () => {
      await database.commit(new Transaction().set(bytes('a'), bytes('1')));
      versions.push(await newest(source));
    };
    await openOne();
    const [region] = (await listRegions(source)) as [Region];
    const scan = source.scan({ region, range: region.range, version: versions[0] ?? 0n, signal: never });
    expect((await scan.next()).done).toBe(false);
    await openOne();
    await openOne();
    await expect(rowsAt(source, versions[1] ?? 0n)).rejects.toSatisfy(isCoded('VERSION_TOO_OLD'));
    for (const version of [versions[0], versions[2]]) expect((await rowsAt(source, version ?? 0n)).size).toBe(1);
    await scan.return(undefined);
  });

  it('fails a scan in the middle when it is closed', async () => {
    const { database, source } = await openSource();
    await fill(database, 'table', 500);
    const version = await newest(source);
    const [region] = (await listRegions(source)) as [Region];
    const batches: KeyValueBatch[] = [];
    const scan = async () => {
      for await (const batch of source.scan({ region, range: region.range, version, signal: never })) {
        batches.push(batch);
        if (batches.length === 1) await source.releaseVersion(version);
      }
    };
    await expect(scan()).rejects.toSatisfy(isCoded('VERSION_TOO_OLD'));
    expect(batches.length).toBeGreaterThan(0);
  });
});

describe('regions', () => {
  it('are cut where the database grows, without a hole, and what was not touched stays what it was', async () => {
    const { database, source } = await openSource({ regionBytes: 400_000 });
    const [whole] = (await listRegions(source)) as [Region];
    expect(whole.range).toEqual(NORMAL_KEYS);
    await fill(database, 'm', 3_000);
    const regions = await listRegions(source);
    expect(regions.length).toBeGreaterThan(5);
    expect(regions[0]?.range.begin).toEqual(NORMAL_KEYS.begin);
    expect(regions.at(-1)?.range.end).toEqual(NORMAL_KEYS.end);
    regions.slice(1).forEach(({ range }, i) => expect(range.begin).toEqual(regions[i]?.range.end));

    const version = await newest(source);
    const scanOld = source.scan({ region: whole, range: whole.range, version, signal: never });
    await expect(scanOld.next()).rejects.toSatisfy(isCoded('REGION_CHANGED'));
    expect((await rowsAt(source, version)).size).toBe(3_000);

    await fill(database, 'z', 2_500);
    const later = await listRegions(source);
    expect(later.length).toBeGreaterThan(regions.length);
    expect(later.slice(0, 3)).toEqual(regions.slice(0, 3));
    expect(new Set(later.map(({ id }) => id)).size).toBe(later.length);
  });

  it('are clipped to the range that was asked for', async () => {
    const { database, source } = await openSource({ regionBytes: 400_000 });
    await fill(database, 'm', 3_000);
    await listRegions(source);
    const range = { begin: bytes('m/000500'), end: bytes('m/001200') };
    const version = await newest(source);
    const rows: string[] = [];
    for (const region of await listRegions(source, range)) {
      for await (const batch of source.scan({ region, range: region.range, version, signal: never }))
        for (const [key] of batch) rows.push(Buffer.from(key).toString());
    }
    expect(rows).toHaveLength(700);
    expect([rows[0], rows.at(-1)]).toEqual(['m/000500', 'm/001199']);
    expect(rows).toEqual([...rows].sort());
  });

  it('are halved between two keys, whatever these are', () => {
    const key = fc.uint8Array({ maxLength: 12 }).map((array) => Buffer.from(array));
    const zeros = fc.nat({ max: 9 }).map((length) => Buffer.alloc(length));
    fc.assert(
      fc.property(fc.oneof(key, zeros), fc.oneof(key, zeros), fc.oneof(key, zeros), (prefix, a, b) => {
        const [first, last] = [Buffer.concat([prefix, a]), Buffer.concat([prefix, b])].sort((x, y) => x.compare(y));
        if (first === undefined || last === undefined) return;
        const middle = middleOf(first, last);
        if (first.equals(last)) expect(middle).toBeUndefined();
        else
          expect([Buffer.compare(first, middle ?? first), Buffer.compare(middle ?? last, last) <= 0]).toEqual([
            -1,
            true,
          ]);
      }),
      { numRuns: 2_000 },
    );
  });
});
