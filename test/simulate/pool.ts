// Child processes that run seeds, one per core. One that dies, or gets stuck in a seed (an endless loop answers nothing), costs that seed and no other: it is killed, and another one goes on.

import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { Assignment, ChildMessage, SeedReport } from './messages.js';

/** A child process, as far as the pool knows it. */
export interface SeedChild {
  assign(assignment: Assignment): void;
  /** It ends as soon as it has nothing to do. */
  letGo(): void;
  kill(): void;
  /** `onEnd`: with how it ended, `code 1` or a signal. */
  listen(onMessage: (message: ChildMessage) => void, onEnd: (how: string) => void): void;
}

export interface PoolOptions {
  readonly jobs: number;
  readonly planted: string | undefined;
  /** ms of real time for one seed. */
  readonly stallMs: number;
  /** The next few seeds; none: that was all. */
  readonly take: () => readonly number[];
  readonly onReport: (report: SeedReport) => void;
  readonly start?: () => SeedChild;
}

/** Resolves when every seed has its report, and every child is gone. */
export async function runSeeds(options: PoolOptions): Promise<void> {
  await Promise.all(Array.from({ length: options.jobs }, () => runSlot(options)));
}

/** One child after the other: the next one goes on where the last one was lost. */
async function runSlot(options: PoolOptions): Promise<void> {
  let seeds = [...options.take()];
  while (seeds.length > 0) seeds = await new SeedRunner(options, seeds).run();
}

class SeedRunner {
  readonly #options: PoolOptions;
  readonly #child: SeedChild;
  /** Given to the child and not reported; the first one is at work. */
  readonly #seeds: number[];
  #isReady = false;
  #watchdog: NodeJS.Timeout | undefined;
  #stalled = false;

  constructor(options: PoolOptions, seeds: readonly number[]) {
    this.#options = options;
    this.#seeds = [...seeds];
    this.#child = (options.start ?? startChild)();
  }

  /** Resolves, when the child is gone, with the seeds that it has left. */
  run(): Promise<number[]> {
    return new Promise((resolve, reject) => {
      const onEnd = (how: string) => {
        clearTimeout(this.#watchdog);
        const lost = this.#seeds.shift();
        if (lost !== undefined && !this.#isReady) {
          reject(new Error(`a child process ended with ${how} before it could run seed ${lost}`));
          return;
        }
        if (lost !== undefined) this.#options.onReport(this.#lostReport(lost, how));
        resolve(this.#seeds);
      };
      this.#child.listen((message) => this.#hear(message), onEnd);
    });
  }

  #hear(message: ChildMessage): void {
    clearTimeout(this.#watchdog);
    if (message === 'ready') {
      if (this.#isReady) this.#seeds.splice(0, Number.POSITIVE_INFINITY, ...this.#options.take());
      this.#isReady = true;
      if (this.#seeds.length === 0) {
        this.#child.letGo();
        return;
      }
      this.#child.assign({ seeds: [...this.#seeds], planted: this.#options.planted });
    } else {
      this.#seeds.shift();
      this.#options.onReport(message);
    }
    this.#watchdog = setTimeout(() => {
      this.#stalled = true;
      this.#child.kill();
    }, this.#options.stallMs);
  }

  #lostReport(seed: number, end: string): SeedReport {
    const violation = this.#stalled
      ? { check: 'a seed comes to its end', message: `no end after ${this.#options.stallMs / 1_000} s`, at: 0 }
      : { check: 'a seed does not end its process', message: `the child process ended with ${end}`, at: 0 };
    return { seed, violation, hits: {}, events: 0, virtualMs: 0 };
  }
}

function startChild(): SeedChild {
  const child = fork(fileURLToPath(new URL('./child.ts', import.meta.url)));
  return {
    assign: (assignment) => child.send(assignment),
    letGo: () => child.disconnect(),
    kill: () => child.kill('SIGKILL'),
    listen: (onMessage, onEnd) => {
      child.on('message', (message) => onMessage(message as ChildMessage));
      child.on('error', (error) => onEnd(error.message));
      child.on('exit', (code, signal) => onEnd(signal ?? `code ${code}`));
    },
  };
}
