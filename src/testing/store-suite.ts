// What every ProgressStore must do, sentence by sentence of the port.

import type { ProgressStore } from '../ports/progress-store.js';
import type { ConformanceCase } from './conformance.js';
import { storeTransactionCases } from './store-transaction-cases.js';
import { storeWatchCases } from './store-watch-cases.js';

export interface StoreUnderTest {
  /** A client of one and the same store, which is empty at first. Called several times; each call is like another process. */
  readonly client: () => ProgressStore | Promise<ProgressStore>;
  /** Removes everything. Called after each case, whatever came of it. */
  readonly cleanup?: () => void | Promise<void>;
}

export interface StoreSuiteOptions {
  /** Clients that increment one counter at once. Default 4. */
  readonly clients?: number;
  /** Increments of each. Default 25. */
  readonly increments?: number;
}

/**
 * `open` is called once per case. What the suite cannot see from outside is left to the adapter's own tests: that a commit survives a crash, and that a client which
 * lost the answer to its commit may run the body again.
 */
export function progressStoreSuite(
  open: () => StoreUnderTest | Promise<StoreUnderTest>,
  options: StoreSuiteOptions = {},
): ConformanceCase[] {
  const size = { clients: options.clients ?? 4, increments: options.increments ?? 25 };
  return [...storeTransactionCases, ...storeWatchCases].map(([name, check]) => ({
    name,
    run: async () => {
      const store = await open();
      try {
        await check(async () => store.client(), size);
      } finally {
        await store.cleanup?.();
      }
    },
  }));
}
