// The names of what the progress store holds. docs/protocol.md lists who may write which.

import type { LogEpoch } from '../core/version.js';

/** The active jobs; every worker watches it. */
export const STARTED_KEY = 'started';
/** Present while the backup is paused; every worker watches it. */
export const PAUSED_KEY = 'paused';
/** The newest epoch that a recruiter has announced. */
export const EPOCH_KEY = 'epoch';

export const JOB_PREFIX = 'job/';
export const REGISTERED_PREFIX = 'registered/';
export const PROGRESS_PREFIX = 'progress/';
export const NOOP_PREFIX = 'noop/';
export const DONE_PREFIX = 'done/';
export const SNAPSHOT_PREFIX = 'snapshot/';
/** Which host of a fleet runs which worker. */
export const ASSIGNED_PREFIX = 'fleet/assigned/';
/** Written whenever there may be something to do for the other hosts of a fleet; every host watches it. */
export const FLEET_CHANGED_KEY = 'fleet/changed';
/** The hosts of a fleet that live. */
export const FLEET_LEASE_PREFIX = 'lease/fleet/';

export const jobKey = (uid: string) => `${JOB_PREFIX}${uid}`;
export const ownerKey = (epoch: LogEpoch, tag: number) => `owner/${epoch}/${tag}`;
export const registeredKey = (uid: string, epoch: LogEpoch, tag: number) =>
  `${REGISTERED_PREFIX}${uid}/${epoch}/${tag}`;
export const progressKey = (epoch: LogEpoch, tag: number) => `${PROGRESS_PREFIX}${epoch}/${tag}`;
export const noopKey = (epoch: LogEpoch, tag: number) => `${NOOP_PREFIX}${epoch}/${tag}`;
export const snapshotKey = (uid: string) => `${SNAPSHOT_PREFIX}${uid}`;
/** Held by whoever takes the job's snapshots. */
export const snapshotLeaseKey = (uid: string) => `lease/snapshot/${uid}`;
export const doneKey = (epoch: LogEpoch, tag: number) => `${DONE_PREFIX}${epoch}/${tag}`;
export const assignedKey = (epoch: LogEpoch, tag: number) => `${ASSIGNED_PREFIX}${epoch}/${tag}`;
export const fleetLeaseKey = (host: string) => `${FLEET_LEASE_PREFIX}${host}`;

/** The end of the range of all keys that start with `prefix`, which ends in `/`: the character after `/` is `0`. */
export function prefixEnd(prefix: string): string {
  return `${prefix.slice(0, -1)}0`;
}
