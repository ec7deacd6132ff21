import { describe, expect, it } from 'vitest';
import { PLANTED_BUGS } from '../../src/testing/simulation/planted-bugs.js';
import { KNOWN_SEEDS } from '../../src/testing/simulation/planted-seeds.js';
import { PLANTED_SEEDS, findPlanted } from '../../src/testing/simulation/planted-search.js';
import { simulate } from '../../src/testing/simulation/simulate.js';

describe('simulate', () => {
  it('gives the same trace for the same seed, byte for byte', async () => {
    for (const seed of [3, 14, 15, 92]) {
      const first = await simulate({ seed, trace: true });
      const second = await simulate({ seed, trace: true });
      expect(first.trace.length).toBeGreaterThan(5_000);
      expect(second.trace === first.trace, `seed ${seed}`).toBe(true);
      expect(second).toEqual(first);
    }
  });

  it('does the same with and without a trace', async () => {
    const traced = await simulate({ seed: 65, trace: true });
    const plain = await simulate({ seed: 65 });
    expect(plain).toEqual({ ...traced, trace: '' });
  });

  it('gives different runs for different seeds', async () => {
    const traces = await Promise.all([1, 2].map((seed) => simulate({ seed, trace: true })));
    expect(traces[0]?.trace).not.toBe(traces[1]?.trace);
  });

  it('finds nothing wrong in its first seeds; npm run simulate runs more', async () => {
    for (let seed = 1; seed <= 60; seed++) {
      const { violation } = await simulate({ seed });
      expect(violation, `seed ${seed}: npm run simulate -- --from ${seed} --seeds 1 --trace`).toBeUndefined();
    }
  });
});

describe('planted bugs', () => {
  it('has one for each rule that guards data', () => {
    const names = PLANTED_BUGS.map(({ name }) => name);
    expect(new Set(names).size).toBe(names.length);
    expect(names.length).toBeGreaterThanOrEqual(25);
    expect(names).toEqual(expect.arrayContaining(Object.keys(KNOWN_SEEDS)));
    const broken = PLANTED_BUGS.map(({ breaks }) => breaks).join(', ');
    for (const rule of [1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 14, 15, 17, 19, 20, 23, 25, 26])
      expect(broken, `P${rule}`).toMatch(new RegExp(`\\bP${rule}\\b`));
  });

  it.each(PLANTED_BUGS)('finds "$name", which breaks $breaks', async (bug) => {
    const found = await findPlanted(bug);
    expect(found, `no seed of 1 to ${PLANTED_SEEDS} finds it by ${bug.foundBy.join(', ')}`).toBeDefined();
  });
});
