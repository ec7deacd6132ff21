// The messages that a worker has pulled and not yet saved. Owns `nextVersion` and `end`: no one else decides what is pulled and what is cut (rule P2).
// Whoever drops messages must be sure that nobody reads their bytes any more: a batch that is wholly dropped is released, and its buffers are used again.

import { BackupError, assert } from '../core/errors.js';
import type { MessageBatch } from '../core/message-batch.js';
import { formatTag, maxVersion, minVersion, type Tag, type Version } from '../core/version.js';
import type { FlowLockReleaser } from './flow-lock.js';

/** Records [firstRecord, endRecord) of a batch. */
export interface CutPart {
  readonly batch: MessageBatch;
  readonly firstRecord: number;
  readonly endRecord: number;
}

/** Everything that is queued up to a version boundary. Reads the queue's batches: valid until they are dropped. */
export interface Cut {
  /** Exclusive. */
  readonly end: Version;
  readonly parts: readonly CutPart[];
  /** Encoded bytes of the messages. */
  readonly bytes: number;
  readonly messages: number;
}

export interface MessageQueueOptions {
  /** The first version to pull. */
  readonly nextVersion: Version;
  /** For error messages. */
  readonly tag?: Tag | undefined;
}

/** A batch in the queue. Records [firstRecord, endRecord) are left of it. */
interface Entry {
  readonly batch: MessageBatch;
  readonly releaser: FlowLockReleaser | undefined;
  firstRecord: number;
  endRecord: number;
}

export class MessageQueue {
  readonly #tag: Tag | undefined;
  /** Oldest first, none without records. */
  #entries: Entry[] = [];
  #nextVersion: Version;
  #end: Version;
  /** The largest version that was ever cut, and so called committed. */
  #cutThrough: Version = -1n;
  #bytes = 0;
  #messages = 0;

  constructor(options: MessageQueueOptions) {
    this.#nextVersion = options.nextVersion;
    this.#end = options.nextVersion;
    this.#tag = options.tag;
  }

  /** Everything at or above it is queued or still to be peeked. Never moves back. */
  get nextVersion(): Version {
    return this.#nextVersion;
  }

  /** Exclusive end of what was pulled; the begin of the next peek. */
  get end(): Version {
    return this.#end;
  }

  /** Encoded bytes of the messages in the queue: what their releasers hold. */
  get bytes(): number {
    return this.#bytes;
  }

  get messages(): number {
    return this.#messages;
  }

  get batches(): number {
    return this.#entries.length;
  }

  /** Whether a cut at `version` (inclusive) would hold any message. */
  hasMessagesThrough(version: Version): boolean {
    const [first] = this.#entries;
    return first !== undefined && first.batch.recordsThrough(version) > first.firstRecord;
  }

