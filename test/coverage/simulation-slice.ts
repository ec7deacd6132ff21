// Seeds of the simulation for the coverage run alone: `npm run simulate` runs in processes of its own, which the run does not see.

import { expect, it } from 'vitest';
import { simulate } from '../../src/testing/simulation/simulate.js';

const FIRST = 10_001;
const SEEDS = 200;

it(
  `${SEEDS} seeds of the simulation`,
  async () => {
    for (let seed = FIRST; seed < FIRST + SEEDS; seed++) {
      const { violation } = await simulate({ seed });
      expect(violation, `seed ${seed}: npm run simulate -- --from ${seed} --seeds 1 --trace`).toBeUndefined();
    }
  },
  600_000,
);
