// A LogSource over the journal of a small database: one process, one epoch, the log split over a few tags by key.

import type { LogEpoch, LogSource, Mutation, PeekReply, PeekRequest, PopRequest, Tag, Version } from 'tidemark';
import { BackupError, MessageBatchBuilder } from 'tidemark';

/** One commit of the database. */
export interface JournalEntry {
  readonly version: Version;
  readonly mutations: readonly Mutation[];
}

/** What the database has anyway: its commits in order, durable before they are here, and a way to hear of new ones. */
export interface Journal {
  /** Ascending. */
  readonly entries: readonly JournalEntry[];
  /** Nothing at or below it will be added any more. Grows without commits too. */
  readonly version: Version;
  /** The largest version that `discard` was called with, also before a restart: as durable as the entries are. */
  readonly discardedThrough: Version | undefined;
  /** Calls the listener after each change, until the function that it returns is called. */
  onChange(listener: () => void): () => void;
  /** Entries at or below this version are needed no more. */
  discard(version: Version): void;
}

/** Which tag a mutation goes to. Any function will do that never changes within an epoch. */
export function tagOfKey(key: Uint8Array, totalTags: number): number {
  let hash = 0;
  for (const byte of key) hash = (hash * 31 + byte) >>> 0;
  return hash % totalTags;
}

/** Bytes of a message besides its key and its value. */
const OVERHEAD = 25;

export class JournalLogSource implements LogSource {
  readonly #journal: Journal;
  /** For each tag, the largest version popped. What the journal has discarded was popped for all of them, before a restart as well. */
  readonly #popped: (Version | undefined)[];

  constructor(journal: Journal, totalTags: number) {
    this.#journal = journal;
    this.#popped = Array.from({ length: totalTags }, () => journal.discardedThrough);
  }

  async peek({ epoch, tag, begin, maxBytes, signal }: PeekRequest): Promise<PeekReply> {
    this.#check(epoch, tag);
    // Only beyond `begin` is there something to tell.
    while (this.#journal.version < begin) await this.#change(signal);
    signal.throwIfAborted();
    const reply = this.#read(tag.id, begin, maxBytes);
    return { ...reply, minKnownCommittedVersion: this.#journal.version, popped: this.#popped[tag.id] };
  }

  async pop({ epoch, tag, upTo }: PopRequest): Promise<void> {
    this.#check(epoch, tag);
    const before = this.#popped[tag.id];
    if (before === undefined || upTo > before) this.#popped[tag.id] = upTo;
    // An entry may go when no tag needs it.
    const everywhere = this.#popped.reduce((a, b) => (a === undefined || b === undefined ? undefined : a < b ? a : b));
    if (everywhere !== undefined) this.#journal.discard(everywhere);
  }

  async minKnownCommittedVersion({ epoch }: { epoch: LogEpoch }): Promise<Version> {
    this.#check(epoch);
    return this.#journal.version;
  }

  async committedVersion(): Promise<Version> {
    return this.#journal.version;
  }

  /** Whole versions, as many as fit; the first one however large it is. */
  #read(tagId: number, begin: Version, maxBytes: number) {
    const builder = new MessageBatchBuilder();
    const popped = this.#popped[tagId] ?? -1n;
    for (const { version, mutations } of this.#journal.entries) {
      if (version < begin || version <= popped) continue;
      // The subsequence is the mutation's place in its commit: with the version it orders the mutations of all tags.
      const own = [...mutations.entries()].filter(([, { param1 }]) => tagOfKey(param1, this.#popped.length) === tagId);
      const bytes = own.reduce((sum, [, { param1, param2 }]) => sum + OVERHEAD + param1.length + param2.length, 0);
      if (builder.recordCount > 0 && builder.byteLength + bytes > maxBytes)
        return { batch: builder.build(), end: version };
      builder.beginVersion(version);
      for (const [at, { type, param1, param2 }] of own) builder.add(at + 1, type, param1, param2);
    }
    return { batch: builder.build(), end: this.#journal.version + 1n };
  }

  #check(epoch: LogEpoch, tag?: Tag): void {
    if (epoch === 1 && (tag === undefined || tag.id < this.#popped.length)) return;
    throw new BackupError('INVALID_OPTION', 'there is only epoch 1 and its tags', { epoch, tag });
  }

  /** Resolves at the next change of the journal; leaves nothing behind when the signal aborts. */
  async #change(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    await new Promise<void>((resolve) => {
      const done = () => {
        stopListening();
        signal.removeEventListener('abort', done);
        resolve();
      };
      const stopListening = this.#journal.onChange(done);
      signal.addEventListener('abort', done, { once: true });
    });
    signal.throwIfAborted();
  }
}
