// How long each task has run, by task id, over all its slices. Ids that were not seen for a while are forgotten; their number is bounded.

/** Names a task, or several that belong together (the parts of one request): their times count as one. */
export type TaskId = string | number | bigint;

/** 0: short and new tasks. 1 and 2: those that have run longer than the thresholds. */
export type Level = 0 | 1 | 2;

/** The account of one task id. Whoever runs a task of many slices holds on to it: what it counts is not lost when the id is forgotten. */
export class TaskTime {
  readonly id: TaskId | undefined;
  /** Measured so far, in ms. */
  ms = 0;
  /** Where its newest slice was put. */
  level: Level = 0;
  /** Within: the period in which the id was last seen. */
  period = -1;

  constructor(id: TaskId | undefined) {
    this.id = id;
  }
}

export interface TaskTimesOptions {
  /** ms */
  readonly cleanupInterval: number;
  readonly maxTaskIds: number;
  /** The clock's time. */
  readonly now: number;
}

/**
 * Two maps, as in yatp: ids seen in this period, and those of the one before. At the end of a period the older map is dropped, so that an id is
 * forgotten between one and two intervals after it was last seen, at the cost of no look at any single id.
 */
export class TaskTimes {
  readonly #cleanupInterval: number;
  readonly #maxPerPeriod: number;
  #current = new Map<TaskId, TaskTime>();
  #previous = new Map<TaskId, TaskTime>();
  #period = 0;
  #periodBegan: number;

  constructor(options: TaskTimesOptions) {
    this.#cleanupInterval = options.cleanupInterval;
    this.#maxPerPeriod = Math.ceil(options.maxTaskIds / 2);
    this.#periodBegan = options.now;
  }

  /** Ids that are remembered. */
  get size(): number {
    return this.#current.size + this.#previous.size;
  }

  /** The id's account, made anew when the id is not known (any more). */
  of(id: TaskId, now: number): TaskTime {
    const time = this.#current.get(id) ?? this.#previous.get(id) ?? new TaskTime(id);
    this.see(time, now);
    return time;
  }

  /** The account is in use now: its id is remembered for another interval. */
  see(time: TaskTime, now: number): void {
    if (now - this.#periodBegan >= this.#cleanupInterval) this.#endPeriod(now);
    if (time.id === undefined || time.period === this.#period) return;
    if (this.#previous.size > 0) this.#previous.delete(time.id);
    if (this.#current.size >= this.#maxPerPeriod) this.#endPeriod(now);
    time.period = this.#period;
    this.#current.set(time.id, time);
  }

  #endPeriod(now: number): void {
    this.#previous = this.#current;
    this.#current = new Map();
    this.#period++;
    this.#periodBegan = now;
  }
}
