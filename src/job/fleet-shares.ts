// How a fleet shares its workers out: pure, so that all hosts that see the same come to the same (rule F4).

import type { TagOfEpoch } from './store-access.js';

export interface ShareInput {
  readonly host: string;
  /** The live hosts, this one among them. */
  readonly hosts: readonly string[];
  /** Every worker that has to run, in the order of the plan: oldest epoch first. */
  readonly planned: readonly TagOfEpoch[];
  /** By `tagName`: the live host that is to run it. */
  readonly holders: ReadonlyMap<string, string>;
}

export interface Share {
  /** Workers that this host should have. */
  readonly quota: number;
  /** What it should take now: no other host that sees the same takes any of these. */
  readonly take: readonly TagOfEpoch[];
  /** How many it has to give back. */
  readonly surplus: number;
}

/** A tag of an epoch as a text: a key of maps. */
export function tagName({ epoch, tag }: TagOfEpoch): string {
  return `${epoch}/${tag}`;
}

/**
 * Every host has the whole part of planned / hosts, and the rest goes one each to those that have the most now (then by name): so quotas add up to what is planned, and nothing moves from one living host to another
 * that need not.
 */
export function shareOut({ host, hosts, planned, holders }: ShareInput): Share {
  const loads = new Map(hosts.map((name) => [name, 0]));
  const free: TagOfEpoch[] = [];
  for (const tag of planned) {
    const holder = holders.get(tagName(tag));
    const load = holder === undefined ? undefined : loads.get(holder);
    if (holder === undefined || load === undefined) free.push(tag);
    else loads.set(holder, load + 1);
  }
  const ranked = [...loads].sort(([nameA, a], [nameB, b]) => b - a || (nameA < nameB ? -1 : 1));
  const least = Math.floor(planned.length / ranked.length);
  const withOneMore = planned.length % ranked.length;
  const quotas = ranked.map(([name, load], rank) => ({ name, load, quota: least + (rank < withOneMore ? 1 : 0) }));
  let taken = 0;
  // Those with the least come first: what is free now may be less than what all lack.
  for (const { name, load, quota } of quotas.reverse()) {
    const lacks = Math.max(0, quota - load);
    if (name === host) {
      return { quota, take: free.slice(taken, taken + lacks), surplus: Math.max(0, load - quota) };
    }
    taken += lacks;
  }
  return { quota: 0, take: [], surplus: 0 };
}
