// The RestoreTarget of etcd on a real server.

import type { Etcd3, ITxnRequest, ITxnResponse } from 'etcd3';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { toHex, utf8 } from '../../src/core/bytes.js';
import type { KeyRange } from '../../src/core/key-range.js';
import { NORMAL_KEYS } from '../../src/core/key-range.js';
import type { RestoreOperation } from '../../src/ports/restore-target.js';
import { restore } from '../../src/restore/restore.js';
import { prefixRange } from '../../src/source/etcd/options.js';
import { EtcdRangeSource } from '../../src/source/etcd/range-source.js';
import { partsOf } from '../../src/source/etcd/target-clear.js';
import { systemClock } from '../../src/core/clock.js';
import type { EtcdRestoreTargetOptions } from '../../src/source/etcd/target-restore.js';
import { EtcdRestoreTarget } from '../../src/source/etcd/target-restore.js';
import { restoreTargetSuite } from '../../src/testing/target-suite.js';
import { newContainer, putLog, putMarker } from '../restore/container-builder.js';
import { SeededRandom, randomHistory, rowsAt, writeHistory } from '../restore/log-model.js';
import { putSnapshotOf } from '../restore/snapshot-model.js';
import { set as logSet } from '../format/encode-log-file.js';
import type { EtcdCluster } from '../servers/etcd.js';
import { etcdMissing, startEtcd } from '../servers/etcd.js';
import { clientOf, rowsOf } from './etcd-tools.js';

const missing = etcdMissing();
const OWN: KeyRange = { begin: Uint8Array.of(0xff), end: Uint8Array.of(0xff, 0xff) };

const set = (key: string, value: string): RestoreOperation => ({ type: 'set', key: utf8(key), value: utf8(value) });
const clear = (begin: string, end: string): RestoreOperation => ({
  type: 'clear',
  begin: utf8(begin),
  end: utf8(end),
});
const at = (version: bigint, restoreId = 'test') => ({ restoreId, phase: 'log', version }) as const;

/** What becomes of a transaction: it is lost on its way, or its answer is; or it never ends; or all goes well. */
type Fate = 'lost' | 'unanswered' | 'hangs' | undefined;

/** The same client, whose transactions meet their fate. */
function unlucky(client: Etcd3, fate: () => Fate): Etcd3 {
  const kv = {
    range: client.kv.range.bind(client.kv),
    txn: async (request: ITxnRequest): Promise<ITxnResponse> => {
      // Reads alone are left in peace.
      const met = request.compare === undefined ? undefined : fate();
      if (met === 'lost') throw new Error('14 UNAVAILABLE: lost');
      if (met === 'hangs') return new Promise(() => undefined);
      const response = await client.kv.txn(request);
      if (met === 'unanswered') throw new Error('14 UNAVAILABLE: no answer');
      return response;
    },
  };
  return new Proxy(client, {
    get: (target, name): unknown => (name === 'kv' ? kv : Reflect.get(target, name, target)),
  });
}

