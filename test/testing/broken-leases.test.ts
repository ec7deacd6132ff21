// As broken-adapters.test.ts, for leases: stores, each with one mistake, and the case that must not pass.

import { describe, expect, it } from 'vitest';
import type { Lease, LeaseRequest, ProgressStore, ProgressTransaction } from '../../src/ports/progress-store.js';
import { MemoryProgressStore } from '../../src/progress/memory-progress-store.js';
import type { ConformanceCase } from '../../src/testing/conformance.js';
import { ManualClock } from '../../src/testing/manual-clock.js';
import { progressStoreSuite } from '../../src/testing/store-suite.js';

async function failures(cases: readonly ConformanceCase[]): Promise<string[]> {
  const failed: string[] = [];
  for (const { name, run } of cases) {
    await run().catch(() => failed.push(name));
  }
  return failed;
}

describe('the store suite finds leases with', () => {
  const LEASE_IS_SEEN = 'a lease is a key that everybody sees while it lives';
  const REFUSED = 'nobody gets a lease that somebody holds, nor its own holder a second time, and other keys are free';
  const RELEASED = 'a released lease is free at once, and its former holder can no longer do anything to it';
  const ENDS = 'a lease ends by its time alone: it is gone from reads and ranges, and the next one gets it';
  const LOST = 'renew after the end is LEASE_LOST although nobody has taken the lease, and does not revive it';
  const RENEWED = 'a renewed lease lives for its whole time from then on';
  const CONFLICT =
    'a transaction that read a lease does not commit as if it lived when it has ended by its time meanwhile';
  const RANGE_CONFLICT =
    'a transaction that read a lease in a range does not commit as if it lived when it has ended meanwhile';
  const WATCH = 'a watch hears that a lease has ended by its time, when it was renewed in between too';
  const SET = 'the keys of leases cannot be set or cleared, whether they are held or not';
  const ONE = 'of many that ask at once one gets the lease, whether the last one was released or ran out';

  type Mistake = (store: MemoryProgressStore) => Partial<ProgressStore>;

  const withLease =
    (change: (lease: Lease, request: LeaseRequest, store: MemoryProgressStore) => Partial<Lease>): Mistake =>
    (store) => ({
      acquireLease: async (request) => {
        const lease = await store.acquireLease(request);
        if (lease === undefined) return undefined;
        return {
          key: lease.key,
          renew: () => lease.renew(),
          release: () => lease.release(),
          ...change(lease, request, store),
        };
      },
    });

  const withTransaction =
    (change: (tx: ProgressTransaction, store: MemoryProgressStore) => Partial<ProgressTransaction>): Mistake =>
    (store) => ({
      transact: (body) =>
        store.transact((tx) =>
          body({
            get: (key) => tx.get(key),
            getRange: (begin, end) => tx.getRange(begin, end),
            set: (key, value) => tx.set(key, value),
            clear: (key) => tx.clear(key),
            ...change(tx, store),
          }),
        ),
    });

  const isLease = (key: string) => key.startsWith('lease/');
  const swallow = () => undefined;

  const mistakes: [string, string, Mistake][] = [
    ['no end', ENDS, (store) => ({ acquireLease: (request) => store.acquireLease({ ...request, ttl: 10_000_000 }) })],
    [
      'a renewal that revives them',
      LOST,
      withLease((lease, request, store) => ({
        renew: () => lease.renew().catch(() => store.acquireLease(request).then(swallow)),
      })),
    ],
    [
      'a renewal that does not say that they are lost',
      LOST,
      withLease((lease) => ({ renew: () => lease.renew().catch(swallow) })),
    ],
    ['a renewal that does nothing', RENEWED, withLease(() => ({ renew: async () => {} }))],
    [
      'a second holder',
      REFUSED,
      (store) => {
        let last: Lease | undefined;
        return {
          acquireLease: async (request) => {
            if (last?.key === request.key) await last.release();
            return (last = await store.acquireLease(request));
          },
        };
      },
    ],
    [
      'two holders now and then: looks first, then takes',
      ONE,
      (store) => ({
        acquireLease: async ({ key, value, ttl }) => {
          if ((await store.transact((tx) => tx.get(key))) !== undefined) return undefined;
          await Promise.resolve();
          const lease = await store.acquireLease({ key, value, ttl });
          return lease ?? { key, renew: async () => {}, release: async () => {} };
        },
      }),
    ],
    [
      "a release that ends another's lease",
      RELEASED,
      (store) => {
        const current = new Map<string, Lease>();
        return {
          acquireLease: async (request) => {
            const lease = await store.acquireLease(request);
            if (lease !== undefined) current.set(lease.key, lease);
            return (
              lease && {
                key: lease.key,
                renew: () => lease.renew(),
                release: async () => current.get(lease.key)?.release(),
              }
            );
          },
        };
      },
    ],
    [
      'an end that transactions do not see',
      CONFLICT,
      withTransaction((tx, store) => ({
        get: (key) => (isLease(key) ? store.transact((other) => other.get(key)) : tx.get(key)),
      })),
    ],
    [
      'an end that transactions do not see in ranges',
      RANGE_CONFLICT,
      withTransaction((tx, store) => ({
        getRange: (begin, end) =>
          isLease(begin) ? store.transact((other) => other.getRange(begin, end)) : tx.getRange(begin, end),
      })),
    ],
    [
      'no place in ranges',
      LEASE_IS_SEEN,
      withTransaction((tx) => ({
        getRange: async (begin, end) => (await tx.getRange(begin, end)).filter(({ key }) => !isLease(key)),
      })),
    ],
    [
      'keys that can be set',
      SET,
      withTransaction((tx) => ({ set: (key, value) => (isLease(key) ? undefined : tx.set(key, value)) })),
    ],
    [
      'keys that can be cleared',
      SET,
      withTransaction((tx) => ({ clear: (key) => (isLease(key) ? undefined : tx.clear(key)) })),
    ],
    [
      'watches that hear only of what is written',
      WATCH,
      (store) => ({
        watch: async (key, seen, signal) => {
          await store.watch(key, seen, signal);
          const value = await store.transact((tx) => tx.get(key));
          if (isLease(key) && value === undefined) await store.watch(key, undefined, signal);
        },
      }),
    ],
  ];

  it.each(mistakes)('%s', async (_mistake, name, change) => {
    const suite = progressStoreSuite(() => {
      const clock = new ManualClock();
      const store = new MemoryProgressStore({ clock });
      const broken: ProgressStore = {
        transact: (body) => store.transact(body),
        watch: (key, seen, signal) => store.watch(key, seen, signal),
        acquireLease: (request) => store.acquireLease(request),
        ...change(store),
      };
      return { client: () => broken, letTimePass: (ms) => clock.advance(ms) };
    });
    expect(await failures(suite.filter((each) => each.name === name))).toEqual([name]);
  });
});
