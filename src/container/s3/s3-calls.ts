// Calls to the store: each with a limit of time, tried again while it fails for a passing reason, and with the port's errors.

import { AbortScope, abortable } from '../../core/abort.js';
import { BackupError } from '../../core/errors.js';
import type { S3Call } from './s3-error.js';
import { S3RequestError, backupError } from './s3-error.js';
import type { S3Settings } from './settings.js';

/** ms before the second try; doubled for each further one. */
const MIN_DELAY = 100;
const MAX_DELAY = 10_000;
/** Bytes for which a call gets a second more. */
const BYTES_PER_SECOND = 256 << 10;

export interface CallOptions extends S3Call {
  /** Bytes that the call carries, either way. */
  readonly bytes?: number;
  /** Ends the call and its further tries. A child of the container's own. */
  readonly signal?: AbortSignal;
  /** Default: the container's. */
  readonly attempts?: number;
}

/** Called for each try; `signal` ends it. Its SDK errors become the port's; a BackupError that it throws itself is tried again if it is retryable. */
export type Try<T> = (signal: AbortSignal, attempt: number) => Promise<T>;

export class S3Calls {
  readonly #settings: S3Settings;
  readonly #closed: AbortSignal;

  constructor(settings: S3Settings, closed: AbortSignal) {
    this.#settings = settings;
    this.#closed = closed;
  }

  /** The container's own: aborted when it is closed. */
  get closed(): AbortSignal {
    return this.#closed;
  }

  async run<T>(options: CallOptions, call: Try<T>): Promise<T> {
    const { signal = this.#closed, attempts = this.#settings.attempts } = options;
    for (let attempt = 0; ; attempt++) {
      signal.throwIfAborted();
      try {
        return await this.#timed(options, signal, (inner) => call(inner, attempt));
      } catch (thrown) {
        signal.throwIfAborted();
        const error = backupError(thrown, options, this.#settings.url);
        if (!BackupError.is(error) || !error.retryable || attempt + 1 >= attempts) throw error;
        await this.#settings.clock.sleep(this.#delay(attempt), signal);
      }
    }
  }

  async #timed<T>(options: CallOptions, signal: AbortSignal, call: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const limit = this.#settings.requestTimeout + ((options.bytes ?? 0) / BYTES_PER_SECOND) * 1000;
    const late = { name: 'TimeoutError', message: `no answer within ${Math.round(limit)} ms` };
    using scope = new AbortScope(signal);
    // Rejects only because the scope has ended, which is when nobody waits for it any more.
    const timer = this.#settings.clock.sleep(limit, scope.signal).then(
      () => scope.end(new S3RequestError(late)),
      () => undefined,
    );
    try {
      return await abortable(call(scope.signal), scope.signal);
    } catch (error) {
      // The SDK says "aborted" for every reason; the reason is what counts.
      if (scope.signal.aborted && !BackupError.is(error)) throw scope.signal.reason;
      throw error;
    } finally {
      scope.end();
      await timer;
    }
  }

  #delay(attempt: number): number {
    const full = Math.min(MAX_DELAY, MIN_DELAY * 2 ** Math.min(attempt, 30));
    return full * (1 - this.#settings.random.next() / 2);
  }
}
