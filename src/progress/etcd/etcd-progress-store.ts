// A progress store in etcd, for hosts on any number of machines. What makes its transactions serializable is told in commit.ts, how it watches in key-watches.ts, its leases in etcd-leases.ts.

import { checkMethods, checkWholeNumber } from '../../core/check-option.js';
import type { Clock, Random } from '../../core/clock.js';
import { systemClock, systemRandom } from '../../core/clock.js';
import { abortable } from '../../core/abort.js';
import { BackupError } from '../../core/errors.js';
import { revisionNumber } from '../../etcd/keys.js';
import type { Lease, LeaseRequest, ProgressStore, ProgressTransaction } from '../../ports/progress-store.js';
import { checkProgressKey } from '../progress-key.js';
import { sameValue } from '../progress-state.js';
import type { CommitterOptions } from './committer.js';
import { Committer } from './committer.js';
import { acquireEtcdLease } from './etcd-leases.js';
import { EtcdTransaction } from './etcd-transaction.js';
import { KeyWatches } from './key-watches.js';
import type { EtcdStoreClient } from './store-calls.js';
import { StoreCalls } from './store-calls.js';
import { StoreKeys } from './store-keys.js';

export interface EtcdProgressStoreOptions {
  /** An `Etcd3` of the package etcd3, with its own hosts, credentials and password. It stays the host's: the store never closes it. */
  readonly client: EtcdStoreClient;
  /** Every key of the store begins with it, and nothing else may write there: printable ASCII that ends in a slash. All hosts of one backup have the same. Default `tidemark/`. */
  readonly prefix?: string;
  readonly clock?: Clock;
  readonly random?: Random;
  /** ms after which a call of etcd without an answer has failed. Longer than the cluster takes to elect a leader; default 5000. */
  readonly callTimeout?: number;
  /** How often a body runs in one `transact` before it rejects with STORE_CONFLICT. Default 100. */
  readonly maxAttempts?: number;
  /** ms after which a watch stream from which nothing is heard is asked for a sign of life; without one for as long again, another one is opened. Default 10000. */
  readonly watchSilence?: number;
  /** etcd's --max-txn-ops. Default 128, as etcd's. */
  readonly maxOperations?: number;
  /** etcd's --max-request-bytes. Default 1572864 (1.5 MiB), as etcd's. */
  readonly maxRequestBytes?: number;
}

const DEFAULT_PREFIX = 'tidemark/';
/** ms: the longest wait before a body runs again, by how often it has run. The longer it has been losing, the sooner it tries again: with waits that grow, whoever has just committed comes first every time. */
const WAITS: readonly number[] = [2, 4, 8, 4, 2];
const LAST_WAIT = 1;

/**
 * Strictly serializable between all clients of the cluster: a transaction reads at one revision and commits in one etcd transaction that compares what it has read. A client that loses the answer to its commit
 * rejects with STORE_UNAVAILABLE, or finds out that it has gone through; a body does not run again after its commit has taken effect.
 */
export class EtcdProgressStore implements ProgressStore {
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #keys: StoreKeys;
  readonly #calls: StoreCalls;
  readonly #committing: CommitterOptions;
  readonly #watches: KeyWatches;
  readonly #maxAttempts: number;
  #closed = false;

  constructor(options: EtcdProgressStoreOptions) {
    checkClient(options.client);
    this.#clock = options.clock ?? systemClock;
    this.#random = options.random ?? systemRandom;
    this.#keys = new StoreKeys(options.prefix ?? DEFAULT_PREFIX);
    this.#maxAttempts = checkWholeNumber('maxAttempts', options.maxAttempts ?? 100, 1);
    const timeout = checkWholeNumber('callTimeout', options.callTimeout ?? 5_000, 1);
    const silence = checkWholeNumber('watchSilence', options.watchSilence ?? 10_000, 1);
    const operations = checkWholeNumber('maxOperations', options.maxOperations ?? 128, 8);
    const bytes = checkWholeNumber('maxRequestBytes', options.maxRequestBytes ?? 1_572_864, 1_024);
    this.#calls = new StoreCalls(options.client, this.#clock, timeout);
    this.#committing = { calls: this.#calls, keys: this.#keys, random: this.#random, limits: { operations, bytes } };
    this.#watches = new KeyWatches(options.client, this.#keys, { clock: this.#clock, random: this.#random, silence });
  }

