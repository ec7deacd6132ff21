// The progress store suite's cases for transactions.

import assert from 'node:assert/strict';
import { utf8 } from '../core/bytes.js';
import type { ProgressStore } from '../ports/progress-store.js';
import type { StoreCase } from './store-tools.js';
import { increment, later, rangeIn, read, readIn, write } from './store-tools.js';

/** How often a case that depends on how transactions happen to overlap is repeated. */
const ROUNDS = 10;

export const storeTransactionCases: readonly StoreCase[] = [
  [
    'an empty store has no values',
    async (client) => {
      const store = await client();
      assert.equal(await read(store, 'a'), undefined);
      assert.deepEqual(await store.transact((tx) => rangeIn(tx, ' ', '~')), []);
    },
  ],
  [
    "what a transaction wrote is seen by every later one, and its result is the body's",
    async (client) => {
      const [a, b] = [await client(), await client()];
      const result = await a.transact(async (tx) => {
        tx.set('job/1', utf8('Running'));
        return 42;
      });
      assert.equal(result, 42);
      assert.equal(await read(b, 'job/1'), 'Running');
      await write(b, { 'job/1': 'Completed' });
      assert.equal(await read(a, 'job/1'), 'Completed');
      assert.equal(await read(await client(), 'job/1'), 'Completed');
    },
  ],
  [
    'values are stored byte for byte, empty ones too',
    async (client) => {
      const all = Uint8Array.from({ length: 10_000 }, (_, i) => (i * 7) & 0xff);
      await (
        await client()
      ).transact(async (tx) => {
        tx.set('all', all);
        tx.set('empty', new Uint8Array(0));
      });
      const [gotAll, gotEmpty] = await (
        await client()
      ).transact(async (tx) => [await tx.get('all'), await tx.get('empty')]);
      assert.deepEqual([...(gotAll ?? [])], [...all]);
      assert.equal(gotEmpty?.length, 0);
    },
  ],
  [
    'a key may be any string of printable ASCII',
    async (client) => {
      const keys = ['progress/12/3', 'a b', '%2F', '"quoted"', '\\', '../x', '~', '!', 'a.temp', 'x'.repeat(200)];
      await write(await client(), Object.fromEntries(keys.map((key) => [key, `value of ${key}`])));
      const store = await client();
      for (const key of keys) assert.equal(await read(store, key), `value of ${key}`);
    },
  ],
  [
    'a cleared key has no value, and clearing one that has none is fine',
    async (client) => {
      const store = await client();
      await write(store, { a: '1', b: '2' });
      await write(store, { a: undefined, never: undefined });
      assert.equal(await read(await client(), 'a'), undefined);
      assert.deepEqual(await store.transact((tx) => rangeIn(tx, 'a', 'z')), ['b=2']);
    },
  ],
  [
    'getRange gives begin <= key < end in the order of code units',
    async (client) => {
      const keys = ['a', 'a/1', 'a/10', 'a/2', 'a/b', 'a0', 'B', 'b', 'a-'];
      await write(await client(), Object.fromEntries(keys.map((key) => [key, 'x'])));
      const store = await client();
      const range = (begin: string, end: string) =>
        store.transact(async (tx) => (await tx.getRange(begin, end)).map((entry) => entry.key));
      assert.deepEqual(await range('a/', 'a0'), ['a/1', 'a/10', 'a/2', 'a/b']);
      assert.deepEqual(await range('a', 'a/2'), ['a', 'a-', 'a/1', 'a/10']);
      assert.deepEqual(await range(' ', '~'), [...keys].sort());
      assert.deepEqual(await range('c', 'z'), []);
      assert.deepEqual(await range('b', 'a'), []);
      assert.deepEqual(await range('a', 'a'), []);
    },
  ],
  [
    'a range of many keys comes whole',
    async (client) => {
      const keys = Array.from({ length: 500 }, (_, i) => `k/${String(i).padStart(4, '0')}`);
      await write(await client(), Object.fromEntries(keys.map((key) => [key, key])));
      const got = await (await client()).transact((tx) => tx.getRange('k/', 'k0'));
      assert.deepEqual(
        got.map((entry) => entry.key),
        keys,
      );
    },
  ],
  [
    'a transaction sees its own writes',
    async (client) => {
      const store = await client();
      await write(store, { a: '1', b: '2', c: '3' });
      await store.transact(async (tx) => {
        tx.set('a', utf8('new'));
        tx.clear('b');
        tx.set('d', utf8('4'));
        tx.set('e', utf8('5'));
        tx.clear('e');
        assert.equal(await readIn(tx, 'a'), 'new');
        assert.equal(await readIn(tx, 'b'), undefined);
        assert.equal(await readIn(tx, 'e'), undefined);
        assert.deepEqual(await rangeIn(tx, 'a', 'z'), ['a=new', 'c=3', 'd=4']);
        tx.set('b', utf8('back'));
        assert.deepEqual(await rangeIn(tx, 'a', 'c'), ['a=new', 'b=back']);
      });
      assert.deepEqual(await store.transact((tx) => rangeIn(tx, 'a', 'z')), ['a=new', 'b=back', 'c=3', 'd=4']);
    },
  ],
  [
    "nobody sees a transaction's writes before it has committed",
    async (client) => {
      const [a, b] = [await client(), await client()];
      await write(a, { k: 'old' });
      let seen: string | undefined;
      await a.transact(async (tx) => {
        tx.set('k', utf8('new'));
        // A store that makes others wait for this transaction may do so: then there is nothing to see either.
        seen = await Promise.race([read(b, 'k'), later('old')]);
      });
      assert.equal(seen, 'old');
      assert.equal(await read(b, 'k'), 'new');
    },
  ],
  [
    'an error of the body rolls back and is passed on',
    async (client) => {
      const store = await client();
      await write(store, { a: 'kept' });
      const error = new Error('the body failed');
      await assert.rejects(
        store.transact(async (tx) => {
          tx.set('a', utf8('lost'));
          tx.set('b', utf8('lost'));
          throw error;
        }),
        (thrown) => thrown === error,
      );
      assert.deepEqual(await (await client()).transact((tx) => rangeIn(tx, 'a', 'z')), ['a=kept']);
    },
  ],
  [
    "values belong to the caller: neither side's later changes reach the other",
    async (client) => {
      const store = await client();
      const value = utf8('before');
      await store.transact(async (tx) => {
        tx.set('a', value);
        value.fill(0x78);
        assert.equal(await readIn(tx, 'a'), 'before');
      });
      await store.transact(async (tx) => {
        (await tx.get('a'))?.fill(0);
        (await tx.getRange('a', 'b'))[0]?.value.fill(0);
      });
      assert.equal(await read(store, 'a'), 'before');
    },
  ],
  [
    'a value that was read stays as it was, whatever is read and written next',
    async (client) => {
      const store = await client();
      await write(store, { a: 'before', b: 'others' });
      const kept = await store.transact(async (tx) => [
        await tx.get('a'),
        await tx.get('b'),
        ...(await tx.getRange('a', 'c')).map(({ value }) => value),
      ]);
      await write(store, { a: 'later!', b: 'later!' });
      await store.transact((tx) => rangeIn(tx, 'a', 'c'));
      const texts = kept.map((value) => new TextDecoder().decode(value));
      assert.deepEqual(texts, ['before', 'others', 'before', 'others']);
    },
  ],
  [
    'the result is that of the run that was committed, and no body runs once transact has answered',
    async (client) => {
      const [a, b] = [await client(), await client()];
      await write(a, { from: '0' });
      let runs = 0;
      const result = await a.transact(async (tx) => {
        const value = await readIn(tx, 'from');
        // The first run meets a conflict; a store that makes the other one wait has none, and one run.
        const other = ++runs === 1 ? write(b, { from: '1' }) : Promise.resolve();
        await Promise.race([other, later(undefined)]);
        tx.set('copy', utf8(`${value} in run ${runs}`));
        return `${value} in run ${runs}`;
      });
      assert.equal(await read(b, 'copy'), result);
      const before = runs;
      await write(b, { from: '2' });
      await later(undefined);
      assert.equal(runs, before, 'the body ran again after transact had answered');
      assert.equal(await read(b, 'copy'), result);
    },
  ],
  [
    'clients that increment one counter at once lose no increment',
    async (client, { clients, increments }) => {
      await Promise.all(
        Array.from({ length: clients }, async () => {
          const store = await client();
          for (let i = 0; i < increments; i++) await increment(store, 'counter');
        }),
      );
      assert.equal(await read(await client(), 'counter'), String(clients * increments));
    },
  ],
  [
    'one client may run many transactions at once',
    async (client) => {
      const store = await client();
      await Promise.all(
        Array.from({ length: 20 }, (_, i) =>
          Promise.all([increment(store, 'sum'), write(store, { [`own/${i}`]: 'x' })]),
        ),
      );
      assert.equal(await read(store, 'sum'), '20');
      assert.equal((await store.transact((tx) => tx.getRange('own/', 'own0'))).length, 20);
    },
  ],
  [
    'two transactions that each read what the other writes do not both go through (write skew)',
    async (client) => {
      const stores = [await client(), await client()] as const;
      for (let round = 0; round < ROUNDS; round++) {
        await write(stores[0], { 'on/0': 'yes', 'on/1': 'yes' });
        await Promise.all(stores.map((store, i) => leaveIfOtherStays(store, i)));
        const left = [await read(stores[0], 'on/0'), await read(stores[0], 'on/1')];
        assert.deepEqual(left.filter((value) => value === 'yes').length, 1, `round ${round}: one, and only one, stays`);
      }
    },
  ],
  [
    'a range that was read is protected against new keys (phantoms)',
    async (client) => {
      const stores = [await client(), await client(), await client()];
      for (let round = 0; round < ROUNDS; round++) {
        await Promise.all(stores.map((store, i) => claimIfNobodyHas(store, `claim/${round}/`, i)));
        const claims = await (stores[0] as ProgressStore).transact((tx) =>
          tx.getRange(`claim/${round}/`, `claim/${round}0`),
        );
        assert.equal(claims.length, 1, `round ${round}: ${claims.map((claim) => claim.key).join(', ')}`);
      }
    },
  ],
  [
    'a range that was read is protected against cleared keys and new values',
    async (client) => {
      const [a, b] = [await client(), await client()];
      for (let round = 0; round < ROUNDS; round++) {
        await write(a, { 'r/1': '1', 'r/2': '2', sum: '0' });
        const sum = a.transact(async (tx) => {
          const entries = await tx.getRange('r/', 'r0');
          await later(undefined);
          tx.set('sum', utf8(entries.map(({ value }) => new TextDecoder().decode(value)).join('+')));
        });
        const change = write(b, round % 2 === 0 ? { 'r/1': undefined, log: 'x' } : { 'r/1': '7', log: 'x' });
        await Promise.all([sum, change]);
        await increment(b, 'sum-was-read');
        // Either order of the two is right, and the sum tells which it was; what is not in either order is a mixture.
        const after = round % 2 === 0 ? '2' : '7+2';
        assert.ok(['1+2', after].includes((await read(b, 'sum')) ?? ''), `round ${round}`);
      }
    },
  ],
  [
    'what a transaction returns was true at one moment, also if it writes nothing',
    async (client) => {
      const [writer, reader] = [await client(), await client()];
      await write(writer, { x: '0', y: '0' });
      let done = false;
      const writing = (async () => {
        for (let i = 1; i <= 20; i++) await write(writer, { x: String(i), y: String(i) });
        done = true;
      })();
      while (!done) {
        const [x, y] = await reader.transact(async (tx) => {
          const first = await readIn(tx, 'x');
          await later(undefined);
          return [first, await readIn(tx, 'y')];
        });
        assert.equal(x, y);
      }
      await writing;
    },
  ],
  [
    'transactions that do not touch the same keys all go through',
    async (client, { clients }) => {
      const stores = await Promise.all(Array.from({ length: clients }, () => client()));
      await Promise.all(
        stores.map(async (store, i) => {
          for (let k = 0; k < ROUNDS; k++) await increment(store, `own/${i}`);
        }),
      );
      const totals = await (await client()).transact((tx) => rangeIn(tx, 'own/', 'own0'));
      assert.deepEqual(
        totals,
        stores.map((_, i) => `own/${i}=${ROUNDS}`),
      );
    },
  ],
];

async function leaveIfOtherStays(store: ProgressStore, self: number): Promise<void> {
  await store.transact(async (tx) => {
    const other = await readIn(tx, `on/${1 - self}`);
    await later(undefined);
    if (other === 'yes') tx.set(`on/${self}`, utf8('no'));
  });
}

async function claimIfNobodyHas(store: ProgressStore, prefix: string, self: number): Promise<void> {
  await store.transact(async (tx) => {
    const claims = await tx.getRange(prefix, `${prefix.slice(0, -1)}0`);
    await later(undefined);
    if (claims.length === 0) tx.set(`${prefix}${self}`, utf8('mine'));
  });
}
