// The measure: with adapters that keep their contracts everything that is claimed is exact, and nothing is said.

import { expect, it } from 'vitest';
import { runWhole } from './whole.js';

it('says nothing of honest adapters, and restores exactly what is claimed', async () => {
  const { said, exact } = await runWhole({});
  expect(said.filter((text) => !text.includes('stopped by the test'))).toEqual([]);
  expect(exact).toBeGreaterThan(10);
});
