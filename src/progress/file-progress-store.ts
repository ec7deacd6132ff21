// A progress store in a folder of one machine, for any number of processes at once. What makes it safe is told in progress-history.ts.

import type { FSWatcher } from 'node:fs';
import { watch as watchFolder } from 'node:fs';
import { resolve } from 'node:path';
import { Mutex } from 'async-mutex';
import type { Clock, Random } from '../core/clock.js';
import { machineTime, systemClock, systemRandom } from '../core/clock.js';
import { BackupError } from '../core/errors.js';
import { systemErrorCode } from '../core/file-system.js';
import type { Lease, LeaseRequest, ProgressStore, ProgressTransaction } from '../ports/progress-store.js';
import type { LeaseDecision } from './leases.js';
import { acquireLease } from './leases.js';
import { ProgressHistory } from './progress-history.js';
import type { ProgressState } from './progress-state.js';
import { sameValue } from './progress-state.js';
import { SnapshotTransaction } from './snapshot-transaction.js';
import { checkProgressKey } from './progress-key.js';
import { Watchers } from './watchers.js';

export interface FileProgressStoreOptions {
  /** Made if it is missing. On a local file system: the store relies on link() and on folders that can be synced. */
  readonly directory: string;
  readonly clock?: Clock;
  readonly random?: Random;
  /**
   * By which leases end: milliseconds, the same for all processes that use the directory. Default: the time since the machine was started, which does not run backwards and does not follow when the
   * machine's clock is set. When the machine starts anew, the leases of before have ended.
   */
  readonly leaseTime?: () => number;
  /**
   * Milliseconds after which a waiting watch looks for itself. Default 1000. Most changes are noticed at once (fs.watch); this is for those that the system does not tell.
   */
  readonly pollInterval?: number;
  /** How often a body runs in one `transact` before it rejects with STORE_CONFLICT. Default 100. */
  readonly maxAttempts?: number;
  /** Commits kept one by one before they are folded into one state. Default 256: what a process reads at most when it opens the store. */
  readonly generationCommits?: number;
}

/** So often a commit is tried again after others were faster, without running the body again, since nothing that it read has changed. */
const MAX_RACES = 100;
const MAX_BACKOFF = 50;

/**
 * Survives `kill -9` and power failure at any moment with the last committed state; a process that is stopped holds up nobody. A transaction costs two syncs of
 * the disk. Objects in one process and in several are alike: each is a client of its own.
 */
export class FileProgressStore implements ProgressStore {
  readonly directory: string;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #leaseTime: () => number;
  readonly #pollInterval: number;
  readonly #maxAttempts: number;
  readonly #history: ProgressHistory;
  /** The history is used by one call at a time. */
  readonly #mutex = new Mutex();
  readonly #watchers = new Watchers(() => this.#wake?.());
  #notified: ProgressState | undefined;
  /** Runs while somebody watches; never rejects. */
  #following: Promise<void> = Promise.resolve();
  #isFollowing = false;
  #wake: (() => void) | undefined;
  #closed = false;

  constructor(options: FileProgressStoreOptions) {
    if (typeof options.directory !== 'string' || options.directory === '') {
      throw new BackupError('INVALID_OPTION', `directory must be a path, got ${JSON.stringify(options.directory)}`);
    }
    this.directory = resolve(options.directory);
    this.#clock = options.clock ?? systemClock;
    this.#random = options.random ?? systemRandom;
    this.#leaseTime = options.leaseTime ?? machineTime;
    this.#pollInterval = wholeNumber(options.pollInterval ?? 1000, 'pollInterval');
    this.#maxAttempts = wholeNumber(options.maxAttempts ?? 100, 'maxAttempts');
    const generationCommits = wholeNumber(options.generationCommits ?? 256, 'generationCommits');
    this.#history = new ProgressHistory({ directory: this.directory, random: this.#random, generationCommits });
  }

