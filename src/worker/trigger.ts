// Waking actors: a trigger that cannot be missed, and waiting for it with a time limit.

import { AbortScope } from '../core/abort.js';
import type { Clock } from '../core/clock.js';

/** Counts how often it was fired. Who remembers the count before looking at the state misses no change. */
export class Trigger {
  #count = 0;
  readonly #waiters = new Set<() => void>();

  get count(): number {
    return this.#count;
  }

  fire(): void {
    this.#count++;
    const waiters = [...this.#waiters];
    this.#waiters.clear();
    for (const wake of waiters) wake();
  }

  /** Resolves once the count is above `seen`; rejects with the signal's reason. */
  async after(seen: number, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (this.#count > seen) return;
    await new Promise<void>((resolve, reject) => {
      const onAbort = () => {
        this.#waiters.delete(wake);
        reject(signal.reason as Error);
      };
      const wake = () => {
        signal.removeEventListener('abort', onAbort);
        resolve();
      };
      this.#waiters.add(wake);
      signal.addEventListener('abort', onAbort, { once: true });
    });
  }
}

/** Resolves when the first of the waits does; the others are cancelled and joined. Rejects when the signal aborts or a wait fails first. */
export async function waitForAny(
  signal: AbortSignal,
  waits: readonly ((signal: AbortSignal) => Promise<unknown>)[],
): Promise<void> {
  const scope = new AbortScope(signal);
  const running = waits.map((wait) => wait(scope.signal));
  try {
    await Promise.race(running);
  } finally {
    scope.end();
    await Promise.allSettled(running);
  }
}

/** Until the trigger fires or `ms` have passed. */
export function triggerOrSleep(
  trigger: Trigger,
  seen: number,
  clock: Clock,
  ms: number,
  signal: AbortSignal,
): Promise<void> {
  if (trigger.count > seen) return Promise.resolve();
  return waitForAny(signal, [(inner) => trigger.after(seen, inner), (inner) => clock.sleep(ms, inner)]);
}