  /**
   * Takes over a peek's messages, all in [end, newEnd), and the permits for their bytes. The batch may be empty: then only `end` moves.
   * Throws ADAPTER_CONTRACT, and takes nothing over, if the log answered with other versions than it was asked for.
   */
  push(batch: MessageBatch, newEnd: Version, releaser?: FlowLockReleaser): void {
    const { firstVersion, lastVersion } = batch;
    if (newEnd < this.#end || (firstVersion ?? this.#end) < this.#end || (lastVersion ?? -1n) >= newEnd) {
      const got = batch.isEmpty ? 'no messages' : `messages of ${firstVersion} to ${lastVersion}`;
      throw new BackupError(
        'ADAPTER_CONTRACT',
        `the log${this.#tagText()} was asked from version ${this.#end} on and gave ${got} with end ${newEnd}`,
        {
          tag: this.#tag,
          versions: { begin: this.#end, end: newEnd },
        },
      );
    }
    assert(releaser === undefined || releaser.remaining === batch.byteLength, 'permits taken must equal bytes queued');
    this.#end = newEnd;
    if (batch.isEmpty) {
      batch.release();
      return;
    }
    this.#entries.push({ batch, releaser, firstRecord: 0, endRecord: batch.recordCount });
    this.#bytes += batch.byteLength;
    this.#messages += batch.recordCount;
  }

  /**
   * Everything up to `version` (inclusive, below `end`), which moves `nextVersion` past it. The messages stay queued until `dropThrough`; a round that must be redone
   * cuts again.
   */
  cut(version: Version): Cut {
    assert(version < this.#end, `cannot cut at ${version}: pulled only up to ${this.#end}, exclusive`);
    this.#nextVersion = maxVersion(this.#nextVersion, version + 1n);
    this.#cutThrough = maxVersion(this.#cutThrough, version);
    const parts: CutPart[] = [];
    let bytes = 0;
    let messages = 0;
    for (const { batch, firstRecord, endRecord } of this.#entries) {
      const cutRecord = Math.min(batch.recordsThrough(version), endRecord);
      if (cutRecord <= firstRecord) break;
      parts.push({ batch, firstRecord, endRecord: cutRecord });
      bytes += bytesBetween(batch, firstRecord, cutRecord);
      messages += cutRecord - firstRecord;
    }
    return { end: version + 1n, parts, bytes, messages };
  }

  /** Drops everything up to `version` (inclusive) and releases its permits: after progress is saved (rule P4), when no file reads it any more. */
  dropThrough(version: Version): void {
    this.#assertCut(version);
    let dropped = 0;
    for (const entry of this.#entries) {
      const record = Math.min(entry.batch.recordsThrough(version), entry.endRecord);
      if (record > entry.firstRecord) {
        const first = entry.firstRecord;
        entry.firstRecord = record;
        this.#forget(entry, first, record);
      }
      if (entry.firstRecord < entry.endRecord) break;
      dropped++;
    }
    this.#entries.splice(0, dropped);
  }

  /** Drops everything above `version`: the epoch has ended there (rule P16). Nothing above it can have been cut, since a cut is committed. */
  dropAfter(version: Version): void {
    if (this.#cutThrough > version) {
      throw new BackupError(
        'ADAPTER_CONTRACT',
        `the log${this.#tagText()} rolled back to version ${version} although it had called ${this.#cutThrough} committed`,
        { tag: this.#tag, version },
      );
    }
    for (let entry = this.#entries.at(-1); entry !== undefined; entry = this.#entries.at(-1)) {
      const record = Math.max(entry.batch.recordsThrough(version), entry.firstRecord);
      if (record < entry.endRecord) {
        const end = entry.endRecord;
        entry.endRecord = record;
        this.#forget(entry, record, end);
      }
      if (entry.firstRecord < entry.endRecord) break;
      this.#entries.pop();
    }
    // `nextVersion` may be above it after dropAll, and never moves back.
    this.#end = maxVersion(this.#nextVersion, minVersion(this.#end, version + 1n));
  }

  /** Drops everything and moves `nextVersion` past it: no job wants it any more (rule P22). */
  dropAll(): void {
    for (const entry of this.#entries.splice(0)) {
      const first = entry.firstRecord;
      entry.firstRecord = entry.endRecord;
      this.#forget(entry, first, entry.endRecord);
    }
    this.#nextVersion = this.#end;
  }

  /** Goes on at `version` with an empty queue: an accepted gap (rule P7) or a NOOP pop (rule P6). */
  skipTo(version: Version): void {
    assert(this.#entries.length === 0, 'only an empty queue can skip versions');
    assert(version >= this.#end, `cannot skip back from ${this.#end} to ${version}`);
    this.#nextVersion = version;
    this.#end = version;
  }

  /** Accounts for records [from, to) that have left the entry; the batch is released when they were the last. */
  #forget(entry: Entry, from: number, to: number): void {
    const bytes = bytesBetween(entry.batch, from, to);
    this.#bytes -= bytes;
    this.#messages -= to - from;
    const isGone = entry.firstRecord === entry.endRecord;
    // Buffers first: whoever is woken by the permits may ask the pool for some.
    if (isGone) entry.batch.release();
    entry.releaser?.release(bytes);
    assert(!isGone || (entry.releaser?.remaining ?? 0) === 0, 'a batch that has left the queue holds no permits');
  }

  #assertCut(version: Version): void {
    assert(
      version < this.#nextVersion,
      `cannot drop version ${version}: cut only up to ${this.#nextVersion}, exclusive`,
    );
  }

  #tagText(): string {
    return this.#tag === undefined ? '' : ` of tag ${formatTag(this.#tag)}`;
  }
}

function bytesBetween(batch: MessageBatch, firstRecord: number, endRecord: number): number {
  return (batch.recordStarts[endRecord] as number) - (batch.recordStarts[firstRecord] as number);
}
