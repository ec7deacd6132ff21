// Bounds the bytes that a worker holds in memory. First come, first served; must never lose or invent a permit, whatever is cancelled or fails.
// The account is this file's own; the Mutex only gives waiters their turns, one at a time in the order in which they came.

import { Mutex } from 'async-mutex';

import { BackupError, assert } from '../core/errors.js';

export interface FlowLockOptions {
  /** Called, in the same synchronous step, whenever a take finds that it has to wait. */
  readonly onWait?: (() => void) | undefined;
}

/** Permits that are held; made by `FlowLock.take`. */
export class FlowLockReleaser {
  readonly #lock: FlowLock;
  #remaining: number;

  constructor(lock: FlowLock, amount: number) {
    this.#lock = lock;
    this.#remaining = amount;
  }

  /** Permits not given back yet. */
  get remaining(): number {
    return this.#remaining;
  }

  /** Gives back a part, or all that is left. Giving back nothing, and so a second `release()`, does nothing. */
  release(amount: number = this.#remaining): void {
    assert(amount >= 0 && amount <= this.#remaining, `released ${amount} of ${this.#remaining} permits`);
    if (amount === 0) return;
    this.#remaining -= amount;
    this.#lock.release(amount);
  }
}

interface Waiter {
  readonly amount: number;
  readonly resolve: (releaser: FlowLockReleaser) => void;
  readonly reject: (error: Error) => void;
  readonly signal: AbortSignal | undefined;
  readonly onAbort: () => void;
}

/** A counting lock over bytes. */
export class FlowLock {
  readonly #permits: number;
  readonly #onWait: (() => void) | undefined;
  readonly #turns = new Mutex();
  /** Everyone who waits, in order; a cancelled waiter is no longer in it, though its turn is still to come. */
  readonly #waiters = new Set<Waiter>();
  /** Whose turn it is, and how to pass the turn on; undefined while nobody waits or the turn is being passed. */
  #head: { readonly waiter: Waiter; readonly passTurn: () => void } | undefined;
  #active = 0;
  #killed: Error | undefined;

  /** `permits`: bytes, a whole number > 0. */
  constructor(permits: number, options: FlowLockOptions = {}) {
    if (!Number.isSafeInteger(permits) || permits < 1) {
      throw new BackupError('INVALID_OPTION', `permits must be a whole number > 0, got ${String(permits)}`);
    }
    this.#permits = permits;
    this.#onWait = options.onWait;
  }

  /** What could be taken at once if nobody waited; 0 while an oversize amount is held. */
  get available(): number {
    return Math.max(0, this.#permits - this.#active);
  }

  /** Permits taken and not released. More than all permits only while one oversize amount is held. */
  get activePermits(): number {
    return this.#active;
  }

  /** How many takes wait. */
  get waiters(): number {
    return this.#waiters.size;
  }

  /**
   * Resolves once `amount` permits are taken, after everyone who asked before. An amount above all permits gets through when nothing is held: a version larger
   * than the lock must not stop the worker for ever. Rejects with the signal's reason when it aborts first (nothing is taken then), or with the error of `kill`.
   */
  take(amount: number, options: { readonly signal?: AbortSignal | undefined } = {}): Promise<FlowLockReleaser> {
    const { signal } = options;
    return new Promise((resolve, reject: (error: Error) => void) => {
      assert(Number.isSafeInteger(amount) && amount >= 0, `cannot take ${amount} permits`);
      const refusal = this.#killed ?? (signal?.aborted === true ? (signal.reason as Error) : undefined);
      if (refusal !== undefined) {
        reject(refusal);
        return;
      }
      if (this.#waiters.size === 0 && this.#fits(amount)) {
        resolve(this.#grant(amount));
        return;
      }
      const waiter: Waiter = {
        amount,
        resolve,
        reject,
        signal,
        onAbort: () => this.#fail(waiter, signal?.reason as Error),
      };
      this.#waiters.add(waiter);
      signal?.addEventListener('abort', waiter.onAbort, { once: true });
      this.#turns.acquire().then((passTurn) => this.#startTurn(waiter, passTurn), reject);
      this.#onWait?.();
    });
  }

  /** Gives back permits; prefer the releaser, which cannot give back too much. */
  release(amount: number): void {
    assert(amount >= 0 && amount <= this.#active, `released ${amount} permits while ${this.#active} are held`);
    this.#active -= amount;
    this.#admitHead();
  }

  /** Every waiting take, and every later one, rejects with `error`. What is held stays held until released. */
  kill(error: Error): void {
    this.#killed ??= error;
    for (const waiter of [...this.#waiters]) this.#fail(waiter, this.#killed);
  }

  #fits(amount: number): boolean {
    return this.#active === 0 || this.#active + amount <= this.#permits;
  }

  #grant(amount: number): FlowLockReleaser {
    this.#active += amount;
    return new FlowLockReleaser(this, amount);
  }

  #startTurn(waiter: Waiter, passTurn: () => void): void {
    if (!this.#waiters.has(waiter)) {
      passTurn(); // It was cancelled while it queued.
      return;
    }
    this.#head = { waiter, passTurn };
    this.#admitHead();
  }

  #admitHead(): void {
    const head = this.#head;
    if (head === undefined || !this.#fits(head.waiter.amount)) return;
    this.#leave(head.waiter);
    head.waiter.resolve(this.#grant(head.waiter.amount));
  }

  #fail(waiter: Waiter, error: Error): void {
    if (!this.#waiters.has(waiter)) return;
    this.#leave(waiter);
    waiter.reject(error);
  }

  #leave(waiter: Waiter): void {
    this.#waiters.delete(waiter);
    waiter.signal?.removeEventListener('abort', waiter.onAbort);
    const head = this.#head;
    if (head?.waiter !== waiter) return;
    this.#head = undefined;
    head.passTurn();
  }
}
