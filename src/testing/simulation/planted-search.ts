// Looks for a seed that finds a planted bug: by one of the checks that are meant to.

import type { PlantedBug } from './planted-bugs.js';
import { simulate } from './simulate.js';
import type { SimViolation } from './verdict.js';

export interface PlantedFind {
  readonly seed: number;
  readonly violation: SimViolation;
}

/** Seeds that are tried: 1 to this. */
export const PLANTED_SEEDS = 200;

/** Begins with the bug's own seeds, goes on from 1, and stops at the first seed that finds it; undefined: none does. What other checks find on the way does not count. */
export async function findPlanted(bug: PlantedBug, seeds: number = PLANTED_SEEDS): Promise<PlantedFind | undefined> {
  const own = bug.from.filter((seed) => seed <= seeds);
  const all = new Set([...own, ...Array.from({ length: seeds }, (_, index) => index + 1)]);
  for (const seed of all) {
    const { violation } = await simulate({ seed, rules: bug.rules });
    if (violation !== undefined && bug.foundBy.includes(violation.check)) return { seed, violation };
  }
  return undefined;
}
