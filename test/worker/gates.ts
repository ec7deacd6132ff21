// Stores, containers and logs for tests of interleavings: a call can be held before or after its effect, fail, or lose its answer.
// Everything else goes straight through. One wrapper per party: give each worker its own to hold or cut off that worker alone.

import { abortable } from '../../src/core/abort.js';
import { BackupError } from '../../src/core/errors.js';
import type { Version } from '../../src/core/version.js';
import { parseSumsFileName } from '../../src/format/fdb/file-sums.js';
import type { BackupContainer, BackupFile, ListedFile, WriteFileOptions } from '../../src/ports/backup-container.js';
import type { LogSource, LogSystemInfo, PeekReply, PeekRequest, PopRequest } from '../../src/ports/log-source.js';
import type { Lease, LeaseRequest, ProgressStore, ProgressTransaction } from '../../src/ports/progress-store.js';

/** A call that is held until `open`. */
export class Gate {
  /** Resolves when a call has come to it. */
  readonly reached: Promise<void>;
  isReached = false;
  readonly #opened: Promise<void>;
  #onReached: () => void = () => undefined;
  #onOpened: () => void = () => undefined;

  constructor() {
    this.reached = new Promise((resolve) => (this.#onReached = resolve));
    this.#opened = new Promise((resolve) => (this.#onOpened = resolve));
  }

  /** The call goes on. May be called before it has come. */
  open(): void {
    this.#onOpened();
  }

  /** For wrappers. */
  async pass(): Promise<void> {
    this.isReached = true;
    this.#onReached();
    await this.#opened;
  }
}

/** `before` the call takes effect (a transaction: its body has run, nothing is committed), or `after` it (only the answer is held or lost). */
export type Moment = 'before' | 'after';

export interface InterceptOptions<Facts> {
  readonly at?: Moment;
  /** Which calls; default: the next. */
  readonly match?: (facts: Facts) => boolean;
  /** How many calls; default 1. */
  readonly count?: number;
}

interface Rule<Facts> {
  readonly at: Moment;
  readonly match: (facts: Facts) => boolean;
  readonly act: () => Promise<void>;
  left: number;
}

/** What the three wrappers have in common. Each rule applies to the next `count` calls that match; older rules come first. */
class Interceptor<Call extends string, Facts> {
  readonly #rules = new Map<Call, Rule<Facts>[]>();

  /** Holds one call. */
  hold(call: Call, options: InterceptOptions<Facts> = {}): Gate {
    const gate = new Gate();
    this.on(call, () => gate.pass(), options);
    return gate;
  }

  /** Makes calls fail: `at: 'after'` loses the answer of a call that took effect. */
  fail(call: Call, error: Error, options: InterceptOptions<Facts> = {}): void {
    this.on(call, () => Promise.reject(error), options);
  }

  /** Runs a test's own code in the middle of a call. */
  on(call: Call, act: () => Promise<void> | void, options: InterceptOptions<Facts> = {}): void {
    const rules = this.#rules.get(call) ?? [];
    const { at = 'before', match = () => true, count = 1 } = options;
    rules.push({ at, match, act: async () => act(), left: count });
    this.#rules.set(call, rules);
  }

  async at(call: Call, at: Moment, facts: Facts): Promise<void> {
    const rules = this.#rules.get(call) ?? [];
    const rule = rules.find((candidate) => candidate.at === at && candidate.match(facts));
    if (rule === undefined) return;
    rule.left--;
    if (rule.left <= 0) rules.splice(rules.indexOf(rule), 1);
    await rule.act();
  }

  async around<T>(call: Call, facts: Facts, work: () => T | Promise<T>): Promise<T> {
    await this.at(call, 'before', facts);
    const result = await work();
    await this.at(call, 'after', facts);
    return result;
  }
}

/** What a transaction's last run has read and written. A range is read as "begin..end". */
export interface TransactionFacts {
  readonly reads: ReadonlySet<string>;
  readonly writes: ReadonlyMap<string, Uint8Array | undefined>;
}

/** Matches transactions that write this key, or one below it when it ends in `/`. */
export function writesTo(key: string): (facts: TransactionFacts) => boolean {
  return ({ writes }) => [...writes.keys()].some((written) => matches(key, written));
}

/** Matches transactions that read this key, or one below it when it ends in `/`. */
export function readsFrom(key: string): (facts: TransactionFacts) => boolean {
  return ({ reads }) => [...reads].some((read) => matches(key, read));
}

function matches(key: string, found: string): boolean {
  return key.endsWith('/') ? found.startsWith(key) : found === key;
}

export const unavailable = () => new BackupError('STORE_UNAVAILABLE', 'the test says so', { retryable: true });

export type StoreCall = 'transact' | 'watch' | 'acquireLease' | 'renewLease' | 'releaseLease';

/**
 * A store whose transactions can be held between body and commit, or between commit and answer. An answer that is lost (`fail` with `at: 'after'`) makes
 * the caller run the same body again although it has committed.
 */
export class GatedStore extends Interceptor<StoreCall, TransactionFacts> implements ProgressStore {
  /** All that have committed, in order; those whose answer was lost too. */
  readonly committed: TransactionFacts[] = [];
  readonly #inner: ProgressStore;

  constructor(inner: ProgressStore) {
    super();
    this.#inner = inner;
  }

  /** The committed transactions that wrote this key (or below it). */
  writesOf(key: string): TransactionFacts[] {
    return this.committed.filter(writesTo(key));
  }

  async transact<T>(body: (tx: ProgressTransaction) => Promise<T>): Promise<T> {
    let facts: TransactionFacts = { reads: new Set(), writes: new Map() };
    const result = await this.#inner.transact(async (tx) => {
      const spy = new SpyTransaction(tx);
      facts = spy;
      const value = await body(spy);
      await this.at('transact', 'before', spy);
      return value;
    });
    this.committed.push(facts);
    await this.at('transact', 'after', facts);
    return result;
  }

