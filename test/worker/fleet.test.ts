// Fleets of hosts, rules F1 to F7 of docs/protocol.md: every worker that has to run runs on one live host, and none on two.

import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Clock } from '../../src/core/clock.js';
import { BackupError } from '../../src/core/errors.js';
import { fleetStatus } from '../../src/job/fleet-status.js';
import { announceEpoch } from '../../src/job/recruiter-transactions.js';
import type { ProgressStore } from '../../src/ports/progress-store.js';
import { describeBackup } from '../../src/restore/describe.js';
import { BackupFleet } from '../../src/worker/fleet.js';
import { FleetWorld, type FleetProcess } from './fleet-world.js';
import { GatedContainer, GatedStore, logFiles, readsFrom, unavailable, writesTo } from './gates.js';

const LEASE_TIME = 10_000;

describe('a fleet', () => {
  let world: FleetWorld;
  beforeEach(() => {
    world = new FleetWorld({ totalTags: 8 });
  });
  afterEach(() => world.end());

  /** What a host has taken, given back, started and ended since then. */
  const moves = (host: FleetProcess, from = 0) =>
    host.events.slice(from).filter((event) => !event.startsWith('hosts') && !event.startsWith('retry'));
  const owner = (tag: number, epoch = 1) => world.record(`owner/${epoch}/${tag}`)?.['runId'];
  const leaseId = (host: string) => world.record(`lease/fleet/${host}`)?.['leaseId'];
  /** In the middle of a call. */
  const freezes = (host: FleetProcess) => () => {
    host.freeze();
    return host.pass();
  };
  const saved = (tag: number, epoch = 1) => world.record(`progress/${epoch}/${tag}`)?.['savedVersion'];

  /** Every planned tag has one worker on one of these hosts, which have as many, give or take one. */
  function expectShared(tags: readonly string[], ...hosts: FleetProcess[]): void {
    expect(world.running(...hosts)).toEqual([...tags].sort());
    expect(world.assigned().map((entry) => entry.split(' ')[0])).toEqual([...tags].sort());
    const loads = hosts.map((host) => host.running().length);
    expect(Math.max(...loads) - Math.min(...loads)).toBeLessThanOrEqual(1);
    for (const host of hosts) {
      const own = world.assigned().filter((entry) => entry.endsWith(` ${host.name}`));
      expect(own.map((entry) => entry.split(' ')[0]).sort()).toEqual(world.running(host));
    }
  }
  const epochTags = (epoch: number, count: number) => Array.from({ length: count }, (_, tag) => `${epoch}.${tag}`);

  async function expectWhole(uid: string, last: bigint): Promise<void> {
    const description = await describeBackup(world.container(`memory:${uid}`), { deep: true });
    expect(description).toMatchObject({ gaps: [], problems: [], minRestorable: 1n, maxRestorable: last });
    const versions = new Set((await world.mutations(uid)).map((mutation) => Number(mutation.split('/')[1])));
    expect(versions.size).toBe(Number(last));
  }

  describe('F1 lease', () => {
    it('one host alone joins, takes all tags, and runs them', async () => {
      const a = world.host('a');
      await world.clock.advance(1_000);
      expect(a.events.slice(0, 2)).toEqual(['joined a', 'hosts a']);
      expect(a.events).toContain('assigned 1.0');
      expect(world.record('lease/fleet/a')).toMatchObject({ host: 'a' });
      expect(world.record('fleet/assigned/1/3')).toEqual(world.record('lease/fleet/a'));
      expectShared(epochTags(1, 8), a);
      expect(moves(a).filter((event) => event.startsWith('workerStarted'))).toHaveLength(8);
    });

    it('keeps its lease for as long as it runs, and nothing moves', async () => {
      const [a, b] = [world.host('a'), world.host('b')];
      await world.clock.advance(5_000);
      const [seenA, seenB, id] = [a.events.length, b.events.length, leaseId('a')];
      await world.clock.advance(120_000);
      expect(leaseId('a')).toBe(id);
      expect([a.events.slice(seenA), b.events.slice(seenB)]).toEqual([[], []]);
    });

    it('joins only when it knows the log’s epochs: it would keep a share from others', async () => {
      const b = world.host('b');
      const a = world.host('a', {
        logSource: {
          ...logOf(world),
          logSystem: () => ({ [Symbol.asyncIterator]: () => ({ next: () => new Promise(() => undefined) }) }),
        },
      });
      await world.clock.advance(30_000);
      expect(a.events).toEqual([]);
      expect(leaseId('a')).toBeUndefined();
      expectShared(epochTags(1, 8), b);
    });

    it('of two with one name the second waits until the first is gone', async () => {
      const first = world.host('a');
      await world.clock.advance(2_000);
      const second = world.host('a');
      await world.clock.advance(30_000);
      expect(second.events).toEqual(['waiting']);
      expectShared(epochTags(1, 8), first);
      await first.stop();
      await world.clock.advance(100);
      expect(second.events.slice(0, 3)).toEqual(['waiting', 'joined a', 'hosts a']);
      expect(world.running(second)).toHaveLength(8);
    });

    it('started again under its old name it waits for the end of its old lease', async () => {
      world.host('a').kill();
      await world.clock.advance(0);
      world.hosts[0]?.thaw();
      await world.clock.advance(2_000);
      world.hosts[0]?.kill();
      const again = world.host('a');
      await world.clock.advance(5_000);
      expect(again.events).toEqual(['waiting']);
      await world.clock.advance(LEASE_TIME - 4_000);
      expect(world.running(again)).toHaveLength(8);
      expect(again.events).toContain('assigned 1.0 from a');
    });

    it('without an answer in nine tenths of its time it stops its workers, before others may begin, and joins anew under another value', async () => {
      const [a, b] = [world.host('a'), world.host('b')];
      await world.clock.advance(2_000);
      const id = leaseId('a');
      a.cutOff(true);
      // It has not renewed it since it took it.
      await world.clock.advance(LEASE_TIME * 0.9 - 2_000 + 10);
      expect(a.events.at(-1)).toBe('leaseLost LEASE_LOST');
      expect(a.running()).toEqual([]);
      expect(moves(b).filter((event) => event.includes('from a'))).toEqual([]);
      await world.clock.advance(LEASE_TIME);
      expectShared(epochTags(1, 8), b);
      a.cutOff(false);
      await world.clock.advance(5_000);
      expect(leaseId('a')).not.toBe(id);
      expectShared(epochTags(1, 8), a, b);
    });

    it('a store that is away for less than the lease stops nobody', async () => {
      const [a, b] = [world.host('a'), world.host('b')];
      await world.clock.advance(2_000);
      const [seenA, seenB] = [a.events.length, b.events.length];
      for (const host of [a, b]) host.cutOff(true);
      await world.clock.advance(LEASE_TIME / 2);
      for (const host of [a, b]) host.cutOff(false);
      await world.clock.advance(10_000);
      expect([a.events.slice(seenA), b.events.slice(seenB)]).toEqual([[], []]);
      expect(a.retries.length).toBeGreaterThan(0);
      expectShared(epochTags(1, 8), a, b);
    });

    it('a store that is away for more than the lease stops all, and all are back with it', async () => {
      const hosts = [world.host('a'), world.host('b'), world.host('c')];
      await world.clock.advance(2_000);
      for (const host of hosts) host.cutOff(true);
      await world.clock.advance(40_000);
      expect(world.running(...hosts)).toEqual([]);
      for (const host of hosts) host.cutOff(false);
      await world.clock.advance(5_000);
      expectShared(epochTags(1, 8), ...hosts);
      for (const host of hosts) expect(host.outcome()).toBeUndefined();
    });

    it('a renewal that fails is tried again in time; one that says that the lease is gone is believed', async () => {
      const store = new GatedStore(world.store);
      const a = world.host('a', { progressStore: store });
      await world.clock.advance(2_000);
      store.fail('renewLease', unavailable(), { count: 3 });
      await world.clock.advance(20_000);
      expect(a.events).not.toContain('leaseLost LEASE_LOST');
      expect(a.retries).toContain('renew the lease lease/fleet/a');
      store.fail('renewLease', new BackupError('LEASE_LOST', 'the test says so'));
      await world.clock.advance(5_000);
      expect(a.events).toContain('leaseLost LEASE_LOST');
      await world.clock.advance(LEASE_TIME);
      expect(world.running(a)).toHaveLength(8);
    });

    it('finds out from the store that its lease is gone, whatever the renewals say', async () => {
      const store = new GatedStore(world.store);
      const a = world.host('a', { progressStore: store });
      await world.clock.advance(2_000);
      store.on('renewLease', () => new Promise(() => undefined), { count: 1 });
      a.jump(-9_000);
      await world.clock.advance(LEASE_TIME + 1_000);
      expect(a.events).toContain('leaseLost LEASE_LOST');
    });

    it('a clock that jumps ahead costs the lease, and no more', async () => {
      const [a, b] = [world.host('a'), world.host('b')];
      await world.clock.advance(2_000);
      a.jump(3_600_000);
      await world.clock.advance(10_000);
      expect(a.events).toContain('leaseLost LEASE_LOST');
      expectShared(epochTags(1, 8), a, b);
    });

    it('a lease whose answer was lost ends by its time, and then it joins', async () => {
      const store = new GatedStore(world.store);
      store.fail('acquireLease', unavailable(), { at: 'after' });
      const a = world.host('a', { progressStore: store });
      await world.clock.advance(5_000);
      expect(a.events).toEqual(['waiting']);
      await world.clock.advance(LEASE_TIME);
      expect(world.running(a)).toHaveLength(8);
    });
  });

  describe('F2 assignment', () => {
    it('takes over from a dead host at once when its lease has ended: workers have claimed within the lease time and two seconds', async () => {
      const slow = (store: ProgressStore): ProgressStore => ({
        transact: async (body) => {
          await world.clock.sleep(5);
          const result = await store.transact(body);
          await world.clock.sleep(5);
          return result;
        },
        // Watches that never fire: the poll alone has to be in time.
        watch: (_key, _seen, signal) => world.clock.sleep(1e9, signal),
        acquireLease: (request) => store.acquireLease(request),
      });
      const hosts = ['a', 'b', 'c'].map((name) => world.host(name, { progressStore: slow(world.store) }));
      const [a, b, c] = hosts as [FleetProcess, FleetProcess, FleetProcess];
      await world.clock.advance(20_000);
      expectShared(epochTags(1, 8), a, b, c);
      const owners = epochTags(1, 8).map((_, tag) => owner(tag));
      const lost = a.running().map((text) => Number(text.split(/[. ]/)[1]));
      a.kill();
      await world.clock.advance(LEASE_TIME + 2_000);
      for (const tag of lost) expect(owner(tag), `tag ${tag}`).not.toBe(owners[tag]);
      expectShared(epochTags(1, 8), b, c);
    });

    it('takes nothing from a host whose lease lives, however long it has been cut off from the log', async () => {
      const a = world.host('a');
      await world.clock.advance(2_000);
      const b = world.host('b');
      await world.clock.advance(60_000);
      expect(moves(b).filter((event) => event.includes('from'))).toEqual([]);
      expect(moves(a).filter((event) => event.endsWith('rebalance'))).toHaveLength(4);
    });

    it('a look that is out of date takes nothing: the transaction looks again', async () => {
      const store = new GatedStore(world.store);
      const gate = store.hold('transact', { match: writesTo('fleet/assigned/') });
      const a = world.host('a', { progressStore: store });
      await world.clock.settle();
      expect(gate.isReached).toBe(true);
      const b = world.host('b');
      await world.clock.advance(2_000);
      gate.open();
      await world.clock.advance(2_000);
      expectShared(epochTags(1, 8), a, b);
      expect(moves(a).filter((event) => event.startsWith('workerStarted'))).toHaveLength(4);
    });

    it('a take that is frozen past the lease takes nothing, although nobody else has the tags', async () => {
      const store = new GatedStore(world.store);
      const a = world.host('a', { progressStore: store });
      store.on('transact', freezes(a), { match: writesTo('fleet/assigned/') });
      await world.clock.advance(LEASE_TIME + 1_000);
      expect(leaseId('a')).toBeUndefined();
      a.thawCalls();
      await world.clock.advance(1_000);
      expect(store.writesOf('fleet/assigned/')).toEqual([]);
      a.thaw();
      await world.clock.advance(2_000);
      expectShared(epochTags(1, 8), a);
    });

    it('the answer of a take is lost: what is assigned to it runs', async () => {
      const store = new GatedStore(world.store);
      store.fail('transact', unavailable(), { at: 'after', match: writesTo('fleet/assigned/') });
      const a = world.host('a', { progressStore: store });
      await world.clock.advance(2_000);
      expectShared(epochTags(1, 8), a);
    });

    it('an assignment that disappears stops its worker, and somebody takes the tag again', async () => {
      const a = world.host('a');
      await world.clock.advance(2_000);
      await world.store.transact(async (tx) => tx.clear('fleet/assigned/1/3'));
      await world.clock.advance(5_000);
      expect(a.events.filter((event) => event.startsWith('workerEnded 1.3'))).toHaveLength(1);
      expectShared(epochTags(1, 8), a);
    });

    it('takes many tags few at a time', async () => {
      const many = new FleetWorld({ totalTags: 40 });
      const store = new GatedStore(many.store);
      const a = many.host('a', { progressStore: store });
      await many.clock.advance(1_000);
      const sizes = store.writesOf('fleet/assigned/').map(({ writes }) => writes.size);
      expect(sizes).toEqual([16, 16, 8]);
      expect(many.running(a)).toHaveLength(40);
      await a.stop();
      expect(many.assigned()).toEqual([]);
      await many.end();
    });

    it('what is drained leaves the store, by its holder, or by any host when that one has died', async () => {
      const [a, b] = [world.host('a'), world.host('b')];
      await world.clock.advance(1_000);
      await world.submit('job', { logOnly: true });
      world.commitTo(16n);
      await world.clock.advance(2_000);
      a.kill();
      world.log.recover({ totalTags: 2 });
      await world.clock.advance(5_000);
      expect(world.assigned().filter((entry) => entry.startsWith('1.'))).toHaveLength(4);
      await world.clock.advance(40_000);
      expect(world.assigned()).toEqual(['2.0 b', '2.1 b']);
      expect(moves(b).filter((event) => event.endsWith('finished'))).toHaveLength(8);
    });

    it('a dead host’s records of an epoch that needs no worker are removed by another', async () => {
      const [a, b] = [world.host('a'), world.host('b')];
      await world.clock.advance(2_000);
      a.kill();
      // No job is active: the plan has nothing for the old epoch, and says that it is done.
      world.log.recover({ totalTags: 2 });
      await world.clock.advance(LEASE_TIME + 5_000);
      expect(world.assigned()).toEqual(['2.0 b', '2.1 b']);
      expectShared(epochTags(2, 2), b);
    });
  });

  describe('F3 fence', () => {
    it('every transaction of a worker reads the lease and the assignment', async () => {
      const store = new GatedStore(world.store);
      const a = world.host('a', { progressStore: store, metricsInterval: 1_000 });
      await world.clock.advance(2_000);
      await world.submit('job', { logOnly: true });
      world.commitTo(32n);
      await world.clock.advance(30_000);
      await world.operator.discontinue('job');
      await world.clock.advance(30_000);
      expect((await world.operator.status('job')).state).toBe('Completed');
      await a.stop();
      for (const kind of ['owner/', 'noop/', 'registered/', 'progress/', 'job/']) {
        const found = store.writesOf(kind);
        expect(found.length, kind).toBeGreaterThan(0);
        for (const facts of found) {
          expect(facts.reads, kind).toContain('lease/fleet/a');
          expect(
            [...facts.reads].some((key) => key.startsWith('fleet/assigned/1/')),
            kind,
          ).toBe(true);
        }
      }
    });

    it('a host that is frozen between being assigned and claiming does not take the tag from its successor', async () => {
      const store = new GatedStore(world.store);
      const a = world.host('a', { progressStore: store });
      store.on('transact', freezes(a), { match: writesTo('owner/1/0') });
      await world.clock.advance(1_000);
      expect(owner(0)).toBeUndefined();
      const b = world.host('b');
      await world.clock.advance(LEASE_TIME + 2_000);
      expectShared(epochTags(1, 8), b);
      const owners = epochTags(1, 8).map((_, tag) => owner(tag));
      const gate = store.hold('acquireLease');
      a.thawCalls();
      await world.clock.advance(5_000);
      expect(epochTags(1, 8).map((_, tag) => owner(tag))).toEqual(owners);
      expect(a.events).toContain('workerEnded 1.0 displaced');
      a.thaw();
      await world.clock.advance(5_000);
      expect(epochTags(1, 8).map((_, tag) => owner(tag))).toEqual(owners);
      expectShared(epochTags(1, 8), b);
      expect(a.events).toContain('leaseLost LEASE_LOST');
      gate.open();
      await world.clock.advance(5_000);
      expectShared(epochTags(1, 8), a, b);
    });

    it.each(['thaw', 'thawCalls'] as const)(
      'frozen past its lease and thawed, it records nothing, also while nobody has taken its tags (%s)',
      async (thaw) => {
        const store = new GatedStore(world.store);
        const a = world.host('a', { progressStore: store });
        await world.clock.advance(2_000);
        await world.submit('job', { logOnly: true });
        world.commitTo(80n);
        store.on('transact', freezes(a), { match: writesTo('progress/1/5') });
        await world.clock.advance(30_000);
        expect(leaseId('a')).toBeUndefined();
        const before = saved(5);
        const commits = store.committed.length;
        const gate = store.hold('acquireLease');
        a[thaw]();
        await world.clock.advance(5_000);
        a.thaw();
        await world.clock.advance(5_000);
        expect(gate.isReached).toBe(true);
        expect(saved(5)).toBe(before);
        for (const kind of ['progress/', 'noop/', 'registered/', 'owner/', 'job/'])
          expect(store.committed.slice(commits).filter(writesTo(kind)), kind).toEqual([]);
        gate.open();
        await world.clock.advance(20_000);
        await expectWhole('job', 80n);
      },
    );

    it('what was in flight when a tag was given back is not recorded, also while its next host has not claimed it', async () => {
      const [storeA, storeB] = [new GatedStore(world.store), new GatedStore(world.store)];
      const a = world.host('a', { progressStore: storeA });
      await world.clock.advance(2_000);
      await world.submit('job', { logOnly: true });
      world.commitTo(80n);
      const gates = epochTags(1, 8).map((_, tag) => storeA.hold('transact', { match: writesTo(`progress/1/${tag}`) }));
      await world.clock.advance(10_000);
      expect(gates.every(({ isReached }) => isReached)).toBe(true);
      storeB.on('transact', () => new Promise(() => undefined), { match: writesTo('owner/'), count: 100 });
      const b = world.host('b', { progressStore: storeB });
      await world.clock.advance(2_000);
      expect(world.loads()).toEqual({ a: 4, b: 4 });
      for (const gate of gates) gate.open();
      await world.clock.advance(100);
      for (const entry of world.assigned()) {
        const [tag, host] = [Number(entry.slice(2, 3)), entry.slice(4)];
        expect(saved(tag) !== undefined, entry).toBe(host === 'a');
      }
      b.abort();
      await world.clock.advance(20_000);
      expectShared(epochTags(1, 8), a);
      await expectWhole('job', 80n);
    });

    it('a pop that was in flight when the host froze discards nothing that is not stored', async () => {
      const a = world.host('a');
      await world.clock.advance(2_000);
      await world.submit('job', { logOnly: true });
      world.commitTo(40n);
      world.log.delay('pop', 1);
      await world.clock.advance(10_000);
      a.freeze();
      const b = world.host('b');
      await world.clock.advance(20_000);
      world.commitTo(80n);
      await world.clock.advance(12_000);
      a.thaw();
      await world.clock.advance(15_000);
      expectShared(epochTags(1, 8), a, b);
      expect([...a.events, ...b.events].filter((event) => event.includes('LOG_GAP'))).toEqual([]);
      await expectWhole('job', 80n);
    });
  });

  describe('F4 shares', () => {
    it('several that start at once have as many, and no tag twice', async () => {
      const hosts = [world.host('a'), world.host('b'), world.host('c')];
      await world.clock.advance(2_000);
      expectShared(epochTags(1, 8), ...hosts);
    });

    it('one that joins gets its share from those that have most; only what has to moves', async () => {
      const hosts = [world.host('b'), world.host('c'), world.host('d')];
      await world.clock.advance(2_000);
      const before = world.assigned();
      const a = world.host('a');
      await world.clock.advance(2_000);
      expectShared(epochTags(1, 8), a, ...hosts);
      expect(world.assigned().filter((entry, tag) => entry !== before[tag])).toHaveLength(2);
    });

    it('a tag is given back when its worker has ended, and no sooner', async () => {
      const a = world.host('a');
      await world.clock.advance(2_000);
      const seen = a.events.length;
      world.host('b');
      await world.clock.advance(2_000);
      const events = moves(a, seen);
      expect(events.filter((event) => event.startsWith('workerEnded'))).toHaveLength(4);
      for (const tag of [4, 5, 6, 7]) {
        const ended = events.indexOf(`workerEnded 1.${tag} stopped`);
        expect(ended).toBeGreaterThanOrEqual(0);
        expect(events.indexOf(`givenBack 1.${tag} rebalance`)).toBeGreaterThan(ended);
      }
    });

    it('hand-overs and rebalances are done at once where watches fire', async () => {
      const [a, b] = [world.host('a'), world.host('b')];
      await world.clock.advance(2_000);
      const c = world.host('c');
      await world.clock.advance(100);
      expectShared(epochTags(1, 8), a, b, c);
    });

    it('more hosts than tags: some have none, and stand by', async () => {
      const hosts = Array.from({ length: 10 }, (_, index) => world.host(`h${index}`));
      await world.clock.advance(3_000);
      expectShared(epochTags(1, 8), ...hosts);
      const idle = hosts.filter((host) => host.running().length === 0);
      expect(idle).toHaveLength(2);
      hosts.find((host) => host.running().length === 1)?.kill();
      await world.clock.advance(LEASE_TIME + 2_000);
      expect(idle.map((host) => host.running().length).sort()).toEqual([0, 1]);
    });

    it('an old epoch’s tags stay where they are, the new one’s fill up; what has to move is of the new one', async () => {
      const [a, b] = [world.host('a'), world.host('b')];
      await world.clock.advance(1_000);
      await world.submit('job', { logOnly: true });
      world.commitTo(160n);
      const before = world.assigned();
      // Draining takes long.
      world.log.delay('peek', 20_000);
      world.log.recover({ totalTags: 5 });
      await world.clock.advance(2_000);
      expectShared([...epochTags(1, 8), ...epochTags(2, 5)], a, b);
      expect(world.assigned().filter((entry) => entry.startsWith('1.'))).toEqual(before);
      const c = world.host('c');
      await world.clock.advance(3_000);
      const old = world.assigned().filter((entry) => entry.startsWith('1.'));
      expect(old.filter((entry, tag) => entry !== before[tag])).toHaveLength(0);
      expect(world.loads()).toEqual({ a: 5, b: 4, c: 4 });
      world.log.delay('peek', 0);
      await world.clock.advance(60_000);
      expectShared(epochTags(2, 5), a, b, c);
      await world.clock.advance(20_000);
      await expectWhole('job', 160n);
    });
  });

  describe('F5 workers that end', () => {
    it('a displaced worker of an assigned tag is started again, slower and slower', async () => {
      const a = world.host('a');
      await world.clock.advance(2_000);
      for (let i = 0; i < 4; i++) {
        await world.write('owner/1/2', { runId: 'somebody' });
        await world.clock.advance(6_000);
      }
      expect(a.events.filter((event) => event === 'workerEnded 1.2 displaced')).toHaveLength(4);
      expectShared(epochTags(1, 8), a);
    });

    it('a recovery that the host has not been told of does not make its workers spin', async () => {
      const a = world.host('a');
      await world.clock.advance(2_000);
      world.log.recover({ totalTags: 3, announce: false });
      await world.write('epoch', { epoch: 2, begin: '1', totalTags: 3 });
      for (let tag = 0; tag < 8; tag++) await world.write(`owner/1/${tag}`, { runId: 'somebody' });
      await world.clock.advance(9_000);
      expect(a.workers.length).toBeLessThan(8 * 10);
    });

    it('a worker that fails for good is an event, and stays down with its host; another tries when it takes the tag over', async () => {
      const store = new GatedStore(world.store);
      const a = world.host('a', { progressStore: store, planInterval: 1_000 });
      store.fail('transact', new BackupError('STORE_CORRUPT', 'the test says so'), { match: writesTo('owner/1/1') });
      await world.clock.advance(30_000);
      expect(a.events.filter((event) => event.startsWith('workerFailed'))).toEqual([
        'workerFailed 1.1 STORE_CORRUPT final',
      ]);
      expect(a.events.filter((event) => event === 'workerStarted 1.1')).toHaveLength(1);
      expect(world.running(a)).toHaveLength(7);
      expect(world.loads()).toEqual({ a: 8 });
      // What is down goes first.
      const b = world.host('b');
      await world.clock.advance(5_000);
      expect(world.running(b)).toContain('1.1');
      expectShared(epochTags(1, 8), a, b);
    });

    it('a tag whose worker failed for good here, and ran elsewhere since, is tried again when it comes back', async () => {
      const store = new GatedStore(world.store);
      const a = world.host('a', { progressStore: store, planInterval: 1_000 });
      const corrupt = new BackupError('STORE_CORRUPT', 'the test says so');
      store.fail('transact', corrupt, { match: writesTo('owner/1/1'), count: 2 });
      await world.clock.advance(3_000);
      const b = world.host('b');
      await world.clock.advance(5_000);
      expect(world.running(b)).toContain('1.1');
      await b.stop();
      await world.clock.advance(2_000);
      // Still broken: an event again, and not one for each look.
      expect(a.events.filter((event) => event.startsWith('workerFailed'))).toHaveLength(2);
      expect(world.running(a)).toHaveLength(7);
      const c = world.host('c');
      await world.clock.advance(5_000);
      expect(world.running(c)).toContain('1.1');
      await c.stop();
      await world.clock.advance(2_000);
      expectShared(epochTags(1, 8), a);
    });

    it('a worker that dies of something that may pass is started again after a while', async () => {
      const { clock } = world;
      let failures = 0;
      const metricsInterval = 7_777;
      const failing: Clock = {
        now: () => clock.now(),
        wallTime: () => clock.wallTime(),
        yieldToHost: () => clock.yieldToHost(),
        sleep: (ms, signal) =>
          ms === metricsInterval && failures-- > 0
            ? Promise.reject(new TypeError('the test says so'))
            : clock.sleep(ms, signal),
      };
      failures = 1;
      const a = world.host('a', { clock: failing, metricsInterval, retryMaxDelay: 6_000 });
      await clock.advance(4_000);
      expect(a.events.filter((event) => event.startsWith('workerFailed'))).toEqual([
        'workerFailed 1.0 TypeError: the test says so restart',
      ]);
      expect(world.running(a)).toHaveLength(7);
      await clock.advance(5_000);
      expectShared(epochTags(1, 8), a);
    });

    it('LOG_GAP: down until no job is active, then back by itself', async () => {
      const { clock, log, operator } = world;
      const a = world.host('a', { planInterval: 1_000 });
      await clock.advance(1_000);
      await world.submit('job');
      world.commitTo(16n);
      await clock.advance(12_000);
      log.delay('peek', 200);
      world.commitTo(log.knownVersion + 16n);
      await clock.advance(100);
      world.commitTo(log.knownVersion + 80n);
      await log.pop({ epoch: 1, tag: { locality: -2, id: 1 }, upTo: log.committed });
      await clock.advance(200);
      log.delay('peek', 0);
      await clock.advance(10_000);
      expect(a.events).toContain('workerFailed 1.1 LOG_GAP final');
      expect(world.running(a)).toHaveLength(7);
      await operator.abort('job');
      await clock.advance(5_000);
      expectShared(epochTags(1, 8), a);
    });

    it('without a listener of workerFailed an error that is final ends the run, and the others take over', async () => {
      const store = new GatedStore(world.store);
      const corrupt = new BackupError('STORE_CORRUPT', 'the test says so');
      store.fail('transact', corrupt, { match: writesTo('owner/1/6') });
      const stop = new AbortController();
      const fleet = new BackupFleet({
        host: 'alone',
        logSource: world.log,
        progressStore: store,
        openContainer: (url) => world.container(url),
        clock: world.clock,
      });
      const ended = fleet.run({ signal: stop.signal });
      const outcome = expect(ended).rejects.toBe(corrupt);
      await world.clock.advance(3_000);
      await outcome;
      expect(
        world.store.entries().filter(({ key }) => key.startsWith('lease/') || key.startsWith('fleet/assigned')),
      ).toEqual([]);
      expect(world.clock.pendingTimers).toBe(0);
      expect(world.store.watches).toBe(0);
    });
  });

  describe('F6 leaving', () => {
    it('a host that is stopped hands over at once, without waiting for its lease, and leaves nothing behind', async () => {
      const [a, b] = [world.host('a'), world.host('b')];
      await world.clock.advance(2_000);
      const seen = a.events.length;
      a.abort();
      await world.clock.settle();
      await world.clock.advance(100);
      expectShared(epochTags(1, 8), b);
      expect(a.outcome()).toBe('resolved');
      expect(a.events.slice(seen).map((event) => event.replace(/1\.\d/, 'x'))).toEqual([
        ...Array<string>(4).fill('workerEnded x stopped'),
        ...Array<string>(4).fill('givenBack x leaving'),
        'left',
      ]);
      await b.stop();
      expect(
        world.store.entries().filter(({ key }) => key.startsWith('lease/') || key.startsWith('fleet/assigned')),
      ).toEqual([]);
      expect(world.clock.pendingTimers).toBe(0);
      expect(world.store.watches).toBe(0);
    });

    it('gives nothing back before its workers have ended, whose last call may take a second', async () => {
      const container = new GatedContainer(world.container('memory:job'));
      world.containers.set('memory:job', container);
      const a = world.host('a');
      await world.clock.advance(2_000);
      await world.submit('job', { logOnly: true });
      const gate = container.hold('finish', { match: logFiles });
      world.commitTo(16n);
      await world.clock.advance(11_000);
      expect(gate.isReached).toBe(true);
      a.abort();
      await world.clock.advance(900);
      expect(world.loads()).toEqual({ a: 8 });
      expect(leaseId('a')).toBeDefined();
      await world.clock.advance(200);
      expect(a.outcome()).toBe('resolved');
      expect(world.loads()).toEqual({});
      gate.open();
    });

    it('a store that hangs does not keep it from ending', async () => {
      const store = new GatedStore(world.store);
      const a = world.host('a', { progressStore: store });
      const b = world.host('b');
      await world.clock.advance(2_000);
      const hang = () => new Promise<void>(() => undefined);
      store.on('transact', hang, { count: 1_000 });
      store.on('releaseLease', hang, { count: 1_000 });
      a.abort();
      await world.clock.advance(5_000);
      expect(a.outcome()).toBe('resolved');
      await world.clock.advance(LEASE_TIME);
      expectShared(epochTags(1, 8), b);
    });

    it('can be stopped before it has joined, while it waits, and while the store is away', async () => {
      const first = world.host('a');
      await first.stop();
      expect(first.outcome()).toBe('resolved');
      world.host('a');
      await world.clock.advance(1_000);
      const waiting = world.host('a');
      await world.clock.advance(1_000);
      await waiting.stop();
      expect(waiting.outcome()).toBe('resolved');
      const away = world.host('c');
      away.cutOff(true);
      await world.clock.advance(3_000);
      await away.stop();
      expect(away.outcome()).toBe('resolved');
      expect(away.events).toEqual([]);
    });

    it('a permanent error of the store rejects, after the workers have stopped', async () => {
      const store = new GatedStore(world.store);
      const a = world.host('a', { progressStore: store });
      await world.clock.advance(2_000);
      const corrupt = new BackupError('STORE_CORRUPT', 'the test says so');
      store.fail('transact', corrupt, { match: readsFrom('fleet/changed') });
      await world.clock.advance(5_000);
      expect(a.outcome()).toEqual({ error: corrupt });
      expect(a.running()).toEqual([]);
      expect(leaseId('a')).toBeUndefined();
    });
  });

  describe('F7 behind', () => {
    it('a host that is not told of a recovery leaves after a lease time, and comes back when it is', async () => {
      let tell: () => void = () => undefined;
      const told = new Promise<void>((resolve) => (tell = resolve));
      const deaf = {
        ...logOf(world),
        logSystem: async function* (signal: AbortSignal) {
          for await (const info of world.log.logSystem(signal)) {
            if (info.recoveryCount > 1) await told;
            yield info;
          }
        },
      };
      const a = world.host('a', { logSource: deaf });
      const b = world.host('b');
      await world.clock.advance(1_000);
      await world.submit('job', { logOnly: true });
      world.commitTo(16n);
      await world.clock.advance(1_000);
      world.log.recover({ totalTags: 4 });
      world.commitTo(32n);
      await world.clock.advance(LEASE_TIME / 2);
      expect(a.events).not.toContain('behind 2');
      await world.clock.advance(LEASE_TIME);
      expect(a.events.filter((event) => event === 'behind 2')).toHaveLength(1);
      expect(a.events.at(-1)).toBe('left');
      expect(leaseId('a')).toBeUndefined();
      await world.clock.advance(30_000);
      expectShared(epochTags(2, 4), b);
      expect(a.events.filter((event) => event === 'behind 2')).toHaveLength(1);
      tell();
      await world.clock.advance(5_000);
      expectShared(epochTags(2, 4), a, b);
      await world.clock.advance(15_000);
      await expectWhole('job', 32n);
    });
  });

  it('F7: a host that knows an older epoch from the start does not join, and says so once', async () => {
    const { logSystem: _logSystem, ...single } = logOf(world);
    await announceEpoch(world.store, { epoch: 2, begin: 1n, totalTags: 8 });
    const a = world.host('a', { logSource: single, epoch: { epoch: 1, begin: 1n, end: undefined, totalTags: 8 } });
    await world.clock.advance(LEASE_TIME - 1_000);
    expect(a.events).toEqual([]);
    await world.clock.advance(30_000);
    expect(a.events).toEqual(['behind 2']);
    expect(leaseId('a')).toBeUndefined();
  });

  it('epochs with other numbers of tags one after the other, hosts that die in between: all ends well', async () => {
    const { clock, log } = world;
    const hosts = ['a', 'b', 'c'].map((name) => world.host(name));
    const [a, b, c] = hosts as [FleetProcess, FleetProcess, FleetProcess];
    await clock.advance(1_000);
    await world.submit('job', { logOnly: true });
    world.commitTo(40n);
    log.recover({ totalTags: 3 });
    world.commitTo(60n);
    await clock.advance(500);
    // It drains tags of epoch 1.
    a.kill();
    await clock.advance(3_000);
    log.recover({ totalTags: 11 });
    world.commitTo(100n);
    await clock.advance(LEASE_TIME + 30_000);
    await world.tellOldestEpoch();
    await clock.advance(30_000);
    expectShared(epochTags(3, 11), b, c);
    await expectWhole('job', 100n);
  });

  it('shows who runs what', async () => {
    const { clock, store } = world;
    expect(await fleetStatus(store)).toEqual({ epoch: undefined, hosts: [], orphaned: [] });
    const a = world.host('a', { leaseTime: 4_000 });
    world.host('b');
    await clock.advance(1_000);
    const before = await fleetStatus(store);
    expect(before.epoch).toBe(1);
    expect(before.hosts.map(({ host, tags }) => [host, tags.length])).toEqual([
      ['a', 4],
      ['b', 4],
    ]);
    expect(before.orphaned).toEqual([]);
    const tags = before.hosts[0]?.tags ?? [];
    a.kill();
    world.hosts[1]?.kill();
    await clock.advance(5_000);
    expect(await fleetStatus(store)).toMatchObject({
      hosts: [{ host: 'b' }],
      orphaned: tags.map((at) => ({ ...at, host: 'a' })),
    });
  });

  it('needs an epoch for a log without a log system, and refuses what is wrong at the door', () => {
    const { logSystem: _logSystem, ...single } = logOf(world);
    const make = (options: Partial<ConstructorParameters<typeof BackupFleet>[0]>) => () =>
      new BackupFleet({
        logSource: world.log,
        progressStore: world.store,
        openContainer: (url) => world.container(url),
        clock: world.clock,
        ...options,
      });
    expect(make({ logSource: single })).toThrow(
      expect.objectContaining({ code: 'INVALID_OPTION', message: expect.stringContaining('epoch') as string }),
    );
    for (const wrong of [
      { host: '' },
      { host: 'a/b' },
      { host: 'ä' },
      { host: 'x'.repeat(101) },
      { leaseTime: 1_999 },
      { leaseTime: 600_001 },
      { leaseTime: 2_000.5 },
      { leaseTime: Number.NaN },
      { lookInterval: 0 },
      { planInterval: 0 },
      { lockBytes: -1 },
    ]) {
      const name = Object.keys(wrong)[0] as string;
      expect(make(wrong), JSON.stringify(wrong)).toThrow(
        expect.objectContaining({ code: 'INVALID_OPTION', message: expect.stringContaining(name) as string }),
      );
    }
    expect(make({})().host).toMatch(/^[0-9a-f]{32}$/);
  });

  it('runs once', async () => {
    const a = world.host('a');
    await expect(a.fleet.run({ signal: new AbortController().signal })).rejects.toMatchObject({
      code: 'INVALID_STATE',
    });
  });

  it('a log without a log system runs under the epoch that it is given', async () => {
    const { logSystem: _logSystem, ...single } = logOf(world);
    const a = world.host('a', { logSource: single, epoch: { epoch: 1, begin: 1n, end: undefined, totalTags: 8 } });
    await world.clock.advance(1_000);
    expectShared(epochTags(1, 8), a);
  });
});

function logOf({ log }: FleetWorld) {
  return {
    peek: log.peek.bind(log),
    pop: log.pop.bind(log),
    minKnownCommittedVersion: log.minKnownCommittedVersion.bind(log),
    committedVersion: log.committedVersion.bind(log),
    logSystem: log.logSystem.bind(log),
  };
}
