// The log of the database: what was committed, in order, split over tags, until everyone who needs it has popped it.
//
// A group of transactions that is committed together becomes one page per tag. A page is a packed MessageBatch, so each mutation is encoded once, when it
// is committed; afterwards pages are only cut, joined and sent. The database writes the pages in the same atomic batch as the rows.

import { type MessageBatch, MessageBatchBuilder, type Mutation, type Version } from 'tidemark';
import { joinBatches, packBatch, sliceBatch, unpackBatch } from './batch-codec.js';
import { decodeVersion, encodeVersion, lastVersionOf, pageKey, poppedKey } from './keys.js';
import { addAll, writeSynced, type Level, type LevelOperation } from './level.js';

/** Popped bytes after which LevelDB is asked to give the space back to the file system. */
const COMPACT_AFTER_BYTES = 8 * 1024 * 1024;

export interface LogStretch {
  readonly batch: MessageBatch;
  /** Exclusive. */
  readonly end: Version;
  /** Inclusive; undefined when nothing was popped. */
  readonly popped: Version | undefined;
}

export class CommitLog {
  readonly #level: Level;
  readonly #epoch: number;
  readonly #popped: (Version | undefined)[];
  readonly #builders: MessageBatchBuilder[];
  #poppedBytes = 0;
  #uncompactedBytes = 0;
  #compaction: Promise<void> = Promise.resolve();

  private constructor(level: Level, epoch: number, popped: (Version | undefined)[]) {
    this.#level = level;
    this.#epoch = epoch;
    this.#popped = popped;
    this.#builders = popped.map(() => new MessageBatchBuilder());
  }

  static async open(level: Level, epoch: number, totalTags: number): Promise<CommitLog> {
    const tagIds = Array.from({ length: totalTags }, (_, id) => id);
    const popped = await level.getMany(tagIds.map((id) => poppedKey(epoch, id)));
    return new CommitLog(
      level,
      epoch,
      popped.map((bytes) => bytes && decodeVersion(bytes)),
    );
  }

  get totalTags(): number {
    return this.#builders.length;
  }

  /** Bytes of pages that pops have deleted since the log was opened. */
  get poppedBytes(): number {
    return this.#poppedBytes;
  }

  /** Adds a transaction to the pages being built. Its mutations are numbered from 1 over all tags, so that merging the tags restores their order. */
  append(version: Version, mutations: readonly Mutation[]): void {
    const begun = new Set<MessageBatchBuilder>();
    mutations.forEach(({ type, param1, param2 }, i) => {
      const builder = this.#builders[tagOf(param1, this.totalTags)] as MessageBatchBuilder;
      if (!begun.has(builder)) builder.beginVersion(version);
      begun.add(builder);
      builder.add(i + 1, type, param1, param2);
    });
  }

  /** The pages built since the last call, as operations for the batch that commits them. */
  takePages(): LevelOperation[] {
    const operations: LevelOperation[] = [];
    this.#builders.forEach((builder, tagId) => {
      const batch = builder.build();
      if (batch.lastVersion === undefined) return;
      operations.push({ type: 'put', key: pageKey(this.#epoch, tagId, batch.lastVersion), value: packBatch(batch) });
    });
    return operations;
  }

  /** What the log holds of a tag in [begin, end), where `end` is the given one, or lower when `maxBytes` are reached before. */
  async read(tagId: number, begin: Version, end: Version, maxBytes: number): Promise<LogStretch> {
    const popped = this.#popped[tagId];
    const from = popped !== undefined && popped >= begin ? popped + 1n : begin;
    const batches: MessageBatch[] = [];
    let room = maxBytes;
    const pages = this.#level.iterator({
      gte: pageKey(this.#epoch, tagId, from),
      lt: pageKey(this.#epoch, tagId, end),
    });
    for await (const [key, page] of pages) {
      const batch = sliceBatch(unpackBatch(page), from, room);
      if (batches.length > 0 && batch.byteLength > room)
        return { batch: joinBatches(batches), end: batch.firstVersion ?? end, popped };
      batches.push(batch);
      room -= batch.byteLength;
      const last = batch.lastVersion ?? from;
      if (last < lastVersionOf(key) || room <= 0) return { batch: joinBatches(batches), end: last + 1n, popped };
    }
    return { batch: joinBatches(batches), end: end > from ? end : from, popped };
  }

  /** Forgets a tag's log up to and including `upTo`. Durable when it resolves. A page goes when all of it is popped. */
  async pop(tagId: number, upTo: Version): Promise<void> {
    const popped = this.#popped[tagId];
    if (popped !== undefined && upTo <= popped) return;
    this.#popped[tagId] = upTo;
    const operations: LevelOperation[] = [
      { type: 'put', key: poppedKey(this.#epoch, tagId), value: encodeVersion(upTo) },
    ];
    let bytes = 0;
    for await (const [key, page] of this.#level.iterator({
      gt: pageKey(this.#epoch, tagId, popped ?? 0n), // LevelDB would wade through the deleted ones
      lte: pageKey(this.#epoch, tagId, upTo),
    })) {
      operations.push({ type: 'del', key });
      bytes += page.length;
    }
    await writeSynced(this.#level, (batch) => addAll(batch, operations));
    this.#poppedBytes += bytes;
    this.#uncompactedBytes += bytes;
    if (this.#uncompactedBytes >= COMPACT_AFTER_BYTES) this.compact();
  }

  /** Starts to give the space of popped pages back to the file system. `close` waits for it. */
  compact(): void {
    this.#uncompactedBytes = 0;
    const begin = pageKey(this.#epoch, 0, 0n);
    const end = pageKey(this.#epoch, this.totalTags, 0n);
    this.#compaction = this.#compaction.then(() => this.#level.compactRange(begin, end));
  }

  async close(): Promise<void> {
    await this.#compaction;
  }

  /** Bytes of all pages that are still there. */
  async storedBytes(): Promise<number> {
    let bytes = 0;
    const range = { gte: pageKey(this.#epoch, 0, 0n), lt: pageKey(this.#epoch, this.totalTags, 0n) };
    for await (const page of this.#level.values(range)) bytes += page.length;
    return bytes;
  }
}

/** The tag of a key, or of a range's begin. FNV-1a: any hash will do, as long as it never changes. */
export function tagOf(key: Uint8Array, totalTags: number): number {
  let hash = 0x811c9dc5;
  for (const byte of key) hash = Math.imul(hash ^ byte, 0x01000193) >>> 0;
  return hash % totalTags;
}
