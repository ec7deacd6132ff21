// What a host of a fleet may record (rules F1 to F4). Each function is the body of one transaction: it may run more than once, and an earlier run may have committed.
// Every one that writes reads the host's own lease first: a host that has lost it, and does not know, changes nothing.

import { equalBytes } from '../core/bytes.js';
import { BackupError } from '../core/errors.js';
import type { LogEpoch } from '../core/version.js';
import type { ProgressTransaction } from '../ports/progress-store.js';
import type { FleetMember } from './fleet-records.js';
import { decodeMember, encodeChange, encodeMember, isSameMember } from './fleet-records.js';
import {
  ASSIGNED_PREFIX,
  FLEET_CHANGED_KEY,
  FLEET_LEASE_PREFIX,
  assignedKey,
  fleetLeaseKey,
  prefixEnd,
} from './keys.js';
import type { EpochRecord } from './records.js';
import type { TagOfEpoch } from './store-access.js';
import * as store from './store-access.js';
import { displaced } from './worker-transactions.js';

/** Tags in one transaction: stores bound its operations (etcd: 128 unless it is told otherwise), and each tag takes three reads and a write. */
export const MAX_TAGS_AT_ONCE = 16;

export interface Assignment extends TagOfEpoch {
  readonly holder: FleetMember;
  /** The holder's lease has not ended. */
  readonly isLive: boolean;
}

/** A fleet at one moment. */
export interface FleetView {
  /** The leases of the hosts that live, as they are stored, by host; in order of their names. */
  readonly leases: ReadonlyMap<string, Uint8Array>;
  /** In key order. */
  readonly assignments: readonly Assignment[];
  /** The newest that has been announced. */
  readonly epoch: EpochRecord | undefined;
  /** What `FLEET_CHANGED_KEY` has. */
  readonly changed: Uint8Array | undefined;
}

export async function readFleet(tx: ProgressTransaction): Promise<FleetView> {
  const [leases, assigned, epoch, changed] = await Promise.all([
    tx.getRange(FLEET_LEASE_PREFIX, prefixEnd(FLEET_LEASE_PREFIX)),
    tx.getRange(ASSIGNED_PREFIX, prefixEnd(ASSIGNED_PREFIX)),
    store.readEpoch(tx),
    tx.get(FLEET_CHANGED_KEY),
  ]);
  const live = new Map(leases.map(({ key, value }) => [key.slice(FLEET_LEASE_PREFIX.length), value]));
  const assignments = assigned.map(({ key, value }) => {
    const holder = decodeMember(key, value);
    const lease = live.get(holder.host);
    return {
      ...store.placeOf(key, ASSIGNED_PREFIX),
      holder,
      isLive: lease !== undefined && isSameMember(memberOf(holder.host, lease), holder),
    };
  });
  return { leases: live, assignments, epoch, changed };
}

/** Whose lease it is. */
export function memberOf(host: string, lease: Uint8Array): FleetMember {
  return decodeMember(fleetLeaseKey(host), lease);
}

/** LEASE_LOST unless the host's lease is that of this member. */
async function checkMember(tx: ProgressTransaction, member: FleetMember): Promise<void> {
  const value = await tx.get(fleetLeaseKey(member.host));
  if (value === undefined || !equalBytes(value, encodeMember(member))) throw leaseLost(member);
}

export function leaseLost({ host }: FleetMember): BackupError {
  return new BackupError('LEASE_LOST', `the lease of host ${host} has ended: others may run its workers now`);
}

/** `changeId` is random: the other hosts look again when it changes. */
function tellOthers(tx: ProgressTransaction, changeId: string): void {
  tx.set(FLEET_CHANGED_KEY, encodeChange(changeId));
}

/** The other hosts hear that there is one more. */
export async function announceMember(tx: ProgressTransaction, member: FleetMember, changeId: string): Promise<void> {
  await checkMember(tx, member);
  tellOthers(tx, changeId);
}

export interface TagsOfMember {
  readonly member: FleetMember;
  /** MAX_TAGS_AT_ONCE at most. */
  readonly tags: readonly TagOfEpoch[];
}

export interface TakenTag extends TagOfEpoch {
  /** The host that had it, and has lost its lease; undefined: nobody had it. */
  readonly from: string | undefined;
}

/** What takes a tag may decide in a simulation that plants a bug. */
export interface TakeRules {
  /** F2: nothing is taken from a host whose lease lives. */
  readonly respectsLeases: boolean;
}

