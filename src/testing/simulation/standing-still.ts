// A store of a host that stands still in the midst of a transaction, now and then: when it has read its lease, and before it commits. Chance alone seldom meets that moment, and it is what fences are for.

import { EPOCH_KEY, fleetLeaseKey } from '../../job/keys.js';
import type { ProgressStore } from '../../ports/progress-store.js';
import type { SimProcess } from './process.js';

/** How long, in lease times: the lease has just ended, others have not noticed yet; or they have all had their time. */
const STILL = { short: { least: 0.6, most: 1.3 }, long: { least: 1.3, most: 3 } };

export interface Stillness {
  /** Of each transaction that takes tags, and of each claim: those that look at the epoch once they have read the lease. */
  readonly chance: number;
  /** ms */
  readonly leaseTime: number;
}

export function standingStill(
  process: SimProcess,
  store: ProgressStore,
  host: string,
  { chance, leaseTime }: Stillness,
): ProgressStore {
  const lease = fleetLeaseKey(host);
  const { faults, hits, random } = process.world;
  return {
    transact: (body) =>
      store.transact((tx) => {
        let hasReadLease = false;
        return body({
          get: async (key) => {
            const value = await tx.get(key);
            if (hasReadLease && key === EPOCH_KEY && !faults.stopped && random.chance(chance)) {
              hits.add('fleet: stands still in the midst of a transaction');
              const { least, most } = random.chance(0.6) ? STILL.short : STILL.long;
              process.freeze(leaseTime * random.between(least, most));
              await process.clock.yieldToHost();
            }
            hasReadLease ||= key === lease;
            return value;
          },
          getRange: (begin, end) => tx.getRange(begin, end),
          set: (key, value) => tx.set(key, value),
          clear: (key) => tx.clear(key),
        });
      }),
    watch: (key, seen, signal) => store.watch(key, seen, signal),
    acquireLease: (request) => store.acquireLease(request),
  };
}
