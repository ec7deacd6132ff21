// Deliberate mistakes of a fleet's host that its rules have no switch for: each is what it takes for its store, or its way to share out.

import type { Share, ShareInput } from '../../job/fleet-shares.js';
import { shareOut } from '../../job/fleet-shares.js';
import { ASSIGNED_PREFIX, fleetLeaseKey } from '../../job/keys.js';
import type { ProgressStore } from '../../ports/progress-store.js';

/** Whoever takes tags or gives them back does not look whether its own lease lives. Workers do (F3). */
export function assignsUnseen(store: ProgressStore, host: string): ProgressStore {
  const key = fleetLeaseKey(host);
  let own: Uint8Array | undefined;
  return {
    transact: (body) =>
      store.transact((tx) => {
        let isWorker = false;
        return body({
          get: async (name) => {
            isWorker ||= name.startsWith(ASSIGNED_PREFIX);
            // The fence of a worker asks for the lease and the assignment at once.
            await Promise.resolve();
            return name === key && own !== undefined && !isWorker ? own : tx.get(name);
          },
          getRange: (begin, end) => tx.getRange(begin, end),
          set: (name, value) => tx.set(name, value),
          clear: (name) => tx.clear(name),
        });
      }),
    watch: (name, seen, signal) => store.watch(name, seen, signal),
    acquireLease: async (request) => {
      const lease = await store.acquireLease(request);
      if (lease !== undefined && request.key === key) own = request.value;
      return lease;
    },
  };
}

/** Nobody gives anything back that somebody else lacks. */
export function keepsSurplus(input: ShareInput): Share {
  return { ...shareOut(input), surplus: 0 };
}
