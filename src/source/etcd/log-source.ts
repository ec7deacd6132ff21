// The LogSource of an etcd cluster: its watch stream is the log. A revision is a version, the place of an event in its revision the subsequence; a put is a set, a delete (by a lease too) clears the one key.
// It must never leave a change out without saying so.

import { systemClock } from '../../core/clock.js';
import { BufferPool } from '../../core/buffer-pool.js';
import { checkVersion } from '../../core/check-version.js';
import { checkMethods, checkWholeNumber } from '../../core/check-option.js';
import { BackupError } from '../../core/errors.js';
import { MessageBatch } from '../../core/message-batch.js';
import type { LogEpoch, Tag, Version } from '../../core/version.js';
import { formatTag } from '../../core/version.js';
import type { LogSource, PeekReply, PeekRequest, PopRequest } from '../../ports/log-source.js';
import type { ProgressStore } from '../../ports/progress-store.js';
import { EtcdCluster } from './cluster.js';
import type { EtcdEpoch } from './epoch.js';
import type { EtcdCompactOptions } from './log-compaction.js';
import { LogCompaction } from './log-compaction.js';
import { LogHistory } from './log-history.js';
import { LogStream } from './log-stream.js';
import type { EtcdOptions, KeyFilter } from './options.js';
import { resolveKeys } from './options.js';

export interface EtcdLogOptions extends EtcdOptions {
  /** From `etcdEpoch()`: which cluster it is and over how many tags its keys are spread. The same goes to `recruit`. */
  readonly epoch: EtcdEpoch;
  /**
   * Bytes of changes held for each tag ahead of its peeks; above it etcd is held up. What one answer of etcd brings (about its --max-request-bytes), and up to 16 more that are on their way, come on top.
   * Default 16 MiB.
   */
  readonly bufferBytes?: number | undefined;
  /**
   * The progress store of the jobs. With it a mark of the history that is in files is recorded, and a cluster that was restored from an older state while no worker ran is noticed however far it has come since.
   * Without it, only where it is behind what was backed up, has another number, or is restored while a worker runs.
   */
  readonly store?: ProgressStore | undefined;
  /** Pops compact the cluster, never above what all tags have popped. Needs `store`. Default: compaction is the operator's (--auto-compaction-retention), and pops do nothing. */
  readonly compact?: EtcdCompactOptions | undefined;
}

const MIB = 1 << 20;
/** A worker that takes over from another peeks beside it for a while; more are not needed for a tag. */
const STREAMS_PER_TAG = 2;

/**
 * Watches the whole key space also where only a `range` is wanted: every revision changes some key, so a watch of all keys that misses one is seen to have a hole, which that of a range is not; its user needs
 * the right to read all keys. One stream per tag, each of everything; a tag keeps what is its own.
 *
 * Errors: LOG_INCONSISTENT (final) when a revision is missing, when the cluster went back to an older state or is another one; ETCD_DENIED, ETCD_LIMIT (final); ETCD_UNAVAILABLE, retried by the workers.
 * A stretch that was compacted before it was read is reported as popped, up to and including the compact revision: a LOG_GAP for a worker that needs it.
 */
export class EtcdLogSource implements LogSource {
  readonly #options: EtcdLogOptions;
  readonly #filter: KeyFilter;
  readonly #bufferBytes: number;
  readonly #cluster: EtcdCluster;
  readonly #history: LogHistory | undefined;
  readonly #compaction: LogCompaction | undefined;
  readonly #pool = new BufferPool();
  /** By tag; those that were read last at the end. */
  readonly #streams: LogStream[][];
  /** Takes back the listener on the signal of the peek that a stream was last read by. */
  readonly #letGo = new Map<LogStream, () => void>();
  #compacted: Version | undefined;
  #isClosed = false;

  constructor(options: EtcdLogOptions) {
    this.#filter = resolveKeys(options);
    checkEpoch(options.epoch);
    this.#bufferBytes = checkWholeNumber('bufferBytes', options.bufferBytes ?? 16 * MIB, 1);
    this.#options = options;
    const { client, clock = systemClock, epoch, store, compact } = options;
    this.#cluster = new EtcdCluster(client, clock, epoch.clusterId);
    if (store !== undefined) {
      checkMethods('store', store, 'ProgressStore', ['transact', 'watch', 'acquireLease']);
      this.#history = new LogHistory({ client, clock, cluster: this.#cluster, store });
    }
    if (compact !== undefined) {
      if (store === undefined)
        throw new BackupError('INVALID_OPTION', 'compact needs store: the pops of all tags are recorded there');
      this.#compaction = new LogCompaction(client, clock, store, epoch.totalTags, compact);
    }
    this.#streams = Array.from({ length: options.epoch.totalTags }, () => []);
  }

  /** Bytes of changes held ahead of peeks, over all tags. */
  get bufferedBytes(): number {
    return this.#streams.flat().reduce((sum, stream) => sum + stream.bytes, 0);
  }

