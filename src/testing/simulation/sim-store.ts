// The progress store of a simulated cluster: strictly serializable, and as unpleasant as a real one. Transactions conflict, fail, and commit without saying so;
// watches are late, early or silent.

import { abortable } from '../../core/abort.js';
import { EMPTY_BYTES, equalBytes } from '../../core/bytes.js';
import { BackupError, assert } from '../../core/errors.js';
import type {
  Lease,
  LeaseRequest,
  ProgressEntry,
  ProgressStore,
  ProgressTransaction,
} from '../../ports/progress-store.js';
import { checkLeaseRequest, isLeaseKey } from '../../progress/lease-record.js';
import type { SimEvent } from './scheduler.js';
import type { SimProcess, SimWorld } from './process.js';

type Values = ReadonlyMap<string, Uint8Array>;
type Writes = ReadonlyMap<string, Uint8Array | undefined>;

interface Watcher {
  readonly process: SimProcess;
  readonly key: string;
  readonly seen: Uint8Array | undefined;
  readonly notify: () => void;
}

interface SimLease {
  readonly key: string;
  readonly ttl: number;
  /** Ends it. */
  end: SimEvent;
}

/** Attempts of one `transact` before it gives up with STORE_CONFLICT. */
const MAX_ATTEMPTS = 6;
/** An early watch fires within this time, ms. */
const EARLY_WATCH_MS = 200;
/** A late one fires so long after the change, at most. */
const LATE_WATCH_MS = 1_500;
/** A transaction whose answer was lost takes effect within this time, or never. */
const LATE_COMMIT_MS = 400;

/** Called when a transaction (not a lease) takes effect, with what it wrote (undefined: cleared) and the values from before and after it. */
export type CommitObserver = (commit: { writes: Writes; before: Values; after: Values; process: SimProcess }) => void;

/** Called when somebody has acquired a lease. */
export type LeaseObserver = (lease: { key: string; value: Uint8Array; process: SimProcess }) => void;

export class SimStore {
  readonly #world: SimWorld;
  readonly #leaseObservers: LeaseObserver[] = [];
  readonly #observers: CommitObserver[] = [];
  readonly #watchers = new Set<Watcher>();
  /** #commits[i] holds the keys that commit number i + 1 wrote. */
  readonly #commits: (readonly string[])[] = [];
  readonly #leases = new Map<string, SimLease>();
  /** Watches that will fire once more when they are set again: process and key. */
  readonly #echoes = new Set<string>();
  #values: Values = new Map();

  constructor(world: SimWorld) {
    this.#world = world;
  }

  /** What the store holds now; never changes once handed out. */
  get values(): Values {
    return this.#values;
  }

  /** Number of the last commit. */
  get commitNumber(): number {
    return this.#commits.length;
  }

