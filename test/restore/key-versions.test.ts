import { describe, expect, it } from 'vitest';
import { compareBytes } from '../../src/core/bytes.js';
import { KeyVersions } from '../../src/restore/key-versions.js';
import { SeededRandom } from './log-model.js';

const key = (text: string) => Buffer.from(text, 'latin1');
const at = (begin: string, end: string, from: bigint) => ({ begin: key(begin), end: key(end), from });
const halves = (version: bigint) => [Number(version >> 32n), Number(version & 0xffffffffn)] as const;

function clipped(versions: KeyVersions, begin: string, end: string, version: bigint): string[] {
  const parts: string[] = [];
  const [high, low] = halves(version);
  versions.clip(key(begin), key(end), high, low, (from, to) => {
    parts.push(`${Buffer.from(from).toString('latin1')}-${Buffer.from(to).toString('latin1')}`);
  });
  return parts;
}

describe('KeyVersions', () => {
  const versions = new KeyVersions([at('a', 'f', 11n), at('f', 'm', 31n), at('m', 'p', 31n), at('t', 'z', 21n)]);

  it('a mutation counts from its row file’s version on, and only there', () => {
    const counts = (text: string, version: bigint) => versions.counts(key(text), ...halves(version));
    expect([counts('a', 10n), counts('a', 11n), counts('e\xff', 11n), counts('f', 11n)]).toEqual([
      false,
      true,
      true,
      false,
    ]);
    expect([counts('o', 30n), counts('o', 31n), counts('p', 99n), counts('s', 99n)]).toEqual([
      false,
      true,
      false,
      false,
    ]);
    expect([counts('t', 20n), counts('t', 21n), counts('z', 99n), counts('', 99n)]).toEqual([
      false,
      true,
      false,
      false,
    ]);
  });

  it('a clear is split where the row files’ versions say so, and not elsewhere', () => {
    expect(clipped(versions, '', '\xff', 10n)).toEqual([]);
    expect(clipped(versions, '', '\xff', 11n)).toEqual(['a-f']);
    expect(clipped(versions, '', '\xff', 21n)).toEqual(['a-f', 't-z']);
    expect(clipped(versions, '', '\xff', 31n)).toEqual(['a-p', 't-z']);
    expect(clipped(versions, 'c', 'u', 21n)).toEqual(['c-f', 't-u']);
    expect(clipped(versions, 'g', 'h', 30n)).toEqual([]);
    expect(clipped(versions, 'p', 't', 99n)).toEqual([]);
  });

  it('parts that touch and count both come out as one', () => {
    const neighbours = new KeyVersions([at('a', 'b', 5n), at('b', 'c', 6n), at('c', 'd', 5n), at('d', 'e', 90n)]);
    expect(clipped(neighbours, 'a', 'z', 6n)).toEqual(['a-d']);
    expect(clipped(neighbours, 'a', 'z', 5n)).toEqual(['a-b', 'c-d']);
    expect(clipped(neighbours, 'a', 'z', 90n)).toEqual(['a-e']);
  });

  it('versions beyond 32 bits', () => {
    const large = new KeyVersions([at('a', 'b', (7n << 32n) + 5n), at('b', 'c', 8n << 32n)]);
    expect(large.counts(key('a'), 7, 4)).toBe(false);
    expect(large.counts(key('a'), 7, 5)).toBe(true);
    expect(large.counts(key('b'), 7, 0xffffffff)).toBe(false);
    expect(large.counts(key('b'), 8, 0)).toBe(true);
  });

  it('agrees with a look at every key, whatever the ranges', () => {
    const keys = Array.from({ length: 40 }, (_, i) => String.fromCharCode(48 + i));
    for (let seed = 1; seed <= 200; seed++) {
      const random = new SeededRandom(seed);
      const ranges: ReturnType<typeof at>[] = [];
      for (let i = 0; i < 38; i += 1 + random.below(4)) {
        if (random.below(4) === 0) continue;
        const end = Math.min(39, i + 1 + random.below(3));
        if (ranges.length > 0 && compareBytes(ranges.at(-1)!.end, key(keys[i]!)) > 0) continue;
        ranges.push(at(keys[i]!, keys[end]!, BigInt(random.below(6))));
      }
      if (ranges.length === 0) continue;
      const map = new KeyVersions(ranges);
      const version = random.below(7);
      const [begin, end] = [random.below(40), random.below(40)].sort((a, b) => a - b) as [number, number];
      const parts = clipped(map, keys[begin]!, keys[end]!, BigInt(version));
      for (const [i, text] of keys.entries()) {
        const range = ranges.find((r) => compareBytes(r.begin, key(text)) <= 0 && compareBytes(key(text), r.end) < 0);
        const counts = range !== undefined && BigInt(version) >= range.from;
        expect(map.counts(key(text), 0, version), `seed ${seed}, key ${text}`).toBe(counts);
        const inPart = parts.some((part) => part[0]! <= text && text < part.slice(2));
        expect(inPart, `seed ${seed}, key ${text}`).toBe(counts && i >= begin && i < end);
      }
    }
  });
});
