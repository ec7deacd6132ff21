// How many may do something at a time; the number can be changed while they do it. First come, first served.

import { checkWholeNumber } from '../core/check-option.js';

/** A place under the limit; made by `SoftLimit.guard`. Hold it with `using`, or call `release` in a `finally`. */
export class SoftLimitGuard implements Disposable {
  #release: (() => void) | undefined;

  constructor(release: () => void) {
    this.#release = release;
  }

  /** Gives the place back. A second call does nothing. */
  release(): void {
    const release = this.#release;
    this.#release = undefined;
    release?.();
  }

  [Symbol.dispose](): void {
    this.release();
  }
}

/** Bounds how many do something at a time; the bound can be changed while they do it. First come, first served. Throws INVALID_OPTION for a bound that is no whole number from 1 on. */
export class SoftLimit {
  #cap: number;
  #active = 0;
  /** Whoever waits, in order; a set, so that an abort leaves in constant time. */
  readonly #waiting = new Set<() => void>();

  /** `cap`: a whole number from 1 on. */
  constructor(cap: number) {
    this.#cap = checkWholeNumber('cap', cap, 1);
  }

  /** Places there are. */
  get cap(): number {
    return this.#cap;
  }

  /** Places taken. More than `cap` after it was lowered, until enough have ended. */
  get active(): number {
    return this.#active;
  }

  /** How many wait for a place. */
  get waiting(): number {
    return this.#waiting.size;
  }

  /** From now on there are `cap` places. More: those that wait longest begin. Fewer: those that run go on, and nobody begins until fewer run. */
  resize(cap: number): void {
    this.#cap = checkWholeNumber('cap', cap, 1);
    this.#admit();
  }

  /** Resolves when a place is taken. Rejects with the signal's reason when it aborts first. */
  guard(signal?: AbortSignal): Promise<SoftLimitGuard> {
    return new Promise((resolve, reject) => {
      signal?.throwIfAborted();
      const begin = () => {
        signal?.removeEventListener('abort', onAbort);
        resolve(new SoftLimitGuard(() => this.#leave()));
      };
      const onAbort = () => {
        this.#waiting.delete(begin);
        reject(signal?.reason as Error);
      };
      this.#waiting.add(begin);
      signal?.addEventListener('abort', onAbort, { once: true });
      this.#admit();
    });
  }

  /** Runs `work` with a place of its own. */
  async run<T>(work: () => T | Promise<T>, signal?: AbortSignal): Promise<T> {
    const guard = await this.guard(signal);
    try {
      return await work();
    } finally {
      guard.release();
    }
  }

  #leave(): void {
    this.#active--;
    this.#admit();
  }

  #admit(): void {
    for (const begin of this.#waiting) {
      if (this.#active >= this.#cap) return;
      this.#waiting.delete(begin);
      this.#active++;
      begin();
    }
  }
}
