// Fleets at random (rules F1 to F7): hosts join, leave, die, freeze, thaw, are cut off, epochs change. Whatever happens, no host that has not the tag records for it; and when it is over, every worker runs once.

import { afterEach, describe, expect, it } from 'vitest';
import { shareOut, tagName } from '../../src/job/fleet-shares.js';
import type { ProgressStore, ProgressTransaction } from '../../src/ports/progress-store.js';
import { describeBackup } from '../../src/restore/describe.js';
import type { FleetProcess } from './fleet-world.js';
import { FleetWorld } from './fleet-world.js';

/** A small generator, the same for the same seed (mulberry32). */
function randomFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

const SEEDS = Array.from({ length: 12 }, (_, index) => index + 1);
const RECORDS = /^(?:owner|progress|noop|registered\/[^/]+)\/(\d+)\/(\d+)$/;

/** What one host commits, held to the rules by what the same transaction reads. */
function watched(store: ProgressStore, host: string, problems: string[]): ProgressStore {
  const check = async (tx: ProgressTransaction, writes: ReadonlyMap<string, Uint8Array | undefined>) => {
    const lease = text(await tx.get(`lease/fleet/${host}`));
    for (const [key, value] of writes) {
      const record = RECORDS.exec(key);
      if (record !== null) {
        const assigned = text(await tx.get(`fleet/assigned/${record[1]}/${record[2]}`));
        if (lease === undefined || assigned !== lease)
          problems.push(`${host} writes ${key}, which is ${assigned}'s (F3)`);
      }
      if (key.startsWith('fleet/assigned/') && value !== undefined) {
        if (text(value) !== lease) problems.push(`${host} takes ${key} without its lease (F2)`);
      }
    }
  };
  return {
    transact: (body) =>
      store.transact(async (tx) => {
        const writes = new Map<string, Uint8Array | undefined>();
        const result = await body({
          get: (key) => tx.get(key),
          getRange: (begin, end) => tx.getRange(begin, end),
          set: (key, value) => {
            writes.set(key, value);
            tx.set(key, value);
          },
          clear: (key) => {
            writes.set(key, undefined);
            tx.clear(key);
          },
        });
        await check(tx, writes);
        return result;
      }),
    watch: (key, seen, signal) => store.watch(key, seen, signal),
    acquireLease: (request) => store.acquireLease(request),
  };
}

function text(value: Uint8Array | undefined): string | undefined {
  return value && new TextDecoder().decode(value);
}

/** Nobody loses a tag whose lease lives: seen in every state of the store. */
function watchHandOvers(world: FleetWorld, problems: string[]): () => void {
  let before = new Map<string, string>();
  return () => {
    const entries = world.store.entries();
    const leases = new Set(entries.flatMap(({ key, value }) => (key.startsWith('lease/fleet/') ? [text(value)] : [])));
    const now = new Map<string, string>();
    for (const { key, value } of entries) if (key.startsWith('fleet/assigned/')) now.set(key, text(value) as string);
    for (const [key, holder] of before) {
      const next = now.get(key);
      if (next !== undefined && next !== holder && leases.has(holder))
        problems.push(`${key} goes from ${holder}, who lives, to ${next} (F2)`);
    }
    before = now;
  };
}

