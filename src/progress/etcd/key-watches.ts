// Everybody who waits for a key of the store to change, on one watch stream: one watch of etcd for each key, however many wait for it. It must never miss a change, and hold nothing open when nobody waits.
//
// A wait begins at the revision at which its key was read; etcd gives every change after it, also after the stream has broken and another one, to whatever member, goes on where it was. Where etcd has compacted
// what lies between, nobody can know what happened: then the waits end, and their callers read again.

import type { IEvent, IWatchResponse } from 'etcd3';
import { AbortScope } from '../../core/abort.js';
import type { Clock, Random } from '../../core/clock.js';
import { BackupError } from '../../core/errors.js';
import { revisionNumber } from '../../etcd/keys.js';
import type { EtcdWatchClient } from '../../etcd/watch-stream.js';
import { failIfCanceled, failWhenSilent, WatchStream } from '../../etcd/watch-stream.js';
import { sameValue } from '../progress-state.js';
import type { StoreKeys } from './store-keys.js';

export interface KeyWait {
  readonly key: string;
  readonly seen: Uint8Array | undefined;
  /** At which `key` had the value `seen`. */
  readonly revision: number;
}

interface Waiter extends KeyWait {
  readonly resolve: () => void;
  readonly reject: (reason: Error) => void;
}

/** One watch of etcd. */
interface KeyWatch {
  readonly key: string;
  readonly waiters: Set<Waiter>;
  /** All changes of the key up to it have been given. */
  known: number;
  /** etcd's name for it on the stream of the moment; undefined: not yet. */
  id: string | undefined;
  /** The member that watches is not as far as what is `known`: those who wait are to read again, in a moment. */
  isAhead: boolean;
}

interface KeyWatchesOptions {
  readonly clock: Clock;
  readonly random: Random;
  /** ms */
  readonly silence: number;
}

/** ms between streams that fail one after the other, doubled each time. */
const MIN_BACKOFF = 50;
const MAX_BACKOFF = 5_000;
/** ms after which those are to read again who wait for a key at a member that has not come as far as they: it may lag, and catch up meanwhile. */
const SECOND_LOOK_DELAY = 1_000;

export class KeyWatches {
  readonly #client: EtcdWatchClient;
  readonly #keys: StoreKeys;
  readonly #options: KeyWatchesOptions;
  readonly #watches = new Map<string, KeyWatch>();
  /** Watches that were asked for and not answered, in order: etcd answers in the same. */
  #asked: KeyWatch[] = [];
  #byId = new Map<string, KeyWatch>();
  #stream: WatchStream | undefined;
  /** Of the run that serves the watches of the moment. */
  #scope: AbortScope | undefined;
  /** Never rejects. */
  #running: Promise<void> = Promise.resolve();

  constructor(client: EtcdWatchClient, keys: StoreKeys, options: KeyWatchesOptions) {
    this.#client = client;
    this.#keys = keys;
    this.#options = options;
  }

  /** Resolves when the key has another value than `seen` after `revision`, or when nobody can know. Rejects with the signal's reason, or with an error that trying again would not help. */
  wait(wait: KeyWait, signal: AbortSignal): Promise<void> {
    return new Promise<void>((resolve, reject) => {
      if (signal.aborted) {
        reject(signal.reason as Error);
        return;
      }
      const watch = this.#watchOf(wait);
      // Another has seen it change, or began to watch, later than this one has read: what lies between is not given again.
      if (watch.known > wait.revision && !watch.isAhead) {
        if (watch.waiters.size === 0) this.#drop(watch);
        resolve();
        return;
      }
      const leave = () => {
        signal.removeEventListener('abort', onAbort);
        watch.waiters.delete(waiter);
        if (watch.waiters.size === 0) this.#drop(watch);
      };
      const waiter: Waiter = {
        ...wait,
        resolve: () => {
          leave();
          resolve();
        },
        reject: (reason) => {
          leave();
          reject(reason);
        },
      };
      const onAbort = () => waiter.reject(signal.reason as Error);
      signal.addEventListener('abort', onAbort, { once: true });
      watch.waiters.add(waiter);
    });
  }

  /** Ends every wait with `reason`. */
  async close(reason: Error): Promise<void> {
    this.#rejectAll(reason);
    await this.#running;
  }

