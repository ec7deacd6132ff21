// A slice: what a task does between two moments at which it can be set aside. A plain function is one slice, a generator's every step is one.

import type { QueueAddOptions } from 'p-queue';

import type { Level, TaskId, TaskTime } from './task-time.js';

/** What `PQueue.add` takes beside p-queue's own options when its queue is one of ours. */
export interface SliceOptions extends QueueAddOptions {
  /** Counts the slice's time to that task. Without it the slice is a task of its own. p-queue's own `id` names a single slice, for `setPriority`. */
  readonly taskId?: TaskId | undefined;
  /** Keeps the slice at that level, however long the task has run. */
  readonly level?: Level | undefined;
  /** The task's account, from `TaskQueue.timeOf`; instead of `taskId`. */
  readonly time?: TaskTime | undefined;
}

export type RunFunction = () => Promise<unknown>;

/** A slice that waits for its turn. */
export interface Slice {
  readonly run: RunFunction;
  readonly id: string | undefined;
  readonly time: TaskTime | undefined;
  readonly level: Level;
  priority: number;
}

/** In which order slices have their turns. */
export interface SliceOrder extends Iterable<Slice> {
  readonly size: number;
  push(slice: Slice): void;
  shift(): Slice | undefined;
  remove(isWanted: (slice: Slice) => boolean): Slice | undefined;
  clear(): void;
  /** A slice of that level has run for `ms`. */
  ran(level: Level, ms: number): void;
}
