import { describe, expect, it } from 'vitest';
import { PLANTED_BUGS } from '../../src/testing/simulation/planted-bugs.js';
import { simulate } from '../../src/testing/simulation/simulate.js';

/** As `npm run simulate` runs them unless it is told otherwise. */
const DEFAULT_SEEDS = 200;

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
  it.each(PLANTED_BUGS)('finds "$name", which breaks $breaks', async ({ rules }) => {
    for (let seed = 1; seed <= DEFAULT_SEEDS; seed++) {
      const { violation } = await simulate({ seed, rules });
      if (violation !== undefined) return;
    }
    expect.fail(`no violation in ${DEFAULT_SEEDS} seeds`);
  });
});
