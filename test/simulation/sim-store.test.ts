import { describe, expect, it } from 'vitest';
import { utf8 } from '../../src/core/bytes.js';
import { systemClock } from '../../src/core/clock.js';
import type { ProgressStore } from '../../src/ports/progress-store.js';
import type { FaultRates } from '../../src/testing/simulation/faults.js';
import { SimProcess } from '../../src/testing/simulation/process.js';
import { SimStore } from '../../src/testing/simulation/sim-store.js';
import { progressStoreSuite } from '../../src/testing/store-suite.js';
import { makeWorld, runAll } from './world.js';

function makeStore(seed: number, rates: Partial<FaultRates> = {}) {
  const world = makeWorld(seed, rates);
  const store = new SimStore(world);
  const client = (name: string) => store.client(new SimProcess(world, name));
  return { world, store, client };
}

const text = (value: Uint8Array | undefined) => (value === undefined ? undefined : Buffer.from(value).toString());

/** Tries again until it has succeeded, like a worker. */
async function increment(store: ProgressStore, key: string): Promise<void> {
  await store.transact(async (tx) => {
    const before = Number(text(await tx.get(key)) ?? '0');
    tx.set(key, utf8(String(before + 1)));
  });
}

describe('leases of SimStore', () => {
  for (const { name, run } of progressStoreSuite(openLeases)) if (/leases?\b/.test(name)) it(name, run);

  it('may be acquired without the answer arriving: then the lease ends by its time', async () => {
    const { world, client } = makeStore(3, { failAfter: { log: 0, store: 1, container: 0, source: 0 } });
    const [a, b] = [client('a'), client('b')];
    const request = { key: 'lease/x', value: utf8('a'), ttl: 5000 };
    const lost = expect(a.acquireLease(request)).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' });
    await world.scheduler.run(() => false, 4000);
    await lost;
    expect(world.hits.toObject()).toMatchObject({ 'store: lease acquired': 1 });
    const refused = b.acquireLease({ ...request, value: utf8('b') }).catch(() => 'no answer');
    await world.scheduler.run(() => false, 20_000);
    await refused;
    expect(world.hits.toObject()).toMatchObject({ 'store: lease acquired': 1, 'store: lease expired': 1 });
  });
});

/** Time goes by itself, a little in every turn of the event loop. */
function openLeases() {
  const { world, client } = makeStore(7);
  let closed = false;
  let clients = 0;
  const running = (async () => {
    while (!closed) await world.scheduler.run(() => closed, world.scheduler.now + 20);
  })();
  return {
    client: () => client(`p${clients++}`),
    letTimePass: async (ms: number) => {
      const target = world.scheduler.now + ms;
      while (world.scheduler.now < target) await systemClock.yieldToHost();
    },
    cleanup: async () => {
      closed = true;
      await running;
    },
  };
}

describe('SimStore', () => {
  it('loses no increment of clients that conflict', async () => {
    let conflicts = 0;
    for (let seed = 0; seed < 20; seed++) {
      const { world, store, client } = makeStore(seed);
      const work = Array.from({ length: 4 }, (_, i) => increment(client(`p${i}`), 'n'));
      await runAll(world);
      await Promise.all(work);
      expect(text(store.values.get('n'))).toBe('4');
      conflicts += world.hits.toObject()['store: conflict'] ?? 0;
    }
    expect(conflicts).toBeGreaterThan(10);
  });

  it('protects range reads against phantoms', async () => {
    for (let seed = 0; seed < 40; seed++) {
      const { world, store, client } = makeStore(seed);
      const add = (name: string) =>
        client(name).transact(async (tx) => {
          const count = (await tx.getRange('item/', 'item0')).length;
          tx.set(`item/${name}`, utf8(String(count)));
        });
      const work = ['a', 'b', 'c'].map(add);
      await runAll(world);
      await Promise.all(work);
      const counts = [...store.values.values()].map(text).sort();
      expect(counts, `seed ${seed}`).toEqual(['0', '1', '2']);
    }
  });

  it('commits and then loses the answer: the body runs again, or the call fails', async () => {
    let runs = 0;
    let unknown = 0;
    for (let seed = 0; seed < 40; seed++) {
      const { world, store, client } = makeStore(seed, { failAfter: { log: 0, store: 0.5, container: 0, source: 0 } });
      const work = client('p')
        .transact(async (tx) => {
          runs++;
          tx.set('k', utf8('v'));
          await Promise.resolve();
        })
        .catch(() => unknown++);
      await runAll(world);
      await work;
      expect(text(store.values.get('k'))).toBe('v');
    }
    expect(runs).toBeGreaterThan(45);
    expect(unknown).toBeGreaterThan(2);
  });

  it('shows a transaction its own writes and one moment of the store', async () => {
    const { world, client } = makeStore(1, { slowRead: 1 });
    await Promise.all([
      client('a').transact(async (tx) => {
        tx.set('x', utf8('1'));
        tx.set('y', utf8('1'));
        expect(text(await tx.get('x'))).toBe('1');
        tx.clear('x');
        expect((await tx.getRange('a', 'z')).map(({ key }) => key)).toEqual(['y']);
        tx.set('x', utf8('1'));
      }),
      client('b').transact(async (tx) => {
        const both = [text(await tx.get('x')), text(await tx.get('y'))];
        expect([
          [undefined, undefined],
          ['1', '1'],
        ]).toContainEqual(both);
      }),
      runAll(world),
    ]);
  });

  it('does not miss a change between the read and the watch', async () => {
    const { world, client } = makeStore(5);
    const work = client('a').transact(async (tx) => {
      tx.set('k', utf8('new'));
      await Promise.resolve();
    });
    await runAll(world);
    await work;
    let fired = false;
    void client('b')
      .watch('k', undefined, new AbortController().signal)
      .then(() => (fired = true));
    await runAll(world);
    expect(fired).toBe(true);
  });

  it('has watches that never fire, for pollers', async () => {
    const { world, client } = makeStore(5, { watchNever: 1 });
    let fired = false;
    void client('b')
      .watch('k', utf8('other'), new AbortController().signal)
      .then(() => (fired = true));
    await runAll(world);
    expect(fired).toBe(false);
  });
});
