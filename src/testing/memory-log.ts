// A log in memory with everything that is awkward about real ones: tags, epochs, pops, an uncommitted tail, faults.
// Deterministic: nothing happens but by a call. For tests of workers and of hosts' own code around them.

import type { Clock } from '../core/clock.js';
import { systemClock } from '../core/clock.js';
import { BackupError } from '../core/errors.js';
import type { LogEpoch, Tag, Version } from '../core/version.js';
import { checkVersion } from '../core/check-version.js';
import { formatTag, LOG_ROUTER_LOCALITY, maxVersion, minVersion } from '../core/version.js';
import type {
  LogEpochInfo,
  LogSource,
  LogSystemInfo,
  PeekReply,
  PeekRequest,
  PopRequest,
} from '../ports/log-source.js';
import { MemoryLogFaults } from './memory-log-faults.js';
import type { FailNextOptions, MemoryLogCall } from './memory-log-faults.js';
import type { LogMessage } from './memory-log-partition.js';
import { MemoryLogPartition } from './memory-log-partition.js';

export interface MemoryLogOptions {
  /** Tags of the first epoch: `-2:0` to `-2:(totalTags - 1)`. */
  readonly totalTags: number;
  /** Number of the first epoch. Default 1. */
  readonly epoch?: LogEpoch;
  /** The first version of the first epoch, inclusive. Default 1n. */
  readonly begin?: Version;
  /** What `delay` waits by. */
  readonly clock?: Clock;
}

/** What a commit writes: a mutation of a tag's partition, `tag` being the tag's id. */
export interface MemoryLogMessage {
  readonly tag: number;
  readonly mutation: { readonly type: number; readonly param1: Uint8Array; readonly param2: Uint8Array };
}

export interface CommitOptions {
  /** Default: the version after the largest one known. */
  readonly version?: Version;
  /** Leave it above the min known committed version: served by peeks, and lost in a recovery until `setCommitted`. Default false. */
  readonly uncommitted?: boolean;
}

export interface RecoverOptions {
  /** Tags of the new epoch. Default: as many as before. */
  readonly totalTags?: number;
  /** End of the old epoch, exclusive, and begin of the new one. Above what is committed. Default: right above it. */
  readonly end?: Version;
  /** Default the old number + 1. */
  readonly epoch?: LogEpoch;
  /** False: `logSystem()` keeps the old state until `announce()`, as for a worker that has not been told yet. Default true. */
  readonly announce?: boolean;
}

export interface PopRecord {
  readonly epoch: LogEpoch;
  readonly tag: Tag;
  readonly upTo: Version;
}

interface Epoch {
  readonly epoch: LogEpoch;
  readonly begin: Version;
  end: Version | undefined;
  readonly partitions: readonly MemoryLogPartition[];
}

/**
 * Pops are real: what is popped is gone, in older epochs too (a pop of a tag discards the data of the same tag id in every older epoch, as
 * FoundationDB's does; that is why workers withhold it, rule P5). Popping what is not committed is refused: no worker may do it.
 */
export class MemoryLog implements LogSource {
  readonly #epochs: Epoch[];
  /** The largest version of which everything is known. */
  #known: Version;
  #committed: Version;
  #oldestBackupEpoch: LogEpoch | undefined;
  readonly #pops: PopRecord[] = [];
  readonly #faults: MemoryLogFaults;
  /** What `logSystem` shows. */
  #announced: LogSystemInfo;
  /** There was a recovery that it does not show. */
  #hidden = false;
  readonly #wakeups = new Set<() => void>();

  constructor(options: MemoryLogOptions) {
    const begin = options.begin ?? 1n;
    checkVersion(begin, 'begin');
    const epoch = options.epoch ?? 1;
    this.#epochs = [newEpoch(epoch, begin, options.totalTags)];
    this.#known = begin - 1n;
    this.#committed = begin - 1n;
    this.#oldestBackupEpoch = epoch;
    this.#faults = new MemoryLogFaults(options.clock ?? systemClock);
    this.#announced = this.#logSystemInfo();
  }

  // The database's side

  /** The current epoch. */
  get epoch(): LogEpoch {
    return this.#current.epoch;
  }

  get totalTags(): number {
    return this.#current.partitions.length;
  }

  /** The largest version of which everything is known, inclusive: peeks of the current epoch end right above it. */
  get knownVersion(): Version {
    return this.#known;
  }

  /** Min known committed version of the current epoch, inclusive. */
  get committed(): Version {
    return this.#committed;
  }

  /** Every epoch there ever was, oldest first. */
  get epochs(): readonly LogEpochInfo[] {
    return this.#epochs.map(epochInfo);
  }

