// Range sources that break their contract, and what the whole library makes of each. docs/adapters.md has the table.

/* eslint-disable require-yield, @typescript-eslint/only-throw-error -- sources that do nothing but throw, also what is no error */
import { describe, expect, it } from 'vitest';
import { utf8 } from '../../src/core/bytes.js';
import { BackupError } from '../../src/core/errors.js';
import type { KeyValueBatch, RangeSource, Region } from '../../src/ports/range-source.js';
import { sourceOf } from './helpers.js';
import type { Hostile } from './whole.js';
import { Own, never, runWhole } from './whole.js';

type SourceOf = NonNullable<Hostile['source']>;

const withBatch =
  (change: (batch: KeyValueBatch) => unknown): SourceOf =>
  (source) =>
    sourceOf(source, {
      scan: async function* (request) {
        for await (const batch of source.scan(request)) yield change(batch) as KeyValueBatch;
      },
    });

const withRegions =
  (change: (regions: Region[]) => unknown[]): SourceOf =>
  (source) =>
    sourceOf(source, {
      regions: async function* (request) {
        const regions: Region[] = [];
        for await (const region of source.regions(request)) regions.push(region);
        yield* change(regions) as Region[];
      },
    });

const row = (key: string, value = 'v') => [utf8(key), utf8(value)] as const;
const stream = <T>(items: () => Generator<T>) =>
  async function* () {
    yield* items();
  };

/** Each is named: one of these texts is said. */
const named: Record<string, [SourceOf, RegExp]> = {
  'a version that is a number': [
    (source) => sourceOf(source, { readVersion: async () => 14 as never }),
    /RangeSource\.readVersion .*got 14/,
  ],
  'no version': [
    (source) => sourceOf(source, { readVersion: async () => undefined as never }),
    /RangeSource\.readVersion .*got undefined/,
  ],
  'a version below zero': [
    (source) => sourceOf(source, { readVersion: async () => -1n }),
    /RangeSource\.readVersion .*got -1/,
  ],
  'rows in reverse order': [
    withBatch((batch) => batch.toReversed()),
    /ADAPTER_CONTRACT|SNAPSHOT_INCOMPLETE .*each key once and in order/,
  ],
  'rows twice': [withBatch((batch) => batch.flatMap((each) => [each, each])), /each key once and in order/],
  'batches twice': [
    (source) =>
      sourceOf(source, {
        scan: async function* (request) {
          for await (const batch of source.scan(request)) {
            yield batch;
            yield batch;
          }
        },
      }),
    /each key once and in order/,
  ],
  'rows of other regions': [withBatch((batch) => [...batch, row('zz')]), /each key once and in order/],
  'rows below the range': [withBatch((batch) => [row(''), ...batch]), /each key once and in order/],
  'texts for rows': [withBatch((batch) => batch.map(() => ['a', 'b'])), /RangeSource\.scan .*not a key and a value/],
  'rows without values': [
    withBatch((batch) => batch.map(([key]) => [key])),
    /RangeSource\.scan .*not a key and a value/,
  ],
  'nothing for batches': [withBatch(() => undefined), /RangeSource\.scan .*not a batch of rows/],
  'empty batches without end': [
    (source) =>
      sourceOf(source, {
        scan: stream(function* () {
          for (;;) yield [];
        }),
      }),
    /RangeSource\.scan .*10000 batches without a row/,
  ],
  'no stream of rows': [
    (source) => sourceOf(source, { scan: () => undefined as never }),
    /RangeSource\.scan .*not an AsyncIterable/,
  ],
  'no regions': [withRegions(() => []), /there is no region in/],
  'regions with a hole': [
    withRegions((regions) => regions.filter((_, index) => index !== 1)),
    /must follow one another without a hole/,
  ],
  'regions that overlap': [
    withRegions((regions) =>
      regions.map((region, index) =>
        index === 0 ? region : { ...region, range: { ...region.range, begin: utf8('') } },
      ),
    ),
    /must follow one another without a hole/,
  ],
  'regions twice': [
    withRegions((regions) => regions.flatMap((region) => [region, region])),
    /must follow one another without a hole/,
  ],
  'regions in reverse order': [
    withRegions((regions) => regions.toReversed()),
    /must follow one another without a hole/,
  ],
  'regions beyond the range': [
    withRegions((regions) =>
      regions.map((region, index) =>
        index < regions.length - 1 ? region : { ...region, range: { ...region.range, end: Uint8Array.of(0xff, 0xff) } },
      ),
    ),
    /must follow one another without a hole and within it/,
  ],
  'regions without keys': [
    withRegions((regions) =>
      regions.map((region) => ({ ...region, range: { begin: region.range.begin, end: region.range.begin } })),
    ),
    /must follow one another/,
  ],
  'regions without a range': [
    withRegions((regions) => regions.map(({ id, epoch }) => ({ id, epoch }))),
    /RangeSource\.regions .*without a range of keys/,
  ],
  'regions without a name': [
    withRegions((regions) => regions.map(({ range }) => ({ range }))),
    /RangeSource\.regions .*the id undefined/,
  ],
  'regions that always have changed': [
    (source) =>
      sourceOf(source, {
        scan: stream(function* () {
          throw new BackupError('REGION_CHANGED', 'again', { retryable: true });
        }) as RangeSource['scan'],
      }),
    /SNAPSHOT_INCOMPLETE/,
  ],
  'versions that always are too old': [
    (source) =>
      sourceOf(source, {
        scan: stream(function* () {
          throw new BackupError('VERSION_TOO_OLD', 'again');
        }) as RangeSource['scan'],
      }),
    /SNAPSHOT_INCOMPLETE/,
  ],
  'a failure that is nothing': [
    (source) =>
      sourceOf(source, {
        scan: stream(function* () {
          throw undefined;
        }) as RangeSource['scan'],
      }),
    /RangeSource\.scan .*failed with undefined|SNAPSHOT_INCOMPLETE/,
  ],
  'a throw instead of a stream': [
    (source) =>
      sourceOf(source, {
        scan: () => {
          throw new Own('at once');
        },
      }),
    /SNAPSHOT_INCOMPLETE/,
  ],
  'scans that never answer': [
    (source) => sourceOf(source, { scan: () => ({ [Symbol.asyncIterator]: () => ({ next: () => never() }) }) }),
    /snapshot INVALID_STATE it had to be stopped/,
  ],
};

