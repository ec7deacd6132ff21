// From etcd's answers to whole versions: fragments are joined, each revision is seen to be the one after the last, its events are encoded once, and what is ready waits in batches no longer than a peek wants.
// It must never pass over a revision: etcd counts one up exactly when a transaction changes something, and all of that are events (etcd: mvcc/kvstore_txn.go, watchable_store_txn.go), so that a watch of the
// whole key space which misses one is seen to have a hole.

import type { IEvent, IWatchResponse } from 'etcd3';
import type { BufferPool } from '../../core/buffer-pool.js';
import { equalBytes } from '../../core/bytes.js';
import { BackupError } from '../../core/errors.js';
import { MessageBatchBuilder } from '../../core/message-batch-builder.js';
import type { MessageBatch } from '../../core/message-batch.js';
import { RECORD_HEADER_BYTES } from '../../core/message-batch.js';
import { MUTATION_OVERHEAD_BYTES, MutationType } from '../../core/mutation.js';
import { revisionNumber } from '../../etcd/keys.js';
import type { HistoryMark } from './log-records.js';
import { hashOfEvents } from './log-records.js';
import type { KeyFilter } from './options.js';
import { isWanted } from './options.js';
import { tagOfKey } from './tags.js';

export interface LogVersionsOptions {
  readonly filter: KeyFilter;
  readonly tag: number;
  readonly totalTags: number;
  /** The first version wanted. */
  readonly begin: number;
  /** Bytes of a batch at most, unless it is one version. */
  readonly batchBytes: number;
  readonly pool: BufferPool;
}

/** What a peek is answered with. */
export interface ReadyBatch {
  readonly batch: MessageBatch;
  /** Exclusive. */
  readonly end: number;
  /** Of the version below `end`, with all its events; undefined when they are not known. */
  readonly mark: HistoryMark | undefined;
}

/** A revision is missing: what came instead, and what should have. */
export class RevisionHole extends Error {
  readonly expected: number;
  readonly found: number;

  constructor(expected: number, found: number) {
    super(`revision ${found} came where ${expected} was due`);
    this.name = 'RevisionHole';
    this.expected = expected;
    this.found = found;
  }
}

/** Bytes of a record besides its key and value. */
const OVERHEAD_BYTES = RECORD_HEADER_BYTES + MUTATION_OVERHEAD_BYTES;
const NO_BYTES = new Uint8Array(0);

export class LogVersions {
  readonly #options: LogVersionsOptions;
  readonly #builder: MessageBatchBuilder;
  readonly #ready: ReadyBatch[] = [];
  #readyBytes = 0;
  /** Where the next batch given begins. */
  #position: number;
  /** Everything below it has come, whole. */
  #next: number;
  /** Everything below it may be given. */
  #proven: number;

  // The version that is being received. Its events wait in the arrays until it is whole, since only then is known how large it is; they are used again for the next.
  /** As etcd writes it; empty: none. */
  #text = '';
  #version = 0;
  /** It has come before. */
  #isOld = false;
  #subsequence = 0;
  #count = 0;
  #bytes = 0;
  readonly #events: IEvent[] = [];
  readonly #subsequences: number[] = [];
  /** Of the version below #next, all of them: what a reconnected watch must begin with. */
  #lastEvents: IEvent[] = [];
  #currentEvents: IEvent[] = [];
  /** Of #lastEvents, when they come again. */
  #comparedThrough = 0;
  /** For a clear: the key and a zero byte. */
  #clear = new Uint8Array(256);

  constructor(options: LogVersionsOptions) {
    this.#options = options;
    this.#builder = new MessageBatchBuilder({ pool: options.pool, initialBytes: 4096 });
    this.#position = options.begin;
    this.#next = options.begin;
    this.#proven = options.begin;
  }

  get position(): number {
    return this.#position;
  }

  get next(): number {
    return this.#next;
  }

  get proven(): number {
    return this.#proven;
  }

  /** Held here, of whole versions and of the one that is coming. */
  get bytes(): number {
    return this.#readyBytes + this.#builder.byteLength + this.#bytes;
  }

  /** Whether there is a whole version to give, proven or not. */
  get hasVersions(): boolean {
    return this.#next > this.#position;
  }

  /** Whether there is as much as a peek wants, proven or not. */
  get hasFullBatch(): boolean {
    return this.#ready.length > 0;
  }

  /** Everything below `end` may be given. */
  prove(end: number): void {
    this.#proven = end;
  }