/**
 * F2: takes those of the tags that are not drained and that no live host has; all of them for the member's own. None when the plan that they come from is not that of
 * the newest epoch. LEASE_LOST.
 */
export async function takeTags(
  tx: ProgressTransaction,
  { member, tags }: TagsOfMember,
  plannedEpoch: LogEpoch,
  rules: TakeRules,
): Promise<readonly TakenTag[]> {
  await checkMember(tx, member);
  if ((await store.readEpoch(tx))?.epoch !== plannedEpoch) return [];
  const found = await Promise.all(tags.map((at) => lookAtTag(tx, at)));
  const taken: TakenTag[] = [];
  for (const { at, holder, isLive, isDone } of found) {
    // An earlier run of this body has committed.
    const isOwn = isSameMember(holder, member);
    if (!isOwn && (isDone || (isLive && rules.respectsLeases))) continue;
    if (!isOwn) tx.set(assignedKey(at.epoch, at.tag), encodeMember(member));
    taken.push({ epoch: at.epoch, tag: at.tag, from: isOwn ? undefined : holder?.host });
  }
  return taken;
}

async function lookAtTag(tx: ProgressTransaction, at: TagOfEpoch) {
  const holder = await readHolder(tx, at);
  const lease = holder === undefined ? undefined : await tx.get(fleetLeaseKey(holder.host));
  const isLive = holder !== undefined && lease !== undefined && equalBytes(lease, encodeMember(holder));
  return { at, holder, isLive, isDone: await store.isDone(tx, at) };
}

async function readHolder(tx: ProgressTransaction, { epoch, tag }: TagOfEpoch): Promise<FleetMember | undefined> {
  const key = assignedKey(epoch, tag);
  const value = await tx.get(key);
  return value && decodeMember(key, value);
}

/** F2: gives tags back whose workers have ended. Those that are not the member's stay. LEASE_LOST. */
export async function giveBackTags(
  tx: ProgressTransaction,
  { member, tags }: TagsOfMember,
  changeId: string,
): Promise<void> {
  await checkMember(tx, member);
  for (const at of tags) {
    if (isSameMember(await readHolder(tx, at), member)) tx.clear(assignedKey(at.epoch, at.tag));
  }
  tellOthers(tx, changeId);
}

/** Gives back the first of all that the member has, MAX_TAGS_AT_ONCE of them; returns them. LEASE_LOST. */
export async function giveBackAll(
  tx: ProgressTransaction,
  member: FleetMember,
  changeId: string,
): Promise<readonly TagOfEpoch[]> {
  const { assignments } = await readFleet(tx);
  const tags = assignments.filter(({ holder }) => isSameMember(holder, member)).slice(0, MAX_TAGS_AT_ONCE);
  await giveBackTags(tx, { member, tags }, changeId);
  return tags;
}

/**
 * Removes what is said of old epochs' tags of which the newest epoch's plan has no worker: nothing is left to do for them, ever. Only what is the member's own, or that of
 * a host whose lease has ended. Returns what it has removed. LEASE_LOST.
 */
export async function removeFinished(
  tx: ProgressTransaction,
  { member, tags }: TagsOfMember,
  plannedEpoch: LogEpoch,
  changeId: string,
): Promise<readonly Assignment[]> {
  await checkMember(tx, member);
  if ((await store.readEpoch(tx))?.epoch !== plannedEpoch) return [];
  const found = await Promise.all(tags.map((at) => lookAtTag(tx, at)));
  const removed: Assignment[] = [];
  for (const { at, holder, isLive } of found) {
    if (holder === undefined || (isLive && !isSameMember(holder, member))) continue;
    tx.clear(assignedKey(at.epoch, at.tag));
    removed.push({ epoch: at.epoch, tag: at.tag, holder, isLive });
  }
  if (removed.length > 0) tellOthers(tx, changeId);
  return removed;
}

/** F3: DISPLACED unless the tag is assigned to this member and the member's lease lives. */
export async function checkAssigned(tx: ProgressTransaction, member: FleetMember, at: TagOfEpoch): Promise<void> {
  const own = encodeMember(member);
  const [lease, assigned] = await Promise.all([
    tx.get(fleetLeaseKey(member.host)),
    tx.get(assignedKey(at.epoch, at.tag)),
  ]);
  if (lease === undefined || !equalBytes(lease, own)) throw displaced(at, `host ${member.host} has lost its lease`);
  if (assigned === undefined || !equalBytes(assigned, own)) {
    throw displaced(at, `the tag is not assigned to host ${member.host} any more`);
  }
}
