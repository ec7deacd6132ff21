// A task of a TaskPool: what it is given, how its slices are run one by one, and how it ends early. The pool decides when.

import { assert } from '../core/errors.js';
import type { SliceOptions } from './slice.js';
import type { TaskQueue } from './task-queue.js';
import type { TaskTime } from './task-time.js';

/**
 * What a pool runs. A function is one slice. A generator or async generator is one slice per step: it is set aside at every `yield`, and what it yields is
 * ignored. The value is what it returns.
 */
export type Task<T> = (handle: TaskHandle) => T | PromiseLike<T> | Generator<unknown, T> | AsyncGenerator<unknown, T>;

/** What a task is given. */
export interface TaskHandle {
  /** Aborts when the task is to end early, because its own signal has aborted or the pool is stopped. A task that waits for something passes it on. */
  readonly signal: AbortSignal;
  /** Time counted to the task so far, and to others with its id, in ms. */
  readonly elapsed: number;
  /**
   * Runs synchronous work and counts its time to the task. For what a task does after an `await`: only the part of a slice up to its first `await` is counted
   * without it. Before that it changes nothing: no time is counted twice.
   */
  measure<R>(work: () => R): R;
}

/** Steps that a generator may take in its `finally` blocks when it is ended early. */
const MAX_LEAVING_STEPS = 10_000;

type Steps<T> = Generator<unknown, T> | AsyncGenerator<unknown, T>;

/** The pool's view of a task, whatever its value is. */
export interface PooledTask {
  readonly sliceOptions: SliceOptions;
  /** Ends the task early. */
  readonly abortSignal: AbortSignal | undefined;
  /** Kept by the pool: true from the moment when a slice has its turn until the task is in line again. */
  isRunning: boolean;
  readonly isAborted: boolean;
  /** Runs a slice; true when the task has ended with it. Never rejects. */
  runSlice(): Promise<boolean>;
  /** Tells the task to end; `leave` ends it. */
  abort(reason: unknown): void;
  /** Ends a task between two slices: its `finally` blocks run, then its caller learns the reason. Never rejects. */
  leave(): Promise<void>;
}

export interface PooledTaskOptions<T> {
  readonly task: Task<T>;
  readonly sliceOptions: SliceOptions & { readonly time: TaskTime };
  readonly queue: TaskQueue;
  readonly abortSignal: AbortSignal | undefined;
  readonly resolve: (value: T | PromiseLike<T>) => void;
  readonly reject: (reason: unknown) => void;
}

export class StepwiseTask<T> implements PooledTask, TaskHandle {
  readonly sliceOptions: SliceOptions;
  readonly abortSignal: AbortSignal | undefined;
  isRunning = false;
  readonly #task: Task<T>;
  readonly #time: TaskTime;
  readonly #queue: TaskQueue;
  readonly #resolve: (value: T | PromiseLike<T>) => void;
  readonly #reject: (reason: unknown) => void;
  #steps: Steps<T> | undefined;
  #aborted: { readonly reason: unknown } | undefined;
  /** Made when the task asks for its signal: most do not. */
  #controller: AbortController | undefined;

  constructor(options: PooledTaskOptions<T>) {
    this.sliceOptions = options.sliceOptions;
    this.abortSignal = options.abortSignal;
    this.#task = options.task;
    this.#time = options.sliceOptions.time;
    this.#queue = options.queue;
    this.#resolve = options.resolve;
    this.#reject = options.reject;
  }

  get isAborted(): boolean {
    return this.#aborted !== undefined;
  }

  get elapsed(): number {
    return this.#time.ms;
  }

  get signal(): AbortSignal {
    this.#controller ??= new AbortController();
    if (this.#aborted !== undefined) this.#controller.abort(this.#aborted.reason);
    return this.#controller.signal;
  }

  measure<R>(work: () => R): R {
    return this.#queue.measure(this.#time, work);
  }

  async runSlice(): Promise<boolean> {
    try {
      if (this.#steps === undefined) {
        const outcome = this.#task(this);
        if (!isSteps(outcome)) {
          await outcome;
          this.#resolve(outcome);
          return true;
        }
        this.#steps = outcome;
      }
      const result = await this.#steps.next();
      if (result.done !== true) return false;
      this.#resolve(result.value);
    } catch (error) {
      this.#reject(error);
    }
    return true;
  }

  abort(reason: unknown): void {
    this.#aborted ??= { reason };
    this.#controller?.abort(this.#aborted.reason);
  }

  async leave(): Promise<void> {
    assert(this.#aborted !== undefined, 'a task was ended without a reason');
    try {
      await this.#return();
      this.#reject(this.#aborted.reason);
    } catch (error) {
      this.#reject(error); // As in any `finally`: what fails last is what is thrown.
    }
  }

  async #return(): Promise<void> {
    const steps = this.#steps;
    if (steps === undefined) return;
    // The value is not asked for: only the way out is.
    let step = await this.measure(() => steps.return(undefined as T));
    for (let count = 0; step.done !== true; count++) {
      assert(count < MAX_LEAVING_STEPS, 'a generator goes on and on in its finally block');
      step = await this.measure(() => steps.next());
    }
  }
}

/** Whether the task is to be run step by step: what it has returned is a generator, not a value. */
function isSteps<T>(outcome: T | PromiseLike<T> | Steps<T>): outcome is Steps<T> {
  if (typeof outcome !== 'object' || outcome === null) return false;
  if (!(Symbol.iterator in outcome || Symbol.asyncIterator in outcome)) return false;
  return 'next' in outcome && 'return' in outcome && 'throw' in outcome;
}
