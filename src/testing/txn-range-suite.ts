// What every TxnRangeSource must do: what a RangeSource must, as far as a full backup reads it, and what its timestamps and deletes must be.

import assert from 'node:assert/strict';
import { toHex, utf8 } from '../core/bytes.js';
import type { KeyRange } from '../core/key-range.js';
import { NORMAL_KEYS } from '../core/key-range.js';
import type { Version } from '../core/version.js';
import type { KeyValueBatch, RangeSource } from '../ports/range-source.js';
import type { TxnBatch, TxnRangeSource } from '../ports/txn-range-source.js';
import type { ConformanceCase } from './conformance.js';
import { rejectsWith } from './conformance.js';
import type { RangeSourceSuiteOptions } from './range-suite.js';
import { rangeSourceSuite } from './range-suite.js';
import type { RangeSourceUnderTest } from './range-under-test.js';

/** As RangeSourceUnderTest; `commit` is one transaction, and resolves with its commit ts. */
export interface TxnRangeSourceUnderTest extends Omit<RangeSourceUnderTest, 'source'> {
  readonly source: TxnRangeSource;
}

/** `open` is called once per case and gives a database whose range is empty. */
export function txnRangeSourceSuite(
  open: () => TxnRangeSourceUnderTest | Promise<TxnRangeSourceUnderTest>,
  options: RangeSourceSuiteOptions = {},
): ConformanceCase[] {
  const asRows = async (): Promise<RangeSourceUnderTest> => {
    const under = await open();
    const { source, range, commit, changeRegion, collectGarbage, cleanup } = under;
    return {
      source: rowsOf(source),
      ...(range === undefined ? {} : { range }),
      commit: commit.bind(under),
      ...(changeRegion === undefined ? {} : { changeRegion: changeRegion.bind(under) }),
      ...(collectGarbage === undefined ? {} : { collectGarbage: collectGarbage.bind(under) }),
      ...(cleanup === undefined ? {} : { cleanup: cleanup.bind(under) }),
    };
  };
  const own = [...TXN_CASES, ...((options.garbage ?? true) ? GARBAGE_CASES : [])].map(([name, check]) => ({
    name,
    run: async () => {
      const under = await open();
      const stop = new AbortController();
      try {
        await check(new TxnDatabase(under, stop.signal));
      } finally {
        stop.abort(new Error('the case has ended'));
        await under.cleanup?.();
      }
    },
  }));
  return [...rangeSourceSuite(asRows, options), ...own];
}

/** What a full backup reads. */
function rowsOf(source: TxnRangeSource): RangeSource {
  return {
    readVersion: (request) => source.readVersion(request),
    ...(source.releaseVersion === undefined
      ? {}
      : { releaseVersion: async (version: Version) => source.releaseVersion?.(version) }),
    regions: (request) => source.regions(request),
    scan: async function* ({ version, ...request }): AsyncIterable<KeyValueBatch> {
      for await (const batch of source.scan({ ...request, startTs: 0n, endTs: version })) {
        checkColumns(batch, 0n, version);
        yield batch.keys.map((key, i) => [key, batch.values[i] as Uint8Array] as const);
      }
    },
  };
}

function checkColumns({ keys, values, startTs, commitTs }: TxnBatch, after: Version, last: Version): void {
  const lengths = [values.length, startTs.length, commitTs.length];
  assert.deepEqual(lengths, [keys.length, keys.length, keys.length], 'the columns of a batch have one length');
  for (const [i, key] of keys.entries()) {
    const [start, commit] = [startTs[i] as bigint, commitTs[i] as bigint];
    const row = `row ${toHex(key)}, written from ${start} to ${commit}`;
    assert.ok(start <= commit, `${row}: it was committed before it began`);
    assert.ok(commit > after && commit <= last, `${row}, lies outside of (${after}, ${last}]`);
    assert.ok(after > 0n || values[i] !== undefined, `${row}: a full scan has no deleted rows`);
  }
}

type TxnCheck = (database: TxnDatabase) => Promise<void>;

class TxnDatabase {
  readonly source: TxnRangeSource;
  readonly #under: TxnRangeSourceUnderTest;
  readonly #signal: AbortSignal;
  readonly #range: KeyRange;

