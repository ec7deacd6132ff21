// A small world for worker tests: a log, a store and containers in memory, a clock that stands still, and workers that run in it.

import { utf8 } from '../../src/core/bytes.js';
import type { Random } from '../../src/core/clock.js';
import { BackupError } from '../../src/core/errors.js';
import type { Mutation } from '../../src/core/mutation.js';
import { logRouterTag, type Version } from '../../src/core/version.js';
import { MemoryContainer } from '../../src/container/memory-container.js';
import { decodeLogFile } from '../../src/format/fdb/log-file-decoder.js';
import { parseLogFileName, type LogFileDescriptor } from '../../src/format/fdb/names.js';
import { BackupOperator, type SubmitRequest } from '../../src/job/operator.js';
import { oldestBackupEpoch } from '../../src/job/plan.js';
import { announceEpoch, planFromStore, readDone } from '../../src/job/recruiter-transactions.js';
import type { BackupContainer } from '../../src/ports/backup-container.js';
import type { LogSource } from '../../src/ports/log-source.js';
import type { ProgressStore } from '../../src/ports/progress-store.js';
import { MemoryProgressStore } from '../../src/progress/memory-progress-store.js';
import { ManualClock } from '../../src/testing/manual-clock.js';
import { MemoryLog } from '../../src/testing/memory-log.js';
import { BackupWorker, type WorkerResult } from '../../src/worker/backup-worker.js';
import type { FileWritten, WorkerEvents, WorkerState } from '../../src/worker/events.js';
import type { BackupWorkerOptions, WorkerKnobs } from '../../src/worker/options.js';
import type { WorkerRules } from '../../src/worker/rules.js';

export interface StartOptions extends WorkerKnobs {
  readonly epoch?: number;
  readonly recruitedEpoch?: number;
  readonly startVersion?: Version;
  readonly endVersion?: Version;
  readonly totalTags?: number;
  readonly log?: LogSource;
  readonly store?: ProgressStore;
  readonly random?: Random;
  readonly openContainer?: (url: string) => BackupContainer | Promise<BackupContainer>;
  readonly rules?: WorkerRules;
}

export type SubmitOptions = Partial<Omit<SubmitRequest, 'uid'>>;

/** ms that a run waits at most for a container call when it is stopped. */
const LINGER = 1_000;

/** A worker that runs: `result` settles when it ends. */
export interface Running {
  readonly worker: BackupWorker;
  readonly result: Promise<WorkerResult>;
  /** Every state since it started, in order. */
  readonly states: readonly WorkerState[];
  /** Every event but `metrics`, in order: "saved 12", "jobJoined job 11" … */
  readonly events: readonly string[];
  /** undefined while it runs. */
  outcome(): WorkerResult | { outcome: 'failed'; error: unknown } | undefined;
  /** Aborts the run's signal, and waits for nothing. */
  abort(): void;
  /** Aborts, and lets as much time pass as the end takes at most. */
  stop(): Promise<WorkerResult>;
}

export class World {
  readonly clock = new ManualClock();
  readonly log: MemoryLog;
  readonly store = new MemoryProgressStore({ clock: this.clock });
  readonly containers = new Map<string, BackupContainer>();
  readonly operator: BackupOperator;
  readonly #stops: AbortController[] = [];
  readonly #results: Promise<unknown>[] = [];

  constructor(options: { totalTags?: number; begin?: Version; epoch?: number } = {}) {
    this.log = new MemoryLog({
      totalTags: options.totalTags ?? 1,
      clock: this.clock,
      ...(options.epoch === undefined ? {} : { epoch: options.epoch }),
      ...(options.begin === undefined ? {} : { begin: options.begin }),
    });
    this.operator = new BackupOperator(this.store, { clock: this.clock });
  }

  /** The container behind a URL; made on first use. Set `containers` before for a special one. */
  container(url: string): BackupContainer {
    const known = this.containers.get(url);
    if (known !== undefined) return known;
    const container = new MemoryContainer({ url });
    this.containers.set(url, container);
    return container;
  }

