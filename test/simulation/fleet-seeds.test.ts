// Which seeds run a fleet: a good part of them, and none that failed in a world without one.

import { describe, expect, it } from 'vitest';
import { hasFleet } from '../../src/testing/simulation/fleet-seeds.js';
import { PLANTED_BUGS } from '../../src/testing/simulation/planted-bugs.js';
import { simulate } from '../../src/testing/simulation/simulate.js';

/** Of test/simulate/failed-seeds.json. */
const FAILED_BEFORE_FLEETS = [277417227, 40842, 40855, 60001, 70258];

describe('fleets', () => {
  it('run in three of ten seeds', () => {
    const share = Array.from({ length: 10_000 }, (_, seed) => hasFleet(seed, {})).filter(Boolean).length / 10_000;
    expect(share).toBeGreaterThan(0.28);
    expect(share).toBeLessThan(0.32);
  });

  it('run in none of the seeds that failed before there were any', () => {
    expect(FAILED_BEFORE_FLEETS.filter((seed) => hasFleet(seed, {}))).toEqual([]);
  });

  it('leave the planted bugs of everything else in their worlds', () => {
    const others = PLANTED_BUGS.filter(({ rules }) => rules.fleet === undefined);
    expect(others.length).toBeGreaterThan(30);
    for (const { rules } of others) for (let seed = 1; seed < 100; seed++) expect(hasFleet(seed, rules)).toBe(false);
  });

  it('are what such a seed runs', async () => {
    const { hits, violation } = await simulate({ seed: 14 });
    expect(violation).toBeUndefined();
    expect(hits['shape: hosts that run a fleet']).toBe(1);
    expect(hits['F1 joined']).toBeGreaterThan(0);
    expect(hits['worker: run by a fleet']).toBeGreaterThan(0);
  });
});
