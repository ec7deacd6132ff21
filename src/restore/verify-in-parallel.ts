// Work on many files, a bounded number at a time.

import PQueue from 'p-queue';
import { BackupError } from '../core/errors.js';

/** Files read or deleted at a time unless told otherwise. */
export const DEFAULT_CONCURRENCY = 4;
const MAX_CONCURRENCY = 256;

/** INVALID_OPTION unless it is a whole number from 1 to 256. */
export function checkConcurrency(value: number | undefined): number {
  const concurrency = value ?? DEFAULT_CONCURRENCY;
  if (!Number.isInteger(concurrency) || concurrency < 1 || concurrency > MAX_CONCURRENCY) {
    throw new BackupError(
      'INVALID_OPTION',
      `concurrency must be a whole number from 1 to ${MAX_CONCURRENCY}, got ${String(value)}`,
    );
  }
  return concurrency;
}

/** Rejects with the first failure, or the signal's reason, and only once nothing is under way any more. Items are taken as they are needed. */
export async function inParallel<T>(
  items: Iterable<T>,
  concurrency: number,
  signal: AbortSignal | undefined,
  work: (item: T) => Promise<void>,
): Promise<void> {
  const queue = new PQueue({ concurrency });
  let failure: { readonly error: unknown } | undefined;
  const attempt = async (item: T): Promise<void> => {
    try {
      await work(item);
    } catch (error) {
      failure ??= { error };
    }
  };
  for (const item of items) {
    if (failure !== undefined || signal?.aborted === true) break;
    // `attempt` does not reject; that all of them are done is waited for below.
    void queue.add(() => attempt(item));
    await queue.onSizeLessThan(1);
  }
  await queue.onIdle();
  if (failure !== undefined) throw failure.error;
  signal?.throwIfAborted();
}
