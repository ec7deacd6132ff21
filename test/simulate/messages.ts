// What the command line and its child processes say to each other.

import type { SimulationResult } from '../../src/testing/simulation/simulate.js';

/** Seeds with from <= seed < to. */
export interface Assignment {
  readonly from: number;
  readonly to: number;
}

export type SeedReport = Omit<SimulationResult, 'trace'>;