  constructor(under: TxnRangeSourceUnderTest, signal: AbortSignal) {
    this.source = under.source;
    this.#under = under;
    this.#signal = signal;
    this.#range = under.range ?? NORMAL_KEYS;
  }

  /** Without a value: a clear of that one key. */
  put(name: string, value?: string): Promise<Version> {
    const key = this.#key(name);
    const change = value === undefined ? { begin: key, end: this.#key(`${name}\0`) } : { key, value: utf8(value) };
    return this.#under.commit([change]);
  }

  async collectGarbage(ts: Version): Promise<void> {
    assert.ok(this.#under.collectGarbage !== undefined, 'collectGarbage is given, or `garbage: false`');
    await this.#under.collectGarbage(ts);
  }

  readVersion(atLeast: Version): Promise<Version> {
    return this.source.readVersion({ atLeast, signal: this.#signal });
  }

  /** `name=value`, or `name deleted`. */
  async scan(startTs: Version, endTs: Version): Promise<string[]> {
    const rows: string[] = [];
    const decoder = new TextDecoder();
    for await (const region of this.source.regions({ range: this.#range, signal: this.#signal })) {
      const request = { region, range: region.range, startTs, endTs, signal: this.#signal };
      for await (const batch of this.source.scan(request)) {
        checkColumns(batch, startTs, endTs);
        for (const [i, key] of batch.keys.entries()) {
          const name = decoder.decode(key.subarray(this.#range.begin.length));
          const value = batch.values[i];
          rows.push(value === undefined ? `${name} deleted` : `${name}=${decoder.decode(value)}`);
        }
      }
    }
    return rows;
  }

  #key(name: string): Uint8Array {
    return new Uint8Array(Buffer.concat([this.#range.begin, utf8(name)]));
  }
}

const TXN_CASES: readonly (readonly [name: string, check: TxnCheck])[] = [
  [
    'a scan since a timestamp yields the newest change of each key after it, deletes too, and nothing else',
    async (database) => {
      await database.put('a', '1');
      await database.put('b', '1');
      const startTs = await database.put('c', '1');
      await database.put('b', '2');
      await database.put('b', '3');
      await database.put('c');
      const endTs = await database.readVersion(await database.put('d', '1'));
      await database.put('a', 'later');
      await database.put('b', 'later');
      assert.deepEqual(await database.scan(startTs, endTs), ['b=3', 'c deleted', 'd=1']);
      assert.deepEqual(await database.scan(0n, endTs), ['a=1', 'b=3', 'd=1']);
    },
  ],
  [
    'both bounds are exact: the one at which something was committed is not seen, and the other is',
    async (database) => {
      const first = await database.put('a', '1');
      const second = await database.put('a', '2');
      await database.readVersion(await database.put('a', '3'));
      assert.deepEqual(await database.scan(first, second), ['a=2']);
      assert.deepEqual(await database.scan(first - 1n, first), ['a=1']);
      assert.deepEqual(await database.scan(0n, second), ['a=2']);
    },
  ],
  [
    'a key that was deleted and written again is there, and one that was written and deleted again is a delete',
    async (database) => {
      const startTs = await database.put('a', '1');
      await database.put('a');
      await database.put('a', 'back');
      await database.put('b', '1');
      const endTs = await database.readVersion(await database.put('b'));
      assert.deepEqual(await database.scan(startTs, endTs), ['a=back', 'b deleted']);
      assert.deepEqual(await database.scan(0n, endTs), ['a=back']);
    },
  ],
];

const GARBAGE_CASES: readonly (readonly [name: string, check: TxnCheck])[] = [
  [
    'changes since a timestamp that has been garbage-collected are refused with VERSION_TOO_OLD: a delete may be gone',
    async (database) => {
      const startTs = await database.put('a', '1');
      await database.put('a');
      const later = await database.put('b', '1');
      await database.collectGarbage(startTs);
      const endTs = await database.readVersion(later);
      await rejectsWith('VERSION_TOO_OLD', database.scan(startTs, endTs), `a scan since ${startTs}`);
      assert.deepEqual(await database.scan(0n, endTs), ['b=1']);
    },
  ],
];