  async transact<T>(body: (tx: ProgressTransaction) => Promise<T>): Promise<T> {
    for (let attempt = 1; attempt <= this.#maxAttempts; attempt++) {
      const tx = new SnapshotTransaction(await this.#refresh());
      let result: T;
      try {
        result = await body(tx);
      } finally {
        tx.end();
      }
      // What only reads saw one state that was the newest while it ran: that is its place in the order.
      if (tx.writes.size === 0 || (await this.#exclusively(() => this.#commit(tx)))) return result;
      // The one who runs again at once would meet the same rivals.
      await this.#clock.sleep(this.#random.next() * Math.min(MAX_BACKOFF, attempt));
    }
    throw new BackupError('STORE_CONFLICT', `a transaction met a conflict ${this.#maxAttempts} times in a row`, {
      retryable: true,
    });
  }

  async watch(key: string, seen: Uint8Array | undefined, signal: AbortSignal): Promise<void> {
    checkProgressKey(key);
    signal.throwIfAborted();
    await this.#refresh();
    this.#checkOpen();
    // From here until it waits nothing is awaited: every later state is notified.
    if (!sameValue(seen, this.#history.state.get(key))) return;
    const waiting = this.#watchers.wait(key, seen, signal);
    if (!this.#isFollowing) this.#following = this.#follow();
    await waiting;
  }

  acquireLease(request: LeaseRequest): Promise<Lease | undefined> {
    const table = {
      leaseNow: () => this.#leaseTime(),
      decide: <T>(decision: (state: ProgressState, now: number) => LeaseDecision<T>) =>
        this.#exclusively(() => this.#decide(decision)),
    };
    return acquireLease(table, request, this.#random.uid());
  }

  /** Ends every watch with INVALID_STATE and lets go of everything. What was committed stays; calls that are under way end by themselves. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#watchers.rejectAll(new BackupError('INVALID_STATE', `the progress store ${this.directory} was closed`));
    await this.#following;
  }

  /** False: what was read has changed. */
  async #commit(tx: SnapshotTransaction): Promise<boolean> {
    for (let race = 0; race < MAX_RACES; race++) {
      await this.#settle();
      if (!tx.stillValid(this.#history.state)) return false;
      if (await this.#history.tryCommit(tx.writes)) return true;
    }
    return false;
  }

  async #decide<T>(decision: (state: ProgressState, now: number) => LeaseDecision<T>): Promise<T> {
    for (let race = 0; race < MAX_RACES; race++) {
      const now = await this.#settle();
      const { result, writes } = decision(this.#history.state, now);
      if (writes === undefined || (await this.#history.tryCommit(writes))) return result;
    }
    throw new BackupError('STORE_CONFLICT', `others were faster ${MAX_RACES} times in a row`, { retryable: true });
  }

  #refresh(): Promise<ProgressState> {
    return this.#exclusively(async () => {
      await this.#settle();
      return this.#history.state;
    });
  }

  /**
   * Reads the newest state and removes the leases that have ended from it; gives the moment at which no other had. A process that is stopped right afterwards may still commit: the lease that it read has
   * then outlived its time, but nobody has seen it ended, since whoever does removes it by a commit, and one of the two commits comes first.
   */
  async #settle(): Promise<number> {
    for (let race = 0; race < MAX_RACES; race++) {
      await this.#history.refresh();
      const now = this.#leaseTime();
      const ended = this.#history.state.endedLeases(now);
      if (ended === undefined) return now;
      await this.#history.tryCommit(ended);
    }
    throw new BackupError('STORE_CONFLICT', `others were faster ${MAX_RACES} times in a row`, { retryable: true });
  }

  async #exclusively<T>(work: () => Promise<T>): Promise<T> {
    return this.#mutex.runExclusive(async () => {
      this.#checkOpen();
      try {
        return await work();
      } catch (error) {
        const code = systemErrorCode(error);
        if (code === undefined) throw error;
        throw new BackupError('STORE_UNAVAILABLE', `the progress store ${this.directory} failed: ${code}`, {
          retryable: true,
          cause: error,
        });
      } finally {
        if (this.#notified !== this.#history.state) {
          this.#notified = this.#history.state;
          this.#watchers.notify(this.#notified);
        }
      }
    });
  }

  /** Reads what other processes commit, and sees leases end, as long as somebody watches. */
  async #follow(): Promise<void> {
    let watched: string | undefined;
    let watcher: FSWatcher | undefined;
    this.#isFollowing = true;
    try {
      while (this.#watchers.size > 0) {
        if (watched !== this.#history.folder) {
          watcher?.close();
          watched = this.#history.folder;
          watcher = this.#watchCommits(watched);
        }
        // What comes while we read ends the pause before it begins; so nothing is missed between the two.
        const pause = new AbortController();
        this.#wake = () => pause.abort();
        await this.#refresh();
        if (watched === this.#history.folder && this.#watchers.size > 0) await this.#pause(pause.signal);
      }
    } catch (error) {
      // Whoever watches decides whether to try again, as with every other call.
      this.#watchers.rejectAll(error as Error);
    } finally {
      watcher?.close();
      this.#wake = undefined;
      this.#isFollowing = false;
    }
  }

  async #pause(woken: AbortSignal): Promise<void> {
    try {
      const leaseEnd = this.#history.state.firstLeaseEnd ?? Number.POSITIVE_INFINITY;
      const wait = Math.min(this.#pollInterval, Math.max(1, leaseEnd - this.#leaseTime()));
      await this.#clock.sleep(wait, woken);
    } catch (error) {
      if (!woken.aborted) throw error;
    }
  }

  /** undefined where the system cannot watch: then there is the poll. */
  #watchCommits(folder: string | undefined): FSWatcher | undefined {
    if (folder === undefined) return undefined;
    try {
      const watcher = watchFolder(folder, (_event, name) => {
        if (name?.startsWith('commit-') !== false) this.#wake?.();
      });
      watcher.on('error', () => watcher.close());
      return watcher;
    } catch (error) {
      // The folder is gone, or the system has no watches left.
      if (systemErrorCode(error) === undefined) throw error;
      return undefined;
    }
  }

  #checkOpen(): void {
    if (this.#closed) throw new BackupError('INVALID_STATE', `the progress store ${this.directory} was closed`);
  }
}

function wholeNumber(value: number, option: string): number {
  if (Number.isSafeInteger(value) && value >= 1) return value;
  throw new BackupError('INVALID_OPTION', `${option} must be a whole number from 1 on, got ${String(value)}`);
}
