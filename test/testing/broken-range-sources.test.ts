// What the range source suite finds: sources, each with one mistake, and the case that must not pass.

import { describe, expect, it } from 'vitest';
import { utf8 } from '../../src/core/bytes.js';
import { MutationType } from '../../src/core/mutation.js';
import type { KeyValueBatch, RangeSource } from '../../src/ports/range-source.js';
import { MemoryRangeSource } from '../../src/testing/memory-range-source.js';
import type { SuiteChange } from '../../src/testing/range-suite.js';
import { rangeSourceSuite } from '../../src/testing/range-suite.js';
import { sourceOf } from '../hostile/helpers.js';

type Change = (source: MemoryRangeSource) => Partial<RangeSource>;

function openWith(change: Change) {
  const source = new MemoryRangeSource({ borders: [utf8('k0100'), utf8('k0300')], batchRows: 9, version: 5n });
  return {
    source: sourceOf(source, change(source)),
    commit: async (changes: readonly SuiteChange[]) =>
      source.commit(
        changes.map((each) => ({
          mutation:
            'key' in each
              ? { type: MutationType.SetValue, param1: each.key, param2: each.value }
              : { type: MutationType.ClearRange, param1: each.begin, param2: each.end },
        })),
      ),
  };
}

const withBatches =
  (change: (batches: AsyncIterable<KeyValueBatch>) => AsyncIterable<KeyValueBatch>): Change =>
  (source) => ({ scan: (request) => change(source.scan(request)) });

const EVERY_ROW = 'a scan yields every row once, in key order, over as many batches as it takes';

const mistakes: [mistake: string, found: string, change: Change][] = [
  [
    'the rows of now',
    'a version is read the same however often, whatever is written in between',
    (source) => ({ scan: (request) => source.scan({ ...request, version: source.committed }) }),
  ],
  [
    'a version of before the call',
    'a read version holds everything that was acknowledged before the call, and does not go back',
    (source) => ({ readVersion: async (request) => (await source.readVersion(request)) - 1n }),
  ],
  [
    'a scan that ends early without an error',
    EVERY_ROW,
    withBatches(async function* (batches) {
      let left = 40;
      for await (const batch of batches) {
        if (left-- === 0) return;
        yield batch;
      }
    }),
  ],
  [
    'batches in memory that the next one uses again',
    'the memory of a batch belongs to the receiver, also while the scan goes on',
    withBatches(async function* (batches) {
      let last: KeyValueBatch = [];
      for await (const batch of batches) {
        for (const [key, value] of last) for (const bytes of [key, value]) bytes.fill(0);
        yield (last = batch);
      }
    }),
  ],
  [
    'a begin that is exclusive',
    "a scan's begin is inclusive and its end exclusive, wherever in a region they lie",
    (source) => ({
      scan: ({ range, ...request }) =>
        source.scan({ ...request, range: { ...range, begin: Uint8Array.of(...range.begin, 0) } }),
    }),
  ],
  [
    'regions that are not clipped to the range',
    'regions cover any range in order, without overlap or hole, and no more than it',
    (source) => ({
      regions: (request) =>
        source.regions({ ...request, range: { begin: new Uint8Array(), end: Uint8Array.of(0xff) } }),
    }),
  ],
];

describe('the range source suite finds', () => {
  it.each(mistakes)('%s', async (_mistake, found, change) => {
    const suite = rangeSourceSuite(() => openWith(change), { regions: false, garbage: false });
    const failed: string[] = [];
    for (const { name, run } of suite.filter((each) => each.name === found)) await run().catch(() => failed.push(name));
    expect(failed).toEqual([found]);
  });

  it('nothing in one that is right', async () => {
    for (const { run } of rangeSourceSuite(() => openWith(() => ({})), { regions: false, garbage: false })) await run();
  });
});