  /** Announces the log's newest epoch, as a recruiter does before it starts workers. */
  async announce(): Promise<void> {
    const current = this.log.epochs.at(-1);
    if (current === undefined) throw new BackupError('INVALID_STATE', 'no epoch');
    await announceEpoch(this.store, { epoch: current.epoch, begin: current.begin, totalTags: current.totalTags });
  }

  /** What the store says of drained epochs, told to the log system, as the host of a log does. */
  async tellOldestEpoch(): Promise<void> {
    const first = await this.log.logSystem(new AbortController().signal)[Symbol.asyncIterator]().next();
    if (first.done === true) throw new BackupError('INVALID_STATE', 'the log system says nothing');
    // Only of epochs whose log still exists.
    const { epochs } = first.value;
    this.log.setOldestBackupEpoch(oldestBackupEpoch(epochs, await readDone(this.store)));
  }

  /** Runs the recovery plan as a recruiter does, and starts a worker for each of its entries, in its order; `options` for all of them. */
  async recruit(options: StartOptions = {}): Promise<Running[]> {
    await this.announce();
    const { workers } = await planFromStore(this.store, this.log.epochs);
    return workers.map(({ tag, backupEpoch, recruitedEpoch, totalTags, startVersion, endVersion }) =>
      this.start(tag, {
        epoch: backupEpoch,
        recruitedEpoch,
        totalTags,
        startVersion,
        ...(endVersion === undefined ? {} : { endVersion }),
        ...options,
      }),
    );
  }

  start(tag: number, options: StartOptions = {}): Running {
    const newest = this.log.epochs.at(-1);
    const epoch = options.epoch ?? newest?.epoch ?? 1;
    const own = this.log.epochs.find((info) => info.epoch === epoch);
    const { log, store, epoch: _epoch, rules, ...rest } = options;
    const workerOptions: BackupWorkerOptions = {
      logSource: log ?? this.log,
      progressStore: store ?? this.store,
      openContainer: (url) => this.container(url),
      clock: this.clock,
      concurrentWrites: 2,
      // They ask the log, and write, at times of their own: a test that is about them says so.
      versionTimeInterval: 0,
      tag: logRouterTag(tag),
      totalTags: own?.totalTags ?? 1,
      startVersion: own?.begin ?? 1n,
      recruitedEpoch: newest?.epoch ?? 1,
      backupEpoch: epoch,
      ...rest,
    };
    const worker = new BackupWorker(workerOptions, rules);
    const stop = new AbortController();
    const states: WorkerState[] = [worker.state];
    worker.on('state', (state) => states.push(state));
    const events = recordEvents(worker);
    const result = worker.run({ signal: stop.signal });
    let outcome: ReturnType<Running['outcome']>;
    result.then(
      (value) => (outcome = value),
      (error: unknown) => (outcome = { outcome: 'failed', error }),
    );
    this.#stops.push(stop);
    this.#results.push(result);
    const abort = () => stop.abort(new BackupError('INVALID_STATE', 'stopped by the test'));
    return {
      worker,
      result,
      states,
      events,
      outcome: () => outcome,
      abort,
      stop: async () => {
        abort();
        await this.clock.settle();
        // A container call that hangs is left to itself after a while.
        if (outcome === undefined) await this.clock.advance(LINGER);
        return result;
      },
    };
  }

  /** Submits a job and lets its workers register; resolves with what `submit` gives. */
  async submit(uid: string, options: SubmitOptions = {}) {
    const submitted = this.request(uid, options);
    await this.clock.advance(2_000);
    return submitted;
  }

  /** Submits a job, and does not wait for anybody. A rejection that the test does not look at is not its concern. */
  request(uid: string, options: SubmitOptions = {}, operator = this.operator) {
    const { url = `memory:${uid}`, startVersion = 0n, ...rest } = options;
    const submitted = operator.submit({ uid, url, startVersion, ...rest });
    submitted.catch(() => undefined);
    return submitted;
  }

  /** Commits one version of sets, "key" or "key=value", all to one tag. */
  put(tag: number, ...pairs: string[]): Version {
    return this.log.commit(pairs.map((pair) => ({ tag, mutation: set(pair) })));
  }

