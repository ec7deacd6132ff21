// One tag of one epoch of the MemoryLog: its messages, and what of them has been popped.

import type { MessageBatch } from '../core/message-batch.js';
import { RECORD_HEADER_BYTES } from '../core/message-batch.js';
import { MessageBatchBuilder } from '../core/message-batch-builder.js';
import { MUTATION_OVERHEAD_BYTES } from '../core/mutation.js';
import type { Version } from '../core/version.js';

/** A message as the log keeps it; `type` may be one that is never stored, to see that it is left out. */
export interface LogMessage {
  readonly subsequence: number;
  readonly type: number;
  readonly param1: Uint8Array;
  readonly param2: Uint8Array;
}

interface LoggedVersion {
  readonly version: Version;
  readonly messages: readonly LogMessage[];
  /** Encoded size at most. */
  readonly bytes: number;
}

export class MemoryLogPartition {
  /** Ascending; none at or below `popped`. */
  #versions: LoggedVersion[] = [];
  #popped: Version | undefined;

  /** The largest version discarded, inclusive. */
  get popped(): Version | undefined {
    return this.#popped;
  }

  /** Versions that hold messages and are still there. */
  get versions(): readonly Version[] {
    return this.#versions.map((logged) => logged.version);
  }

  add(version: Version, messages: readonly LogMessage[]): void {
    let bytes = 0;
    for (const message of messages) {
      bytes += RECORD_HEADER_BYTES + MUTATION_OVERHEAD_BYTES + message.param1.length + message.param2.length;
    }
    this.#versions.push({ version, messages, bytes });
  }

  /** Discards everything at or below `upTo`; a lower version than before changes nothing. */
  pop(upTo: Version): void {
    if (this.#popped !== undefined && upTo <= this.#popped) return;
    this.#popped = upTo;
    this.#versions = this.#versions.filter((logged) => logged.version > upTo);
  }

  /** The recovery's end of the epoch: what lies at or above it never happened. */
  rollBack(end: Version): void {
    this.#versions = this.#versions.filter((logged) => logged.version < end);
  }

  /** Messages in [begin, end), whole versions, and the end up to which they are complete. */
  read(begin: Version, end: Version, maxBytes: number): { readonly batch: MessageBatch; readonly end: Version } {
    const builder = new MessageBatchBuilder({ initialBytes: 1024 });
    let bytes = 0;
    for (const logged of this.#versions) {
      if (logged.version < begin) continue;
      if (logged.version >= end) break;
      // The first version comes whole however large it is: otherwise a reader could never get past it.
      if (bytes > 0 && bytes + logged.bytes > maxBytes) return { batch: builder.build(), end: logged.version };
      bytes += logged.bytes;
      builder.beginVersion(logged.version);
      for (const { subsequence, type, param1, param2 } of logged.messages)
        builder.add(subsequence, type, param1, param2);
    }
    return { batch: builder.build(), end };
  }
}