describe.skipIf(missing !== undefined)(`EtcdRestoreTarget${missing === undefined ? '' : `: ${missing}`}`, () => {
  let etcd: EtcdCluster;
  let client: Etcd3;

  beforeAll(async () => {
    etcd = await startEtcd();
    client = clientOf(etcd.urls);
  }, 60_000);

  afterAll(async () => {
    client.close();
    await etcd.stop();
  });

  const targetOf = (options: Partial<EtcdRestoreTargetOptions> = {}) =>
    new EtcdRestoreTarget({ client, retryFor: 0, ...options });
  const rows = () => rowsOf(client, NORMAL_KEYS);
  const wipe = () => client.delete().all();

  describe('conformance', () => {
    const open = async () => {
      await wipe();
      let fails = false;
      const fate = (): Fate => {
        const met = fails ? 'lost' : undefined;
        fails = false;
        return met;
      };
      const reopen = () => targetOf({ client: unlucky(client, fate) });
      return { target: reopen(), reopen, failNextApply: () => void (fails = true) };
    };
    for (const { name, run } of restoreTargetSuite(open)) it(name, run, 60_000);
  });

  it('keeps its checkpoint behind the normal keys, and can forget it', async () => {
    await wipe();
    const target = targetOf();
    await target.apply([set('a', '1')], at(1n));
    await target.shard('one').apply([], at(1n));
    expect(await rows()).toEqual(['a=1']);
    expect((await rowsOf(client, OWN)).length).toBe(2);
    await target.forget();
    expect(await rowsOf(client, OWN)).toEqual([]);
    expect(await target.checkpoint()).toBeUndefined();
    expect(await rows()).toEqual(['a=1']);
  });

  it('leaves excluded keys alone, and refuses rows and ranges that it must not touch', async () => {
    await wipe();
    for (const key of ['a', 'keep/1', 'keep/2', 'z']) await client.put(key).value('old');
    const exclude = [prefixRange('keep/')];
    const target = targetOf({ exclude, prefix: 'own/' });
    await target.apply([clear('', 'm'), set('b', 'new')], at(1n));
    expect((await rows()).filter((row) => !row.startsWith('own/'))).toEqual([
      'b=new',
      'keep/1=old',
      'keep/2=old',
      'z=old',
    ]);
    expect(await target.isEmpty({ begin: utf8('c'), end: utf8('m') })).toBe(true);
    const refused = { code: 'INVALID_OPTION' };
    await expect(target.apply([set('keep/1', 'x')], at(2n))).rejects.toMatchObject(refused);
    await expect(target.apply([set('own/checkpoint', 'x')], at(2n))).rejects.toMatchObject(refused);
    await expect(target.apply([set('', 'x')], at(2n))).rejects.toMatchObject(refused);
    await expect(target.apply([clear('a', 'z')], at(2n))).rejects.toMatchObject(refused);
    await expect(target.isEmpty(NORMAL_KEYS)).rejects.toMatchObject(refused);
    expect(await target.checkpoint()).toMatchObject(at(1n));
  });

  it.each([
    ['maxTxnOps', { maxTxnOps: 2 }],
    ['maxRequestBytes', { maxRequestBytes: 1_000 }],
    ['prefix', { prefix: '' }],
    ['exclude', { exclude: [{ begin: utf8('b'), end: utf8('a') }] }],
    ['retryFor', { retryFor: -1 }],
    ['callTimeout', { callTimeout: 0 }],
  ])('refuses a %s that makes no sense', (name, options) => {
    expect(() => targetOf(options)).toThrow(name);
  });

  it('waits for no answer for ever, nor do the reads of rows', async () => {
    const kv = new Proxy({}, { get: () => () => new Promise(() => undefined) });
    const frozen = new Proxy(client, {
      get: (all, name): unknown => (name === 'kv' ? kv : Reflect.get(all, name, all)),
    });
    const target = targetOf({ client: frozen, callTimeout: 100 });
    const range = prefixRange('a');
    const { signal } = new AbortController();
    const source = new EtcdRangeSource({ client: frozen, callTimeout: 100 });
    const scan = source.scan({ region: { id: 'a', epoch: '1', range }, range, version: 1n, signal });
    const calls: Readonly<Record<string, () => Promise<unknown>>> = {
      read: () => target.read([utf8('a')]),
      checkpoint: () => target.checkpoint(),
      isEmpty: () => target.isEmpty(range),
      forget: () => target.forget(),
      apply: () => target.apply([clear('a', 'b')], at(1n)),
      parts: () => partsOf(frozen, range, 10, { clock: systemClock, timeout: 100 }).next(),
      scan: () => scan[Symbol.asyncIterator]().next(),
    };
    for (const [name, call] of Object.entries(calls))
      await expect(call(), name).rejects.toMatchObject({ code: 'ETCD_UNAVAILABLE', retryable: true });
  });

  describe('an apply of as many bytes as the limits allow, of a clear and of rows in it', () => {
    /** Bytes of each row's key. A key that is set is sent three times, as the clear is cut around it. */
    const filling = ({ limits: { operations, bytes } }: EtcdRestoreTarget, keyBytes: number): RestoreOperation[] => {
      const names = Array.from({ length: operations - 1 }, (_, i) => `k${i}`.padEnd(keyBytes, '.'));
      const valueBytes = Math.floor((bytes - 2) / names.length) - keyBytes;
      return [clear('a', 'z'), ...names.map((name) => set(name, 'v'.repeat(valueBytes)))];
    };

    it.each([60, 200, 3_000])('is taken, with keys of %i bytes', async (keyBytes) => {
      await wipe();
      await client.put('m').value('old');
      const target = targetOf();
      const operations = filling(target, keyBytes);
      const checkpoint = { ...at(1n), cursor: 'ab'.repeat(3_000) };
      for (const version of [1n, 2n]) {
        await target.apply(operations, { ...checkpoint, version });
        expect((await rows()).map((row) => row.slice(0, row.indexOf('.')))).toEqual(
          Array.from({ length: operations.length - 1 }, (_, i) => `k${i}`).sort(),
        );
        expect(await targetOf().checkpoint()).toEqual({ ...checkpoint, version });
        await client.put('m').value('old');
      }
    });

    it('has the checkpoint of before until all of it is applied', async () => {
      for (const before of [at(1n), at(1n, 'another'), { ...at(1n), phase: 'done' as const }]) {
        await wipe();
        await targetOf().apply([set('m', 'old')], before);
        let left = 1;
        const first = targetOf({ client: unlucky(client, () => (--left < 0 ? 'lost' : undefined)) });
        expect(await first.checkpoint()).toEqual(before);
        const operations = filling(first, 200);
        await expect(first.apply(operations, at(2n))).rejects.toMatchObject({ code: 'ETCD_UNAVAILABLE' });
        expect(await rows()).toEqual([]);
        const second = targetOf();
        const goesOn = before.restoreId === 'test' && before.phase === 'log';
        const place = goesOn ? before : { restoreId: 'test', phase: 'clearing', version: 0n };
        expect(await second.checkpoint()).toEqual(place);
        await second.apply(operations, at(2n));
        expect((await rows()).length).toBe(operations.length - 1);
        expect(await second.checkpoint()).toEqual(at(2n));
      }
    });

    it('lets no other restore write between its steps', async () => {
      await wipe();
      const old = targetOf();
      await old.apply([], at(1n, 'old'));
      const shard = old.shard('1');
      await shard.apply([], at(1n, 'old'));
      const fates: (() => Promise<void>)[] = [
        () => Promise.resolve(),
        () => expect(shard.apply([set('m', 'late')], at(2n, 'old'))).rejects.toMatchObject({ code: 'DISPLACED' }),
      ];
      const kv = {
        range: client.kv.range.bind(client.kv),
        txn: async (request: ITxnRequest) => {
          await fates.shift()?.();
          return client.kv.txn(request);
        },
      };
      const target = targetOf({
        client: new Proxy(client, { get: (all, name): unknown => (name === 'kv' ? kv : Reflect.get(all, name, all)) }),
      });
      await target.checkpoint();
      const operations = filling(target, 200);
      await target.apply(operations, at(1n));
      expect(fates).toEqual([]);
      expect((await rows()).length).toBe(operations.length - 1);
    });
  });

  describe('the fence', () => {
    it('lets one of two restores into the same target write', async () => {
      await wipe();
      const [first, second] = [targetOf(), targetOf()];
      for (const target of [first, second]) await target.checkpoint();
      await first.apply([set('a', 'first')], at(1n, 'first'));
      await expect(second.apply([clear('a', 'z')], at(1n, 'second'))).rejects.toMatchObject({ code: 'DISPLACED' });
      expect(await rows()).toEqual(['a=first']);
      // Once it has seen where things stand it may.
      expect(await second.checkpoint()).toMatchObject({ restoreId: 'first' });
      await second.apply([clear('a', 'z')], at(1n, 'second'));
      await expect(first.apply([set('b', 'first')], at(2n, 'first'))).rejects.toMatchObject({ code: 'DISPLACED' });
      expect(await rows()).toEqual([]);
    });

    it('keeps the shards of a restore out that another one has replaced', async () => {
      await wipe();
      const first = targetOf();
      const shard = first.shard('1');
      await shard.apply([], at(0n, 'first'));
      await first.apply([], at(0n, 'first'));
      await shard.apply([set('a', 'first')], at(1n, 'first'));
      const second = targetOf();
      await second.checkpoint();
      await second.apply([clear('a', 'z')], at(0n, 'second'));
      await expect(shard.apply([set('b', 'first')], at(2n, 'first'))).rejects.toMatchObject({ code: 'DISPLACED' });
      expect(await rows()).toEqual([]);
    });

    it('applies once what is repeated because its answer was lost', async () => {
      await wipe();
      const fates: Fate[] = ['lost', 'unanswered', 'unanswered'];
      const target = targetOf({ client: unlucky(client, () => fates.shift()), retryFor: 10_000 });
      await target.checkpoint();
      const { header } = await client.kv.range({ key: Buffer.from('a') });
      await target.apply([set('a', '1')], at(1n));
      expect(fates).toEqual([]);
      const after = await client.kv.range({ key: Buffer.from('a') });
      expect(Number(after.header.revision) - Number(header.revision)).toBe(1);
      await target.apply([set('a', '2')], at(2n));
      expect(await rows()).toEqual(['a=2']);
    });

    it('tries again what gets no answer at all, for as long as it may', async () => {
      await wipe();
      const fates: Fate[] = ['hangs', 'hangs'];
      const target = targetOf({ client: unlucky(client, () => fates.shift()), callTimeout: 500, retryFor: 60_000 });
      await target.apply([set('a', '1')], at(1n));
      expect(fates).toEqual([]);
      expect(await rows()).toEqual(['a=1']);
      const never = targetOf({ client: unlucky(client, () => 'hangs'), callTimeout: 500 });
      await expect(never.apply([set('a', '2')], at(2n))).rejects.toMatchObject({ code: 'ETCD_UNAVAILABLE' });
    });

    it('keeps out an apply that comes late, after its restore was given up and taken up again', async () => {
      await wipe();
      const late: ITxnRequest[] = [];
      const kv = {
        range: client.kv.range.bind(client.kv),
        txn: (request: ITxnRequest) => {
          late.push(request);
          return Promise.reject(new Error('14 UNAVAILABLE: on its way'));
        },
      };
      const slow = new Proxy(client, {
        get: (all, name): unknown => (name === 'kv' ? kv : Reflect.get(all, name, all)),
      });
      const target = targetOf({ client: slow });
      await expect(target.apply([set('a', 'late')], at(1n))).rejects.toMatchObject({ code: 'ETCD_UNAVAILABLE' });
      const next = targetOf();
      expect(await next.checkpoint()).toBeUndefined();
      await next.apply([set('a', '1')], at(1n));
      await next.apply([set('a', '2')], at(2n));
      expect((await client.kv.txn(late[0]!)).succeeded).toBe(false);
      expect(await rows()).toEqual(['a=2']);
    });
  });

  describe('a restore', () => {
    const epochs = [
      { begin: 1n, end: 60n, totalTags: 3 },
      { begin: 60n, end: 120n, totalTags: 2 },
    ];
    /** Long: in small requests there is no room for clears that are cut around many such keys. */
    const PLACE = utf8('p'.repeat(3_000));
    const hexRows = async (range: KeyRange) => {
      const found = await client
        .getAll()
        .inRange({ start: Buffer.from(range.begin), end: Buffer.from(range.end) })
        .exec();
      return new Map(found.kvs.map(({ key, value }) => [toHex(key), toHex(value)]));
    };

    it('gives exactly the rows, whatever transactions or answers are lost and however often it is made again', async () => {
      let total = 0;
      for (let seed = 1; seed <= 6; seed++) {
        await wipe();
        await client.put('outside').value('untouched');
        const random = new SeededRandom(seed);
        const container = await newContainer();
        await putMarker(container);
        const history = randomHistory(random, epochs, 30);
        await writeHistory(container, random, epochs, history);
        const maxTxnOps = random.pick([5, 12, 24]);
        const maxRequestBytes = random.pick([20_000, 30_000, 40_000]);
        let runs = 0;
        for (; ; runs++) {
          expect(runs).toBeLessThan(500);
          let left = random.below(6);
          const killed = unlucky(client, () => (--left < 0 ? random.pick(['lost', 'unanswered'] as const) : undefined));
          const target = targetOf({ client: killed, maxTxnOps, maxRequestBytes });
          try {
            const applyBytes = random.pick([60, 60_000]);
            await restore({ container, target, version: 119n, baseline: 'empty', addPrefix: PLACE, applyBytes });
            break;
          } catch (error) {
            expect(error, `seed ${seed}`).toMatchObject({ code: 'ETCD_UNAVAILABLE' });
          }
        }
        total += runs;
        const wanted = [...rowsAt(history, 119n)].map(([key, value]) => [toHex(PLACE) + key, value] as const);
        expect(await hexRows(prefixRange(PLACE)), `seed ${seed}`).toEqual(new Map(wanted));
        expect(await rowsOf(client, prefixRange('outside'))).toEqual(['outside=untouched']);
      }
      expect(total).toBeGreaterThan(30);
    }, 120_000);

    it('goes on when the server is killed and started again, and clears what was there in steps', async () => {
      await wipe();
      const key = (i: number) => utf8(`p${String(i).padStart(6, '0')}`);
      // More keys than are cleared at once.
      for (let from = 0; from < 21_000; from += 125) {
        const puts = Array.from({ length: 125 }, (_, i) => ({
          request_put: { key: Buffer.from(key(from + i)), value: Buffer.from('old') },
        }));
        await client.kv.txn({ success: puts });
      }
      await client.put('q').value('untouched');
      const container = await newContainer();
      await putMarker(container, { logOnly: false });
      const parts = Array.from({ length: 4 }, (_, i) => ({
        range: {
          begin: i === 0 ? new Uint8Array() : key(i * 1_000),
          end: i === 3 ? Uint8Array.of(0xff) : key(i * 1_000 + 1_000),
        },
        version: 10n,
        rows: Array.from({ length: 1_000 }, (_row, k) => [key(i * 1_000 + k), utf8(`new ${k}`)] as const),
      }));
      await putSnapshotOf(container, parts);
      await putLog(container, { begin: 1n, end: 100n, tag: 0, totalTags: 1 }, [
        { version: 20n, subsequence: 1, mutation: logSet('p000000', 'last') },
      ]);
      const server = etcd.servers[0]!;
      let applies = 0;
      let restarted: Promise<void> | undefined;
      const { rows: loaded } = await restore({
        container,
        target: targetOf({ retryFor: 60_000 }),
        version: 50n,
        ranges: [prefixRange('p')],
        clearTarget: true,
        onProgress: () => {
          if (++applies === 20) restarted = server.kill().then(() => server.start());
        },
      });
      await restarted;
      expect(restarted).toBeDefined();
      expect(loaded).toBe(4_000);
      const wanted = parts.flatMap((part) =>
        part.rows.map(([k, v]) => `${Buffer.from(k).toString()}=${Buffer.from(v).toString()}`),
      );
      expect(await rowsOf(client, prefixRange('p'))).toEqual(['p000000=last', ...wanted.slice(1)]);
      expect(await rowsOf(client, prefixRange('q'))).toEqual(['q=untouched']);
    }, 120_000);
  });
});
