// A call that ends in time: a server that stands still, or a connection that swallows everything, shows by nothing else. It must never make a call twice: what a write that got no answer has done is its caller's to find out.

import { AbortScope } from '../../core/abort.js';
import type { Clock } from '../../core/clock.js';
import { BackupError } from '../../core/errors.js';

export interface CallTime {
  readonly clock: Clock;
  /** ms */
  readonly timeout: number;
}

/** ms: more than etcd itself lets a request wait (7 s with its defaults), and time for a request of some MiB. */
export const CALL_TIMEOUT = 30_000;

/** ETCD_UNAVAILABLE, which may be tried again, without an answer in time; else what the call gives or throws. gRPC's deadline ends the call itself; the clock's is for what comes before it, such as logging in. */
export async function timedCall<T>(
  what: string,
  { clock, timeout }: CallTime,
  call: (options: { readonly deadline: number }) => Promise<T>,
): Promise<T> {
  using scope = new AbortScope();
  const tooLate = clock.sleep(timeout, scope.signal).then(() => {
    throw new BackupError('ETCD_UNAVAILABLE', `etcd: ${what} failed: no answer within ${timeout} ms`, {
      retryable: true,
    });
  });
  return await Promise.race([call({ deadline: clock.wallTime() + timeout }), tooLate]);
}
