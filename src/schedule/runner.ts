// Drives one runnable: its tasks, its ticks and its timeouts, one call at a time, as a task of the worker's pool. Must shut it down exactly once, whatever happens.

import { AbortScope } from '../core/abort.js';
import type { Clock } from '../core/clock.js';
import { BackupError } from '../core/errors.js';
import { checkNumber } from '../core/check-option.js';
import type { RunnableWithTimer } from './runnable.js';
import type { Mailbox } from './scheduler.js';
import type { TaskPool } from './task-pool.js';

/** Runs after which `onTick` is called although more wait. */
const BATCH = 128;

export interface RunnerOptions<T> {
  readonly runnable: RunnableWithTimer<T>;
  readonly mailbox: Mailbox<T>;
  readonly pool: TaskPool;
  readonly clock: Clock;
  readonly onFailure: (name: string, error: unknown) => void;
}

export class Runner<T> {
  readonly #runnable: RunnableWithTimer<T>;
  readonly #mailbox: Mailbox<T>;
  readonly #pool: TaskPool;
  readonly #clock: Clock;
  readonly #onFailure: (name: string, error: unknown) => void;
  readonly #timerScope = new AbortScope();
  #timer: Promise<void> | undefined;
  #isTimeoutDue = false;
  /** True while the pool has a task that goes through the mailbox. */
  #isActive = false;
  #isStopping = false;
  #ending: Promise<void> | undefined;
  readonly #hasEnded: Promise<void>;
  #resolveEnded: () => void = () => undefined;

  constructor(options: RunnerOptions<T>) {
    this.#runnable = options.runnable;
    this.#mailbox = options.mailbox;
    this.#pool = options.pool;
    this.#clock = options.clock;
    this.#onFailure = options.onFailure;
    this.#hasEnded = new Promise((resolve) => (this.#resolveEnded = resolve));
  }

  /** Resolves when the runnable has shut down. */
  get ended(): Promise<void> {
    return this.#hasEnded;
  }

  start(): void {
    this.#armTimer();
    this.#mailbox.onChange = () => this.#wake();
    this.#wake();
  }

  /** What waits is dropped, what runs is run to its end, then the runnable shuts down. The pool must be stopped beside it. */
  stop(): void {
    this.#isStopping = true;
    this.#mailbox.close();
    this.#wake();
  }

  #wake(): void {
    if (this.#isActive || this.#ending !== undefined) return;
    if (!this.#isStopping && (this.#mailbox.size > 0 || this.#isTimeoutDue)) {
      this.#isActive = true;
      void this.#go(); // Joined through `ended`.
    } else if (this.#mailbox.isClosed) {
      this.#ending = this.#end();
    }
  }

  async #go(): Promise<void> {
    try {
      await this.#pool.run(() => this.#steps(), { id: this.#mailbox.name });
    } catch (error) {
      if (!(this.#isStopping && BackupError.is(error, 'STOPPED'))) {
        this.#ending = this.#end({ error });
        return;
      }
    }
    this.#isActive = false;
    this.#wake(); // Something may have come while the last tick ran.
  }

  /** One call of the runnable a slice: other runnables of the worker have their turns in between. */
  async *#steps(): AsyncGenerator<void, void> {
    let runs = 0;
    for (;;) {
      if (this.#isTimeoutDue) {
        this.#isTimeoutDue = false;
        await this.#runnable.onTimeout();
        this.#armTimer();
      } else {
        const hasRun = await this.#runNext();
        if (hasRun) runs++;
        if (runs > 0 && (!hasRun || runs === BATCH)) {
          runs = 0;
          await this.#runnable.onTick?.();
        }
        if (!hasRun) return;
      }
      yield;
    }
  }

  async #runNext(): Promise<boolean> {
    if (this.#mailbox.size === 0) return false;
    const task = this.#mailbox.shift() as T;
    try {
      await this.#runnable.run(task);
    } finally {
      this.#mailbox.done();
    }
    return true;
  }

  #armTimer(): void {
    const interval = checkNumber('interval', this.#runnable.interval, 0, Number.MAX_SAFE_INTEGER);
    if (interval === 0 || this.#timerScope.signal.aborted) return;
    this.#timer = this.#clock.sleep(interval, this.#timerScope.signal).then(
      () => {
        this.#isTimeoutDue = true;
        this.#wake();
      },
      () => undefined, // The scope has ended, and the runnable with it.
    );
  }

  async #end(failure?: { readonly error: unknown }): Promise<void> {
    this.#mailbox.close(failure?.error);
    this.#mailbox.drop();
    this.#timerScope.end();
    try {
      await this.#runnable.shutdown?.();
    } catch (error) {
      failure ??= { error };
    }
    await this.#timer;
    this.#resolveEnded();
    if (failure !== undefined) this.#onFailure(this.#mailbox.name, failure.error);
  }
}
