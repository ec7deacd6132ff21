// Runs many tasks, a few at a time, so that neither a long one holds up the short ones nor all together the host.
// The order is the queue's, the concurrency p-queue's; what a slice is and how a task ends early is in task.ts.

import PQueue from 'p-queue';

import { systemClock, type Clock } from '../core/clock.js';
import { BackupError } from '../core/errors.js';
import { checkNumber, checkWholeNumber } from '../core/check-option.js';
import { MultilevelQueue, type MultilevelQueueOptions } from './multilevel-queue.js';
import { PriorityTaskQueue, type PriorityTaskQueueOptions } from './priority-task-queue.js';
import { SignalGroups } from './signal-groups.js';
import { SingleLevelQueue } from './single-level-queue.js';
import type { SliceOptions } from './slice.js';
import type { TaskQueue } from './task-queue.js';
import type { Level, TaskId } from './task-time.js';
import { StepwiseTask, type PooledTask, type Task } from './task.js';

export type QueueKind = 'multilevel' | 'single' | 'priority';

export interface TaskPoolOptions {
  /** Slices that run at a time: a whole number from 1 on. A slice that awaits something counts as running. */
  readonly concurrency: number;
  /** Default 'multilevel'. */
  readonly queue?: QueueKind | undefined;
  /** Settings of the queue; its clock is the pool's. */
  readonly queueOptions?: (MultilevelQueueOptions & PriorityTaskQueueOptions) | undefined;
  /** Tasks that may be in the pool, running and waiting together; `run` refuses more with QUEUE_FULL. Default 65,536. */
  readonly capacity?: number | undefined;
  readonly clock?: Clock | undefined;
  /** Stops the pool. */
  readonly signal?: AbortSignal | undefined;
}

export interface RunOptions {
  /** Tasks with one id count as one, in the pool and later: one that comes back soon is not new. Default: an id of its own. */
  readonly id?: TaskId | undefined;
  /** Keeps the task at that level. */
  readonly level?: Level | undefined;
  /** For a priority queue: the greater first. Default 0. */
  readonly priority?: number | undefined;
  /** Ends the task early: at once while it waits, after its slice while it runs. */
  readonly signal?: AbortSignal | undefined;
}

const DEFAULT_CAPACITY = 65_536;
/** After this much synchronous time, in ms, or this many slices, the host's event loop has a turn. */
const TURN_MS = 5;
const TURN_SLICES = 1024;

/**
 * Runs tasks in slices, `concurrency` of them at a time, in the order that its queue chooses, and lets the host's event loop turn in between. Own it, and `stop` it in the end. Throws INVALID_OPTION with the option's
 * name and value.
 */
export class TaskPool {
  readonly #pool: PQueue<TaskQueue, SliceOptions>;
  readonly #queue: TaskQueue;
  readonly #clock: Clock;
  readonly #capacity: number;
  readonly #signal: AbortSignal | undefined;
  readonly #tasks = new Set<PooledTask>();
  readonly #bySignal = new SignalGroups<PooledTask>((task, reason) => this.#abort(task, reason));
  readonly #onAbort = () => void this.stop();
  #lastId = 0;
  #turnBegan = 0;
  #turnSlices = 0;
  /** While the host has its turn. */
  #hostsTurn: Promise<void> | undefined;
  #stopped: Promise<void> | undefined;
  #onEmpty: (() => void) | undefined;

