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

/** Begins at the bug's own seed, comes back to it after the last one, and stops at the first that finds it; undefined: none does. What other checks find on the way does not count. */
export async function findPlanted(bug: PlantedBug, seeds: number = PLANTED_SEEDS): Promise<PlantedFind | undefined> {
  const first = Math.min(bug.from ?? 1, seeds);
  for (let step = 0; step < seeds; step++) {
    const seed = ((first - 1 + step) % seeds) + 1;
    const { violation } = await simulate({ seed, rules: bug.rules });
    if (violation !== undefined && bug.foundBy.includes(violation.check)) return { seed, violation };
  }
  return undefined;
}
