// A worker: a bounded pool on which runnables handle their tasks, after TiKV's. It owns its pool and its runners, and joins them all when it stops.

import { AbortScope } from '../core/abort.js';
import { systemClock, type Clock } from '../core/clock.js';
import { BackupError } from '../core/errors.js';
import { checkNumber, checkWholeNumber } from '../core/check-option.js';
import { LazyWorker } from './lazy-worker.js';
import { withoutTimer, type Runnable, type RunnableWithTimer } from './runnable.js';
import { Runner } from './runner.js';
import { Mailbox, PendingTasks, Scheduler } from './scheduler.js';
import { TaskPool } from './task-pool.js';

export interface WorkerOptions {
  readonly name: string;
  /** Runnables that are run at a time. Each runs one task after another whatever this is. Default 1. */
  readonly concurrency?: number | undefined;
  /** Tasks that may be pending, of all runnables together: `schedule` refuses more with QUEUE_FULL. Default 65,536. */
  readonly pendingCapacity?: number | undefined;
  readonly clock?: Clock | undefined;
  /** Stops the worker. */
  readonly signal?: AbortSignal | undefined;
  /** Called when a runnable or an interval task has ended with an error, after its shutdown. The first such error is also what `stop` rejects with. */
  readonly onFailure?: ((failure: WorkerFailure) => void) | undefined;
}

export interface WorkerFailure {
  /** Of the runnable, or of the worker for an interval task. */
  readonly name: string;
  readonly error: unknown;
}

const DEFAULT_PENDING_CAPACITY = 65_536;

/** What a worker is made of, step by step: `new Builder('scan').concurrency(4).pendingCapacity(100).create()`. */
export class Builder {
  readonly #options: WorkerOptions;

  constructor(name: string, options: Omit<WorkerOptions, 'name'> = {}) {
    this.#options = { ...options, name };
  }

  concurrency(concurrency: number): Builder {
    return this.#with({ concurrency });
  }

  pendingCapacity(pendingCapacity: number): Builder {
    return this.#with({ pendingCapacity });
  }

  clock(clock: Clock): Builder {
    return this.#with({ clock });
  }

  signal(signal: AbortSignal): Builder {
    return this.#with({ signal });
  }

  onFailure(onFailure: (failure: WorkerFailure) => void): Builder {
    return this.#with({ onFailure });
  }

  create(): Worker {
    return new Worker(this.#options);
  }

  #with(more: Partial<WorkerOptions>): Builder {
    const { name, ...options } = { ...this.#options, ...more };
    return new Builder(name, options);
  }
}

/** Runs runnables, which handle one task after another; made by a Builder. What it has started has ended when `stop` has settled. Throws INVALID_OPTION with the option's name and value. */
export class Worker {
  readonly name: string;
  readonly #concurrency: number;
  readonly #clock: Clock;
  readonly #pending: PendingTasks;
  readonly #pool: TaskPool;
  readonly #onFailure: ((failure: WorkerFailure) => void) | undefined;
  readonly #signal: AbortSignal | undefined;
  /** Aborts when the worker stops. */
  readonly #scope = new AbortScope();
  readonly #runners = new Set<{ stop(): void; readonly ended: Promise<void> }>();
  readonly #intervalTasks = new Set<Promise<void>>();
  /** Of lazy workers that have not been started. */
  readonly #unclaimed = new Set<{ close(): void; drop(): void }>();
  #failure: { readonly error: unknown } | undefined;
  #stopped: Promise<void> | undefined;
  // Whoever calls `stop` learns of a failure, and so does `onFailure`.
  readonly #onAbort = () => void this.stop().catch(() => undefined);