  /** The living who watch something. */
  watching(): string[] {
    return [...this.#watchers]
      .filter(({ process }) => !process.isDead)
      .map(({ process, key }) => `${process.name} on ${key}`);
  }

  /** Keys of the leases that are held. */
  leases(): string[] {
    return [...this.#leases.keys()];
  }

  onCommit(observer: CommitObserver): void {
    this.#observers.push(observer);
  }

  onLease(observer: LeaseObserver): void {
    this.#leaseObservers.push(observer);
  }

  client(process: SimProcess): ProgressStore {
    return {
      transact: (body) => this.#transact(process, body),
      watch: (key, seen, signal) => this.#watch(process, key, seen, signal),
      acquireLease: (request) => this.#acquireLease(process, request),
    };
  }

  /** A store that never fails and takes no time, for the oracle's own look at things; it must not write. */
  readonly reader: ProgressStore = {
    transact: async (body) => {
      const tx = new SimTransaction(this.#values, this.commitNumber, () => Promise.resolve());
      const result = await body(tx);
      assert(tx.writes.size === 0, 'the reader of the simulated store must not write');
      return result;
    },
    watch: () => Promise.reject(new BackupError('INVALID_STATE', 'the reader of the simulated store watches nothing')),
    acquireLease: () =>
      Promise.reject(new BackupError('INVALID_STATE', 'the reader of the simulated store only reads')),
  };

  async #acquireLease(process: SimProcess, request: LeaseRequest): Promise<Lease | undefined> {
    checkLeaseRequest(request);
    const { key, ttl } = request;
    const acquire = () => {
      if (this.#leases.has(key)) return undefined;
      const lease: SimLease = { key, ttl, end: this.#endLater(key, ttl) };
      this.#leases.set(key, lease);
      this.#publish(new Map([[key, request.value.slice()]]));
      this.#world.hits.add('store: lease acquired');
      for (const observer of this.#leaseObservers) observer({ key, value: request.value, process });
      return lease;
    };
    const lease = await process.call('store', `acquire ${key}`, acquire, unavailable);
    if (lease === undefined) return undefined;
    const renew = () => {
      if (this.#leases.get(key) !== lease) throw new BackupError('LEASE_LOST', `the lease ${key} has ended`);
      lease.end.cancelled = true;
      lease.end = this.#endLater(key, ttl);
    };
    const release = () => {
      if (this.#leases.get(key) === lease) this.#endLease(lease);
    };
    return {
      key,
      renew: () => process.call('store', `renew ${key}`, renew, unavailable),
      release: () => process.call('store', `release ${key}`, release, unavailable),
    };
  }

  /** Time is the store's: the lease ends whatever has become of its holder. */
  #endLater(key: string, ttl: number): SimEvent {
    return this.#world.scheduler.schedule(ttl, () => {
      const lease = this.#leases.get(key);
      assert(lease !== undefined, `the lease ${key} ends twice`);
      this.#world.hits.add('store: lease expired');
      this.#endLease(lease);
    });
  }

  #endLease(lease: SimLease): void {
    lease.end.cancelled = true;
    this.#leases.delete(lease.key);
    this.#publish(new Map([[lease.key, undefined]]));
  }

  async #transact<T>(process: SimProcess, body: (tx: ProgressTransaction) => Promise<T>): Promise<T> {
    for (let attempt = 1; attempt <= MAX_ATTEMPTS; attempt++) {
      if (attempt > 1) await process.clock.sleep(this.#world.random.between(0, 5 * attempt));
      await this.#pause(process);
      const tx = new SimTransaction(this.#values, this.commitNumber, () => this.#pause(process));
      const result = await body(tx);
      tx.close();
      const outcome = await this.#finish(process, tx);
      if (outcome === 'committed') return result;
      if (outcome === 'conflict') this.#world.hits.add('store: conflict');
      else if (this.#world.random.chance(0.5)) throw unavailable();
    }
    throw new BackupError('STORE_CONFLICT', `the transaction conflicted ${MAX_ATTEMPTS} times`, { retryable: true });
  }

  /** Reads take time now and then, so that others can commit in between. */
  async #pause(process: SimProcess): Promise<void> {
    if (this.#world.faults.strikes('slowRead')) await process.clock.sleep(this.#world.faults.latency());
  }

  async #finish(process: SimProcess, tx: SimTransaction): Promise<'committed' | 'conflict' | 'unknown'> {
    // What only reads has nothing to commit; now and then its answer takes its time or is lost all the same.
    if (tx.writes.size === 0 && this.#world.random.chance(0.8)) return 'committed';
    const what = this.#world.trace.enabled ? `commit ${describeWrites(tx.writes)}` : 'commit';
    if (this.#world.faults.strikes('lateCommit')) return this.#commitLater(process, tx, what);
    try {
      return await process.call('store', what, () => this.#commit(process, tx, what), unavailable);
    } catch (error) {
      if (BackupError.is(error, 'STORE_UNAVAILABLE')) return 'unknown';
      throw error;
    }
  }

  /** The client hears at once that nothing is known; what it has sent is still on its way. */
  async #commitLater(process: SimProcess, tx: SimTransaction, what: string): Promise<'unknown'> {
    const { random, scheduler, hits } = this.#world;
    process.note(`${what} IS LATE`);
    scheduler.schedule(random.between(0, LATE_COMMIT_MS), () => {
      const outcome = this.#commit(process, tx, what);
      hits.add(outcome === 'committed' ? 'store: late commit' : 'store: late commit conflicts');
    });
    await process.clock.sleep(random.between(0, 6));
    return 'unknown';
  }

  #commit(process: SimProcess, tx: SimTransaction, what: string): 'committed' | 'conflict' {
    if (tx.writes.size === 0) return 'committed';
    if (this.#conflicts(tx)) {
      process.note(`${what} CONFLICTS`);
      return 'conflict';
    }
    const before = this.#values;
    process.note(what);
    this.#publish(tx.writes, (after) => {
      for (const observer of this.#observers) observer({ writes: tx.writes, before, after, process });
    });
    return 'committed';
  }

  #publish(writes: Writes, observe: (after: Values) => void = () => undefined): void {
    const after = new Map(this.#values);
    for (const [key, value] of writes) {
      if (value === undefined) after.delete(key);
      else after.set(key, value);
    }
    this.#values = after;
    this.#commits.push([...writes.keys()]);
    observe(after);
    for (const watcher of this.#watchers) if (writes.has(watcher.key)) watcher.notify();
  }

  #conflicts(tx: SimTransaction): boolean {
    for (let number = tx.readNumber; number < this.#commits.length; number++) {
      for (const key of this.#commits[number] as readonly string[]) if (tx.hasRead(key)) return true;
    }
    return false;
  }

  #watch(process: SimProcess, key: string, seen: Uint8Array | undefined, signal: AbortSignal): Promise<void> {
    const { faults, scheduler, random } = this.#world;
    let withdraw: () => void = () => undefined;
    const changed = new Promise<void>((resolve) => {
      if (faults.strikes('watchNever')) return;
      const place = `${process.name} ${key}`;
      if (this.#echoes.delete(place)) return process.deliver(faults.latency(), resolve);
      if (faults.strikes('watchEarly')) {
        scheduler.schedule(random.between(0, EARLY_WATCH_MS), () => process.deliver(0, resolve));
        return;
      }
      const watcher: Watcher = {
        process,
        key,
        seen,
        notify: () => {
          if (sameValue(this.#values.get(key), seen)) return;
          this.#watchers.delete(watcher);
          if (faults.strikes('watchTwice')) this.#echoes.add(place);
          process.deliver(faults.strikes('watchLate') ? random.between(0, LATE_WATCH_MS) : faults.latency(), resolve);
        },
      };
      withdraw = () => this.#watchers.delete(watcher);
      scheduler.schedule(faults.latency(), () => {
        if (signal.aborted || process.isDead) return;
        this.#watchers.add(watcher);
        watcher.notify();
      });
    });
    return abortable(changed, signal).finally(withdraw);
  }
}

class SimTransaction implements ProgressTransaction {
  readonly readNumber: number;
  readonly writes = new Map<string, Uint8Array | undefined>();
  readonly #values: Values;
  readonly #pause: () => Promise<void>;
  readonly #keys = new Set<string>();
  readonly #ranges: { readonly begin: string; readonly end: string }[] = [];
  #closed = false;

  constructor(values: Values, readNumber: number, pause: () => Promise<void>) {
    this.#values = values;
    this.readNumber = readNumber;
    this.#pause = pause;
  }

  async get(key: string): Promise<Uint8Array | undefined> {
    this.#checkOpen();
    this.#keys.add(key);
    await this.#pause();
    const value = this.writes.has(key) ? this.writes.get(key) : this.#values.get(key);
    return value?.slice();
  }

  async getRange(begin: string, end: string): Promise<readonly ProgressEntry[]> {
    this.#checkOpen();
    this.#ranges.push({ begin, end });
    await this.#pause();
    const merged = new Map(this.#values);
    for (const [key, value] of this.writes) merged.set(key, value ?? EMPTY_BYTES);
    return [...merged]
      .filter(([key]) => key >= begin && key < end && !(this.writes.has(key) && this.writes.get(key) === undefined))
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, value]) => ({ key, value: value.slice() }));
  }

  set(key: string, value: Uint8Array): void {
    this.#checkWritable(key);
    this.writes.set(key, value.slice());
  }

  clear(key: string): void {
    this.#checkWritable(key);
    this.writes.set(key, undefined);
  }

  hasRead(key: string): boolean {
    return this.#keys.has(key) || this.#ranges.some(({ begin, end }) => key >= begin && key < end);
  }

  close(): void {
    this.#closed = true;
  }

  #checkWritable(key: string): void {
    this.#checkOpen();
    if (isLeaseKey(key)) throw new BackupError('INVALID_OPTION', `${key} is a lease's key`);
  }

  #checkOpen(): void {
    assert(!this.#closed, 'a transaction was used after its body had ended');
  }
}

function sameValue(a: Uint8Array | undefined, b: Uint8Array | undefined): boolean {
  return a === undefined || b === undefined ? a === b : equalBytes(a, b);
}

function unavailable(): BackupError {
  return new BackupError('STORE_UNAVAILABLE', 'the simulated store does not answer', { retryable: true });
}

function describeWrites(writes: Writes): string {
  const parts = [...writes].map(([key, value]) =>
    value === undefined ? `-${key}` : `${key}=${Buffer.from(value).toString('latin1')}`,
  );
  return parts.length === 0 ? '(nothing)' : parts.join(' ');
}
