// Keeps a lease for as long as a task runs, and ends the task when the lease is lost (rules S2, F1). Time is counted from before each call: the lease does not end sooner than is thought here.

import { abortable } from '../core/abort.js';
import type { Clock } from '../core/clock.js';
import { BackupError } from '../core/errors.js';
import type { Lease } from '../ports/progress-store.js';
import type { RetryPolicy } from './retry.js';
import { backoff, isTransient } from './retry.js';
import type { Task } from './task-group.js';
import { withHelpers } from './task-group.js';

/** Of its time to live, after which the holder stops: clocks do not run alike, and what it does stops before another process may begin. */
const SAFE_SHARE = 0.9;

export interface HeldLease {
  readonly lease: Lease;
  /** ms */
  readonly ttl: number;
  /** `clock.now()` before the call that acquired it. */
  readonly acquiredAt: number;
}

/** Rejects with LEASE_LOST once the lease is lost; the task has ended by then. Does not release it. */
export function underLease<T>(held: HeldLease, policy: RetryPolicy, signal: AbortSignal, task: Task<T>): Promise<T> {
  return withHelpers(signal, task, [(inner) => renewUntilLost(held, policy, inner)]);
}

async function renewUntilLost(
  { lease, ttl, acquiredAt }: HeldLease,
  policy: RetryPolicy,
  signal: AbortSignal,
): Promise<never> {
  const { clock } = policy;
  let endsAt = acquiredAt + ttl * SAFE_SHARE;
  for (let failures = 0; ;) {
    const pause = failures === 0 ? ttl / 3 : Math.min(ttl / 10, backoff(policy, failures - 1));
    await clock.sleep(Math.max(0, Math.min(pause, endsAt - clock.now())), signal);
    const asked = clock.now();
    // A process that was frozen finds its lease ended before it has asked anybody.
    if (asked >= endsAt) throw lost(lease);
    try {
      await renewBefore(endsAt, lease, clock, signal);
      endsAt = asked + ttl * SAFE_SHARE;
      failures = 0;
    } catch (error) {
      signal.throwIfAborted();
      if (!isTransient(error)) throw error;
      policy.onRetry(`renew the lease ${lease.key}`, error, pause);
      failures++;
    }
  }
}

/** LEASE_LOST when there is no answer by then. */
function renewBefore(endsAt: number, lease: Lease, clock: Clock, signal: AbortSignal): Promise<void> {
  return withHelpers(signal, (inner) => abortable(lease.renew(), inner), [
    async (inner) => {
      await clock.sleep(Math.max(0, endsAt - clock.now()), inner);
      throw lost(lease);
    },
  ]);
}

function lost({ key }: Lease): BackupError {
  return new BackupError('LEASE_LOST', `the lease ${key} was not renewed in time`);
}
