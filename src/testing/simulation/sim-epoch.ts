// The log of one epoch: per tag, the messages that have not been popped. Popped means gone: nothing brings them back.

import { EMPTY_BYTES } from '../../core/bytes.js';
import { MessageBatch } from '../../core/message-batch.js';
import { MessageBatchBuilder } from '../../core/message-batch-builder.js';
import type { LogEpoch, Version } from '../../core/version.js';
import { maxVersion } from '../../core/version.js';
import type { LogEpochInfo } from '../../ports/log-source.js';
import type { SimTransactionRecord, TaggedMutation } from './history.js';

interface VersionMessages {
  readonly version: Version;
  readonly messages: readonly TaggedMutation[];
}

interface TagLog {
  entries: VersionMessages[];
  popped: Version | undefined;
}

/** Written over the bytes of a batch once the pipeline has released it: whoever still reads them stores nonsense, and the oracle sees it. */
const POISON = 0xee;

export class SimEpochLog {
  readonly epoch: LogEpoch;
  readonly begin: Version;
  readonly totalTags: number;
  readonly #tags: TagLog[];
  #end: Version | undefined;
  #isForgotten = false;
  /** Exclusive: how far the log knows what was written. */
  #known: Version;

  constructor(epoch: LogEpoch, begin: Version, totalTags: number) {
    this.epoch = epoch;
    this.begin = begin;
    this.totalTags = totalTags;
    this.#known = begin;
    this.#tags = Array.from({ length: totalTags }, () => ({ entries: [], popped: undefined }));
  }

  get info(): LogEpochInfo {
    return { epoch: this.epoch, begin: this.begin, end: this.#end, totalTags: this.totalTags };
  }

  /** Exclusive; undefined while the epoch is the current one. */
  get end(): Version | undefined {
    return this.#end;
  }

  get known(): Version {
    return this.#known;
  }

  append({ version, mutations }: SimTransactionRecord): void {
    this.#tags.forEach((log, tag) => {
      const messages = mutations.filter((mutation) => mutation.tag === tag);
      if (messages.length > 0) log.entries.push({ version, messages });
    });
    this.#known = version + 1n;
  }

  /** A recovery ends the epoch: what lies at or above `end` has never been. */
  finish(end: Version): void {
    this.#end = end;
    this.#known = end;
    for (const log of this.#tags) log.entries = log.entries.filter((entry) => entry.version < end);
  }

  /** Drained by every tag, and no longer part of the log system. */
  get isForgotten(): boolean {
    return this.#isForgotten;
  }

  forget(): void {
    this.#isForgotten = true;
    for (let tag = 0; tag < this.totalTags; tag++) this.pop(tag, this.#known - 1n);
  }

  popped(tag: number): Version | undefined {
    return this.#tags[tag]?.popped;
  }

  /** Returns false for a pop that changes nothing. */
  pop(tag: number, upTo: Version): boolean {
    const log = this.#tags[tag];
    if (log === undefined || upTo < this.begin || (log.popped !== undefined && log.popped >= upTo)) return false;
    log.popped = upTo;
    log.entries = log.entries.filter((entry) => entry.version > upTo);
    return true;
  }

  /** What is left in [begin, end), as far as it fits into `maxBytes`; `end` shrinks when it does not. */
  read(tag: number, begin: Version, end: Version, maxBytes: number): { batch: MessageBatch; end: Version } {
    const builder = new MessageBatchBuilder();
    const log = this.#tags[tag];
    let reached = end;
    for (const { version, messages } of log?.entries ?? []) {
      if (version < begin) continue;
      if (version >= end) break;
      if (builder.byteLength > 0 && builder.byteLength + sizeOf(messages) > maxBytes) {
        reached = version;
        break;
      }
      builder.beginVersion(version);
      for (const { subsequence, mutation } of messages)
        builder.add(subsequence, mutation.type, mutation.param1, mutation.param2);
    }
    return {
      batch: builder.recordCount === 0 ? MessageBatch.empty : poisonedOnRelease(builder.build()),
      end: maxVersion(reached, begin),
    };
  }
}

function sizeOf(messages: readonly TaggedMutation[]): number {
  return messages.reduce((bytes, { mutation }) => bytes + 25 + mutation.param1.length + mutation.param2.length, 0);
}

function poisonedOnRelease(batch: MessageBatch): MessageBatch {
  return new MessageBatch({
    bytes: batch.bytes,
    byteLength: batch.byteLength,
    recordStarts: batch.recordStarts,
    recordCount: batch.recordCount,
    versions: batch.versions,
    versionRecords: batch.versionRecords,
    versionCount: batch.versionCount,
    minKey: batch.minKey ?? EMPTY_BYTES,
    endKey: batch.endKey ?? EMPTY_BYTES,
    maxRecordBytes: batch.maxRecordBytes,
    onRelease: () => batch.bytes.fill(POISON),
  });
}
