// The progress store suite's cases for leases.

import assert from 'node:assert/strict';
import { utf8 } from '../core/bytes.js';
import { systemClock } from '../core/clock.js';
import type { Lease, ProgressStore } from '../ports/progress-store.js';
import { rejectsWith } from './conformance.js';
import type { StoreCase, StoreTime } from './store-tools.js';
import { increment, rangeIn, read, readIn, write } from './store-tools.js';

const KEY = 'lease/task';
/** ms: longer than any case takes. */
const LONG = 3_600_000;
/** In real time a machine may be so slow that a short lease ends early: then the case is tried again with a longer one. */
const ATTEMPTS = 4;

export const storeLeaseCases: readonly StoreCase[] = [
  [
    'a lease is a key that everybody sees while it lives',
    async (client) => {
      const [a, b] = [await client(), await client()];
      await write(a, { 'least/1': 'before', 'leash/1': 'after' });
      const value = Uint8Array.from({ length: 300 }, (_, i) => i & 0xff);
      const before = value.slice();
      assert.equal((await a.acquireLease({ key: KEY, value, ttl: LONG }))?.key, KEY);
      value.fill(7);
      assert.deepEqual(await b.transact(async (tx) => [...((await tx.get(KEY)) ?? [])]), [...before]);
      const keys = await b.transact(async (tx) => (await tx.getRange('leas', 'leat')).map(({ key }) => key));
      assert.deepEqual(keys, [KEY, 'leash/1', 'least/1']);
    },
  ],
  [
    'nobody gets a lease that somebody holds, nor its own holder a second time, and other keys are free',
    async (client) => {
      const [a, b] = [await client(), await client()];
      assert.ok(await acquire(a, 'a', LONG));
      assert.equal(await acquire(b, 'b', LONG), undefined);
      assert.equal(await acquire(a, 'again', LONG), undefined);
      assert.equal(await read(b, KEY), 'a');
      assert.ok(await b.acquireLease({ key: `${KEY}/2`, value: utf8('b'), ttl: LONG }));
    },
  ],
  [
    'a released lease is free at once, and its former holder can no longer do anything to it',
    async (client) => {
      const [a, b] = [await client(), await client()];
      const first = await held(a, 'a', LONG);
      await first.release();
      assert.equal(await read(b, KEY), undefined);
      await rejectsWith('LEASE_LOST', first.renew(), 'renew after release');
      assert.equal(await read(b, KEY), undefined, 'a renewal that failed has no effect');
      const second = await held(b, 'b', LONG);
      await first.release();
      await rejectsWith('LEASE_LOST', first.renew(), "renew of another's lease");
      assert.equal(await read(a, KEY), 'b');
      await second.renew();
      await second.release();
      await second.release();
      assert.equal(await read(a, KEY), undefined);
    },
  ],
  [
    'a lease ends by its time alone: it is gone from reads and ranges, and the next one gets it',
    async (client, _size, time) => {
      const [a, b] = [await client(), await client()];
      await held(a, 'a', time.ttl);
      await time.pass(time.ttl);
      assert.equal(await read(b, KEY), undefined);
      assert.deepEqual(await b.transact((tx) => rangeIn(tx, 'lease/', 'lease0')), []);
      assert.equal(await read(a, KEY), undefined, 'for its own client too');
      await held(b, 'b', LONG);
      assert.equal(await read(a, KEY), 'b');
    },
  ],
  [
    'the next one gets a lease that has ended, also if nobody has looked at it before',
    async (client, _size, time) => {
      await held(await client(), 'a', time.ttl);
      await time.pass(time.ttl);
      await held(await client(), 'b', LONG);
    },
  ],
  [
    'a renewed lease lives for its whole time from then on',
    (client, _size, time) =>
      patiently(time, async (ttl) => {
        const [a, b] = [await client(), await client()];
        const lease = await held(a, 'a', ttl);
        for (let i = 0; i < 3; i++) {
          await time.pass(Math.floor(ttl * 0.6));
          await lease.renew();
        }
        await time.pass(Math.floor(ttl * 0.6));
        assert.equal(await read(b, KEY), 'a');
        const second = await acquire(b, 'b', LONG);
        // Where the machine was so slow that the lease had ended, the next attempt begins without this one.
        await second?.release();
        assert.equal(second, undefined);
        await time.pass(ttl);
        assert.equal(await read(b, KEY), undefined);
      }),
  ],
  [
    'renew after the end is LEASE_LOST although nobody has taken the lease, and does not revive it',
    async (client, _size, time) => {
      const lease = await held(await client(), 'a', time.ttl);
      await time.pass(time.ttl);
      await rejectsWith('LEASE_LOST', lease.renew(), 'renew after the end');
      assert.equal(await read(await client(), KEY), undefined);
      await rejectsWith('LEASE_LOST', lease.renew(), 'renew after the end, once more');
      await lease.release();
      await held(await client(), 'b', LONG);
    },
  ],
  [
    'renew after another has taken the lease is LEASE_LOST, and release leaves the lease to the other',
    async (client, _size, time) => {
      const [a, b] = [await client(), await client()];
      const first = await held(a, 'a', time.ttl);
      await time.pass(time.ttl);
      const second = await held(b, 'b', LONG);
      await rejectsWith('LEASE_LOST', first.renew(), "renew of another's lease");
      await first.release();
      assert.equal(await read(a, KEY), 'b');
      await second.renew();
    },
  ],
  [
    'a transaction that read a lease does not commit as if it lived when it has ended by its time meanwhile',
    (client, _size, time) => endsDuring(client, time, 'get'),
  ],
  [
    'a transaction that read a lease in a range does not commit as if it lived when it has ended meanwhile',
    (client, _size, time) => endsDuring(client, time, 'range'),
  ],
  [
    'a transaction that found no lease does not commit after others who have seen that one was taken',
    async (client) => {
      const [a, b, observer] = [await client(), await client(), await client()];
      let observed: string[] | undefined;
      const calls: Promise<unknown>[] = [];
      // A store that makes others wait for this transaction may do so: then the transaction comes first.
      const briefly = <T>(call: Promise<T>) => {
        calls.push(call);
        return Promise.race([call, systemClock.sleep(100).then(() => undefined)]);
      };
      await a.transact(async (tx) => {
        const holder = (await readIn(tx, KEY)) ?? 'nobody';
        if (holder === 'nobody') {
          await briefly(acquire(b, 'b', LONG));
          observed = await briefly(observer.transact((each) => rangeIn(each, 'lease/', 'seen0')));
        }
        tx.set('seen', utf8(holder));
      });
      await Promise.all(calls);
      const seen = await read(a, 'seen');
      if (observed?.length === 1) assert.equal(seen, 'b', `others had seen ${observed.join()}`);
      else assert.ok(seen === 'nobody' || seen === 'b');
    },
  ],
  [
    "a fence holds: nothing that the former holder's transactions write goes through once another has the lease",
    async (client, _size, time) => {
      const [a, b] = [await client(), await client()];
      await held(a, 'a', time.ttl);
      await write(a, { done: 'nothing' });
      await time.pass(time.ttl);
      await held(b, 'b', LONG);
      const fenced = a.transact(async (tx) => {
        if ((await readIn(tx, KEY)) !== 'a') throw new Error('fenced');
        tx.set('done', utf8('by a'));
      });
      await assert.rejects(fenced, /fenced/);
      assert.equal(await read(b, 'done'), 'nothing');
    },
  ],
  [
    'a lease of a moment does not outlive the call that looks for it',
    async (client, _size, time) => {
      const store = await client();
      for (let i = 0; i < 5; i++) {
        await held(store, `holder ${i}`, 1);
        await time.pass(2);
      }
      assert.deepEqual(await store.transact((tx) => rangeIn(tx, ' ', '~')), []);
    },
  ],
  [
    'the keys of leases cannot be set or cleared, whether they are held or not',
    async (client) => {
      const store = await client();
      const setting = () => store.transact(async (tx) => tx.set(KEY, utf8('x')));
      const clearing = () => store.transact(async (tx) => tx.clear(KEY));
      await rejectsWith('INVALID_OPTION', setting(), 'set of a free lease');
      await held(store, 'a', LONG);
      await rejectsWith('INVALID_OPTION', setting(), 'set of a held lease');
      await rejectsWith('INVALID_OPTION', clearing(), 'clear of a held lease');
      assert.equal(await read(store, KEY), 'a');
    },
  ],
  [
    'a lease needs a key of its own kind, and a time',
    async (client) => {
      const store = await client();
      const asked = (key: string, ttl: number) => store.acquireLease({ key, value: utf8('x'), ttl });
      for (const key of ['task', 'leases/x', 'lease/', '']) {
        await rejectsWith('INVALID_OPTION', asked(key, LONG), `a lease on ${JSON.stringify(key)}`);
      }
      for (const ttl of [0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY]) {
        await rejectsWith('INVALID_OPTION', asked(KEY, ttl), `a lease for ${ttl} ms`);
      }
    },
  ],
  [
    'a watch hears that a lease was taken and released',
    async (client) => {
      const [a, b] = [await client(), await client()];
      const { signal } = new AbortController();
      const taken = b.watch(KEY, undefined, signal);
      const lease = await held(a, 'a', LONG);
      await taken;
      await b.watch(KEY, utf8('another'), signal);
      const released = b.watch(KEY, utf8('a'), signal);
      await lease.release();
      await released;
    },
  ],
  [
    'a watch hears that a lease has ended by its time, when it was renewed in between too',
    (client, _size, time) =>
      patiently(time, async (ttl) => {
        const [a, b] = [await client(), await client()];
        const lease = await held(a, 'a', ttl);
        const stop = new AbortController();
        const watching = Promise.all([a, b].map((store) => store.watch(KEY, utf8('a'), stop.signal)));
        let outcome = 'waits';
        const ended = watching.then(
          () => (outcome = 'resolved'),
          (error: unknown) => (outcome = String(error)),
        );
        await time.pass(Math.floor(ttl * 0.5));
        await lease.renew();
        // A watch may take its time, and a poll takes the machine's; but not for ever.
        for (let waits = 0; outcome === 'waits' && waits < 30; waits++) {
          await Promise.race([ended, time.pass(ttl)]);
          await Promise.race([ended, systemClock.sleep(20)]);
        }
        stop.abort(new Error('it waited too long'));
        await ended;
        assert.equal(outcome, 'resolved');
        assert.equal(await read(a, KEY), undefined);
      }),
  ],
  [
    'of many that ask at once one gets the lease, whether the last one was released or ran out',
    async (client, { clients }, time) => {
      const stores = await Promise.all(Array.from({ length: clients }, () => client()));
      for (let round = 0; round < 6; round++) {
        const ttl = round % 2 === 0 ? LONG : time.ttl;
        const asked = stores.flatMap((store, i) => [0, 1].map((k) => acquire(store, `${round}/${i}/${k}`, ttl)));
        const got = (await Promise.all(asked)).filter((lease) => lease !== undefined);
        assert.equal(got.length, 1, `round ${round}: ${got.length} holders`);
        if (ttl === LONG) await got[0]?.release();
        else await time.pass(ttl);
      }
    },
  ],
  [
    'there are never two holders, and each finds what the last one has left',
    async (client, { clients }) => {
      let holders = 0;
      let turns = 0;
      const contend = async (name: string) => {
        const store = await client();
        for (let turn = 0; turn < 5;) {
          const lease = await acquire(store, `${name}/${turn}`, LONG);
          if (lease === undefined) {
            await systemClock.sleep(1);
            continue;
          }
          assert.equal(++holders, 1);
          const count = Number((await read(store, 'turns')) ?? '0');
          assert.equal(count, turns);
          await lease.renew();
          await write(store, { turns: String(count + 1) });
          turns++;
          turn++;
          holders--;
          await lease.release();
        }
      };
      await Promise.all(Array.from({ length: clients }, (_, i) => contend(`contender ${i}`)));
      assert.equal(turns, clients * 5);
    },
  ],
  [
    'leases and transactions do not hold each other up',
    async (client) => {
      const [a, b] = [await client(), await client()];
      const lease = await held(a, 'a', LONG);
      const work = async () => {
        for (let i = 0; i < 10; i++) await increment(b, 'counter');
      };
      const renewing = async () => {
        for (let i = 0; i < 10; i++) await lease.renew();
      };
      await Promise.all([work(), renewing(), work()]);
      assert.equal(await read(a, 'counter'), '20');
      assert.equal(await read(b, KEY), 'a');
    },
  ],
];

