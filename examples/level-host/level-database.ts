// The host: a small, real database on LevelDB. Transactions commit at versions that only grow, a durable commit log goes with them.
//
// There is one writer. It takes all transactions that are waiting (group commit), gives each its version, evaluates them in order and writes rows, log pages and
// the new version in one synced LevelDB batch: after a crash either all of it is there or nothing.

import { EventEmitter, once } from 'node:events';
import { systemRandom, type KeyRange, type Mutation, type Random, type Version } from 'tidemark';
import { CommitLog, type LogStretch } from './commit-log.js';
import { applyMutation, keysToRead } from './evaluate.js';
import { ALL_ROWS, decodeVersion, encodeVersion, metaKey, rowKey, rowsWithin } from './keys.js';
import { addAll, openLevel, writeSynced, type Level } from './level.js';
import { RowChanges } from './row-changes.js';
import { DURABLE_VERSION, RowsView } from './rows-view.js';
import type { Transaction } from './transaction.js';

export interface LevelDatabaseOptions {
  /** Partitions of the log. Fixed when the database is made. Default 4. */
  readonly totalTags?: number;
  /** An idle database still moves its version on this often, so that an idle log is not a stuck one. Milliseconds, default 200. */
  readonly heartbeatInterval?: number;
  /** For the gaps between versions. */
  readonly random?: Random;
}

export interface LogReadRequest {
  readonly tagId: number;
  /** Inclusive. */
  readonly begin: Version;
  readonly maxBytes: number;
  readonly signal: AbortSignal;
}

export interface LogReadReply extends LogStretch {
  /** Inclusive. Everything at or below it is durable. */
  readonly durableVersion: Version;
}

interface WaitingCommit {
  readonly mutations: readonly Mutation[];
  readonly resolve: (version: Version) => void;
  readonly reject: (error: unknown) => void;
}

const TOTAL_TAGS = metaKey('total-tags');
const MAX_GROUP = 256;
const MAX_WAITING = 10_000;
const MAX_VERSION_STEP = 2_000;

export class LevelDatabase {
  /** This database never changes its log system: there is one epoch, and it has no end. */
  readonly epoch = 1;
  readonly #level: Level;
  readonly #log: CommitLog;
  readonly #random: Random;
  readonly #heartbeatInterval: number;
  readonly #waiting: WaitingCommit[] = [];
  readonly #events = new EventEmitter<{ commit: []; durable: [] }>().setMaxListeners(0);
  readonly #closing = new AbortController();
  readonly #writer: Promise<void>;
  #durableVersion: Version;
  #failure: Error | undefined;

  private constructor(level: Level, log: CommitLog, durableVersion: Version, options: LevelDatabaseOptions) {
    this.#level = level;
    this.#log = log;
    this.#durableVersion = durableVersion;
    this.#random = options.random ?? systemRandom;
    this.#heartbeatInterval = options.heartbeatInterval ?? 200;
    this.#writer = this.#write();
  }

  static async open(location: string, options: LevelDatabaseOptions = {}): Promise<LevelDatabase> {
    const level = await openLevel(location);
    const stored = await level.get(TOTAL_TAGS);
    const totalTags = stored === undefined ? (options.totalTags ?? 4) : Number(decodeVersion(stored));
    if (stored === undefined) await level.put(TOTAL_TAGS, encodeVersion(BigInt(totalTags)), { sync: true });
    const version = await level.get(DURABLE_VERSION);
    const log = await CommitLog.open(level, 1, totalTags);
    return new LevelDatabase(level, log, version === undefined ? 0n : decodeVersion(version), options);
  }

  get totalTags(): number {
    return this.#log.totalTags;
  }

  /** Inclusive: everything at or below it is committed and durable. */
  get durableVersion(): Version {
    return this.#durableVersion;
  }