  constructor(options: TaskPoolOptions) {
    const concurrency = checkWholeNumber('concurrency', options.concurrency, 1);
    this.#capacity = checkWholeNumber('capacity', options.capacity ?? DEFAULT_CAPACITY, 1);
    this.#clock = options.clock ?? systemClock;
    // p-queue makes its queue itself and keeps it private.
    const made: TaskQueue[] = [];
    const queueClass = class extends chooseQueue(options.queue, { ...options.queueOptions, clock: this.#clock }) {
      constructor() {
        super();
        made.push(this);
      }
    };
    this.#pool = new PQueue({ concurrency, queueClass });
    this.#queue = made[0] as TaskQueue;
    this.#signal = options.signal;
    if (this.#signal?.aborted === true) this.#onAbort();
    else this.#signal?.addEventListener('abort', this.#onAbort, { once: true });
  }

  /** Slices that run at a time. What runs when it is made smaller goes on to the end of its slice. */
  get concurrency(): number {
    return this.#pool.concurrency;
  }

  set concurrency(concurrency: number) {
    this.#pool.concurrency = checkWholeNumber('concurrency', concurrency, 1);
  }

  /** Tasks in the pool, running and waiting together. */
  get pending(): number {
    return this.#tasks.size;
  }

  /** Synchronous time of all slices so far, in ms. */
  get elapsed(): number {
    return this.#queue.elapsed;
  }

  /**
   * Resolves to the task's value or rejects with its error. QUEUE_FULL: there are too many. STOPPED: the pool has been stopped, before or meanwhile; `cause` is the
   * reason of the pool's signal, if that stopped it. When `options.signal` aborts first, the task is ended and this rejects with the signal's reason.
   */
  run<T>(task: Task<T>, options: RunOptions = {}): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      checkRun(task, options);
      options.signal?.throwIfAborted();
      if (this.#stopped !== undefined) throw this.#stopError();
      if (this.#tasks.size >= this.#capacity) {
        throw new BackupError('QUEUE_FULL', `the pool holds ${this.#capacity} tasks already`, { retryable: true });
      }
      const time = this.#queue.timeOf(options.id);
      const { level, priority = 0, signal: abortSignal } = options;
      const sliceOptions = { id: String(++this.#lastId), time, level, priority };
      const pooled = new StepwiseTask({ task, sliceOptions, queue: this.#queue, abortSignal, resolve, reject });
      this.#tasks.add(pooled);
      if (abortSignal !== undefined) this.#bySignal.add(abortSignal, pooled);
      this.#enqueue(pooled);
    });
  }

  /** Takes no more tasks and ends those that are there; resolves when the last has gone. Tasks that wait end at once, those that run after their slice. */
  stop(): Promise<void> {
    // A moment later: what tasks do when their signal aborts must find the pool stopped.
    this.#stopped ??= Promise.resolve().then(() => this.#end());
    return this.#stopped;
  }

  async #end(): Promise<void> {
    this.#signal?.removeEventListener('abort', this.#onAbort);
    this.#queue.clear();
    const reason = this.#stopError();
    for (const task of [...this.#tasks]) this.#abort(task, reason);
    if (this.#tasks.size > 0) await new Promise<void>((resolve) => (this.#onEmpty = resolve));
    await this.#hostsTurn;
  }

  #stopError(): BackupError {
    const cause: unknown = this.#signal?.aborted === true ? this.#signal.reason : undefined;
    return new BackupError('STOPPED', 'the pool has been stopped', { cause });
  }

  #enqueue(task: PooledTask): void {
    task.isRunning = false;
    // Not waited for: what becomes of the task its caller learns through `run`, and the slice itself does not reject.
    void this.#pool.add(() => this.#runSlice(task), task.sliceOptions);
  }

  async #runSlice(task: PooledTask): Promise<void> {
    task.isRunning = true;
    const hasEnded = await task.runSlice();
    this.#countSlice();
    if (hasEnded) this.#forget(task);
    else if (task.isAborted) await this.#leave(task);
    else this.#enqueue(task);
  }

  #abort(task: PooledTask, reason: unknown): void {
    task.abort(reason);
    if (task.isRunning) return;
    task.isRunning = true; // It has its last turn now.
    if (task.sliceOptions.id !== undefined) this.#queue.remove(task.sliceOptions.id);
    // Not waited for here: until it is done the task is among #tasks, for which `stop` waits.
    void this.#leave(task);
  }

  async #leave(task: PooledTask): Promise<void> {
    await task.leave();
    this.#forget(task);
  }

  #forget(task: PooledTask): void {
    this.#tasks.delete(task);
    if (task.abortSignal !== undefined) this.#bySignal.delete(task.abortSignal, task);
    if (this.#tasks.size === 0) this.#onEmpty?.();
  }

  /** Slices follow each other in microtasks, before which no timer and no socket comes: now and then the host's event loop must turn. */
  #countSlice(): void {
    this.#turnSlices++;
    if (this.#hostsTurn !== undefined) return;
    if (this.#turnSlices < TURN_SLICES && this.#queue.elapsed - this.#turnBegan < TURN_MS) return;
    this.#pool.pause();
    this.#hostsTurn = this.#clock.yieldToHost().then(() => {
      this.#hostsTurn = undefined;
      this.#turnSlices = 0;
      this.#turnBegan = this.#queue.elapsed;
      this.#pool.start();
    });
  }
}

function chooseQueue(
  kind: QueueKind = 'multilevel',
  options: MultilevelQueueOptions & PriorityTaskQueueOptions,
): new () => TaskQueue {
  switch (kind) {
    case 'multilevel':
      return MultilevelQueue.configured(options);
    case 'single':
      return SingleLevelQueue.configured(options);
    case 'priority':
      return PriorityTaskQueue.configured(options);
    default:
      throw new BackupError('INVALID_OPTION', `queue must be multilevel, single or priority, got ${String(kind)}`);
  }
}

function checkRun<T>(task: Task<T>, { level, priority }: RunOptions): void {
  if (typeof task !== 'function')
    throw new BackupError('INVALID_OPTION', `task must be a function, got ${typeof task}`);
  if (level !== undefined) checkWholeNumber('level', level, 0, 2);
  if (priority !== undefined) checkNumber('priority', priority, -Infinity, Infinity);
}
