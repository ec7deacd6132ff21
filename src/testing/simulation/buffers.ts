// How many bytes of peeked batches a process holds: handed out and not yet released. The flow lock must keep them within bounds.

import { MessageBatch } from '../../core/message-batch.js';

export class SimBuffers {
  #held = 0;
  #largest = 0;
  #most = 0;

  /** Bytes held now. */
  get held(): number {
    return this.#held;
  }

  /** The most that was ever held. */
  get most(): number {
    return this.#most;
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
    this.#most = Math.max(this.#most, this.#held);
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
