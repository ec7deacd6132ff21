// What the command line and its child processes say to each other.

import type { SimulationResult } from '../../src/testing/simulation/simulate.js';

export interface Assignment {
  readonly seeds: readonly number[];
  /** Name of a planted bug. */
  readonly planted: string | undefined;
}

/** From a child: what became of a seed, or that it has nothing to do. */
export type ChildMessage = SeedReport | 'ready';

export type SeedReport = Omit<SimulationResult, 'trace'>;
