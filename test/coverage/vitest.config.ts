// The suite as `npm test` runs it, with a slice of the simulation beside it, and V8's coverage of everything under src.

import { defineConfig, mergeConfig } from 'vitest/config';
import suite from '../../vitest.config.js';

export default mergeConfig(
  suite,
  defineConfig({
    test: {
      include: ['test/coverage/simulation-slice.ts'],
      coverage: {
        enabled: true,
        provider: 'v8',
        // Files that no test imports count, too: as not covered at all.
        include: ['src/**/*.ts'],
        reporter: ['json'],
        reportOnFailure: true,
      },
    },
  }),
);
