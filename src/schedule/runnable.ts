// What a worker runs: an object that handles one task after another, and that is told when it may tidy up.

/** All calls come one at a time: none begins before the promise of the one before has settled. */
export interface Runnable<T> {
  /** Handles one task. An error ends the runnable (`shutdown` is called): one that is to outlive it, it catches itself. */
  run(task: T): void | Promise<void>;
  /** Called after a batch of runs: when nothing more waits, and at the latest after 128. For what is cheaper done for many tasks together. */
  onTick?(): void | Promise<void>;
  /** Called exactly once, as the last call, however it ends: after a stop, an abort, an error. */
  shutdown?(): void | Promise<void>;
}

export interface RunnableWithTimer<T> extends Runnable<T> {
  /** ms between the end of one `onTimeout` (at first: the start) and the next; read anew each time. 0: no more timeouts. */
  readonly interval: number;
  /** Called between two runs when the interval has passed. */
  onTimeout(): void | Promise<void>;
}

/** One that never times out. */
export function withoutTimer<T>(runnable: Runnable<T>): RunnableWithTimer<T> {
  return {
    interval: 0,
    run: (task) => runnable.run(task),
    onTick: () => runnable.onTick?.(),
    shutdown: () => runnable.shutdown?.(),
    onTimeout: () => undefined,
  };
}
