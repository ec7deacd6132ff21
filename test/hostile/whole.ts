// The whole library over adapters of which one breaks its contract: workers, a recovery, a snapshot, describe, restore, verify, compact and expire. Afterwards it is known what was said about
// the broken promise, and whether anything that the backup claims is not so.

import { expect } from 'vitest';
import { toHex, utf8 } from '../../src/core/bytes.js';
import { BackupError } from '../../src/core/errors.js';
import { NORMAL_KEYS } from '../../src/core/key-range.js';
import type { Mutation } from '../../src/core/mutation.js';
import { MutationType } from '../../src/core/mutation.js';
import type { Version } from '../../src/core/version.js';
import { MemoryContainer } from '../../src/container/memory-container.js';
import { noopKey, progressKey } from '../../src/job/keys.js';
import { BackupOperator } from '../../src/job/operator.js';
import { decodeProgress, decodeVersion } from '../../src/job/records.js';
import type { BackupContainer } from '../../src/ports/backup-container.js';
import type { LogSource } from '../../src/ports/log-source.js';
import type { ProgressStore } from '../../src/ports/progress-store.js';
import type { RangeSource } from '../../src/ports/range-source.js';
import type { RestoreTarget } from '../../src/ports/restore-target.js';
import { compactLogs } from '../../src/restore/compact.js';
import { describeBackup } from '../../src/restore/describe.js';
import { expireBackup } from '../../src/restore/expire.js';
import { restore } from '../../src/restore/restore.js';
import { verifyBackup } from '../../src/restore/verify.js';
import { takeSnapshot } from '../../src/snapshot/take-snapshot.js';
import { MemoryRangeSource } from '../../src/testing/memory-range-source.js';
import { MemoryRestoreTarget } from '../../src/testing/memory-restore-target.js';
import { recruit } from '../../src/worker/recruit.js';
import { World } from '../worker/world.js';

/** What stands between the library and the honest adapter in memory; left out: nothing. */
export interface Hostile {
  readonly log?: (log: World['log'], whole: Whole) => LogSource;
  readonly store?: (store: World['store'], whole: Whole) => ProgressStore;
  readonly container?: (container: MemoryContainer, whole: Whole) => BackupContainer;
  readonly source?: (source: MemoryRangeSource, whole: Whole) => RangeSource;
  readonly target?: (target: MemoryRestoreTarget, whole: Whole) => RestoreTarget;
}

/** What came of it. */
export interface Outcome {
  /** "where CODE message" of everything that was said. */
  readonly said: readonly string[];
  /** What was thrown and is no BackupError, or did not end. */
  readonly foreign: readonly string[];
  /** Versions that are claimed, restore without an error, and are not what the database held, while verify finds nothing. */
  readonly lies: readonly string[];
  /** Versions that were restored exactly. */
  readonly exact: number;
  /** Pops above what the store held as saved or as not to be stored. */
  readonly unrecordedPops: readonly string[];
}

/** What an adapter fails with of its own accord: no BackupError, and not the library's. */
export class Own extends Error {}

/** Calls of one method that no honest use comes near: a loop without a pause does. */
export const SPIN = 20_000;

export class Whole {
  readonly world = new World({ totalTags: 2 });
  readonly truth: MemoryRangeSource;
  readonly stored = new MemoryContainer({ url: 'memory:job' });
  readonly log: LogSource;
  readonly store: ProgressStore;
  readonly container: BackupContainer;
  readonly source: RangeSource;
  /** Set by what an adapter waits for. */
  phase: 'begin' | 'running' | 'recovered' | 'stopped' = 'begin';
  readonly #hostile: Hostile;
  readonly #said = new Set<string>();
  readonly #foreign: string[] = [];
  readonly #lies: string[] = [];
  readonly #unrecordedPops: string[] = [];
  #exact = 0;

  constructor(hostile: Hostile) {
    this.#hostile = hostile;
    const { world } = this;
    this.truth = new MemoryRangeSource({
      borders: ['b', 'c', 'd'].map((key) => utf8(key)),
      batchRows: 2,
      clock: world.clock,
    });
    this.#watchPops();
    this.log = hostile.log?.(world.log, this) ?? world.log;
    this.store = hostile.store?.(world.store, this) ?? world.store;
    this.container = hostile.container?.(this.stored, this) ?? this.stored;
    this.source = hostile.source?.(this.truth, this) ?? this.truth;
  }

