// Who runs what, for people: a fleet as its progress store shows it at one moment.

import type { LogEpoch } from '../core/version.js';
import type { ProgressStore } from '../ports/progress-store.js';
import { readFleet } from './fleet-transactions.js';
import type { TagOfEpoch } from './store-access.js';

export interface FleetStatus {
  /** The newest that has been announced; undefined in an empty store. */
  readonly epoch: LogEpoch | undefined;
  /** The hosts that live, in order of their names, each with the tags whose workers it is to run. */
  readonly hosts: readonly { readonly host: string; readonly tags: readonly TagOfEpoch[] }[];
  /** Tags of hosts that have lost their lease: somebody is about to take them over. */
  readonly orphaned: readonly (TagOfEpoch & { readonly host: string })[];
}

/** Reads only; needs no fleet in this process. */
export async function fleetStatus(progressStore: ProgressStore): Promise<FleetStatus> {
  const { leases, assignments, epoch } = await progressStore.transact(readFleet);
  const place = ({ epoch, tag }: TagOfEpoch) => ({ epoch, tag });
  // Keys are in order of their text: 10 before 2.
  const inOrder = [...assignments].sort((a, b) => a.epoch - b.epoch || a.tag - b.tag);
  return {
    epoch: epoch?.epoch,
    hosts: [...leases.keys()].map((host) => ({
      host,
      tags: inOrder.filter((at) => at.isLive && at.holder.host === host).map(place),
    })),
    orphaned: inOrder.filter(({ isLive }) => !isLive).map((at) => ({ ...place(at), host: at.holder.host })),
  };
}
