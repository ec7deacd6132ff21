// A stream of answers that is given up when nothing comes for too long: a connection may be alive and the store behind it not.

import { AbortScope, abortable } from '../../core/abort.js';
import type { Clock } from '../../core/clock.js';
import { BackupError } from '../../core/errors.js';

export interface SilenceOptions {
  readonly store: string;
  /** Longest wait for the next answer. */
  readonly ms: number;
  readonly clock: Clock;
  /** Of the request: ended when the stream is left, so that a stream that waits ends too. */
  readonly scope: AbortScope;
}

/** The stream's items. TIKV_UNAVAILABLE (`retryable`) when the next one takes longer than `ms`. */
export async function* withoutSilence<T>(
  stream: AsyncIterable<T>,
  { store, ms, clock, scope }: SilenceOptions,
): AsyncGenerator<T, void, undefined> {
  const iterator = stream[Symbol.asyncIterator]();
  try {
    for (;;) {
      const next = await nextWithin(iterator, store, ms, clock, scope.signal);
      if (next.done === true) return;
      yield next.value;
    }
  } finally {
    scope.end();
    // Not waited for: a stream that hangs in `next` cannot return before it. It has been left, how it ends is of no interest.
    void iterator.return?.().catch(() => undefined);
  }
}

async function nextWithin<T>(
  iterator: AsyncIterator<T>,
  store: string,
  ms: number,
  clock: Clock,
  signal: AbortSignal,
): Promise<IteratorResult<T>> {
  using waiting = new AbortScope(signal);
  const silence = clock.sleep(ms, waiting.signal).then(() => {
    throw new BackupError('TIKV_UNAVAILABLE', `${store} has said nothing for ${ms} ms`, { retryable: true });
  });
  // Whoever loses the race is not waited for.
  silence.catch(() => undefined);
  return await abortable(Promise.race([iterator.next(), silence]), signal);
}
