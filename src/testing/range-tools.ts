// What the cases of the range source suite share.

import assert from 'node:assert/strict';
import { compareBytes, equalBytes, keyAfter, toHex, utf8 } from '../core/bytes.js';
import { BackupError } from '../core/errors.js';
import type { KeyRange } from '../core/key-range.js';
import { NORMAL_KEYS, rangeContains } from '../core/key-range.js';
import type { Version } from '../core/version.js';
import type { KeyValueBatch, RangeSource, Region } from '../ports/range-source.js';
import type { RangeSourceUnderTest, SuiteChange } from './range-under-test.js';

export type RangeCheck = (database: RangeDatabase, signal: AbortSignal) => Promise<void>;
export type RangeCase = readonly [name: string, check: RangeCheck];

/** Regions that change more often during one scan are no database's doing. */
const MAX_CHANGES = 100;

/** The database under test, with the suite's keys put into its range. */
export class RangeDatabase {
  readonly source: RangeSource;
  readonly range: KeyRange;
  readonly #under: RangeSourceUnderTest;

  constructor(under: RangeSourceUnderTest) {
    this.#under = under;
    this.source = under.source;
    this.range = under.range ?? NORMAL_KEYS;
  }

  /** A key of the range: keys of the suite order as their names do. */
  key(name: string | Uint8Array): Uint8Array {
    const tail = typeof name === 'string' ? utf8(name) : name;
    const key = new Uint8Array(this.range.begin.length + tail.length);
    key.set(this.range.begin);
    key.set(tail, this.range.begin.length);
    return key;
  }

  /** Half-open, by names. */
  between(begin: string, end: string): KeyRange {
    return { begin: this.key(begin), end: this.key(end) };
  }

  commit(changes: readonly SuiteChange[]): Promise<Version> {
    return this.#under.commit(changes);
  }

  /** Sets these rows in one version. */
  put(rows: Readonly<Record<string, string>>): Promise<Version> {
    return this.commit(Object.entries(rows).map(([name, value]) => ({ key: this.key(name), value: utf8(value) })));
  }

  clear(begin: string, end: string): Promise<Version> {
    return this.commit([this.between(begin, end)]);
  }

  async changeRegion(name: string): Promise<void> {
    assert.ok(this.#under.changeRegion !== undefined, 'changeRegion is given, or `regions: false`');
    await this.#under.changeRegion(this.key(name));
  }

  async collectGarbage(version: Version): Promise<void> {
    assert.ok(this.#under.collectGarbage !== undefined, 'collectGarbage is given, or `garbage: false`');
    await this.#under.collectGarbage(version);
  }

  async regions(range: KeyRange, signal: AbortSignal): Promise<Region[]> {
    const regions: Region[] = [];
    for await (const region of this.source.regions({ range, signal })) regions.push(region);
    return regions;
  }

  /** The region that holds this key. */
  async regionOf(name: string, signal: AbortSignal): Promise<Region> {
    const key = this.key(name);
    const found = (await this.regions(this.range, signal)).find(({ range }) => rangeContains(range, key));
    assert.ok(found !== undefined, `a region holds ${name}`);
    return found;
  }

  /** The rows of the range, region by region, as `key=value` with the key's tail as text. Regions may change meanwhile, as they do in a real database. */
  async scan(range: KeyRange, version: Version, signal: AbortSignal): Promise<string[]> {
    const rows: string[] = [];
    let at = range.begin;
    for (let changes = 0; compareBytes(at, range.end) < 0 && changes < MAX_CHANGES;) {
      try {
        for (const region of await this.regions({ begin: at, end: range.end }, signal)) {
          for await (const batch of this.source.scan({ region, range: region.range, version, signal })) {
            rows.push(...this.rows(batch));
            const last = batch.at(-1);
            if (last !== undefined) at = keyAfter(last[0]);
          }
          at = region.range.end;
        }
      } catch (error) {
        if (!BackupError.is(error, 'REGION_CHANGED')) throw error;
        changes++;
      }
    }
    return rows;
  }

  rows(batch: KeyValueBatch): string[] {
    const decoder = new TextDecoder();
    return batch.map(([key, value]) => {
      assert.ok(key instanceof Uint8Array && value instanceof Uint8Array, 'keys and values are Uint8Arrays');
      return `${decoder.decode(key.subarray(this.range.begin.length))}=${decoder.decode(value)}`;
    });
  }
}

/** In key order, not overlapping, without a hole, clipped to the range. */
export function assertRegionsCover(regions: readonly Region[], range: KeyRange): void {
  let at = range.begin;
  for (const region of regions) {
    assert.ok(region.id !== '', 'a region has an id');
    assert.ok(
      equalBytes(region.range.begin, at),
      `region ${region.id} begins at ${toHex(region.range.begin)}, not at ${toHex(at)}`,
    );
    assert.ok(compareBytes(at, region.range.end) < 0, `region ${region.id} is empty or backwards`);
    at = region.range.end;
  }
  assert.ok(equalBytes(at, range.end), `the regions end at ${toHex(at)}, not at ${toHex(range.end)}`);
}