  /** Parsed names of a job's log files, by tag and begin. */
  async files(uid: string): Promise<LogFileDescriptor[]> {
    const files: LogFileDescriptor[] = [];
    for await (const { name } of this.container(`memory:${uid}`).listFiles('plogs/')) {
      const file = parseLogFileName(name);
      if (file !== undefined) files.push(file);
    }
    return files.sort((a, b) => a.tag - b.tag || (a.begin < b.begin ? -1 : 1));
  }

  /** "tag:[begin, end)" of each log file. */
  async stretches(uid: string): Promise<string[]> {
    return (await this.files(uid)).map(({ tag, begin, end }) => `${tag}:[${begin}, ${end})`);
  }

  /** "tag/version/subsequence/key=value" of every mutation in a job's log files; one that is in two files is named twice. */
  async mutations(uid: string, url = `memory:${uid}`): Promise<string[]> {
    const found: string[] = [];
    for await (const { name, size } of this.container(url).listFiles('plogs/')) {
      const file = parseLogFileName(name);
      if (file === undefined) continue;
      const bytes = await this.container(url).readFile(name, 0, size);
      for (const { version, subsequence, mutation } of decodeLogFile(bytes, { ...file, name })) {
        const [key, value] = [mutation.param1, mutation.param2].map((param) => new TextDecoder().decode(param));
        found.push(`${file.tag}/${version}/${subsequence}/${key}=${value}`);
      }
    }
    return found;
  }

  /** The JSON that the store holds under a key; undefined: none. */
  record(key: string): Record<string, unknown> | undefined {
    const entry = this.store.entries().find((candidate) => candidate.key === key);
    if (entry === undefined) return undefined;
    return JSON.parse(new TextDecoder().decode(entry.value)) as Record<string, unknown>;
  }

  /** Puts JSON under a key, as another process would. */
  async write(key: string, value: Record<string, unknown>): Promise<void> {
    await this.store.transact(async (tx) => tx.set(key, utf8(JSON.stringify(value))));
  }

  /** Names of the finished files of a container. */
  async names(url: string, prefix = ''): Promise<string[]> {
    const names: string[] = [];
    for await (const { name } of this.container(url).listFiles(prefix)) names.push(name);
    return names;
  }

  /** Stops whatever still runs. Call it at the end of every test; failures of workers that the test did not look at are not its concern. */
  async end(): Promise<void> {
    for (const stop of this.#stops) stop.abort(new BackupError('INVALID_STATE', 'the test has ended'));
    await this.clock.advance(LINGER);
    await Promise.allSettled(this.#results);
  }
}

const RECORDED_EVENTS = [
  ...['fileWritten', 'saved', 'popped', 'noop', 'jobJoined', 'jobLeft', 'jobFailed', 'jobStarted', 'jobCompleted'],
  ...['largeRecord', 'paused', 'displaced', 'retry'],
] as (keyof WorkerEvents)[];

function recordEvents(worker: BackupWorker): string[] {
  const events: string[] = [];
  for (const name of RECORDED_EVENTS) {
    worker.on(name, (...values: unknown[]) => {
      events.push([name, ...values.map(eventText)].join(' '));
    });
  }
  return events;
}

function eventText(value: unknown): string {
  if (value instanceof BackupError) return value.code;
  if (value instanceof Error) return value.message;
  if (typeof value !== 'object' || value === null) return String(value);
  const file = value as FileWritten;
  return `${file.jobUid}:[${file.begin}, ${file.end})`;
}

/** "key" or "key=value" */
export function set(pair: string): Mutation {
  const [key = '', value = 'v'] = pair.split('=');
  return { type: 0, param1: utf8(key), param2: utf8(value) };
}

/** Ids that a test can tell apart: `digit` 28 times, then a counter. */
export function countedRandom(digit: string, next = 0.5): Random {
  let count = 0;
  return { next: () => next, uid: () => digit.repeat(28) + (count++).toString(16).padStart(4, '0') };
}
