// Waiting for a key of the store to change. A watch may be late or lost; the poll saves the day.

import { abortable } from '../core/abort.js';
import { isTransient } from './retry.js';
import type { Run } from './run.js';
import { waitForAny } from './trigger.js';

export async function watchOrPoll(
  run: Run,
  key: string,
  seen: Uint8Array | undefined,
  signal: AbortSignal,
): Promise<void> {
  const { progressStore, clock, pollInterval } = run.options;
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