  /** What has come so far makes batches of its own, so that it may be given whatever comes before it is proven. */
  sealAll(): void {
    if (this.#next > (this.#ready.at(-1)?.end ?? this.#position)) this.#seal(this.#next);
  }

  /** Takes the events in; returns how many versions became whole. Throws RevisionHole, and LOG_INCONSISTENT when the cluster's history is another one than it was. */
  take({ events, fragment }: IWatchResponse): number {
    const before = this.#next;
    for (const event of events) {
      const text = event.kv.mod_revision;
      if (text !== this.#text) {
        this.#endVersion();
        this.#beginVersion(text);
      }
      if (this.#isOld) this.#compareOld(event);
      else this.#takeEvent(event);
    }
    // An answer ends with a whole version unless it goes on in the next.
    if (!fragment) this.#endVersion();
    return this.#next - before;
  }

  /** The oldest batch that may be given; undefined when there is nothing. */
  give(): ReadyBatch | undefined {
    const first = this.#ready[0];
    if (first !== undefined) {
      if (first.end > this.#proven) return undefined;
      this.#ready.shift();
      this.#readyBytes -= first.batch.byteLength;
      this.#position = first.end;
      return first;
    }
    if (this.#proven < this.#next || this.#next === this.#position) return undefined;
    this.#position = this.#next;
    return { batch: this.#builder.build(), end: this.#next, mark: this.#mark(this.#next - 1) };
  }

  /** The watch has ended: what it has not sent whole, and what was not proven, is asked for again. */
  dropUnproven(): void {
    this.#dropVersion();
    if (this.#proven === this.#next) return;
    this.#builder.build().release();
    for (let last = this.#ready.at(-1); last !== undefined && last.end > this.#proven; last = this.#ready.at(-1)) {
      this.#ready.pop();
      this.#readyBytes -= last.batch.byteLength;
      last.batch.release();
    }
    this.#next = this.#ready.at(-1)?.end ?? this.#position;
    this.#proven = this.#next;
    this.#lastEvents = [];
  }

  dropAll(): void {
    this.#proven = this.#position;
    this.dropUnproven();
  }

  #beginVersion(text: string): void {
    const version = revisionNumber(text);
    if (version > this.#next) throw new RevisionHole(this.#next, version);
    this.#text = text;
    this.#version = version;
    // etcd sends revisions again after a follower was brought up by a snapshot, and we ask for the last one again.
    this.#isOld = version < this.#next;
    this.#comparedThrough = 0;
    this.#subsequence = 0;
  }

  #takeEvent(event: IEvent): void {
    const { filter, tag, totalTags } = this.#options;
    this.#subsequence++;
    this.#currentEvents.push(event);
    const { key, value } = event.kv;
    if (tagOfKey(key, totalTags) !== tag || !isWanted(filter, key)) return;
    const at = this.#count++;
    this.#events[at] = event;
    this.#subsequences[at] = this.#subsequence;
    // A clear has its key with a zero byte.
    this.#bytes += OVERHEAD_BYTES + key.length + (isPut(event) ? value.length : 1);
  }

  #endVersion(): void {
    if (this.#text !== '' && !this.#isOld) {
      this.#encode();
      const spare = this.#lastEvents;
      this.#lastEvents = this.#currentEvents;
      spare.length = 0;
      this.#currentEvents = spare;
      this.#next = this.#version + 1;
      if (this.#builder.byteLength >= this.#options.batchBytes) this.#seal(this.#next);
    }
    this.#dropVersion();
  }

  #dropVersion(): void {
    this.#text = '';
    this.#currentEvents.length = 0;
    // Their memory is a whole message each.
    this.#events.length = 0;
    this.#count = 0;
    this.#bytes = 0;
  }

  #encode(): void {
    const builder = this.#builder;
    const count = this.#count;
    if (count === 0) return;
    if (builder.recordCount > 0 && builder.byteLength + this.#bytes > this.#options.batchBytes)
      this.#seal(this.#version);
    builder.beginVersion(BigInt(this.#version));
    for (let i = 0; i < count; i++) {
      const event = this.#events[i] as IEvent;
      const { kv } = event;
      const subsequence = this.#subsequences[i] as number;
      if (isPut(event)) builder.add(subsequence, MutationType.SetValue, kv.key, kv.value);
      else builder.add(subsequence, MutationType.ClearRange, this.#keyAndZero(kv.key), NO_BYTES);
    }
  }

  /** A clear of this one key, in its short form. */
  #keyAndZero(key: Uint8Array): Uint8Array {
    const length = key.length + 1;
    if (length > this.#clear.length) this.#clear = new Uint8Array(2 * length);
    this.#clear.set(key);
    this.#clear[length - 1] = 0;
    return this.#clear.subarray(0, length);
  }

  /** Of the last version that came whole: that is the one below the end of a batch which ends here. */
  #mark(revision: number): HistoryMark | undefined {
    return this.#lastEvents.length === 0 ? undefined : { revision, hash: hashOfEvents(this.#lastEvents) };
  }

  #seal(end: number): void {
    const batch = this.#builder.build();
    this.#ready.push({ batch, end, mark: this.#mark(end - 1) });
    this.#readyBytes += batch.byteLength;
  }

  /** A reconnected watch is asked for the last version that came once more: if it is another one now, the cluster has been restored from an older state and has gone on from there. */
  #compareOld(event: IEvent): void {
    if (this.#version !== this.#next - 1 || this.#lastEvents.length === 0) return;
    // Of a version that was compacted since, etcd may send a part only.
    while (this.#comparedThrough < this.#lastEvents.length)
      if (isSame(this.#lastEvents[this.#comparedThrough++] as IEvent, event)) return;
    throw new BackupError(
      'LOG_INCONSISTENT',
      `etcd: revision ${this.#version} is another one than it was: the cluster was restored from an older state. What was stored from then on is no part of its history any more: ` +
        'abort the jobs and begin a new backup with progress of its own',
      { version: BigInt(this.#version) },
    );
  }
}

/** etcd's own definition calls it PUT; the one that the client brings along, whose names its messages have, Put. */
function isPut({ type }: { readonly type: string }): boolean {
  return type === 'PUT' || type === 'Put';
}

function isSame(a: IEvent, b: IEvent): boolean {
  return isPut(a) === isPut(b) && equalBytes(a.kv.key, b.kv.key) && equalBytes(a.kv.value, b.kv.value);
}