const tolerated: Record<string, SourceOf> = {
  'some empty batches': (source) =>
    sourceOf(source, {
      scan: async function* (request) {
        for await (const batch of source.scan(request)) yield* [[], batch, []];
      },
    }),
  'regions that are listed as one': withRegions((regions) => regions.slice(0, 1)),
  'a release that fails': (source) => sourceOf(source, { releaseVersion: () => Promise.reject(new Own('no')) }),
  'a release that never answers': (source) => sourceOf(source, { releaseVersion: () => never() }),
};

describe('a range source with', () => {
  it.each(Object.entries(named))('%s is named', async (_name, [source, text]) => {
    const { said } = await runWhole({ source });
    expect(said.filter((line) => text.test(line))).not.toEqual([]);
  });

  it.each(Object.entries(tolerated))('%s does no harm', async (_name, source) => {
    const { exact } = await runWhole({ source });
    expect(exact).toBeGreaterThan(10);
  });

  it('regions without end makes no snapshot, and can be stopped', async () => {
    let regions = 0;
    const { said } = await runWhole({
      source: (source) =>
        sourceOf(source, {
          regions: async function* ({ range }) {
            for (let { begin } = range; ; regions++) {
              const end = Uint8Array.of(
                ...begin.subarray(0, 4),
                regions >>> 24,
                regions >>> 16,
                regions >>> 8,
                regions,
                1,
              );
              yield { id: `${regions}`, epoch: '1', range: { begin, end } };
              begin = end;
            }
          },
        }),
    });
    expect(said.join('\n')).toMatch(/snapshot /);
    expect(said.join('\n')).not.toMatch(/restore .*snapshot/);
  });
});