function acquire(store: ProgressStore, holder: string, ttl: number): Promise<Lease | undefined> {
  return store.acquireLease({ key: KEY, value: utf8(holder), ttl });
}

async function held(store: ProgressStore, holder: string, ttl: number): Promise<Lease> {
  const lease = await acquire(store, holder, ttl);
  assert.ok(lease !== undefined, `${holder} must get the lease`);
  return lease;
}

/** The lease ends while a body runs that has read it; what it writes must be what it reads in the end. */
function endsDuring(client: () => Promise<ProgressStore>, time: StoreTime, how: 'get' | 'range'): Promise<void> {
  return patiently(time, async (ttl) => {
    const [a, b] = [await client(), await client()];
    await held(a, 'a', ttl);
    const seen: (string | undefined)[] = [];
    await b.transact(async (tx) => {
      const holder =
        how === 'get' ? await readIn(tx, KEY) : (await rangeIn(tx, 'lease/', 'lease0'))[0]?.slice(KEY.length + 1);
      seen.push(holder);
      if (holder !== undefined) await time.pass(ttl);
      tx.set('seen', utf8(holder ?? 'nobody'));
    });
    assert.equal(seen[0], 'a', 'the lease lives at first');
    assert.equal(await read(a, 'seen'), 'nobody');
  });
}

/** For cases in which a short lease must still live after some calls. Each attempt begins with no lease. */
async function patiently(time: StoreTime, check: (ttl: number) => Promise<void>): Promise<void> {
  let { ttl } = time;
  for (let attempt = 1; ; attempt++) {
    try {
      await check(ttl);
      return;
    } catch (error) {
      if (!time.isReal || attempt === ATTEMPTS) throw error;
    }
    await time.pass(ttl);
    ttl *= 3;
  }
}
