// The small decisions of a fleet on which safety or balance hangs, in one place, so that a simulation can plant a bug in each. Production code always runs `fleetRules`.

import type { TakeRules } from '../job/fleet-transactions.js';
import type { Share, ShareInput } from '../job/fleet-shares.js';
import { shareOut } from '../job/fleet-shares.js';
import type { WorkerRules } from './rules.js';
import { workerRules } from './rules.js';

export interface FleetRules extends TakeRules {
  /** Of its workers. */
  readonly worker: WorkerRules;
  /** ms: what `leaseTime` may be at least. A simulation's time is short. */
  readonly shortestLease: number;
  /** F1: a host that has not renewed its lease in time stops its workers. False: it goes on as if it had. */
  readonly stopsWithoutLease: boolean;
  /** F3: every transaction of a worker reads lease and assignment. */
  readonly fencesWorkers: boolean;
  /** F4: who takes and who gives back. */
  share(input: ShareInput): Share;
  /** Decides nothing: a simulation counts where it has been. */
  readonly met: (path: FleetPath) => void;
}

export const fleetRules: FleetRules = {
  worker: workerRules,
  shortestLease: 2_000,
  respectsLeases: true,
  stopsWithoutLease: true,
  fencesWorkers: true,
  share: shareOut,
  met: () => undefined,
};

/** The ways that a host can take through the rules F1 to F7 of docs/protocol.md. */
export type FleetPath =
  | 'F1 joined'
  | 'F1 name held under another lease'
  | 'F1 lease lost: workers stopped'
  | 'F1 lease found gone'
  | 'F2 taken: nobody had it'
  | 'F2 taken over from a host without a lease'
  | 'F2 a tag was not to be had any more'
  | 'F2 assignment of a drained tag removed'
  | 'F3 a transaction finds the lease or the assignment gone'
  | 'F4 surplus given back'
  | 'F5 displaced worker of an assigned tag'
  | 'F5 failed worker stays assigned'
  | 'F6 left'
  | 'F7 left: not told of the newest epoch';
