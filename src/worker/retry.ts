// Trying again: which errors are worth it, and how long to wait.

import { AssertionError, BackupError } from '../core/errors.js';
import type { Clock, Random } from '../core/clock.js';

export interface RetryPolicy {
  readonly clock: Clock;
  readonly random: Random;
  /** ms */
  readonly minDelay: number;
  readonly maxDelay: number;
  readonly onRetry: (what: string, error: unknown, delay: number) => void;
}

/** A BackupError says it itself; our own mistakes never are; what an adapter throws otherwise (a broken connection, say) is. */
export function isTransient(error: unknown): boolean {
  if (error instanceof AssertionError) return false;
  return BackupError.is(error) ? error.retryable : true;
}

/** Doubles with each attempt (0, 1, …) up to the maximum; jitter takes up to half of it away, so that workers do not knock in step. */
export function backoff(policy: RetryPolicy, attempt: number): number {
  const full = Math.min(policy.maxDelay, policy.minDelay * 2 ** Math.min(attempt, 30));
  return full * (1 - policy.random.next() / 2);
}

/** Calls `body` until it succeeds, fails for good or the signal aborts. */
export async function retrying<T>(
  policy: RetryPolicy,
  what: string,
  signal: AbortSignal,
  body: () => Promise<T>,
): Promise<T> {
  for (let attempt = 0; ; attempt++) {
    signal.throwIfAborted();
    try {
      return await body();
    } catch (error) {
      signal.throwIfAborted();
      if (!isTransient(error)) throw error;
      const delay = backoff(policy, attempt);
      policy.onRetry(what, error, delay);
      await policy.clock.sleep(delay, signal);
    }
  }
}
