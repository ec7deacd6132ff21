// The line in front of the threads: our MultilevelQueue as piscina's task queue. Whose work has taken the threads for long gives way to who has just come.

import type { TaskQueue as PiscinaQueue } from 'piscina';

import type { MultilevelQueue } from '../../schedule/multilevel-queue.js';
import type { Level, TaskTime } from '../../schedule/task-time.js';

/** What piscina keeps in line. */
export type WaitingTask = NonNullable<ReturnType<PiscinaQueue['shift']>>;

/** Goes with a task under piscina's symbol for queue options. It stays on this thread: keys that are symbols are not sent. */
export class Turn {
  /** The account of whoever the work is for. */
  readonly time: TaskTime;
  /** At which the task waited, or would have, had there been no free thread. */
  level: Level;

  constructor(time: TaskTime, level: Level) {
    this.time = time;
    this.level = level;
  }
}

/**
 * piscina takes a task out of its queue before it looks for a free thread, and puts it back when there is none. Here that task keeps the turn that it has been dealt: put in line anew, it would lose its
 * place, and the level's turn would be used up for nothing.
 */
export class PressLine implements PiscinaQueue {
  readonly #queue: MultilevelQueue;
  readonly #turnOf: (task: WaitingTask) => Turn;
  /** Taken out last. */
  #dealt: WaitingTask | undefined;
  /** Taken out, and put back since all threads are busy. */
  #next: WaitingTask | undefined;
  readonly #ids = new WeakMap<WaitingTask, string>();
  #lastId = 0;

  /** `turnOf` finds what `run` was given with the task. */
  constructor(queue: MultilevelQueue, turnOf: (task: WaitingTask) => Turn) {
    this.#queue = queue;
    this.#turnOf = turnOf;
  }

  get size(): number {
    return this.#queue.size + (this.#next === undefined ? 0 : 1);
  }

  push(task: WaitingTask): void {
    if (task === this.#dealt) {
      this.#next = task;
      return;
    }
    const turn = this.#turnOf(task);
    const id = String(++this.#lastId);
    this.#ids.set(task, id);
    const deal = () => Promise.resolve((this.#dealt = task));
    this.#queue.enqueue(deal, { id, time: turn.time });
    turn.level = turn.time.level;
  }

  shift(): WaitingTask | null {
    if (this.#next !== undefined) {
      const next = this.#next;
      this.#next = undefined;
      return next;
    }
    const deal = this.#queue.dequeue();
    if (deal === undefined) return null;
    void deal();
    return this.#dealt ?? null;
  }

  remove(task: WaitingTask): void {
    if (task === this.#next) this.#next = undefined;
    const id = this.#ids.get(task);
    if (id !== undefined) this.#queue.remove(id);
  }
}
