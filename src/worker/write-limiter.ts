// How many container writes run at a time. Two per process by default: parallel fsyncs fill libuv's four threads and stall the host's own file
// and name look-ups, which no event-loop figure shows.

import PQueue from 'p-queue';

export class WriteLimiter {
  readonly #queue: PQueue;

  constructor(concurrency: number) {
    this.#queue = new PQueue({ concurrency });
  }

  run<T>(write: () => Promise<T>): Promise<T> {
    return this.#queue.add(write);
  }

  /** Lets one more write run while one of those that run has stalled. Call the result, once, when that one has ended or goes on. */
  lend(): () => void {
    this.#queue.concurrency++;
    let isLent = true;
    return () => {
      if (isLent) this.#queue.concurrency--;
      isLent = false;
    };
  }
}

const processWrites = new WriteLimiter(2);

/** The process-wide one, unless the worker has its own concurrency. */
export function writeLimiter(concurrentWrites: number | undefined): WriteLimiter {
  return concurrentWrites === undefined ? processWrites : new WriteLimiter(concurrentWrites);
}
