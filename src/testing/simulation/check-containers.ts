// Reads every container back, as a user would: what describe calls restorable must restore to exactly the rows that the database had.

import type { SimCluster } from './cluster.js';

/** Placeholder: the restore has not landed yet. */
export async function checkContainers(_cluster: SimCluster): Promise<void> {
  await Promise.resolve();
}
