// Which batches were made by a MessageBatchBuilder, and are still as it made them: they need no look at their records.

const built = new WeakSet();

export function markBuilt<Batch extends object>(batch: Batch): Batch {
  built.add(batch);
  return batch;
}

/** Its buffers may be another batch's from now on. */
export function forgetBuilt(batch: object): void {
  built.delete(batch);
}

export function isBuilt(batch: object): boolean {
  return built.has(batch);
}
