// Progress stores that break their contract, and what the whole library makes of each. docs/adapters.md has the table.

import { describe, expect, it } from 'vitest';
import { utf8 } from '../../src/core/bytes.js';
import { BackupError } from '../../src/core/errors.js';
import type { Lease, ProgressEntry, ProgressStore, ProgressTransaction } from '../../src/ports/progress-store.js';
import { checkedStore } from '../../src/ports/checked-progress-store.js';
import { MemoryProgressStore } from '../../src/progress/memory-progress-store.js';
import { ManualClock } from '../../src/testing/manual-clock.js';
import { failingWith, storeOf, withTransaction } from './helpers.js';
import type { Hostile } from './whole.js';
import { Own, SPIN, never, runWhole } from './whole.js';

type StoreOf = NonNullable<Hostile['store']>;

/** Values read under keys with this prefix, changed. */
const withValue = (prefix: string, change: (value: Uint8Array) => unknown): StoreOf =>
  withTransaction((tx) => ({
    get: async (key) => {
      const value = await tx.get(key);
      return (value !== undefined && key.startsWith(prefix) ? change(value) : value) as Uint8Array | undefined;
    },
  }));

const withRange = (change: (entries: readonly ProgressEntry[]) => unknown): StoreOf =>
  withTransaction((tx) => ({
    getRange: async (begin, end) => change(await tx.getRange(begin, end)) as readonly ProgressEntry[],
  }));

