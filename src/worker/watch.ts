// Waiting for a key of the store to change. A watch may be late or lost; the poll saves the day.

import { abortable } from '../core/abort.js';
import type { Clock } from '../core/clock.js';
import type { ProgressStore } from '../ports/progress-store.js';
import { isTransient } from './retry.js';
import { waitForAny } from './trigger.js';

/** Whoever waits: a run, or what has the same options. */
export interface Watcher {
  readonly options: { readonly progressStore: ProgressStore; readonly clock: Clock; readonly pollInterval: number };
}

export async function watchOrPoll(
  { options }: Watcher,
  key: string,
  seen: Uint8Array | undefined,
  signal: AbortSignal,
): Promise<void> {
  const { progressStore, clock, pollInterval } = options;
  await waitForAny(signal, [
    (inner) => watchUntilChange(() => progressStore.watch(key, seen, inner), inner),
    (inner) => clock.sleep(pollInterval, inner),
  ]);
}

/** A watch that fails is as good as one that never fires: the poll goes on, and the read after it meets the store's trouble with a retry. */
async function watchUntilChange(watch: () => Promise<void>, signal: AbortSignal): Promise<void> {
  try {
    // A store may not heed its signal.
    await abortable(watch(), signal);
  } catch (error) {
    if (signal.aborted || !isTransient(error)) throw error;
    await new Promise<never>((_resolve, reject) => {
      signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
    });
  }
}
