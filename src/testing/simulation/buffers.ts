// How many bytes of peeked batches a process holds: handed out and not yet released. The flow lock must keep them within bounds.

import { MessageBatch } from '../../core/message-batch.js';

export class SimBuffers {
  readonly #onRise: (() => void) | undefined;
  #held = 0;
  #largest = 0;

  /** `onRise` is called whenever another batch has been handed out. */
  constructor(onRise?: () => void) {
    this.#onRise = onRise;
  }

  /** Bytes held now. */
  get held(): number {
    return this.#held;
  }

  /** The largest batch so far. */
  get largest(): number {
    return this.#largest;
  }

  track(batch: MessageBatch): MessageBatch {
    const bytes = batch.byteLength;
    if (bytes === 0) return batch;
    this.#held += bytes;
    this.#largest = Math.max(this.#largest, bytes);
    this.#onRise?.();
    return new MessageBatch({
      bytes: batch.bytes,
      byteLength: batch.byteLength,
      recordStarts: batch.recordStarts,
      recordCount: batch.recordCount,
      versions: batch.versions,
      versionRecords: batch.versionRecords,
      versionCount: batch.versionCount,
      minKey: batch.minKey,
      endKey: batch.endKey,
      maxRecordBytes: batch.maxRecordBytes,
      onRelease: () => {
        this.#held -= bytes;
        batch.release();
      },
    });
  }
}
