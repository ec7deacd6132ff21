// Memory within the flow lock, at every moment: what a process holds of peeked batches, and what the lock's own account says of it.

import type { BackupWorker } from '../../worker/backup-worker.js';
import type { SimBuffers } from './buffers.js';
import type { SimVerdict } from './verdict.js';

export interface WatchedMemory {
  /** For messages. */
  readonly name: string;
  /** Of each worker. */
  readonly lockBytes: number;
  readonly buffers: SimBuffers;
  /** Those that share the buffers, ended ones too. */
  readonly workers: readonly Pick<BackupWorker, 'metrics'>[];
}

/** When another batch has been handed out: only then what is held grows. */
export function checkHeld(verdict: SimVerdict, { name, lockBytes, buffers, workers }: WatchedMemory): void {
  // A batch is given back whole: the first and the last one in the queue may be needed in part only. One more waits for the lock.
  const bound = Math.max(1, workers.length) * (Math.max(lockBytes, buffers.largest) + 3 * buffers.largest);
  verdict.expect(
    buffers.held <= bound,
    'memory within the lock',
    () => `${name} holds ${buffers.held} bytes; at most ${bound} are allowed`,
  );
}

/** Between two events, when nothing is half done: permits are held for what is queued, and for nothing else. */
export function checkAccounts(verdict: SimVerdict, { name, lockBytes, buffers, workers }: WatchedMemory): void {
  let permits = 0;
  for (const worker of workers) {
    const metrics = worker.metrics();
    if (metrics === undefined) continue;
    const { bufferedBytes, availableBytes, queuedMessages, state } = metrics;
    permits += bufferedBytes;
    verdict.expect(
      bufferedBytes >= 0 && bufferedBytes <= Math.max(lockBytes, buffers.largest),
      'the lock gives out no more than it has',
      () =>
        `${name}, ${state}: ${bufferedBytes} permits of ${lockBytes} are held; the largest batch has ${buffers.largest}`,
    );
    verdict.expect(
      availableBytes === Math.max(0, lockBytes - bufferedBytes),
      'what the lock has left is what is not held',
      () => `${name}, ${state}: ${bufferedBytes} held and ${availableBytes} left of ${lockBytes}`,
    );
    verdict.expect(
      bufferedBytes > 0 === queuedMessages > 0,
      'permits are held for what is queued',
      () => `${name}, ${state}: ${bufferedBytes} permits for ${queuedMessages} messages`,
    );
  }
  verdict.expect(
    permits <= buffers.held,
    'permits are held for what is in memory',
    () => `${name}: ${permits} permits for ${buffers.held} bytes`,
  );
}

/** After its end a process holds nothing. */
export function checkGivenBack(verdict: SimVerdict, { name, buffers, workers }: WatchedMemory): void {
  const permits = workers.reduce((sum, worker) => sum + (worker.metrics()?.bufferedBytes ?? 0), 0);
  verdict.expect(
    buffers.held === 0 && permits === 0,
    'memory is given back',
    () => `${name} still holds ${buffers.held} bytes and ${permits} permits after its end`,
  );
}