  #watchOf({ key, revision }: KeyWait): KeyWatch {
    const known = this.#watches.get(key);
    if (known !== undefined) return known;
    const watch: KeyWatch = { key, waiters: new Set(), known: revision, id: undefined, isAhead: false };
    this.#watches.set(key, watch);
    if (this.#stream !== undefined) this.#ask(this.#stream, watch);
    if (this.#scope === undefined) this.#running = this.#run(this.#running);
    return watch;
  }

  /** Nobody waits for it any more. */
  #drop(watch: KeyWatch): void {
    if (this.#watches.get(watch.key) === watch) this.#watches.delete(watch.key);
    // One that has no name yet is cancelled when it gets it.
    if (watch.id !== undefined) this.#cancel(watch.id);
    if (this.#watches.size > 0) return;
    this.#scope?.end();
    // Whoever comes next begins another run, which waits until this one has let go.
    this.#scope = undefined;
    this.#stream = undefined;
  }

  #cancel(id: string): void {
    this.#byId.delete(id);
    this.#stream?.send({ cancel_request: { watch_id: id } });
  }

  /** As long as somebody waits. */
  async #run(before: Promise<void>): Promise<void> {
    using scope = new AbortScope();
    this.#scope = scope;
    await before;
    for (let failures = 0; !scope.signal.aborted;) {
      try {
        await this.#serve(scope, () => (failures = 0));
      } catch (error) {
        if (scope.signal.aborted) return;
        if (isWorthAnotherTry(error)) await this.#pause(failures++, scope.signal);
        else this.#rejectAll(error as Error);
      }
    }
  }

  /** One stream, until it fails or nobody waits. */
  async #serve(parent: AbortScope, onAnswer: () => void): Promise<void> {
    using scope = new AbortScope(parent.signal);
    const stream = await WatchStream.open(this.#client, scope.signal);
    this.#stream = stream;
    this.#asked = [];
    this.#byId = new Map();
    const listening = failWhenSilent(stream, { clock: this.#options.clock, ms: this.#options.silence }, scope);
    try {
      for (const watch of this.#watches.values()) this.#ask(stream, watch);
      for (;;) {
        this.#take(await stream.next(), scope.signal);
        onAnswer();
      }
    } finally {
      this.#stream = undefined;
      stream.close();
      scope.end();
      await listening;
    }
  }

  #ask(stream: WatchStream, watch: KeyWatch): void {
    watch.id = undefined;
    watch.isAhead = false;
    this.#asked.push(watch);
    // What is known comes once more: a watch that begins at the compact revision is not told that deletes of that revision are gone (etcd before 3.4.34 and 3.5.16, pull request 18475).
    const from = Math.max(1, watch.known);
    stream.send({ create_request: { key: this.#keys.encode(watch.key), start_revision: String(from) } });
  }

  #take(response: IWatchResponse, signal: AbortSignal): void {
    if (response.created) {
      const watch = this.#asked.shift();
      failIfCanceled(response);
      if (watch === undefined) return;
      watch.id = response.watch_id;
      this.#byId.set(watch.id, watch);
      if (this.#watches.get(watch.key) !== watch) this.#cancel(watch.id);
      else if (revisionNumber(response.header.revision) < watch.known) void this.#lookAgain(watch, signal);
      return;
    }
    const watch = this.#byId.get(response.watch_id);
    // A sign of life, or one that was cancelled here.
    if (watch === undefined) return;
    if (response.canceled) this.#ended(watch, response);
    else for (const event of response.events) this.#changed(watch, event);
  }

  /**
   * The store's etcd was restored from an older state: its next changes have revisions that were had already, and the watch would wait for ever. Or the member lags, and nothing is wrong: then a read
   * more does no harm. Never rejects; ends with the stream.
   */
  async #lookAgain(watch: KeyWatch, signal: AbortSignal): Promise<void> {
    watch.isAhead = true;
    try {
      await this.#options.clock.sleep(SECOND_LOOK_DELAY, signal);
    } catch (error) {
      if (!signal.aborted) this.#rejectAll(error as Error);
      return;
    }
    for (const waiter of [...watch.waiters]) waiter.resolve();
  }

  /** By etcd, whose reason says whether it is worth trying again. */
  #ended(watch: KeyWatch, response: IWatchResponse): void {
    this.#byId.delete(response.watch_id);
    watch.id = undefined;
    if (revisionNumber(response.compact_revision) === 0) failIfCanceled(response);
    for (const waiter of [...watch.waiters]) waiter.resolve();
  }

  #changed(watch: KeyWatch, { type, kv }: IEvent): void {
    const revision = revisionNumber(kv.mod_revision);
    watch.known = Math.max(watch.known, revision);
    const value = type === 'Delete' ? undefined : new Uint8Array(kv.value);
    for (const waiter of [...watch.waiters]) {
      if (revision > waiter.revision && !sameValue(waiter.seen, value)) waiter.resolve();
    }
  }

  #rejectAll(reason: Error): void {
    for (const watch of [...this.#watches.values()]) {
      for (const waiter of [...watch.waiters]) waiter.reject(reason);
    }
  }

  async #pause(failures: number, signal: AbortSignal): Promise<void> {
    const { clock, random } = this.#options;
    const wait = Math.min(MAX_BACKOFF, MIN_BACKOFF * 2 ** Math.min(failures, 10));
    try {
      await clock.sleep(wait * (1 - random.next() / 2), signal);
    } catch (error) {
      if (!signal.aborted) this.#rejectAll(error as Error);
    }
  }
}

function isWorthAnotherTry(error: unknown): boolean {
  return BackupError.is(error) && error.retryable;
}