describe('a fleet at random', () => {
  let world: FleetWorld;
  afterEach(() => world.end());

  it.each(SEEDS)(
    'seed %i: nobody records without lease and assignment (F3), and all ends balanced (F4)',
    async (seed) => {
      const random = randomFrom(seed);
      const int = (least: number, most: number) => least + Math.floor(random() * (most - least + 1));
      const pick = <T>(items: readonly T[]): T | undefined => items[Math.floor(random() * items.length)];
      world = new FleetWorld({ totalTags: int(1, 7) });
      const problems: string[] = [];
      const look = watchHandOvers(world, problems);
      const store: ProgressStore = {
        transact: async (body) => {
          const result = await world.store.transact(body);
          look();
          return result;
        },
        watch: (key, seen, signal) => world.store.watch(key, seen, signal),
        acquireLease: (request) => world.store.acquireLease(request),
      };
      const alive: FleetProcess[] = [];
      const frozen = new Set<FleetProcess>();
      const cut = new Set<FleetProcess>();
      let names = 0;
      const join = () => {
        const name = `${'cadbe'[names % 5]}${names++}`;
        const progressStore = watched(store, name, problems);
        alive.push(
          world.host(name, {
            progressStore,
            metricsInterval: 60_000,
            uploadDelay: 3_000,
            planInterval: int(1, 5) * 1_000,
          }),
        );
      };
      const leave = (host: FleetProcess) => {
        alive.splice(alive.indexOf(host), 1);
        frozen.delete(host);
        cut.delete(host);
      };
      join();
      join();
      await world.clock.advance(int(0, 3_000));
      await world.submit('job', { logOnly: true });
      const actions: (() => void)[] = [
        () => alive.length < 5 && join(),
        () => {
          const host = pick(alive);
          if (host === undefined || alive.length === 1) return;
          leave(host);
          host.kill();
        },
        () => {
          const host = pick(alive);
          if (host === undefined) return;
          frozen.add(host);
          host.freeze();
        },
        () => {
          for (const host of frozen) host.thaw();
          frozen.clear();
        },
        () => {
          const host = pick(alive);
          if (host === undefined) return;
          cut.add(host);
          host.cutOff(true);
        },
        () => {
          for (const host of cut) host.cutOff(false);
          cut.clear();
        },
        () => {
          const host = pick(alive);
          if (host === undefined || alive.length === 1 || frozen.has(host)) return;
          leave(host);
          host.abort();
        },
        () => {
          const host = pick(alive);
          host?.jump(int(0, 20_000));
        },
        () => {
          world.log.recover({ totalTags: int(1, 7) });
        },
        () => world.commitTo(world.log.knownVersion + BigInt(int(1, 20))),
      ];
      for (let step = 0; step < 22; step++) {
        pick(actions)?.();
        await world.clock.advance(pick([0, 10, 300, 2_000, 6_000, 12_000]) ?? 0);
        look();
        await world.tellOldestEpoch();
        expect(problems, `seed ${seed}, step ${step}`).toEqual([]);
      }
      for (const host of frozen) host.thaw();
      for (const host of cut) host.cutOff(false);
      if (alive.length === 0) join();
      for (let i = 0; i < 3; i++) {
        await world.clock.advance(20_000);
        await world.tellOldestEpoch();
      }
      const tags = Array.from({ length: world.log.totalTags }, (_, tag) => `${world.log.epoch}.${tag}`);
      const check = (when: string) => {
        expect(problems, `seed ${seed}, ${when}`).toEqual([]);
        expect(world.running(...alive), `seed ${seed}, ${when}`).toEqual(tags);
        expect(
          world.assigned().map((entry) => entry.split(' ')[0]),
          `seed ${seed}, ${when}`,
        ).toEqual(tags);
        const loads = alive.map((host) => host.running().length);
        expect(Math.max(...loads) - Math.min(...loads), `seed ${seed}, ${when}: ${loads.join()}`).toBeLessThanOrEqual(
          1,
        );
      };
      check('at rest');
      const events = alive.map((host) => host.events.length);
      await world.clock.advance(30_000);
      check('and later');
      expect(
        alive.map((host) => host.events.length),
        `seed ${seed}: it goes on moving`,
      ).toEqual(events);
      const failed = world.hosts.flatMap((host) => host.events.filter((event) => event.startsWith('workerFailed')));
      expect(failed, `seed ${seed}`).toEqual([]);
      const last = world.log.knownVersion;
      if (last > 0n) {
        const description = await describeBackup(world.container('memory:job'), { deep: true });
        expect(description, `seed ${seed}`).toMatchObject({ gaps: [], problems: [], maxRestorable: last });
      }
    },
    60_000,
  );
});

describe('shares at random (F4)', () => {
  it('quotas add up, differ by one at most, are met in few looks, and then nothing moves', () => {
    const random = randomFrom(7);
    for (let round = 0; round < 2_000; round++) {
      const hosts = Array.from({ length: 1 + Math.floor(random() * 7) }, (_, index) => `h${index}`);
      const planned = Array.from({ length: Math.floor(random() * 20) }, (_, tag) => ({ epoch: 1 + (tag % 3), tag }));
      const holders = new Map<string, string>();
      for (const at of planned) {
        // Some are free, some a dead host's.
        const host = ['dead', undefined, ...hosts][Math.floor(random() * (hosts.length + 2))];
        if (host !== undefined && host !== 'dead') holders.set(tagName(at), host);
      }
      const shares = () => hosts.map((host) => ({ host, ...shareOut({ host, hosts, planned, holders }) }));
      const first = shares();
      expect(first.reduce((sum, { quota }) => sum + quota, 0)).toBe(planned.length);
      let looks = 0;
      for (; ; looks++) {
        const all = shares();
        if (all.every(({ take, surplus }) => take.length === 0 && surplus === 0)) break;
        expect(looks, `round ${round}`).toBeLessThan(4);
        const taken = all.flatMap(({ take }) => take.map(tagName));
        expect(new Set(taken).size, 'no two take the same').toBe(taken.length);
        for (const { host, take, surplus } of all) {
          expect(take.length === 0 || surplus === 0).toBe(true);
          const own = planned.filter((at) => holders.get(tagName(at)) === host);
          for (const at of own.slice(0, surplus)) holders.delete(tagName(at));
          for (const at of take) holders.set(tagName(at), host);
        }
      }
      const loads = hosts.map((host) => [...holders.values()].filter((holder) => holder === host).length);
      expect(Math.max(...loads) - Math.min(...loads)).toBeLessThanOrEqual(1);
      expect(holders.size).toBe(planned.length);
    }
  });

  it('what is free goes to those that have the least first', () => {
    const planned = Array.from({ length: 7 }, (_, tag) => ({ epoch: 1, tag }));
    const holders = new Map(planned.slice(0, 6).map((at) => [tagName(at), at.tag < 5 ? 'h0' : 'h1']));
    const hosts = ['h0', 'h1', 'h2'];
    expect(hosts.map((host) => shareOut({ host, hosts, planned, holders }).take.length)).toEqual([0, 0, 1]);
  });

  it('balanced hosts give nothing back when another joins, but what it needs', () => {
    const planned = Array.from({ length: 10 }, (_, tag) => ({ epoch: 1, tag }));
    const holders = new Map(planned.map((at) => [tagName(at), `h${at.tag % 3}`]));
    const hosts = ['h0', 'h1', 'h2', 'a'];
    expect(hosts.map((host) => shareOut({ host, hosts, planned, holders }).surplus)).toEqual([1, 0, 1, 0]);
  });
});
