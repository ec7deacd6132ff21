// What a BackupFleet is made with, checked at the door, and what it tells its host.

import { checkNumber, checkWholeNumber } from '../core/check-option.js';
import { systemRandom } from '../core/clock.js';
import { BackupError } from '../core/errors.js';
import type { LogEpoch } from '../core/version.js';
import type { FleetMember } from '../job/fleet-records.js';
import type { PlannedWorker } from '../job/plan.js';
import type { TagOfEpoch } from '../job/store-access.js';
import type { LogEpochInfo } from '../ports/log-source.js';
import type { BackupWorker, WorkerResult } from './backup-worker.js';
import type { BackupWorkerOptions } from './options.js';
import { DEFAULT_PLAN_INTERVAL, checkPlanning } from './plan-follower.js';

/** The knobs of workers are passed on to every worker: `lockBytes` is for each of them, and a host may have to run all. */
export interface BackupFleetOptions extends Omit<
  BackupWorkerOptions,
  'tag' | 'totalTags' | 'startVersion' | 'endVersion' | 'recruitedEpoch' | 'backupEpoch'
> {
  /**
   * Names this host in the store: 1 to 100 letters, digits and `.` `_` `:` `-`. Of two hosts with one name the second waits until the first is gone; so does a process that was started again under the name of one that has died, until
   * that one's lease has ended. Default: a random one, with which it need not wait.
   */
  readonly host?: string;
  /** The log's only epoch, for a LogSource without `logSystem`. */
  readonly epoch?: LogEpochInfo;
  /**
   * ms, a whole number from 2,000 to 600,000: the workers of a host that has died are taken over so long after it renewed its lease for the last time. It renews it three times as often, and stops its workers when
   * nine tenths of it have passed without success. Default 10,000.
   */
  readonly leaseTime?: number;
  /** ms between looks at the fleet when no watch fires. Default: a quarter of `leaseTime`, at most 1,000. */
  readonly lookInterval?: number;
  /** ms between looks at the recovery plan when nothing has happened. Default 5,000. */
  readonly planInterval?: number;
}

export interface FleetEvents {
  /** The host's name is held under another lease, this host's own from before or another process's: it waits until that has ended. */
  waiting: (host: string) => void;
  /** It has its lease, and takes its share of the workers from now on. */
  joined: (member: FleetMember) => void;
  /** The hosts that live, in order of their names: after `joined`, and whenever they have changed. */
  hosts: (hosts: readonly string[]) => void;
  /** A worker is this host's to run. `from`: the host that had it and has lost its lease (a hand-over); undefined: nobody had it. */
  assigned: (tag: TagOfEpoch, from: string | undefined) => void;
  /** Its worker has ended. `rebalance`: another host takes it, so that all have as many; `leaving`: the fleet is being stopped, or `behind`; `finished`: an old epoch's tag is drained. */
  givenBack: (tag: TagOfEpoch, why: GiveBackReason) => void;
  /** A worker has been made and is about to run: the place to listen to its events. */
  workerStarted: (worker: BackupWorker, planned: PlannedWorker) => void;
  workerEnded: (planned: PlannedWorker, result: WorkerResult) => void;
  /**
   * A worker has ended with an error. It is started again after a while if `willRestart`; otherwise it stays down as long as this host has the tag in this epoch (after LOG_GAP, until no job is active). Without a listener an error that
   * is final ends `run` with it, which leaves the tag to the other hosts.
   */
  workerFailed: (error: unknown, planned: PlannedWorker, willRestart: boolean) => void;
  /** It could not renew its lease in time, or found it gone. Its workers have stopped; it joins anew. */
  leaseLost: (error: BackupError) => void;
  /** The others have begun this epoch, and for a whole `leaseTime` the log system has not told this host of it: it leaves, or does not join, until it is told. */
  behind: (epoch: LogEpoch) => void;
  /** Its workers have stopped and its lease is given back. */
  left: () => void;
  /** A call failed and is tried again after `delay` ms. */
  retry: (what: string, error: unknown, delay: number) => void;
}

export type GiveBackReason = 'rebalance' | 'leaving' | 'finished';

export type ResolvedFleetOptions = BackupFleetOptions & {
  readonly host: string;
  readonly leaseTime: number;
  readonly lookInterval: number;
  readonly planInterval: number;
};

const HOST_NAME = /^[A-Za-z0-9._:-]{1,100}$/;
/** ms: Node's timers fire at once when they are asked for more. */
const LONGEST_DELAY = 2 ** 31 - 1;

/** Throws INVALID_OPTION with the option's name and value. */
export function resolveFleetOptions(options: BackupFleetOptions, shortestLease: number): ResolvedFleetOptions {
  const checked = checkPlanning('BackupFleet', options);
  const host = options.host ?? (options.random ?? systemRandom).uid();
  if (typeof host !== 'string' || !HOST_NAME.test(host)) {
    throw new BackupError(
      'INVALID_OPTION',
      `host must be 1 to 100 letters, digits and . _ : -, got ${JSON.stringify(host)}`,
    );
  }
  const leaseTime = checkWholeNumber('leaseTime', options.leaseTime ?? 10_000, shortestLease, 600_000);
  const lookInterval = options.lookInterval ?? Math.min(1_000, leaseTime / 4);
  return {
    ...checked,
    host,
    leaseTime,
    lookInterval: checkNumber('lookInterval', lookInterval, 1, LONGEST_DELAY),
    planInterval: options.planInterval ?? DEFAULT_PLAN_INTERVAL,
  };
}