  async run(): Promise<Outcome> {
    const { world } = this;
    const stop = new AbortController();
    const recruited = this.#noted(
      'recruit',
      recruit({
        logSource: this.log,
        progressStore: this.store,
        openContainer: () => this.container,
        clock: world.clock,
        concurrentWrites: 2,
        uploadDelay: 2_000,
        idleUploadDelay: 10_000,
        versionTimeInterval: 5_000,
        jobStallTimeout: 20_000,
        signal: stop.signal,
        onWorker: (worker) => {
          worker.on('retry', (what, error) => this.note(`retry of ${what}`, error, true));
          worker.on('jobFailed', (_uid, error) => this.note('job', error));
        },
        onWorkerError: (error) => this.note('worker', error),
      }),
    );
    await this.#pass(2);
    const operator = new BackupOperator(this.store, { clock: world.clock });
    const submitted = this.#noted(
      'submit',
      operator.submit({ uid: 'job', url: 'memory:job', startVersion: 0n, signal: stop.signal }),
    );
    this.phase = 'running';
    await this.#pass(5);
    this.#write(14);
    await this.#pass(15);
    await this.#ended('snapshot', (signal) =>
      takeSnapshot({
        container: this.container,
        source: this.source,
        ranges: [],
        maxFileSize: 1,
        maxAttempts: 3,
        numThreads: 1,
        ioThreadSize: 1,
        clock: world.clock,
        signal,
      }),
    );
    this.#write(10);
    // A tail that the recovery rolls back.
    for (let i = 0; i < 2; i++)
      world.log.commit([{ tag: i, mutation: set('b1', 'never happened') }], { uncommitted: true });
    await this.#pass(5);
    this.phase = 'recovered';
    world.log.recover();
    await this.#pass(5);
    this.#write(10);
    await this.#pass(40);
    stop.abort(new BackupError('INVALID_STATE', 'stopped by the test'));
    await this.#ended('the end of it all', () => Promise.all([recruited, submitted]));
    this.phase = 'stopped';
    await this.#checkClaims();
    const { clock } = world;
    await this.#ended('compact', (signal) =>
      compactLogs(this.container, { keepNewest: 1, minFiles: 2, graceMs: 1, clock, signal }),
    );
    await this.#checkClaims();
    await this.#ended('expire', (signal) =>
      expireBackup(this.container, { before: 12n, listingLag: 1, clock, signal }),
    );
    await this.#checkClaims();
    await world.end();
    expect(clock.pendingTimers).toBe(0);
    return {
      said: [...this.#said],
      foreign: this.#foreign,
      lies: this.#lies,
      exact: this.#exact,
      unrecordedPops: this.#unrecordedPops,
    };
  }

  note(where: string, error: unknown, isOwn = false): void {
    if (BackupError.is(error)) this.#said.add(`${where} ${error.code} ${error.message}`);
    // What an adapter fails with itself is retried, and passed on as it is.
    else if (error instanceof Own || (isOwn && error instanceof Error)) this.#said.add(`${where} ${String(error)}`);
    else this.#foreign.push(`${where}: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
  }

  /** Every window's edges, and some versions within. */
  async #checkClaims(): Promise<void> {
    const { clock } = this.world;
    const description = await this.#ended('describe', (signal) => describeBackup(this.container, { clock, signal }));
    const report = await this.#ended('verify', (signal) => verifyBackup(this.container, { deep: true, clock, signal }));
    for (const problem of report?.problems ?? [])
      this.#said.add(`verify ${problem.code} ${problem.kind} ${problem.message}`);
    const versions = new Set<Version>();
    for (const { min, max } of description?.windows ?? [])
      for (let part = 0n; part <= 4n; part++) versions.add(min + ((max - min) * part) / 4n);
    for (const version of versions) {
      const inner = new MemoryRestoreTarget();
      const target = this.#hostile.target?.(inner, this) ?? inner;
      const result = await this.#ended(`restore to ${version}`, (signal) =>
        restore({ container: this.container, target, version, clock, applyBytes: 64, signal }),
      );
      if (result === undefined) continue;
      const rows = [...inner.rows()].map(({ key, value }) => `${toHex(key)}=${toHex(value)}`);
      const wanted = this.truth.rowsAt(version, NORMAL_KEYS).map(([key, value]) => `${toHex(key)}=${toHex(value)}`);
      if (rows.join() === wanted.join()) this.#exact++;
      else if (report?.ok !== false)
        this.#lies.push(`version ${version} is restored as ${rows.join()} and was ${wanted.join()}`);
    }
  }

  /** One version in each tag in turn: sets, clears and atomic operations, in all regions. */
  #write(count: number): void {
    const { log } = this.world;
    for (let i = 0; i < count; i++) {
      const version = log.knownVersion + 1n;
      const n = Number(version);
      const key = `${'abcd'.charAt(n % 4)}${n % 3}`;
      const messages: { tag: number; mutation: Mutation }[] = [
        { tag: n % 2, mutation: set(key, `v${n}`) },
        {
          tag: n % 2,
          mutation: { type: MutationType.AddValue, param1: utf8('b9'), param2: Uint8Array.of(n, 1, 0, 0) },
        },
      ];
      if (n % 7 === 0)
        messages.push({
          tag: n % 2,
          mutation: { type: MutationType.ClearRange, param1: utf8('a1'), param2: utf8('b2') },
        });
      log.commit(messages, { version });
      this.truth.commit(messages, { version });
    }
  }

  /** Seconds, with what the host of a log does now and then. */
  async #pass(seconds: number): Promise<void> {
    for (let i = 0; i < seconds; i++) {
      await this.world.clock.advance(1_000);
      await this.world.tellOldestEpoch();
    }
  }

  /** Until it has settled, however long by the clock. What waits for an adapter that never answers ends when it is told to. undefined: it has failed. */
  async #ended<T>(where: string, call: (signal: AbortSignal) => Promise<T>): Promise<T | undefined> {
    const stop = new AbortController();
    let settled = false;
    const noted = this.#noted(where, call(stop.signal)).finally(() => (settled = true));
    const wait = async () => {
      for (let i = 0; i < 150 && !settled; i++) await this.world.clock.advance(i < 100 ? 1_000 : 20_000);
    };
    await wait();
    if (!settled) stop.abort(new BackupError('INVALID_STATE', 'it had to be stopped by the test'));
    await wait();
    if (settled) return noted;
    this.#foreign.push(`${where} does not end`);
    return undefined;
  }

  async #noted<T>(where: string, promise: Promise<T>): Promise<T | undefined> {
    try {
      return await promise;
    } catch (error) {
      this.note(where, error);
      return undefined;
    }
  }

  #watchPops(): void {
    const { log, store } = this.world;
    const pop = log.pop.bind(log);
    log.pop = async (request) => {
      const { epoch, tag, upTo } = request;
      const value = (key: string) => store.entries().find((entry) => entry.key === key)?.value;
      const [saved, noop] = [value(progressKey(epoch, tag.id)), value(noopKey(epoch, tag.id))];
      const recorded = [
        saved === undefined ? -1n : decodeProgress('progress', saved).savedVersion,
        noop === undefined ? -1n : decodeVersion('noop', noop),
      ];
      if (recorded.every((version) => version < upTo))
        this.#unrecordedPops.push(`${epoch}.${tag.id} was popped to ${upTo}, and ${recorded.join(', ')} is recorded`);
      await pop(request);
    };
  }
}

function set(key: string, value: string): Mutation {
  return { type: MutationType.SetValue, param1: utf8(key), param2: utf8(value) };
}

/** Nothing that is not so may be claimed, and nothing else than a BackupError be thrown, whatever is broken. */
export async function runWhole(hostile: Hostile, { popsAreItsWord = false } = {}): Promise<Outcome> {
  const outcome = await new Whole(hostile).run();
  expect(outcome.foreign).toEqual([]);
  expect(outcome.lies).toEqual([]);
  // A store that says that it has recorded what it has not makes the log forget it.
  if (!popsAreItsWord) expect(outcome.unrecordedPops).toEqual([]);
  return outcome;
}

/** A promise that is kept by nobody. */
export function never<T>(): Promise<T> {
  return new Promise(() => undefined);
}
