// What a host of a fleet may take, give back and remove (rule F2), transaction by transaction.

import { beforeEach, describe, expect, it } from 'vitest';
import type { FleetMember } from '../../src/job/fleet-records.js';
import { encodeMember } from '../../src/job/fleet-records.js';
import * as fleet from '../../src/job/fleet-transactions.js';
import { fleetLeaseKey } from '../../src/job/keys.js';
import { writeDone, writeEpoch } from '../../src/job/store-access.js';
import type { TagOfEpoch } from '../../src/job/store-access.js';
import type { Lease } from '../../src/ports/progress-store.js';
import { MemoryProgressStore } from '../../src/progress/memory-progress-store.js';
import { ManualClock } from '../../src/testing/manual-clock.js';

const RULES = { respectsLeases: true };
const A = { host: 'a', leaseId: 'a1' };
const B = { host: 'b', leaseId: 'b1' };
const TAGS = [
  { epoch: 1, tag: 0 },
  { epoch: 1, tag: 1 },
];

describe('F2: transactions of a fleet', () => {
  let store: MemoryProgressStore;
  const leases = new Map<string, Lease>();
  beforeEach(async () => {
    store = new MemoryProgressStore({ clock: new ManualClock() });
    await join(A);
    await join(B);
    await announce(2);
  });

  async function join(member: FleetMember): Promise<void> {
    const request = { key: fleetLeaseKey(member.host), value: encodeMember(member), ttl: 1_000 };
    const lease = await store.acquireLease(request);
    if (lease !== undefined) leases.set(member.host, lease);
  }
  const announce = (epoch: number) => store.transact(async (tx) => writeEpoch(tx, { epoch, begin: 1n, totalTags: 2 }));
  const take = (member: FleetMember, tags: readonly TagOfEpoch[] = TAGS, epoch = 2) =>
    store.transact((tx) => fleet.takeTags(tx, { member, tags }, epoch, RULES));
  const remove = (member: FleetMember, epoch = 2) =>
    store.transact((tx) => fleet.removeFinished(tx, { member, tags: TAGS }, epoch, 'change'));
  const giveBack = (member: FleetMember) =>
    store.transact((tx) => fleet.giveBackTags(tx, { member, tags: TAGS }, 'change'));
  const holders = async () =>
    (await store.transact(fleet.readFleet)).assignments.map(({ holder, isLive }) => `${holder.leaseId} ${isLive}`);

  it('takes what nobody has, and finds its own there when it runs again', async () => {
    expect(await take(A)).toEqual(TAGS.map((at) => ({ ...at, from: undefined })));
    expect(await take(A)).toEqual(TAGS.map((at) => ({ ...at, from: undefined })));
    expect(await holders()).toEqual(['a1 true', 'a1 true']);
  });

  it('takes nothing from a host whose lease lives, and everything when it has ended, be it under a new one', async () => {
    await take(A);
    expect(await take(B)).toEqual([]);
    await leases.get('a')?.release();
    await join({ host: 'a', leaseId: 'a2' });
    expect(await holders()).toEqual(['a1 false', 'a1 false']);
    expect(await take(B)).toEqual(TAGS.map((at) => ({ ...at, from: 'a' })));
    expect(await holders()).toEqual(['b1 true', 'b1 true']);
  });

  it('takes nothing by a plan that is not of the newest epoch', async () => {
    await announce(3);
    expect(await take(A)).toEqual([]);
    expect(await holders()).toEqual([]);
  });

  it('takes no tag that is drained', async () => {
    await store.transact(async (tx) => writeDone(tx, { epoch: 1, tag: 0 }));
    expect(await take(A)).toEqual([{ epoch: 1, tag: 1, from: undefined }]);
  });

  it('does nothing for a host without its lease', async () => {
    await take(A);
    const late = { host: 'b', leaseId: 'b0' };
    const calls = [take(late), giveBack(late), remove(late), fleetAnnounce(late), giveBackAll(late)];
    for (const call of calls) await expect(call).rejects.toMatchObject({ code: 'LEASE_LOST' });
    expect(await holders()).toEqual(['a1 true', 'a1 true']);
  });
  const fleetAnnounce = (member: FleetMember) => store.transact((tx) => fleet.announceMember(tx, member, 'change'));
  const giveBackAll = (member: FleetMember) => store.transact((tx) => fleet.giveBackAll(tx, member, 'change'));

  it('gives back its own only', async () => {
    await take(A, [TAGS[0] as TagOfEpoch]);
    await take(B, [TAGS[1] as TagOfEpoch]);
    await giveBack(A);
    expect(await holders()).toEqual(['b1 true']);
    expect(await giveBackAll(B)).toMatchObject([TAGS[1]]);
    expect(await holders()).toEqual([]);
  });

  it('removes finished tags of its own and of the dead, by the newest plan', async () => {
    await take(A, [TAGS[0] as TagOfEpoch]);
    await take(B, [TAGS[1] as TagOfEpoch]);
    expect(await remove(A)).toMatchObject([{ ...TAGS[0], holder: A }]);
    expect(await holders()).toEqual(['b1 true']);
    await leases.get('b')?.release();
    await announce(3);
    expect(await remove(A)).toEqual([]);
    expect(await remove(A, 3)).toMatchObject([{ ...TAGS[1], holder: B }]);
    expect(await holders()).toEqual([]);
  });

  it('a record that nobody can read is STORE_CORRUPT', async () => {
    await store.transact(async (tx) => tx.set('fleet/assigned/1/0', new Uint8Array([1])));
    await expect(store.transact(fleet.readFleet)).rejects.toMatchObject({ code: 'STORE_CORRUPT' });
  });
});