  /** What every key of the store in etcd begins with. */
  get prefix(): string {
    return this.#keys.prefix;
  }

  async transact<T>(body: (tx: ProgressTransaction) => Promise<T>): Promise<T> {
    const committer = new Committer<T>(this.#committing);
    for (let attempt = 1; attempt <= this.#maxAttempts; attempt++) {
      this.#checkOpen();
      const run = await this.#run(body, committer);
      if (run !== undefined) return run.result;
      // Whoever runs again at once meets the same rivals.
      await this.#clock.sleep(this.#random.next() * (WAITS[attempt - 1] ?? LAST_WAIT));
    }
    const earlier = await committer.earlier(this.#transaction());
    if (earlier !== undefined) return earlier.result;
    throw new BackupError('STORE_CONFLICT', `a transaction met a conflict ${this.#maxAttempts} times in a row`, {
      retryable: true,
    });
  }

  async watch(key: string, seen: Uint8Array | undefined, signal: AbortSignal): Promise<void> {
    checkProgressKey(key);
    signal.throwIfAborted();
    this.#checkOpen();
    const last = seen === undefined ? undefined : new Uint8Array(seen);
    const { kvs, header } = await abortable(this.#calls.range({ key: this.#keys.encode(key) }), signal);
    const value = kvs[0] === undefined ? undefined : new Uint8Array(kvs[0].value);
    if (!sameValue(last, value)) return;
    this.#checkOpen();
    // etcd gives all changes after the revision that was read: none is missed.
    await this.#watches.wait({ key, seen: last, revision: revisionNumber(header.revision) }, signal);
  }

  async acquireLease(request: LeaseRequest): Promise<Lease | undefined> {
    this.#checkOpen();
    return acquireEtcdLease(this.#calls, this.#keys, this.#random, request);
  }

  /** Ends every watch with INVALID_STATE and lets go of the watch stream. What was committed stays, and so do leases; calls that are under way end by themselves. The client stays open. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#watches.close(this.#closedError());
  }

  /** undefined: a conflict, or the body took so long that its revision was compacted. */
  async #run<T>(
    body: (tx: ProgressTransaction) => Promise<T>,
    committer: Committer<T>,
  ): Promise<{ readonly result: T } | undefined> {
    const tx = this.#transaction();
    const earlier = await committer.earlier(tx);
    if (earlier !== undefined) return earlier;
    let result: T;
    try {
      result = await body(tx);
    } catch (error) {
      if (tx.isTooOld) return undefined;
      throw error;
    } finally {
      tx.end();
    }
    if (tx.isTooOld) return undefined;
    // A body that went on without what it could not read has not read what it returns.
    if (tx.failure !== undefined) throw tx.failure as Error;
    // What only reads saw one revision, the newest at the time of the first read: that is its place in the order.
    if (tx.writes.size === 0) return { result };
    return (await committer.commit(tx, result)) ? { result } : undefined;
  }

  #transaction(): EtcdTransaction {
    return new EtcdTransaction(this.#calls, this.#keys);
  }

  #checkOpen(): void {
    if (this.#closed) throw this.#closedError();
  }

  #closedError(): BackupError {
    return new BackupError('INVALID_STATE', `the progress store in etcd under ${this.prefix} was closed`);
  }
}

function checkClient(client: EtcdStoreClient): void {
  const port = 'Etcd3 client of the package etcd3';
  checkMethods('client.kv', (client as Partial<EtcdStoreClient> | undefined)?.kv, port, ['range', 'txn']);
  checkMethods('client.leaseClient', client.leaseClient, port, ['leaseGrant', 'leaseRevoke', 'leaseKeepAlive']);
  checkMethods('client.watchClient', client.watchClient, port, ['watch']);
}
