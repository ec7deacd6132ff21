// What needs no server: ranges with holes, and operations as one transaction of etcd takes them.

import { describe, expect, it } from 'vitest';
import { compareBytes, keyAfter } from '../../src/core/bytes.js';
import type { KeyRange } from '../../src/core/key-range.js';
import { coalesceRanges, rangeContains } from '../../src/core/key-range.js';
import type { RestoreOperation } from '../../src/ports/restore-target.js';
import { prefixRange } from '../../src/source/etcd/options.js';
import { withoutRanges } from '../../src/source/etcd/range-parts.js';
import { etcdBatch, mostEtcdOperations } from '../../src/source/etcd/target-batch.js';
import { MemoryRestoreTarget } from '../../src/testing/memory-restore-target.js';
import { SeededRandom } from '../restore/log-model.js';

const checkpoint = { restoreId: 'x', phase: 'log', version: 1n } as const;

/** Few keys, so that they meet often. */
const key = (random: SeededRandom) => Uint8Array.from({ length: random.below(3) }, () => random.below(4));

function someRange(random: SeededRandom): KeyRange {
  const [a, b] = [key(random), random.below(3) === 0 ? keyAfter(key(random)) : key(random)];
  return compareBytes(a, b) <= 0 ? { begin: a, end: b } : { begin: b, end: a };
}

/** Every key that the models use, and some between them. */
const allKeys = (() => {
  const keys: Uint8Array[] = [];
  const add = (bytes: readonly number[]) => {
    keys.push(Uint8Array.from(bytes));
    if (bytes.length < 3) for (let byte = 0; byte < 4; byte++) add([...bytes, byte]);
  };
  add([]);
  return keys;
})();

const textOf = (target: MemoryRestoreTarget) =>
  [...target.rows()].map(({ key: at, value }) => `${at.join('.')}=${value.join('.')}`).join(' ');

describe('ranges with holes', () => {
  it('hold what is in a range and in no hole', () => {
    for (let seed = 1; seed <= 200; seed++) {
      const random = new SeededRandom(seed);
      const some = () => coalesceRanges(Array.from({ length: random.below(5) }, () => someRange(random)));
      const [ranges, holes] = [some(), some()];
      const parts = withoutRanges(ranges, holes);
      const isIn = (list: readonly KeyRange[], each: Uint8Array) => list.some((range) => rangeContains(range, each));
      const wrong = allKeys.filter((each) => isIn(parts, each) !== (isIn(ranges, each) && !isIn(holes, each)));
      expect(wrong, `seed ${seed}`).toEqual([]);
      for (const [i, { begin, end }] of parts.entries()) {
        expect(compareBytes(begin, end)).toBeLessThan(0);
        if (i > 0) expect(compareBytes(parts[i - 1]!.end, begin)).toBeLessThanOrEqual(0);
      }
    }
  });
});

describe('a prefix', () => {
  it('is not changed by the making of its range', () => {
    const prefix = Buffer.from('a/');
    expect(Buffer.from(prefixRange(prefix).end).toString()).toBe('a0');
    expect(prefix.toString()).toBe('a/');
  });
});

describe('operations as a transaction of etcd', () => {
  it('have the effect that they have one after the other, are no more than was counted on, and never meet', async () => {
    let most = 0;
    for (let seed = 1; seed <= 800; seed++) {
      const random = new SeededRandom(seed);
      const rows = allKeys.filter((each) => each.length > 0 && random.below(3) === 0);
      const operations = Array.from({ length: 1 + random.below(8) }, (_, i): RestoreOperation => {
        const at = key(random);
        if (random.below(2) === 0 && at.length > 0) return { type: 'set', key: at, value: Uint8Array.of(i) };
        return { type: 'clear', ...someRange(random) };
      });
      const holes = coalesceRanges(random.below(2) === 0 ? [] : [someRange(random)]);
      const inHole = (each: Uint8Array) => holes.some((hole) => rangeContains(hole, each));
      const allowed = operations.filter((each) => each.type === 'clear' || !inHole(each.key));
      if (allowed.length === 0) continue;

      const wanted = new MemoryRestoreTarget();
      for (const each of rows) wanted.put(each, Uint8Array.of(99));
      await wanted.apply(allowed, checkpoint);
      for (const each of rows) if (inHole(each)) wanted.put(each, Uint8Array.of(99));

      const { puts, deletes, ranges } = etcdBatch(allowed, holes);
      const count = puts.length + deletes.length + ranges.length;
      expect(count, `seed ${seed}`).toBeLessThanOrEqual(mostEtcdOperations(allowed.length, holes.length));
      most = Math.max(most, count - 2 * allowed.length);
      // As etcd: whatever the order, since nothing meets.
      const found = new MemoryRestoreTarget();
      for (const each of rows) found.put(each, Uint8Array.of(99));
      const sets = puts.map(({ key: at, value }): RestoreOperation => ({ type: 'set', key: at, value }));
      const clears = [...ranges, ...deletes.map((at) => ({ begin: at, end: keyAfter(at) }))].map(
        (range): RestoreOperation => ({ type: 'clear', ...range }),
      );
      await found.apply(random.below(2) === 0 ? [...sets, ...clears] : [...clears, ...sets], checkpoint);
      expect(textOf(found), `seed ${seed}`).toEqual(textOf(wanted));
      for (const { end } of ranges)
        expect([...end], 'no range that etcd takes for one without an end').not.toEqual([0]);
      for (const at of deletes) expect(at.length).toBeGreaterThan(0);
    }
    // At its worst it comes to what was counted on.
    expect(most).toBe(0);
  });
});
