// Callers that wait for a key to change, for stores that learn of every new state themselves.

import type { ProgressState } from './progress-state.js';
import { sameValue } from './progress-state.js';

interface Watcher {
  readonly key: string;
  readonly seen: Uint8Array | undefined;
  readonly resolve: () => void;
  readonly reject: (reason: Error) => void;
}

export class Watchers {
  readonly #watchers = new Set<Watcher>();
  readonly #onIdle: (() => void) | undefined;

  /** `onIdle` is called whenever the last one has gone. */
  constructor(onIdle?: () => void) {
    this.#onIdle = onIdle;
  }

  get size(): number {
    return this.#watchers.size;
  }

  /** Resolves at the next `notify` in whose state the value of `key` is not `seen`. Leaves nothing behind, however it ends. */
  wait(key: string, seen: Uint8Array | undefined, signal: AbortSignal): Promise<void> {
    return new Promise<void>((resolve, reject) => {
      if (signal.aborted) {
        reject(signal.reason as Error);
        return;
      }
      const leave = () => {
        signal.removeEventListener('abort', onAbort);
        this.#watchers.delete(watcher);
        if (this.#watchers.size === 0) this.#onIdle?.();
      };
      const watcher: Watcher = {
        key,
        seen: seen === undefined ? undefined : new Uint8Array(seen),
        resolve: () => {
          leave();
          resolve();
        },
        reject: (reason) => {
          leave();
          reject(reason);
        },
      };
      const onAbort = () => watcher.reject(signal.reason as Error);
      signal.addEventListener('abort', onAbort, { once: true });
      this.#watchers.add(watcher);
    });
  }

  notify(state: ProgressState): void {
    for (const watcher of [...this.#watchers]) {
      if (!sameValue(watcher.seen, state.get(watcher.key))) watcher.resolve();
    }
  }

  /** Ends every wait with `reason`. */
  rejectAll(reason: Error): void {
    for (const watcher of [...this.#watchers]) watcher.reject(reason);
  }
}