  /** Writes one version. Subsequences count from 1 over all its messages, in order. Returns the version. */
  commit(messages: readonly MemoryLogMessage[], options: CommitOptions = {}): Version {
    const version = options.version ?? this.#known + 1n;
    this.#checkAdvance(version);
    const byTag = new Map<number, LogMessage[]>();
    messages.forEach(({ tag, mutation }, index) => {
      this.#partition(this.#current, { locality: LOG_ROUTER_LOCALITY, id: tag });
      const list = byTag.get(tag) ?? [];
      list.push({
        subsequence: index + 1,
        type: mutation.type,
        param1: mutation.param1.slice(),
        param2: mutation.param2.slice(),
      });
      byTag.set(tag, list);
    });
    for (const [tag, list] of byTag) this.#current.partitions[tag]?.add(version, list);
    this.#advance(version, options.uncommitted ?? false);
    return version;
  }

  /** Nothing is written from the last known version up to and including `version`. */
  advance(version: Version, options: { readonly uncommitted?: boolean } = {}): void {
    this.#checkAdvance(version);
    this.#advance(version, options.uncommitted ?? false);
  }

  /** Everything known at or below `version` is durable. A lower version than before changes nothing. */
  setCommitted(version: Version): void {
    if (version > this.#known) {
      throw new BackupError('INVALID_OPTION', `nothing is known of version ${version}: the log is at ${this.#known}`);
    }
    this.#committed = maxVersion(this.#committed, version);
    this.#wake();
  }

  /** Ends the epoch, rolls back what is at or above its end, and starts the next one there. Returns the new epoch's number. */
  recover(options: RecoverOptions = {}): LogEpoch {
    const old = this.#current;
    const end = options.end ?? this.#committed + 1n;
    checkVersion(end, 'end');
    if (end <= this.#committed) {
      throw new BackupError('INVALID_OPTION', `end must be above the committed version ${this.#committed}, got ${end}`);
    }
    const epoch = options.epoch ?? old.epoch + 1;
    if (epoch <= old.epoch) throw new BackupError('INVALID_OPTION', `epoch must be above ${old.epoch}, got ${epoch}`);
    const next = newEpoch(epoch, end, options.totalTags ?? old.partitions.length);
    old.end = end;
    for (const partition of old.partitions) partition.rollBack(end);
    this.#epochs.push(next);
    this.#known = end - 1n;
    this.#committed = end - 1n;
    this.#hidden ||= !(options.announce ?? true);
    this.#refresh();
    this.#wake();
    return epoch;
  }

  /** Shows the present state in `logSystem()`, after `recover({announce: false})` had kept it from there. */
  announce(): void {
    this.#hidden = false;
    this.#announced = this.#logSystemInfo();
    this.#wake();
  }

  /** What `logSystem()` says of it; undefined: not known, so that no worker pops. Older epochs than that are discarded. */
  setOldestBackupEpoch(epoch: LogEpoch | undefined): void {
    this.#oldestBackupEpoch = epoch;
    for (const old of this.#epochs) {
      if (epoch === undefined || old.epoch >= epoch || old.end === undefined) continue;
      for (const partition of old.partitions) partition.pop(old.end - 1n);
    }
    this.#refresh();
  }

  // What a test looks at

  /** Every pop that took place, in order, repeated ones too. */
  get pops(): readonly PopRecord[] {
    return this.#pops;
  }

  /** The largest version popped, inclusive; undefined: none. */
  popped(epoch: LogEpoch, tag: Tag): Version | undefined {
    return this.#partition(this.#epoch(epoch), tag).popped;
  }

  /** The versions in which this tag still holds messages. */
  versions(epoch: LogEpoch, tag: Tag): readonly Version[] {
    return this.#partition(this.#epoch(epoch), tag).versions;
  }

  /** The next calls of this method fail with `error` (see FailNextOptions). */
  failNext(call: MemoryLogCall, error: Error, options: FailNextOptions = {}): void {
    this.#faults.failNext(call, error, options);
  }

  /** Every call of this method takes `ms` of the clock's milliseconds from now on. */
  delay(call: MemoryLogCall, ms: number): void {
    this.#faults.delay(call, ms);
  }

  // LogSource

  async peek(request: PeekRequest): Promise<PeekReply> {
    return this.#faults.around('peek', request.signal, () => this.#peek(request));
  }