  watch(key: string, seen: Uint8Array | undefined, signal: AbortSignal): Promise<void> {
    const facts = { reads: new Set([key]), writes: new Map<string, undefined>() };
    return abortable(
      this.around('watch', facts, () => this.#inner.watch(key, seen, signal)),
      signal,
    );
  }

  async acquireLease(request: LeaseRequest): Promise<Lease | undefined> {
    const { key } = request;
    const facts = { reads: new Set([key]), writes: new Map([[key, request.value]]) };
    const lease = await this.around('acquireLease', facts, () => this.#inner.acquireLease(request));
    if (lease === undefined) return undefined;
    return {
      key,
      renew: () => this.around('renewLease', facts, () => lease.renew()),
      release: () => this.around('releaseLease', facts, () => lease.release()),
    };
  }
}

class SpyTransaction implements ProgressTransaction, TransactionFacts {
  readonly reads = new Set<string>();
  readonly writes = new Map<string, Uint8Array | undefined>();
  readonly #tx: ProgressTransaction;

  constructor(tx: ProgressTransaction) {
    this.#tx = tx;
  }

  get(key: string) {
    this.reads.add(key);
    return this.#tx.get(key);
  }

  getRange(begin: string, end: string) {
    this.reads.add(`${begin}..${end}`);
    return this.#tx.getRange(begin, end);
  }

  set(key: string, value: Uint8Array): void {
    this.writes.set(key, value);
    this.#tx.set(key, value);
  }

  clear(key: string): void {
    this.writes.set(key, undefined);
    this.#tx.clear(key);
  }
}

export type ContainerCall = 'create' | 'writeFile' | 'append' | 'finish' | 'abort' | 'readFile';

/** Matches calls on log files, not on properties. */
export const logFiles = ({ name }: { name: string }) => name.startsWith('plogs/');
/** Matches calls on the files with their checksums. */
export const sumsFiles = ({ name }: { name: string }) => parseSumsFileName(name) !== undefined;

/** A container whose calls can be held (a hanging disk: never open the gate), or fail. Facts: the file's name ('' for `create`). */
export class GatedContainer extends Interceptor<ContainerCall, { name: string }> implements BackupContainer {
  readonly url: string;
  /** The names of the files that are being written now: neither finished nor aborted. */
  readonly unfinished: string[] = [];
  readonly #inner: BackupContainer;

  constructor(inner: BackupContainer) {
    super();
    this.url = inner.url;
    this.#inner = inner;
  }

  create(): Promise<void> {
    return this.around('create', { name: '' }, () => this.#inner.create());
  }

  exists(): Promise<boolean> {
    return this.#inner.exists();
  }

  async writeFile(name: string, options?: WriteFileOptions): Promise<BackupFile> {
    const facts = { name };
    const file = await this.around('writeFile', facts, () => this.#inner.writeFile(name, options));
    this.unfinished.push(name);
    const leave = () => {
      const index = this.unfinished.indexOf(name);
      if (index >= 0) this.unfinished.splice(index, 1);
    };
    return {
      name,
      append: (chunks) => this.around('append', facts, () => file.append(chunks)),
      finish: () =>
        this.around('finish', facts, async () => {
          await file.finish();
          leave();
        }),
      abort: () =>
        this.around('abort', facts, async () => {
          await file.abort();
          leave();
        }),
    };
  }

  readFile(name: string, offset: number, length: number): Promise<Uint8Array> {
    return this.around('readFile', { name }, () => this.#inner.readFile(name, offset, length));
  }

  listFiles(prefix: string): AsyncIterable<ListedFile> {
    return this.#inner.listFiles(prefix);
  }

  deleteFile(name: string): Promise<void> {
    return this.#inner.deleteFile(name);
  }
}

export type LogCall = 'peek' | 'pop' | 'minKnownCommittedVersion' | 'committedVersion';

export interface LogCallFacts {
  /** Of a peek. */
  readonly begin?: Version;
  /** Of a pop. */
  readonly upTo?: Version;
}

/**
 * One worker's view of a log: its calls can be held or fail, and it can be kept from hearing of recoveries (`isTold`), as a worker that is slow to be told.
 * `peeks` are the begins of all peeks so far.
 */
export class GatedLog extends Interceptor<LogCall, LogCallFacts> implements LogSource {
  readonly peeks: Version[] = [];
  readonly pops: Version[] = [];
  readonly #inner: Required<LogSource>;
  #frozen = false;
  #onThaw: (() => void)[] = [];

  constructor(inner: Required<LogSource>) {
    super();
    this.#inner = inner;
  }

  /** What the log system says from now on is not passed on, until `thaw`. */
  freezeLogSystem(): void {
    this.#frozen = true;
  }

  thaw(): void {
    this.#frozen = false;
    for (const wake of this.#onThaw.splice(0)) wake();
  }

  peek(request: PeekRequest): Promise<PeekReply> {
    this.peeks.push(request.begin);
    return this.around('peek', { begin: request.begin }, () => this.#inner.peek(request));
  }

  pop(request: PopRequest): Promise<void> {
    this.pops.push(request.upTo);
    return this.around('pop', { upTo: request.upTo }, () => this.#inner.pop(request));
  }

  minKnownCommittedVersion(request: { readonly epoch: number; readonly signal: AbortSignal }): Promise<Version> {
    return this.around('minKnownCommittedVersion', {}, () => this.#inner.minKnownCommittedVersion(request));
  }

  committedVersion(signal: AbortSignal): Promise<Version> {
    return this.around('committedVersion', {}, () => this.#inner.committedVersion(signal));
  }

  async *logSystem(signal: AbortSignal): AsyncIterable<LogSystemInfo> {
    for await (const info of this.#inner.logSystem(signal)) {
      while (this.#frozen && !signal.aborted) {
        await new Promise<void>((resolve) => {
          this.#onThaw.push(resolve);
          signal.addEventListener('abort', () => resolve(), { once: true });
        });
      }
      if (signal.aborted) return;
      yield info;
    }
  }
}
