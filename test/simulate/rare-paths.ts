// How many seeds a run needs before a path that was never met counts against it.

import { seedsForRareRulePaths, seedsToMeet } from './rule-paths.js';

/** A path that is met in 3 seeds of 100 is missed by 500 seeds once in four million runs. */
const SEEDS_FOR_COMMON_PATHS = 500;

/** Those of the world and the oracle that are met more seldom: by so many seeds of 1,000 at least, half of what was measured. */
const RARE_PATHS: Readonly<Record<string, number>> = {
  'care: restored from a snapshot': 8,
  'care: something expired': 13,
  'oracle: the promise of an expiry is kept': 3,
};

/** So many seeds that a run misses one by chance once in 100,000 runs at most. */
const SEEDS_FOR_RARE_PATHS: Readonly<Record<string, number>> = {
  ...seedsForRareRulePaths(),
  ...Object.fromEntries(Object.entries(RARE_PATHS).map(([path, of1000]) => [path, seedsToMeet(of1000)])),
};

/** Of the paths that were never met, those that so many seeds should have met. */
export function missingAfter(seeds: number, missing: readonly string[]): string[] {
  return missing.filter((path) => seeds >= (SEEDS_FOR_RARE_PATHS[path] ?? SEEDS_FOR_COMMON_PATHS));
}
