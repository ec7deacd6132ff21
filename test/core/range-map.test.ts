import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { rangeContains, type KeyRange } from '../../src/core/key-range.js';
import { RangeMap } from '../../src/core/range-map.js';

function latin1(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text, 'latin1'));
}

function range(begin: string, end: string): KeyRange {
  return { begin: latin1(begin), end: latin1(end) };
}

function jobsOf(map: RangeMap, key: string): number[] {
  return [...map.lookup(latin1(key))];
}

describe('RangeMap', () => {
  it('knows for every key the jobs whose ranges hold it', () => {
    const map = new RangeMap([[range('b', 'd'), range('f', 'h')], [range('c', 'g')], [range('', '\xff')]]);
    expect(['', 'a', 'b', 'c', 'd', 'f', 'g', 'h', '\xfe', '\xff', '\xff\xff'].map((key) => jobsOf(map, key))).toEqual([
      [2],
      [2],
      [0, 2],
      [0, 1, 2],
      [1, 2],
      [0, 1, 2],
      [0, 2],
      [2],
      [2],
      [],
      [],
    ]);
  });

  it('is half-open: the begin belongs to a range, the end does not, nor does anything between a key and its end', () => {
    const map = new RangeMap([[range('k', 'k\x00')]]);
    expect(['j', 'j\xff', 'k', 'k\x00', 'k\x00\x00', 'l'].map((key) => jobsOf(map, key))).toEqual([
      [],
      [],
      [0],
      [],
      [],
      [],
    ]);
  });

  it('finds keys in place in a larger buffer', () => {
    const map = new RangeMap([[range('b', 'd')]]);
    const bytes = latin1('xxcxx');
    expect([...map.jobsOf(map.segmentOf(bytes, 2, 1))]).toEqual([0]);
    expect([...map.jobsOf(map.segmentOf(bytes, 1, 1))]).toEqual([]);
    expect([...map.jobsOf(map.segmentOf(bytes, 2, 0))]).toEqual([]);
  });

  it('has no jobs anywhere when there are none', () => {
    const map = new RangeMap([]);
    expect([map.segments, jobsOf(map, ''), jobsOf(map, 'k')]).toEqual([1, [], []]);
  });

  it('answers like a look at every range, for few ranges and many, for keys with and without a common beginning', () => {
    const letters = fc
      .array(fc.constantFrom('\x00', '\x01', 'a', 'b', '\xfe', '\xff'), { maxLength: 5 })
      .map((list) => list.join(''));
    const digits = fc.nat(999).map((n) => String(n).padStart(3, '0'));
    const binary = fc.uint8Array({ maxLength: 9 }).map((bytes) => Buffer.from(bytes).toString('latin1'));
    const keys = fc.constantFrom(
      { key: letters, count: 12 },
      { key: digits.map((d) => `tenant/users/${d}`), count: 150 },
      {
        key: fc.oneof(
          digits.map((d) => `prefix ${d}`),
          letters,
        ),
        count: 150,
      },
      { key: binary, count: 200 },
    );
    const input = keys.chain(({ key, count }) =>
      fc.record({
        // Without a size fast-check makes short lists only: hardly ever as many boundaries as have buckets.
        jobs: fc.array(fc.array(fc.tuple(key, key), { maxLength: count, size: 'max' }), { maxLength: 4 }),
        probes: fc.array(key, { maxLength: 40 }),
      }),
    );
    fc.assert(
      fc.property(input, ({ jobs, probes }) => {
        const ranges = jobs.map((pairs) =>
          pairs.flatMap(([a, b]) =>
            a === b ? [] : [Buffer.compare(latin1(a), latin1(b)) < 0 ? range(a, b) : range(b, a)],
          ),
        );
        const map = new RangeMap(ranges);
        const edges = ranges.flat().flatMap((r) => [r.begin, r.end]);
        for (const key of [...probes.map(latin1), ...edges]) {
          const expected = ranges.flatMap((list, job) => (list.some((r) => rangeContains(r, key)) ? [job] : []));
          expect([...map.lookup(key)]).toEqual(expected);
        }
      }),
      // Shrinking hundreds of ranges takes minutes: the seed is enough.
      { numRuns: 300, endOnFailure: true },
    );
  });

  it('finds its way among more boundaries than two bytes can count', () => {
    const key = (n: number) => {
      const bytes = Buffer.alloc(4);
      bytes.writeUInt32BE(n * 3000);
      return new Uint8Array(bytes);
    };
    const count = 40_000;
    const ranges = Array.from({ length: count }, (_, i) => ({ begin: key(2 * i), end: key(2 * i + 1) }));
    const map = new RangeMap([ranges]);
    expect(map.segments).toBe(2 * count + 1);
    for (let i = 0; i < 2 * count; i += 997) {
      const at = i * 3000;
      const inside = Buffer.alloc(4);
      inside.writeUInt32BE(at + 1500);
      expect([...map.lookup(inside)], `key ${at + 1500}`).toEqual(i % 2 === 0 ? [0] : []);
      expect([...map.lookup(key(i))], `key ${at}`).toEqual(i % 2 === 0 ? [0] : []);
    }
  });
});