  constructor(options: WorkerOptions) {
    this.name = options.name;
    this.#concurrency = checkWholeNumber('concurrency', options.concurrency ?? 1, 1);
    const capacity = options.pendingCapacity ?? DEFAULT_PENDING_CAPACITY;
    this.#pending = new PendingTasks(checkWholeNumber('pendingCapacity', capacity, 1));
    this.#clock = options.clock ?? systemClock;
    this.#onFailure = options.onFailure;
    // First come, first served, as TiKV's workers are: runnables are few, and each is as important as the next.
    this.#pool = new TaskPool({ concurrency: this.#concurrency, queue: 'single', clock: this.#clock });
    this.#signal = options.signal;
    if (this.#signal?.aborted === true) this.#onAbort();
    else this.#signal?.addEventListener('abort', this.#onAbort, { once: true });
  }

  /** Starts a runnable; the scheduler is how tasks get to it. STOPPED after a stop: the runnable is not shut down then, because it never began. */
  start<T>(name: string, runnable: Runnable<T>): Scheduler<T> {
    return this.startWithTimer(name, withoutTimer(runnable));
  }

  /** The same for one with timeouts. INVALID_OPTION if its interval is no number from 0 on. */
  startWithTimer<T>(name: string, runnable: RunnableWithTimer<T>): Scheduler<T> {
    this.#throwIfStopped();
    const mailbox = new Mailbox<T>(name, this.#pending);
    this.#run(mailbox, runnable);
    return new Scheduler(mailbox);
  }

  /** A scheduler to hand out now, for a runnable that is started later: tasks wait, and count as pending. */
  lazyBuild<T>(name: string): LazyWorker<T> {
    this.#throwIfStopped();
    const mailbox = new Mailbox<T>(name, this.#pending);
    this.#unclaimed.add(mailbox);
    const start = (runnable: RunnableWithTimer<T>) => {
      this.#throwIfStopped();
      this.#run(mailbox, runnable);
      this.#unclaimed.delete(mailbox);
    };
    return new LazyWorker(mailbox, start, () => this.stop());
  }

  /**
   * Calls `task` now and then every `interval` ms until the worker stops; a call that takes longer is followed by the next at once, and none is made up for.
   * The signal aborts when the worker stops. An error ends it, and is a failure of the worker.
   */
  spawnIntervalTask(interval: number, task: (signal: AbortSignal) => void | Promise<void>): void {
    checkNumber('interval', interval, 1, Number.MAX_SAFE_INTEGER);
    this.#throwIfStopped();
    const running = this.#repeat(interval, task).finally(() => this.#intervalTasks.delete(running));
    this.#intervalTasks.add(running);
  }

  /** True when a new task would have to wait, or the worker has stopped. */
  get isBusy(): boolean {
    return this.#stopped !== undefined || this.#pending.count >= this.#concurrency;
  }

  /** Tasks that wait or run, of all runnables. */
  get pendingTasks(): number {
    return this.#pending.count;
  }

  /** What waits is dropped; resolves when what runs has ended and every runnable has shut down. Rejects with the first failure that the worker has seen. */
  stop(): Promise<void> {
    this.#stopped ??= Promise.resolve().then(() => this.#end());
    return this.#stopped;
  }

  async #end(): Promise<void> {
    this.#signal?.removeEventListener('abort', this.#onAbort);
    this.#scope.end();
    for (const mailbox of this.#unclaimed) {
      mailbox.close();
      mailbox.drop();
    }
    const runners = [...this.#runners];
    for (const runner of runners) runner.stop();
    await this.#pool.stop();
    await Promise.all(runners.map(({ ended }) => ended));
    await Promise.all(this.#intervalTasks);
    if (this.#failure !== undefined) throw this.#failure.error;
  }

  #run<T>(mailbox: Mailbox<T>, runnable: RunnableWithTimer<T>): void {
    const onFailure = (name: string, error: unknown) => this.#fail(name, error);
    const runner = new Runner({ runnable, mailbox, pool: this.#pool, clock: this.#clock, onFailure });
    runner.start();
    this.#runners.add(runner);
    void runner.ended.then(() => this.#runners.delete(runner)); // Never rejects, and `stop` waits for it.
  }

  async #repeat(interval: number, task: (signal: AbortSignal) => void | Promise<void>): Promise<void> {
    const { signal } = this.#scope;
    try {
      for (let due = this.#clock.now(); ;) {
        await this.#pool.run(() => task(signal));
        due = Math.max(due + interval, this.#clock.now());
        await this.#clock.sleep(due - this.#clock.now(), signal);
      }
    } catch (error) {
      // The end of the sleep and of the pool, and what a task that heeds the signal makes of it.
      if (!signal.aborted) this.#fail(this.name, error);
    }
  }

  #fail(name: string, error: unknown): void {
    this.#failure ??= { error };
    this.#onFailure?.({ name, error });
  }

  #throwIfStopped(): void {
    if (this.#stopped !== undefined) throw new BackupError('STOPPED', `the worker ${this.name} has been stopped`);
  }
}
