// What the three queues have in common: each plugs into p-queue as its `queueClass`, and measures the synchronous time of what it hands out.
// The order of the slices is the subclass's affair.

import type { Queue } from 'p-queue';

import { systemClock, type Clock } from '../core/clock.js';
import { BackupError } from '../core/errors.js';
import { checkNumber, checkWholeNumber } from '../core/check-option.js';
import type { RunFunction, SliceOptions, SliceOrder } from './slice.js';
import { TaskTime, TaskTimes, type Level, type TaskId } from './task-time.js';

export interface TaskQueueOptions {
  readonly clock?: Clock | undefined;
  /** ms of running time from which on a task is put at level 1, and at level 2. Ascending. Default [5, 100], as in yatp. */
  readonly levelThresholds?: readonly [number, number] | undefined;
  /** A task id that is not seen for this long, in ms, is forgotten: at the latest after twice that. Default 10,000. */
  readonly cleanupInterval?: number | undefined;
  /** Task ids that are remembered at most; of more, the oldest are forgotten sooner. Default 65,536. */
  readonly maxTaskIds?: number | undefined;
}

const DEFAULT_THRESHOLDS = [5, 100] as const;
const DEFAULT_CLEANUP_INTERVAL = 10_000;
const DEFAULT_MAX_TASK_IDS = 65_536;

/** The priority of a slice when it is put in line. */
export type PriorityOf = (time: TaskTime | undefined, options: Partial<SliceOptions> | undefined) => number;

const givenPriority: PriorityOf = (_time, options) => options?.priority ?? 0;

/** What MultilevelQueue, SingleLevelQueue and PriorityTaskQueue have in common. */
export abstract class TaskQueue implements Queue<RunFunction, SliceOptions> {
  readonly #order: SliceOrder;
  readonly #priorityOf: PriorityOf;
  readonly #clock: Clock;
  readonly #times: TaskTimes;
  readonly #level1Ms: number;
  readonly #level2Ms: number;
  /** Everything that has been measured here. */
  #elapsed = 0;
  /** What `count` was told. Not part of `#elapsed`: it is not to be taken from the time of a slice that runs here meanwhile. */
  #counted = 0;
  /** The clock when it was last looked at: near enough for forgetting. */
  #recent: number;

  protected constructor(order: SliceOrder, options: TaskQueueOptions, priorityOf: PriorityOf = givenPriority) {
    const [level1Ms, level2Ms] = options.levelThresholds ?? DEFAULT_THRESHOLDS;
    checkNumber('levelThresholds[0]', level1Ms, 0, Infinity);
    checkNumber('levelThresholds[1]', level2Ms, level1Ms, Infinity);
    this.#order = order;
    this.#priorityOf = priorityOf;
    this.#clock = options.clock ?? systemClock;
    this.#level1Ms = level1Ms;
    this.#level2Ms = level2Ms;
    this.#recent = this.#clock.now();
    this.#times = new TaskTimes({
      cleanupInterval: checkNumber('cleanupInterval', options.cleanupInterval ?? DEFAULT_CLEANUP_INTERVAL, 1, Infinity),
      maxTaskIds: checkWholeNumber('maxTaskIds', options.maxTaskIds ?? DEFAULT_MAX_TASK_IDS, 2),
      now: this.#recent,
    });
  }

  /** Slices that wait. */
  get size(): number {
    return this.#order.size;
  }

  /** Time of all slices that have run, in ms: synchronous time, and what `count` was told. */
  get elapsed(): number {
    return this.#elapsed + this.#counted;
  }

  /** Task ids that are remembered. */
  get taskIds(): number {
    return this.#times.size;
  }

  /** The account of a task id; without an id, a new one that is shared with nobody. */
  timeOf(taskId?: TaskId): TaskTime {
    return taskId === undefined ? new TaskTime(undefined) : this.#times.of(taskId, this.#recent);
  }

  enqueue(run: RunFunction, options?: Partial<SliceOptions>): void {
    const time = this.#timeFor(options);
    const level = options?.level ?? (time === undefined ? 0 : this.levelOf(time));
    if (time !== undefined) time.level = level;
    this.#order.push({ run, id: options?.id, time, level, priority: this.#priorityOf(time, options) });
  }

  /** The next slice; its synchronous time is measured when it is called. */
  dequeue(): RunFunction | undefined {
    const slice = this.#order.shift();
    if (slice === undefined) return undefined;
    return () => this.#measure(slice.time, slice.level, slice.run);
  }

  /** Runs `work`, which is synchronous, and counts its time to the task. What is measured inside it counts only there. */
  measure<T>(time: TaskTime, work: () => T): T {
    return this.#measure(time, time.level, work);
  }

  /** At which level a slice of the task would wait now. */
  levelOf(time: TaskTime): Level {
    if (time.ms < this.#level1Ms) return 0;
    return time.ms < this.#level2Ms ? 1 : 2;
  }

  /** Counts `ms` that a slice of that level has run where this queue cannot measure it: on another thread. Its turn here took no time. */
  count(time: TaskTime, level: Level, ms: number): void {
    this.#recent = this.#clock.now();
    this.#counted += ms;
    time.ms += ms;
    this.#times.see(time, this.#recent);
    this.#order.ran(level, ms);
  }

  /** For `PQueue.sizeBy`: the slices that have these options, of `priority`, `level` and `taskId`. */
  filter(options: Readonly<Partial<SliceOptions>>): RunFunction[] {
    const found: RunFunction[] = [];
    for (const slice of this.#order) {
      if (options.priority !== undefined && slice.priority !== options.priority) continue;
      if (options.level !== undefined && slice.level !== options.level) continue;
      if (options.taskId !== undefined && slice.time?.id !== options.taskId) continue;
      found.push(slice.run);
    }
    return found;
  }

  /** For `PQueue.setPriority`. Only a priority queue orders by it. A slice that is moved comes last among its equals. */
  setPriority(id: string, priority: number): void {
    const slice = this.#order.remove((waiting) => waiting.id === id);
    if (slice === undefined) throw new BackupError('INVALID_OPTION', `id: no slice with the id ${id} waits`);
    slice.priority = priority;
    this.#order.push(slice);
  }

  /** Takes the slice with that id out, if it waits. */
  remove(id: string): void {
    this.#order.remove((slice) => slice.id === id);
  }

  /** Takes all out. */
  clear(): void {
    this.#order.clear();
  }

  #timeFor(options: Partial<SliceOptions> | undefined): TaskTime | undefined {
    if (options?.time !== undefined) {
      this.#times.see(options.time, this.#recent);
      return options.time;
    }
    return options?.taskId === undefined ? undefined : this.#times.of(options.taskId, this.#recent);
  }

  #measure<T>(time: TaskTime | undefined, level: Level, work: () => T): T {
    const began = this.#clock.now();
    const elapsedBefore = this.#elapsed;
    try {
      return work();
    } finally {
      this.#recent = this.#clock.now();
      // A slice may start others within itself (an `add` to a queue that has a free place): their time is theirs.
      const own = Math.max(0, this.#recent - began - (this.#elapsed - elapsedBefore));
      this.#elapsed += own;
      if (time !== undefined) time.ms += own;
      this.#order.ran(level, own);
    }
  }
}