  async peek({ epoch, tag, begin, maxBytes, signal }: PeekRequest): Promise<PeekReply> {
    this.#check(epoch, tag);
    checkVersion(begin, 'begin');
    signal.throwIfAborted();
    // Also for versions that no number holds.
    if (begin > 0n) await this.#cluster.reach(begin - 1n, signal);
    await this.#history?.check(signal);
    this.#check(epoch, tag);
    const stream = this.#streamAt(tag.id, Number(begin), maxBytes);
    this.#follow(stream, tag.id, signal);
    const reply = await stream.read(signal);
    const minKnownCommittedVersion = BigInt(this.#cluster.highest);
    if ('compacted' in reply) {
      if (this.#compacted === undefined || reply.compacted > this.#compacted) this.#compacted = reply.compacted;
      return { batch: MessageBatch.empty, end: begin, minKnownCommittedVersion, popped: this.#compacted };
    }
    if (reply.mark !== undefined) this.#history?.note(tag.id, reply.mark);
    // What was compacted after it had been read is not missing from this reply.
    const popped = this.#compacted !== undefined && this.#compacted < begin ? this.#compacted : undefined;
    return { batch: reply.batch, end: BigInt(reply.end), minKnownCommittedVersion, popped };
  }

  /** Nothing is discarded, since compaction is the operator's; with `compact` it may be, by and by. */
  async pop({ epoch, tag, upTo }: PopRequest): Promise<void> {
    this.#check(epoch, tag);
    checkVersion(upTo, 'upTo');
    await this.#history?.popped(tag.id, upTo);
    await this.#compaction?.popped(tag.id, upTo, this.#cluster.highest);
  }

  async minKnownCommittedVersion({ epoch, signal }: { readonly epoch: LogEpoch; readonly signal: AbortSignal }) {
    this.#check(epoch);
    return this.committedVersion(signal);
  }

  /** The revision of a linearizable read. */
  async committedVersion(signal: AbortSignal): Promise<Version> {
    this.#check(this.#options.epoch.epoch);
    return BigInt(await this.#cluster.read(signal));
  }

  /** Ends all watches; whoever still peeks is refused. The client stays open. Streams end with the signals of their peeks too. */
  close(): void {
    this.#isClosed = true;
    for (const [tag, streams] of this.#streams.entries()) for (const stream of [...streams]) this.#drop(stream, tag);
  }

  #check(epoch: LogEpoch, tag?: Tag): void {
    if (this.#isClosed) throw new BackupError('INVALID_STATE', 'the log source of etcd was closed');
    const own = this.#options.epoch;
    if (epoch === own.epoch && (tag === undefined || (tag.id >= 0 && tag.id < own.totalTags))) return;
    const what = tag === undefined ? `epoch ${epoch}` : `epoch ${epoch}, tag ${formatTag(tag)}`;
    throw new BackupError(
      'INVALID_OPTION',
      `the log of etcd has one epoch, ${own.epoch}, with ${own.totalTags} tags; asked for ${what}`,
      { epoch, tag },
    );
  }

  /** The stream that is there already and nobody else reads, or a new one. */
  #streamAt(tag: number, begin: number, batchBytes: number): LogStream {
    const streams = this.#streams[tag] as LogStream[];
    const found = streams.find(
      (stream) => !stream.isBusy && stream.position === begin && stream.batchBytes === batchBytes,
    );
    if (found !== undefined) {
      streams.push(...streams.splice(streams.indexOf(found), 1));
      return found;
    }
    while (streams.length >= STREAMS_PER_TAG) {
      const idle = streams.find((stream) => !stream.isBusy);
      if (idle === undefined) break;
      this.#drop(idle, tag);
    }
    const { client, clock = systemClock, epoch } = this.#options;
    const stream = new LogStream({
      client,
      clock,
      cluster: this.#cluster,
      filter: this.#filter,
      tag,
      totalTags: epoch.totalTags,
      begin,
      batchBytes,
      bufferBytes: this.#bufferBytes,
      onBroken: () => this.#history?.doubt(),
      pool: this.#pool,
    });
    streams.push(stream);
    return stream;
  }

  /** A stream lives as long as the signal of the peek that last read it: whoever stops peeking aborts it. */
  #follow(stream: LogStream, tag: number, signal: AbortSignal): void {
    this.#letGo.get(stream)?.();
    const onAbort = () => this.#drop(stream, tag);
    signal.addEventListener('abort', onAbort, { once: true });
    this.#letGo.set(stream, () => signal.removeEventListener('abort', onAbort));
  }

  #drop(stream: LogStream, tag: number): void {
    this.#letGo.get(stream)?.();
    this.#letGo.delete(stream);
    const streams = this.#streams[tag] as LogStream[];
    const at = streams.indexOf(stream);
    if (at >= 0) streams.splice(at, 1);
    stream.close();
  }
}

function checkEpoch(epoch: EtcdEpoch): void {
  const { clusterId, totalTags } = epoch as Partial<EtcdEpoch>;
  if (typeof clusterId === 'string' && Number.isSafeInteger(totalTags) && (totalTags as number) >= 1) return;
  throw new BackupError('INVALID_OPTION', 'epoch must be what etcdEpoch() gave');
}
