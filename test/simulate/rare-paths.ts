// How many seeds a run needs before a path that was never met counts against it.

import { seedsForRareRulePaths } from './rule-paths.js';

/** A path that is met in 3 seeds of 100 is missed by 500 seeds once in four million runs. */
const SEEDS_FOR_COMMON_PATHS = 500;

/** For those that are met more seldom: so many seeds that a run misses one by chance once in 100,000 runs at most. */
const SEEDS_FOR_RARE_PATHS: Readonly<Record<string, number>> = seedsForRareRulePaths();

/** Of the paths that were never met, those that so many seeds should have met. */
export function missingAfter(seeds: number, missing: readonly string[]): string[] {
  return missing.filter((path) => seeds >= (SEEDS_FOR_RARE_PATHS[path] ?? SEEDS_FOR_COMMON_PATHS));
}
