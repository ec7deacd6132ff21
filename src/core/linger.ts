// The end of a run waits for a container call that is under way, so that the file that it belongs to is finished or discarded before the run says that it has ended.

import { AbortScope } from './abort.js';
import type { Clock } from './clock.js';

/** ms */
const LINGER_LIMIT = 1_000;

/** Until it has settled, or for a second: a call that hangs is left to itself. Never rejects. */
export async function lingerFor(underWay: Promise<unknown>, clock: Clock): Promise<void> {
  using scope = new AbortScope();
  // Why it fails is known: it was aborted.
  const ended = underWay.catch(() => undefined);
  // Rejects only when the scope cancels it, because the call has ended first.
  const limit = clock.sleep(LINGER_LIMIT, scope.signal).catch(() => undefined);
  await Promise.race([ended, limit]);
  scope.end();
  await limit;
}
