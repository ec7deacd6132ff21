// The small decisions on which data hangs, in one place, so that a simulation can plant a bug in each and show that it is found.
// Production code always runs `workerRules`.

import type { Version } from '../core/version.js';
import { maxVersion, minVersion } from '../core/version.js';
import { splitAtFolder } from '../format/fdb/names.js';
import type { FlowLockOptions } from '../pipeline/flow-lock.js';
import { FlowLock } from '../pipeline/flow-lock.js';
import type { WorkerPath } from './worker-path.js';

export interface CutFacts {
  /** Exclusive end of what was pulled. */
  readonly pulledEnd: Version;
  /** Inclusive. */
  readonly minKnownCommittedVersion: Version;
  /** Inclusive; undefined in the current epoch. */
  readonly endVersion: Version | undefined;
}

export interface GapDecision {
  /** Inclusive: what the log has discarded. */
  readonly popped: Version;
  readonly firstPeek: boolean;
  /** Inclusive: what this tag recorded in NOOP mode. */
  readonly noopVersion: Version | undefined;
  /** Of the active jobs of this tag. */
  readonly firstVersions: readonly Version[];
}

export interface WorkerRules {
  /** P14: the last version (inclusive) that a round may store. */
  cut(facts: CutFacts): Version;
  /** P2, the true-up: where a job that joins now begins. */
  firstVersion(startVersion: Version, nextVersion: Version): Version;
  /** P7: whether the log may have discarded more than was asked for. */
  acceptGap(gap: GapDecision): boolean;
  /** P1: every transaction of the run looks whether it still owns its tag. */
  readonly checksClaim: boolean;
  /** P4, P5: false pops what is not yet recorded as saved. */
  readonly savesBeforePop: boolean;
  /** A displaced worker stores what it still holds: false loses it between the queue and the record. */
  readonly keepsQueueOnDisplacement: boolean;
  /** P2: no firstVersion is fixed while a NOOP transaction is in flight. */
  readonly awaitsNoop: boolean;
  /** P9: a job that has left never joins the run again. */
  readonly remembersLeavers: boolean;
  /** P20: where a file over [begin, end) is split. */
  splitFile(begin: Version, end: Version): Version[];
  /** What bounds the bytes of a run. */
  makeLock(permits: number, options: FlowLockOptions): FlowLock;
  /** Decides nothing: a simulation counts where it has been. Called once a round, peek, batch or transaction at most, never for each message. */
  readonly met: (path: WorkerPath) => void;
}

export const workerRules: WorkerRules = {
  cut({ pulledEnd, minKnownCommittedVersion, endVersion }) {
    // An old epoch holds nothing uncommitted: what was rolled back never made it past the epoch's end.
    if (endVersion !== undefined && pulledEnd > endVersion) return endVersion;
    return minVersion(pulledEnd - 1n, minKnownCommittedVersion);
  },
  firstVersion: maxVersion,
  acceptGap({ popped, firstPeek, noopVersion, firstVersions }) {
    return (
      firstPeek && noopVersion !== undefined && popped <= noopVersion && firstVersions.every((first) => popped < first)
    );
  },
  checksClaim: true,
  savesBeforePop: true,
  keepsQueueOnDisplacement: true,
  awaitsNoop: true,
  remembersLeavers: true,
  splitFile: splitAtFolder,
  makeLock: (permits, options) => new FlowLock(permits, options),
  met: () => undefined,
};
