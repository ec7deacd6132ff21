// The threads and the line in front of them. Whatever ends a thread ends the calls that it was working on: none is left waiting.

import { fileURLToPath } from 'node:url';

import type { Piscina } from 'piscina';

import { assert, BackupError } from '../../core/errors.js';
import type { MultilevelQueue } from '../../schedule/multilevel-queue.js';
import type { TaskTime } from '../../schedule/task-time.js';
import { loadPiscina } from './load-piscina.js';
import { PressLine, Turn, type WaitingTask } from './press-line.js';
import { buffersOf, failureToError, type PressAnswer, type PressRequest } from './press-message.js';

export interface PressThreadsOptions {
  readonly numThreads: number;
  readonly queue: MultilevelQueue;
  readonly workerFile: string | URL | undefined;
  readonly execArgv: readonly string[] | undefined;
}

/** One that it works on and one that waits at the thread itself, which then need not wait until this thread has time to hand it more. */
export const PER_THREAD = 2;

type Threads = Piscina<PressRequest, PressAnswer>;

export class PressThreads {
  readonly numThreads: number;
  readonly #queue: MultilevelQueue;
  readonly #piscina: Threads;
  readonly #turnKey: symbol;
  /** How to fail the calls that are under way. */
  readonly #underWay = new Set<(error: BackupError) => void>();
  /** Why nothing more is taken. */
  #ended: BackupError | undefined;

  private constructor({ numThreads, queue }: PressThreadsOptions, piscina: Threads, turnKey: symbol) {
    this.numThreads = numThreads;
    this.#queue = queue;
    this.#piscina = piscina;
    this.#turnKey = turnKey;
    // Only what no call is told of: a thread that dies while it starts, or with nothing to do.
    piscina.on('error', (cause: unknown) => this.#end(threadFailed(cause)));
    piscina.on('workerDestroy', () => queueMicrotask(() => this.#endWithoutThreads()));
  }

  /** PACKAGE_MISSING without the package piscina. */
  static async start(options: PressThreadsOptions): Promise<PressThreads> {
    const library = await loadPiscina();
    const file = options.workerFile ?? new URL('./block-worker.js', import.meta.url);
    const turnOf = (task: WaitingTask): Turn => {
      const turn = task[library.queueOptionsSymbol];
      assert(turn instanceof Turn, 'a task of the pool came without its turn');
      return turn;
    };
    const piscina: Threads = new library.Piscina({
      filename: file instanceof URL ? fileURLToPath(file) : file,
      // All from the beginning, and kept: a thread takes longer to start than to press what it would be started for.
      minThreads: options.numThreads,
      maxThreads: options.numThreads,
      concurrentTasksPerWorker: PER_THREAD,
      taskQueue: new PressLine(options.queue, turnOf),
      recordTiming: false,
      // Else a thread that has no work waits for more without turning its event loop, and keeps the memory of the last blocks.
      atomics: 'disabled',
      ...(options.execArgv === undefined ? {} : { execArgv: [...options.execArgv] }),
    });
    return new PressThreads(options, piscina, library.queueOptionsSymbol);
  }

  /** Requests that wait for a thread. */
  get waiting(): number {
    return this.#piscina.queueSize;
  }

  /** The stored blocks. Counts the thread's time to `time`. */
  async run(request: PressRequest, time: TaskTime): Promise<readonly Uint8Array[]> {
    if (this.#ended !== undefined) throw this.#ended;
    // Node sends such memory all the same, and the thread would never see the message.
    if (request.blocks.some(({ buffer }) => buffer.byteLength === 0))
      throw new BackupError('INVALID_STATE', 'the memory of these blocks has been handed over already');
    const turn = new Turn(time, this.#queue.levelOf(time));
    const answer = await this.#answer(request, turn);
    this.#queue.count(time, turn.level, answer.ms);
    if (answer.failure !== undefined) throw failureToError(answer, request.compression);
    return answer.stored;
  }

  /** Resolves when all threads have ended. */
  async close(): Promise<void> {
    this.#end(new BackupError('STOPPED', 'the pool of threads has been closed and presses no more blocks'));
    await this.#piscina.destroy();
  }

  async #answer(request: PressRequest, turn: Turn): Promise<PressAnswer> {
    let fail: ((error: BackupError) => void) | undefined;
    try {
      return await new Promise<PressAnswer>((resolve, reject) => {
        this.#underWay.add((fail = reject));
        // A worker's code never throws: what rejects is a thread that has died, or memory that Node does not send.
        this.#piscina
          .run({ ...request, [this.#turnKey]: turn }, { transferList: buffersOf(request.blocks) })
          .then(resolve, (cause: unknown) => reject(threadFailed(cause)));
      });
    } finally {
      if (fail !== undefined) this.#underWay.delete(fail);
    }
  }

  /** piscina replaces a thread that dies, but not one that dies while it starts: what is in line would wait for ever. */
  #endWithoutThreads(): void {
    if (this.#piscina.threads.length === 0) this.#end(threadFailed(new Error('no thread is left')));
  }

  #end(error: BackupError): void {
    this.#ended ??= error;
    for (const fail of this.#underWay) fail(this.#ended);
  }
}

function threadFailed(cause: unknown): BackupError {
  const why = cause instanceof Error ? cause.message : String(cause);
  return new BackupError('THREAD_FAILED', `a thread that presses blocks has failed: ${why}`, {
    retryable: true,
    cause,
  });
}
