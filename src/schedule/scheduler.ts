// How tasks get to a runnable: a mailbox between whoever schedules and the worker, with a bound that all mailboxes of a worker share.

import { BackupError } from '../core/errors.js';
import { Ring } from './ring.js';

/** The tasks that a worker has taken and not finished, of all its runnables together. */
export class PendingTasks {
  readonly capacity: number;
  count = 0;

  constructor(capacity: number) {
    this.capacity = capacity;
  }
}

export class Mailbox<T> {
  readonly name: string;
  readonly pending: PendingTasks;
  readonly #tasks = new Ring<T>();
  #closed: { readonly cause: unknown } | undefined;
  /** Called when something has come or the mailbox was closed. */
  onChange: (() => void) | undefined;

  constructor(name: string, pending: PendingTasks) {
    this.name = name;
    this.pending = pending;
  }

  get size(): number {
    return this.#tasks.size;
  }

  get isClosed(): boolean {
    return this.#closed !== undefined;
  }

  push(task: T): void {
    this.throwIfClosed();
    this.pending.count++;
    this.#tasks.push(task);
    this.onChange?.();
  }

  /** The task counts as pending until `done`. */
  shift(): T | undefined {
    return this.#tasks.shift();
  }

  done(): void {
    this.pending.count--;
  }

  /** Takes nothing more; what is in it stays. */
  close(cause?: unknown): void {
    if (this.#closed !== undefined) return;
    this.#closed = { cause };
    this.onChange?.();
  }

  drop(): void {
    this.pending.count -= this.#tasks.size;
    this.#tasks.clear();
  }

  throwIfClosed(): void {
    if (this.#closed === undefined) return;
    throw new BackupError('STOPPED', `${this.name} has stopped and takes no more tasks`, { cause: this.#closed.cause });
  }
}

/** Hands tasks to one runnable. May be shared; tasks are run in the order in which they were scheduled. */
export class Scheduler<T> {
  readonly #mailbox: Mailbox<T>;

  /** Within: workers make schedulers. */
  constructor(mailbox: Mailbox<T>) {
    this.#mailbox = mailbox;
  }

  /**
   * QUEUE_FULL: the worker has as many pending tasks as it may have. STOPPED: the runnable has ended, or will after what it has already; `cause` is the error that
   * ended it, if one did.
   */
  schedule(task: T): void {
    this.#mailbox.throwIfClosed();
    const { capacity, count } = this.#mailbox.pending;
    if (count >= capacity) {
      const message = `the worker of ${this.#mailbox.name} has ${count} pending tasks already, of ${capacity}`;
      throw new BackupError('QUEUE_FULL', message, { retryable: true });
    }
    this.#mailbox.push(task);
  }

  /** As `schedule`, also beyond the capacity: for the few tasks that must not be lost. STOPPED as there. */
  scheduleForce(task: T): void {
    this.#mailbox.push(task);
  }

  /** True when a new task would have to wait for others of the worker. */
  get isBusy(): boolean {
    return this.#mailbox.pending.count > 0;
  }

  /** Tasks that wait or run, of all the worker's runnables. */
  get pendingTasks(): number {
    return this.#mailbox.pending.count;
  }

  /** Takes no more tasks. Those that were scheduled are still run, then the runnable shuts down. */
  stop(): void {
    this.#mailbox.close();
  }
}
