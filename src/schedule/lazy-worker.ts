// A worker whose runnable comes later: for parts that need each other's schedulers before either can be made.

import { withoutTimer, type Runnable, type RunnableWithTimer } from './runnable.js';
import { Scheduler, type Mailbox } from './scheduler.js';

/** Made by `Worker.lazyBuild`. */
export class LazyWorker<T> {
  readonly scheduler: Scheduler<T>;
  readonly #start: (runnable: RunnableWithTimer<T>) => void;
  readonly #stopWorker: () => Promise<void>;
  #isStarted = false;

  /** Within: workers make them. `start` takes over the mailbox. */
  constructor(mailbox: Mailbox<T>, start: (runnable: RunnableWithTimer<T>) => void, stopWorker: () => Promise<void>) {
    this.scheduler = new Scheduler(mailbox);
    this.#start = start;
    this.#stopWorker = stopWorker;
  }

  /** Runs what was scheduled so far, and what comes. False when it has been started before: the runnable is not used then. STOPPED after a stop of the worker. */
  start(runnable: Runnable<T>): boolean {
    return this.startWithTimer(withoutTimer(runnable));
  }

  startWithTimer(runnable: RunnableWithTimer<T>): boolean {
    if (this.#isStarted) return false;
    this.#start(runnable);
    this.#isStarted = true;
    return true;
  }

  /** Takes no more tasks. Those that were scheduled are still run, once started, and then the runnable shuts down. */
  stop(): void {
    this.scheduler.stop();
  }

  /** Stops the whole worker, with all its runnables. */
  async stopWorker(): Promise<void> {
    this.stop();
    await this.#stopWorker();
  }
}
