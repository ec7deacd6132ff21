// What every ProgressStore must do, sentence by sentence of the port.

import { systemClock } from '../core/clock.js';
import type { ProgressStore } from '../ports/progress-store.js';
import type { ConformanceCase } from './conformance.js';
import { storeLeaseCases } from './store-lease-cases.js';
import type { StoreTime } from './store-tools.js';
import { storeTransactionCases } from './store-transaction-cases.js';
import { storeWatchCases } from './store-watch-cases.js';

export interface StoreUnderTest {
  /** A client of one and the same store, which is empty at first. Called several times; each call is like another process. */
  readonly client: () => ProgressStore | Promise<ProgressStore>;
  /**
   * Lets the store's own time, by which leases end, go on by so many ms at least, and whatever waits for it happen. Without it the suite uses short leases and waits until they have ended.
   */
  readonly letTimePass?: (ms: number) => void | Promise<void>;
  /** Removes everything. Called after each case, whatever came of it. */
  readonly cleanup?: () => void | Promise<void>;
}

export interface StoreSuiteOptions {
  /** Clients that increment one counter at once. Default 4. */
  readonly clients?: number;
  /** Increments of each. Default 25. */
  readonly increments?: number;
  /** ms: leases that the suite lets run out in real time, where there is no `letTimePass`. Long enough for a few calls of the store; default 400. */
  readonly leaseTtl?: number;
}

/** ms; nobody waits for it. */
const VIRTUAL_TTL = 10_000;

/**
 * `open` is called once per case. What the suite cannot see from outside is left to the adapter's own tests: that a commit survives a crash, and that a client which
 * lost the answer to its commit may run the body again.
 */
export function progressStoreSuite(
  open: () => StoreUnderTest | Promise<StoreUnderTest>,
  options: StoreSuiteOptions = {},
): ConformanceCase[] {
  const size = { clients: options.clients ?? 4, increments: options.increments ?? 25 };
  return [...storeTransactionCases, ...storeWatchCases, ...storeLeaseCases].map(([name, check]) => ({
    name,
    run: async () => {
      const store = await open();
      try {
        await check(async () => store.client(), size, timeOf(store, options));
      } finally {
        await store.cleanup?.();
      }
    },
  }));
}

function timeOf({ letTimePass }: StoreUnderTest, options: StoreSuiteOptions): StoreTime {
  if (letTimePass === undefined) {
    // A millisecond more: timers may fire a little early.
    return { ttl: options.leaseTtl ?? 400, isReal: true, pass: (ms) => systemClock.sleep(ms + 1) };
  }
  return { ttl: VIRTUAL_TTL, isReal: false, pass: async (ms) => letTimePass(ms) };
}
