// A child of an AbortSignal that can also be ended alone, and that leaves nothing behind at its parent.

import { setMaxListeners } from 'node:events';

/** The reason with which a scope ends its own signal: not an error, just the end of what was waited for. */
export class ScopeEnded extends Error {
  constructor() {
    super('the scope has ended');
    this.name = 'ScopeEnded';
  }
}

/** AbortSignal.any keeps memory for as long as its parent lives (Node 20); this takes its listener back. Hold it with `using`, or call `end` in a `finally`. */
export class AbortScope implements Disposable {
  readonly #controller = new AbortController();
  readonly #parent: AbortSignal | undefined;
  readonly #onAbort = () => this.#controller.abort(this.#parent?.reason);

  constructor(parent?: AbortSignal) {
    // A run has a dozen actors that all wait for one signal: no leak, as Node's default limit of 10 would have it.
    setMaxListeners(0, this.#controller.signal);
    this.#parent = parent;
    if (parent?.aborted === true) this.#onAbort();
    else parent?.addEventListener('abort', this.#onAbort, { once: true });
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Aborts the signal, unless it is aborted already, and lets go of the parent. */
  end(reason: unknown = new ScopeEnded()): void {
    this.#parent?.removeEventListener('abort', this.#onAbort);
    this.#controller.abort(reason);
  }

  [Symbol.dispose](): void {
    this.end();
  }
}

/**
 * The promise, or the signal's rejection, whichever comes first. For adapters that may not heed their signal: what they return too late goes to
 * `onLate`, and a late failure is ignored, because the caller has gone on without it.
 */
export async function abortable<T>(promise: Promise<T>, signal: AbortSignal, onLate?: (value: T) => void): Promise<T> {
  let settled = false;
  let onAbort: (() => void) | undefined;
  const aborted = new Promise<never>((_resolve, reject) => {
    onAbort = () => reject(signal.reason as Error);
    if (signal.aborted) onAbort();
    else signal.addEventListener('abort', onAbort, { once: true });
  });
  try {
    const value = await Promise.race([promise, aborted]);
    settled = true;
    return value;
  } finally {
    if (onAbort !== undefined) signal.removeEventListener('abort', onAbort);
    // Not waited for: the adapter may never answer. Failures are ignored as said above.
    if (!settled)
      void promise.then(
        (value) => onLate?.(value),
        () => undefined,
      );
  }
}

/** The stream's items; rejects as soon as the signal aborts, even if the stream does not heed it. */
export async function* abortableStream<T>(
  stream: AsyncIterable<T>,
  signal: AbortSignal,
): AsyncGenerator<T, void, undefined> {
  const iterator = stream[Symbol.asyncIterator]();
  try {
    for (;;) {
      const next = await abortable(iterator.next(), signal);
      if (next.done === true) return;
      yield next.value;
    }
  } finally {
    // Not waited for: a stream that hangs in `next` cannot return before it.
    void iterator.return?.().catch(ignoreLateFailure);
  }
}

/** The stream has been left; how it ends is of no interest any more. */
function ignoreLateFailure(): void {
  return undefined;
}
