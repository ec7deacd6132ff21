// After everything was asked to stop and has ended: no timer, call, watch, subscription or lease is left behind by anybody who is still alive. The dead leave theirs, as they do.

import type { SimCluster } from './cluster.js';

/** Virtual ms in which what is on its way arrives: answers, leases that end by their time. */
const ARRIVE_MS = 5_000;

export async function checkLeftovers({ log, store, verdict, world, hits }: SimCluster): Promise<void> {
  const { scheduler } = world;
  await scheduler.run(() => !verdict.isGood, scheduler.now + ARRIVE_MS);
  const left = [
    ...scheduler.pending().map((owner) => `something that will happen to ${owner}`),
    ...store.watching().map((who) => `a watch of ${who}`),
    ...log.subscribed().map((who) => `a subscription of ${who}`),
    ...store.leases().map((key) => `the lease ${key}`),
  ];
  hits.add('oracle: nothing is left behind');
  verdict.expect(left.length === 0, 'nothing is left behind', () => left.slice(0, 8).join(', '));
}
