// The suite for sources of transactional rows, against the one in memory, and against ones that break it.

import { describe, expect, it } from 'vitest';
import { keyAfter } from '../../src/core/bytes.js';
import type { SuiteChange } from '../../src/testing/range-under-test.js';
import { MemoryTxnSource } from '../../src/testing/memory-txn-source.js';
import type { TxnRow } from '../../src/testing/memory-txn-source.js';
import { txnRangeSourceSuite } from '../../src/testing/txn-range-suite.js';
import type { TxnRangeSourceUnderTest } from '../../src/testing/txn-range-suite.js';
import { checkedTxnRangeSource } from '../../src/ports/checked-txn-range-source.js';
import type { TxnBatch, TxnScanRequest } from '../../src/ports/txn-range-source.js';
import { key } from './backup-world.js';

function open(source = new MemoryTxnSource({ borders: [key('k30'), key('k60')] })): TxnRangeSourceUnderTest {
  return {
    source,
    commit: async (changes) => source.commit(changes.flatMap((change) => writesOf(source, change))),
    changeRegion: async (at) => source.split(keyAfter(at)),
    collectGarbage: async (ts) => source.collectGarbage(ts + 1n),
  };
}

function writesOf(source: MemoryTxnSource, change: SuiteChange): Pick<TxnRow, 'key' | 'value'>[] {
  if ('key' in change) return [change];
  return source.rowsAt(source.committed, 0n, change).map(({ key: rowKey }) => ({ key: rowKey }));
}

describe('a MemoryTxnSource', () => {
  for (const { name, run } of txnRangeSourceSuite(open)) it(name, run);
});

/** Its scans are not what they should be. */
class Broken extends MemoryTxnSource {
  readonly #change: (request: TxnScanRequest) => TxnScanRequest;
  readonly #spoil: (batch: TxnBatch) => TxnBatch;

  constructor(change: (request: TxnScanRequest) => TxnScanRequest, spoil: (batch: TxnBatch) => TxnBatch) {
    super();
    this.#change = change;
    this.#spoil = spoil;
  }

  override async *scan(request: TxnScanRequest): AsyncIterable<TxnBatch> {
    for await (const batch of super.scan(this.#change(request))) yield this.#spoil(batch);
  }
}

describe('the suite for sources of transactional rows', () => {
  const same = <T>(value: T): T => value;
  const filtered = (batch: TxnBatch, keep: (i: number) => boolean): TxnBatch => {
    const kept = batch.keys.map((_, i) => i).filter(keep);
    return {
      keys: kept.map((i) => batch.keys[i]!),
      values: kept.map((i) => batch.values[i]),
      startTs: BigUint64Array.from(kept, (i) => batch.startTs[i]!),
      commitTs: BigUint64Array.from(kept, (i) => batch.commitTs[i]!),
    };
  };
  const cases: [string, Broken][] = [
    ['reads above endTs', new Broken((request) => ({ ...request, endTs: request.endTs + 100n }), same)],
    ['does not know startTs', new Broken((request) => ({ ...request, startTs: 0n }), same)],
    [
      'takes startTs for inclusive',
      new Broken((request) => ({ ...request, startTs: request.startTs > 0n ? request.startTs - 1n : 0n }), same),
    ],
    ['takes endTs for exclusive', new Broken((request) => ({ ...request, endTs: request.endTs - 1n }), same)],
    ['forgets deletes', new Broken(same, (batch) => filtered(batch, (i) => batch.values[i] !== undefined))],
    [
      'mixes up its timestamps',
      new Broken(same, (batch) => ({ ...batch, startTs: batch.commitTs, commitTs: batch.startTs })),
    ],
  ];
  for (const [name, broken] of cases) {
    it(`finds one that ${name}`, async () => {
      const failed: string[] = [];
      for (const { name: what, run } of txnRangeSourceSuite(() => open(broken), { regions: false, garbage: false }))
        if (/timestamp|bounds|deleted/.test(what)) await run().catch(() => failed.push(what));
      expect(failed).not.toEqual([]);
    });
  }
});

describe('a checked TxnRangeSource', () => {
  const request = { range: { begin: key('a'), end: key('z') }, signal: new AbortController().signal };
  const scanned = async (batch: unknown) => {
    const inner = new MemoryTxnSource();
    const source = checkedTxnRangeSource({
      readVersion: () => Promise.resolve('now' as never),
      regions: (asked) => inner.regions(asked),
      scan: async function* () {
        yield await Promise.resolve(batch as TxnBatch);
      },
    });
    const scan = { ...request, region: { id: '1', epoch: '1', range: request.range }, startTs: 0n, endTs: 9n };
    for await (const rows of source.scan(scan)) return rows;
    return undefined;
  };

  it('refuses what is no batch', async () => {
    const [ts] = [BigUint64Array.of(1n)];
    const good = { keys: [key('b')], values: [key('v')], startTs: ts, commitTs: ts };
    expect(await scanned(good)).toEqual(good);
    const bad = [undefined, [], { ...good, keys: ['b'] }, { ...good, values: ['v'] }, { ...good, startTs: [1n] }];
    for (const batch of bad) await expect(scanned(batch)).rejects.toMatchObject({ code: 'ADAPTER_CONTRACT' });
  });

  it('refuses a timestamp that is none, and what is no source', async () => {
    const source = checkedTxnRangeSource(new MemoryTxnSource());
    expect(checkedTxnRangeSource(source)).toBe(source);
    expect(() => checkedTxnRangeSource({} as never)).toThrow('readVersion');
    const odd = checkedTxnRangeSource(Object.assign(new MemoryTxnSource(), { readVersion: () => Promise.resolve(1) }));
    await expect(odd.readVersion({ atLeast: 0n, signal: request.signal })).rejects.toMatchObject({
      code: 'ADAPTER_CONTRACT',
    });
  });
});