/** Each is named: one of these texts is said. */
const named: Record<string, [StoreOf, RegExp]> = {
  'no run of the body': [
    (store) => storeOf(store, { transact: () => Promise.resolve(undefined as never) }),
    /ProgressStore\.transact .*without having run its body/,
  ],
  'another answer than the body’s': [
    (store) => storeOf(store, { transact: (body) => store.transact(body).then(() => ({}) as never) }),
    /ProgressStore\.transact .*something else than its body/,
  ],
  'success although the body failed': [
    (store) =>
      storeOf(store, {
        transact: async (body) =>
          store.transact(async (tx) => {
            await body(tx).catch(() => undefined);
            // Some bodies fail on purpose; here every one does.
            await body({ ...plain(tx), get: () => Promise.reject(new Own('get')) }).catch(() => undefined);
            return undefined as never;
          }),
      }),
    /ProgressStore\.transact .*(although its body had failed|something else)/,
  ],
  'the body twice at once': [
    (store) =>
      storeOf(store, {
        transact: (body) => store.transact(async (tx) => (await Promise.all([body(tx), body(tx)]))[0]),
      }),
    /ProgressStore\.transact .*while an earlier run had not ended/,
  ],
  'null for a key without a value': [
    withTransaction((tx) => ({ get: async (key) => (await tx.get(key)) ?? (null as never) })),
    /get of ".*" gave null/,
  ],
  'texts for values': [withValue('', (value) => new TextDecoder().decode(value)), /get of ".*" gave "/],
  'damaged values': [withValue('started', (value) => value.map((byte) => byte ^ 1)), /STORE_CORRUPT/],
  'values cut short': [withValue('job/', (value) => value.subarray(0, 10)), /STORE_CORRUPT/],
  'ranges out of order': [withRange((entries) => entries.toReversed()), /getRange .*gave ".*" after "/],
  'ranges with keys twice': [
    withRange((entries) => entries.flatMap((entry) => [entry, entry])),
    /getRange .*gave ".*" after "/,
  ],
  'ranges with other keys': [
    withRange((entries) => [...entries, { key: '~', value: utf8('{}') }]),
    /getRange .*gave "~"/,
  ],
  'no array for a range': [withRange(() => undefined), /getRange .*gave undefined, not an array/],
  'entries without values': [
    withRange((entries) => entries.map(({ key }) => ({ key }))),
    /an entry without a key or a value/,
  ],
  'a rejection with nothing': [
    (store) => storeOf(store, { transact: () => failingWith(undefined) }),
    /ProgressStore\.transact .*it failed with undefined/,
  ],
  'a throw instead of a rejection': [
    (store) =>
      storeOf(store, {
        transact: () => {
          throw new Own('at once');
        },
      }),
    /at once/,
  ],
  'saves that are lost': [
    withTransaction((tx) => ({ set: (key, value) => (key.startsWith('progress/') ? undefined : tx.set(key, value)) })),
    /ProgressStore\.transact .*was recorded as saved, and the store has no record of it/,
  ],
};

/** Nothing suffers: all that is claimed is exact. */
const tolerated: Record<string, StoreOf> = {
  'a transaction that commits twice': (store) =>
    storeOf(store, {
      transact: async (body) => {
        await store.transact(body);
        return store.transact(body);
      },
    }),
  'a body that runs again after its commit, the answer lost': (store) => {
    let calls = 0;
    return storeOf(store, {
      transact: async (body) => {
        const result = await store.transact(body);
        if (++calls % 4 === 0) throw new BackupError('STORE_UNAVAILABLE', 'the answer is lost', { retryable: true });
        return result;
      },
    });
  },
  'watches that never fire': (store) =>
    storeOf(store, {
      watch: (_key, _seen, signal) =>
        new Promise((_resolve, reject) => {
          signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
        }),
    }),
  'watches that heed no signal': (store) => storeOf(store, { watch: () => never() }),
  'watches that fail': (store) => storeOf(store, { watch: () => Promise.reject(new Own('no watch')) }),
  'memory that is used again': withTransaction((tx) => ({
    get: async (key) => {
      const value = await tx.get(key);
      if (value !== undefined) setImmediate(() => value.fill(0));
      return value;
    },
  })),
};

function plain(tx: ProgressTransaction): ProgressTransaction {
  return {
    get: (key) => tx.get(key),
    getRange: (begin, end) => tx.getRange(begin, end),
    set: (key, value) => tx.set(key, value),
    clear: (key) => tx.clear(key),
  };
}

describe('a store with', () => {
  it.each(Object.entries(named))('%s is named', async (_name, [store, text]) => {
    const lost = _name === 'saves that are lost';
    const { said } = await runWhole({ store }, { popsAreItsWord: lost });
    expect(said.filter((line) => text.test(line))).not.toEqual([]);
  });

  it.each(Object.entries(tolerated))('%s does no harm', async (_name, store) => {
    const { exact } = await runWhole({ store });
    expect(exact).toBeGreaterThan(10);
  });

  it('watches that fire at once, always, is asked now and then', async () => {
    let watches = 0;
    const { exact } = await runWhole({
      store: (store) =>
        storeOf(store, {
          watch: () => {
            watches++;
            return Promise.resolve();
          },
        }),
    });
    expect(exact).toBeGreaterThan(10);
    expect(watches).toBeLessThan(SPIN);
  });

  it('a body that runs after its answer records nothing', async () => {
    const inner = new MemoryProgressStore();
    let again: (() => Promise<unknown>) | undefined;
    const store = checkedStore(
      storeOf(inner, {
        transact: async (body) => {
          again = () => inner.transact(body);
          return inner.transact(body);
        },
      }),
      new ManualClock(),
    );
    await store.transact(async (tx) => tx.set('key', utf8('first')));
    await inner.transact(async (tx) => tx.set('key', utf8('second')));
    await expect(again?.()).rejects.toMatchObject({ code: 'ADAPTER_CONTRACT' });
    expect(await inner.transact((tx) => tx.get('key'))).toEqual(utf8('second'));
  });

  it('no sight of a transaction’s own writes is named', async () => {
    const inner = new MemoryProgressStore();
    const blind = withTransaction((tx) => ({
      get: () => Promise.resolve(undefined),
      getRange: () => Promise.resolve([]),
      set: (key, value) => tx.set(key, value),
    }))(inner);
    const store = checkedStore(blind, new ManualClock());
    const get = store.transact(async (tx) => {
      tx.set('key', utf8('value'));
      return tx.get('key');
    });
    await expect(get).rejects.toThrow('get of "key" does not see what the transaction itself has written');
    const range = store.transact(async (tx) => {
      tx.set('key', utf8('value'));
      return tx.getRange('a', 'z');
    });
    await expect(range).rejects.toThrow('does not see what the transaction itself has written to "key"');
  });

  const leases: Record<string, unknown> = {
    null: null,
    'a text': 'lease',
    'a lease on another key': { key: 'lease/other', renew: async () => undefined, release: async () => undefined },
    'a lease that cannot be renewed': { key: 'lease/mine', release: async () => undefined },
  };
  it.each(Object.entries(leases))('%s for a lease is named', async (_name, lease) => {
    const store: ProgressStore = storeOf(new MemoryProgressStore(), {
      acquireLease: async () => lease as Lease,
    });
    const asked = checkedStore(store, new ManualClock()).acquireLease({
      key: 'lease/mine',
      value: utf8('me'),
      ttl: 1_000,
    });
    await expect(asked).rejects.toMatchObject({
      code: 'ADAPTER_CONTRACT',
      message: expect.stringContaining('ProgressStore.acquireLease') as string,
    });
  });
});
