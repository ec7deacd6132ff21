// Reads of a container: so many at a time, each again with backoff where its failure may be a passing one.

import PQueue from 'p-queue';
import { abortable } from '../core/abort.js';
import type { Clock } from '../core/clock.js';
import { BackupError } from '../core/errors.js';

export interface PatientReadsOptions {
  readonly clock: Clock;
  readonly signal?: AbortSignal | undefined;
  /** Reads at a time. Default 4: more would fill libuv's threads, which the host needs for files of its own. */
  readonly concurrentReads?: number | undefined;
}

const READ_ATTEMPTS = 6;
const FIRST_RETRY_MS = 100;

export class PatientReads {
  readonly #clock: Clock;
  readonly #signal: AbortSignal | undefined;
  readonly #queue: PQueue;

  constructor({ clock, signal, concurrentReads = 4 }: PatientReadsOptions) {
    this.#clock = clock;
    this.#signal = signal;
    this.#queue = new PQueue({ concurrency: concurrentReads });
  }

  /** What `read` gives. Rejects with what it fails with for good, or with the signal's reason. */
  run<T>(read: () => Promise<T>): Promise<T> {
    return this.#queue.add(() => this.#retry(read));
  }

  async #retry<T>(read: () => Promise<T>): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      this.#signal?.throwIfAborted();
      try {
        // A container may hang, and its calls know no signal; what it reads too late is nobody's.
        return await (this.#signal === undefined ? read() : abortable(read(), this.#signal));
      } catch (error) {
        if (attempt >= READ_ATTEMPTS || !BackupError.is(error) || !error.retryable) throw error;
      }
      await this.#clock.sleep(FIRST_RETRY_MS * 2 ** (attempt - 1), this.#signal);
    }
  }
}
