// Trying again: which errors are worth it, and how long to wait.

import type { Clock, Random } from '../core/clock.js';
import { AssertionError, BackupError } from '../core/errors.js';

/** How often, and after which waits, a call is tried again. */
export interface RetryPolicy {
  readonly clock: Clock;
  readonly random: Random;
  /** ms: the first wait, which doubles each time, with jitter, up to the other. */
  readonly retryMinDelay: number;
  readonly retryMaxDelay: number;
  /** Tries in a row, the first included. */
  readonly maxAttempts: number;
}

/** A BackupError says it itself (a changed region and a version that is too old are answered, see RangeSource); our own mistakes never are; what an adapter throws otherwise is. */
export function isTransient(error: unknown): boolean {
  if (error instanceof AssertionError) return false;
  if (!BackupError.is(error)) return true;
  return error.retryable || error.code === 'REGION_CHANGED' || error.code === 'VERSION_TOO_OLD';
}

/** Waits before the next try: doubles with each attempt (1, 2, …) up to the maximum; jitter takes up to half of it away. */
export async function backOff(policy: RetryPolicy, attempt: number, signal: AbortSignal): Promise<void> {
  const full = Math.min(policy.retryMaxDelay, policy.retryMinDelay * 2 ** Math.min(attempt - 1, 30));
  await policy.clock.sleep(full * (1 - policy.random.next() / 2), signal);
}

/** Calls `body` until it succeeds, fails for good, has failed too often or the signal aborts. */
export async function retrying<T>(policy: RetryPolicy, signal: AbortSignal, body: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    signal.throwIfAborted();
    try {
      return await body();
    } catch (error) {
      signal.throwIfAborted();
      if (!isTransient(error) || attempt >= policy.maxAttempts) throw error;
      await backOff(policy, attempt, signal);
    }
  }
}
