// Watches over the keys of a fleet: for speed only. One that fails, or never fires, is made good by the next look.

import { AbortScope, abortable } from '../core/abort.js';
import { equalBytes } from '../core/bytes.js';
import type { ProgressStore } from '../ports/progress-store.js';
import { isTransient } from './retry.js';

interface KeyWatch {
  readonly seen: Uint8Array | undefined;
  readonly scope: AbortScope;
}

export class FleetWatches {
  readonly #store: ProgressStore;
  readonly #onChange: () => void;
  readonly #onFailure: (error: unknown) => void;
  readonly #watches = new Map<string, KeyWatch>();
  /** Those that have not settled. */
  readonly #running = new Set<Promise<void>>();

  /** `onFailure` is called with what is not transient. */
  constructor(store: ProgressStore, onChange: () => void, onFailure: (error: unknown) => void) {
    this.#store = store;
    this.#onChange = onChange;
    this.#onFailure = onFailure;
  }

  /** Watches these keys, with the values that were seen, and no others. What is watched already goes on. */
  follow(wanted: ReadonlyMap<string, Uint8Array | undefined>): void {
    for (const [key, watch] of this.#watches) {
      if (wanted.has(key) && isSame(wanted.get(key), watch.seen)) continue;
      this.#watches.delete(key);
      watch.scope.end();
    }
    for (const [key, seen] of wanted) {
      if (this.#watches.has(key)) continue;
      const watch = { seen, scope: new AbortScope() };
      this.#watches.set(key, watch);
      const running = this.#watch(key, watch).finally(() => this.#running.delete(running));
      this.#running.add(running);
    }
  }

  /** All have settled when it resolves. */
  async end(): Promise<void> {
    this.follow(new Map());
    await Promise.all(this.#running);
  }

  /** Never rejects. */
  async #watch(key: string, watch: KeyWatch): Promise<void> {
    const { seen, scope } = watch;
    try {
      await abortable(this.#store.watch(key, seen, scope.signal), scope.signal);
      this.#forget(key, watch);
      this.#onChange();
    } catch (error) {
      if (scope.signal.aborted) return;
      // Watched again after the next look.
      this.#forget(key, watch);
      if (!isTransient(error)) this.#onFailure(error);
    } finally {
      scope.end();
    }
  }

  #forget(key: string, watch: KeyWatch): void {
    if (this.#watches.get(key) === watch) this.#watches.delete(key);
  }
}

function isSame(a: Uint8Array | undefined, b: Uint8Array | undefined): boolean {
  return a === undefined || b === undefined ? a === b : equalBytes(a, b);
}