  /** Resolves, with its version, when the transaction is durable. */
  commit(transaction: Transaction): Promise<Version> {
    if (this.#closing.signal.aborted) return Promise.reject(this.#failure ?? new Error('The database is closed'));
    if (this.#waiting.length >= MAX_WAITING)
      return Promise.reject(new Error(`${MAX_WAITING} transactions are waiting already`));
    return new Promise((resolve, reject) => {
      this.#waiting.push({ mutations: transaction.mutations, resolve, reject });
      this.#events.emit('commit');
    });
  }

  get(key: Uint8Array): Promise<Uint8Array | undefined> {
    return this.#level.get(rowKey(key));
  }

  /** All rows in key order, as of now. */
  rows(): AsyncIterable<[key: Uint8Array, value: Uint8Array]> {
    return rowsOf(this.#level);
  }

  /** The rows at a version of at least `atLeast`, which stay as they are until the view is closed; resolves once there is such a version. Rejects with the signal's reason. */
  async viewRows(atLeast: Version, signal: AbortSignal): Promise<RowsView> {
    await this.#until(() => this.#durableVersion >= atLeast, signal);
    return RowsView.open(this.#level);
  }

  /** LevelDB's estimate of the bytes of its files that hold these rows, old values among them. */
  approximateSize(range: KeyRange): Promise<number> {
    const { gte, lt } = rowsWithin(range);
    return this.#level.approximateSize(gte, lt);
  }

  /** undefined when there is no row. */
  async firstAndLastKey(range: KeyRange): Promise<[first: Uint8Array, last: Uint8Array] | undefined> {
    const [[first], [last]] = await Promise.all([
      this.#level.keys({ ...rowsWithin(range), limit: 1 }).all(),
      this.#level.keys({ ...rowsWithin(range), limit: 1, reverse: true }).all(),
    ]);
    return first && last && [first, last];
  }

  /** Resolves once the log is known beyond `begin`. */
  async readLog({ tagId, begin, maxBytes, signal }: LogReadRequest): Promise<LogReadReply> {
    await this.#until(() => this.#durableVersion >= begin, signal);
    const durableVersion = this.#durableVersion;
    return { ...(await this.#log.read(tagId, begin, durableVersion + 1n, maxBytes)), durableVersion };
  }

  /** Inclusive. Only what is durable can be popped. */
  async popLog(tagId: number, upTo: Version): Promise<void> {
    if (upTo > this.#durableVersion)
      throw new RangeError(`Cannot pop up to ${upTo}: the log is durable up to ${this.#durableVersion}`);
    await this.#log.pop(tagId, upTo);
  }

  async logSize(): Promise<{ storedBytes: number; poppedBytes: number }> {
    return { storedBytes: await this.#log.storedBytes(), poppedBytes: this.#log.poppedBytes };
  }

  /** Commits what is waiting, then closes. */
  async close(): Promise<void> {
    this.#closing.abort();
    await this.#writer;
    await this.#log.close();
    await this.#level.close();
  }

  /** Looks after every commit and heartbeat. */
  async #until(condition: () => boolean, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const either = AbortSignal.any([signal, this.#closing.signal]);
    try {
      while (!condition()) await once(this.#events, 'durable', { signal: either });
    } catch (error) {
      signal.throwIfAborted();
      throw error;
    }
  }

  async #write(): Promise<void> {
    try {
      while (!this.#closing.signal.aborted || this.#waiting.length > 0) {
        if (this.#waiting.length === 0) await this.#commitOrHeartbeat();
        await this.#commitGroup(this.#waiting.splice(0, MAX_GROUP));
      }
    } catch (error) {
      // What a failed write left behind is unknown: like any database, this one stops until it is opened again.
      this.#failure = new Error('The database has stopped: it could not write', { cause: error });
      this.#closing.abort();
      for (const { reject } of this.#waiting.splice(0)) reject(error);
    }
  }

  /** Resolves when a transaction is waiting, when it is time for a heartbeat, or when the database closes. */
  async #commitOrHeartbeat(): Promise<void> {
    const signal = AbortSignal.any([this.#closing.signal, AbortSignal.timeout(this.#heartbeatInterval)]);
    await once(this.#events, 'commit', { signal }).catch((error: unknown) => {
      if (!signal.aborted) throw error;
    });
  }

  /** An empty group is a heartbeat: the version moves on, durably, so that no later commit can fall into what was called empty. */
  async #commitGroup(group: readonly WaitingCommit[]): Promise<void> {
    try {
      const versions = await this.#store(group);
      group.forEach(({ resolve }, i) => resolve(versions[i] as Version));
    } catch (error) {
      for (const { reject } of group) reject(error);
      throw error;
    }
  }

  async #store(group: readonly WaitingCommit[]): Promise<Version[]> {
    const changes = new RowChanges(this.#level);
    await changes.load(keysToRead(group.flatMap(({ mutations }) => mutations)));
    const versions: Version[] = [];
    let version = this.#durableVersion;
    for (const { mutations } of group) {
      version = this.#nextVersion(version);
      versions.push(version);
      for (const mutation of mutations) await applyMutation(changes, mutation);
      this.#log.append(version, mutations);
    }
    if (group.length === 0) version = this.#nextVersion(version);
    await writeSynced(this.#level, (batch) => {
      addAll(batch, changes.operations());
      addAll(batch, this.#log.takePages());
      batch.put(DURABLE_VERSION, encodeVersion(version));
    });
    this.#durableVersion = version;
    this.#events.emit('durable');
    return versions;
  }

  /** Versions have gaps, as in a real system, where they follow the clock. */
  #nextVersion(version: Version): Version {
    return version + 1n + BigInt(Math.floor(this.#random.next() * MAX_VERSION_STEP));
  }
}

/** All rows of a LevelDB that a LevelDatabase or a LevelRestoreTarget has filled, in key order. */
export function rowsOf(level: Level): AsyncIterable<[key: Uint8Array, value: Uint8Array]> {
  return level.iterator(rowsWithin(ALL_ROWS));
}