  async pop(request: PopRequest): Promise<void> {
    await this.#faults.around('pop', undefined, () => {
      this.#pop(request);
    });
  }

  async minKnownCommittedVersion(request: {
    readonly epoch: LogEpoch;
    readonly signal: AbortSignal;
  }): Promise<Version> {
    return this.#faults.around('minKnownCommittedVersion', request.signal, () =>
      this.#minKnownCommitted(this.#epoch(request.epoch)),
    );
  }

  async committedVersion(signal: AbortSignal): Promise<Version> {
    return this.#faults.around('committedVersion', signal, () => this.#committed);
  }

  async *logSystem(signal: AbortSignal): AsyncIterable<LogSystemInfo> {
    let shown: LogSystemInfo | undefined;
    while (!signal.aborted) {
      if (shown === this.#announced) await this.#change(signal);
      else yield (shown = this.#announced);
    }
  }

  async #peek({ epoch: number, tag, begin, maxBytes, signal }: PeekRequest): Promise<PeekReply> {
    const epoch = this.#epoch(number);
    const partition = this.#partition(epoch, tag);
    if (begin < epoch.begin) {
      throw new BackupError('INVALID_OPTION', `epoch ${number} begins at ${epoch.begin}: nothing to peek at ${begin}`, {
        epoch: number,
        tag,
      });
    }
    for (;;) {
      signal.throwIfAborted();
      const end = epoch.end ?? this.#known + 1n;
      if (end > begin || epoch.end !== undefined) {
        // A worker that has not been told of the recovery may ask from above the epoch's end.
        const read = partition.read(begin, maxVersion(begin, end), maxBytes);
        return { ...read, minKnownCommittedVersion: this.#minKnownCommitted(epoch), popped: partition.popped };
      }
      await this.#change(signal);
    }
  }

  #pop({ epoch: number, tag, upTo }: PopRequest): void {
    const epoch = this.#epoch(number);
    const partition = this.#partition(epoch, tag);
    const committed = this.#minKnownCommitted(epoch);
    if (upTo > committed) {
      throw new BackupError(
        'INVALID_OPTION',
        `${formatTag(tag)} of epoch ${number} is committed up to ${committed}, not ${upTo}`,
        {
          epoch: number,
          tag,
          version: upTo,
        },
      );
    }
    this.#pops.push({ epoch: number, tag, upTo });
    for (const old of this.#epochs) {
      if (old.epoch < number && old.end !== undefined) old.partitions[tag.id]?.pop(minVersion(upTo, old.end - 1n));
    }
    partition.pop(upTo);
    this.#refresh();
  }

  #checkAdvance(version: Version): void {
    checkVersion(version, 'version');
    if (version <= this.#known) {
      throw new BackupError('INVALID_OPTION', `versions only grow: ${version} after ${this.#known}`, { version });
    }
  }

  #advance(version: Version, uncommitted: boolean): void {
    this.#known = version;
    if (!uncommitted) this.#committed = version;
    this.#wake();
  }

  /** The state as `logSystem` is to show it, unless a recovery is still kept from it. */
  #refresh(): void {
    if (!this.#hidden) this.announce();
  }

  #logSystemInfo(): LogSystemInfo {
    // An old epoch exists as long as a tag of it holds anything that was not discarded.
    const epochs = this.#epochs.filter(
      ({ end, partitions }) =>
        end === undefined || partitions.some(({ popped }) => popped === undefined || popped < end - 1n),
    );
    return {
      recoveryCount: this.#current.epoch,
      recoveryState: epochs.length === 1 ? 'fully_recovered' : 'accepting_commits',
      oldestBackupEpoch: this.#oldestBackupEpoch,
      epochs: epochs.map(epochInfo),
    };
  }

  #minKnownCommitted(epoch: Epoch): Version {
    return epoch.end === undefined ? this.#committed : epoch.end - 1n;
  }

  get #current(): Epoch {
    return this.#epochs.at(-1) as Epoch;
  }

  #epoch(number: LogEpoch): Epoch {
    const epoch = this.#epochs.find((candidate) => candidate.epoch === number);
    if (epoch === undefined) throw new BackupError('INVALID_OPTION', `there is no epoch ${number}`, { epoch: number });
    return epoch;
  }

  #partition(epoch: Epoch, tag: Tag): MemoryLogPartition {
    const partition = tag.locality === LOG_ROUTER_LOCALITY ? epoch.partitions[tag.id] : undefined;
    if (partition === undefined) {
      const message = `epoch ${epoch.epoch} has the tags -2:0 to -2:${epoch.partitions.length - 1}, not ${formatTag(tag)}`;
      throw new BackupError('INVALID_OPTION', message, { epoch: epoch.epoch, tag });
    }
    return partition;
  }

  #wake(): void {
    for (const wakeup of [...this.#wakeups]) wakeup();
  }

  /** Resolves at the next change of anything, or when the signal aborts. */
  #change(signal: AbortSignal): Promise<void> {
    return new Promise<void>((resolve) => {
      const wakeup = () => {
        signal.removeEventListener('abort', wakeup);
        this.#wakeups.delete(wakeup);
        resolve();
      };
      signal.addEventListener('abort', wakeup, { once: true });
      this.#wakeups.add(wakeup);
      if (signal.aborted) wakeup();
    });
  }
}

function newEpoch(epoch: LogEpoch, begin: Version, totalTags: number): Epoch {
  if (!Number.isSafeInteger(totalTags) || totalTags < 1) {
    throw new BackupError('INVALID_OPTION', `totalTags must be a whole number from 1 on, got ${totalTags}`);
  }
  return {
    epoch,
    begin,
    end: undefined,
    partitions: Array.from({ length: totalTags }, () => new MemoryLogPartition()),
  };
}

function epochInfo({ epoch, begin, end, partitions }: Epoch): LogEpochInfo {
  return { epoch, begin, end, totalTags: partitions.length };
}
