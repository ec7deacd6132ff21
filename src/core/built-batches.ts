// Which batches were made by a MessageBatchBuilder, and are still as it made them: they need no look at their records.

import type { MessageBatch } from './message-batch.js';

const built = new WeakSet<MessageBatch>();

export function markBuilt(batch: MessageBatch): MessageBatch {
  built.add(batch);
  return batch;
}

/** Its buffers may be another batch's from now on. */
export function forgetBuilt(batch: MessageBatch): void {
  built.delete(batch);
}

export function isBuilt(batch: MessageBatch): boolean {
  return built.has(batch);
}
