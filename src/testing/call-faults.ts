// Errors and delays that a test puts into the calls of an in-memory adapter.

import type { Clock } from '../core/clock.js';
import { BackupError } from '../core/errors.js';

export interface FailNextOptions {
  /** How many calls fail. Default 1. */
  readonly count?: number;
  /** The call does its work and then its answer is lost: what a network does. Default false. */
  readonly answerLost?: boolean;
}

interface Fault {
  readonly error: Error;
  readonly answerLost: boolean;
  left: number;
}

/** `Call`: the names of the methods. */
export class CallFaults<Call extends string> {
  readonly #clock: Clock;
  readonly #faults = new Map<Call, Fault[]>();
  readonly #delays = new Map<Call, number>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  failNext(call: Call, error: Error, options: FailNextOptions): void {
    const left = options.count ?? 1;
    if (!Number.isSafeInteger(left) || left < 1) {
      throw new BackupError('INVALID_OPTION', `count must be a whole number from 1 on, got ${left}`);
    }
    const faults = this.#faults.get(call) ?? [];
    faults.push({ error, answerLost: options.answerLost ?? false, left });
    this.#faults.set(call, faults);
  }

  delay(call: Call, ms: number): void {
    if (!Number.isFinite(ms) || ms < 0) {
      throw new BackupError('INVALID_OPTION', `ms must be a number from 0 on, got ${ms}`);
    }
    if (ms === 0) this.#delays.delete(call);
    else this.#delays.set(call, ms);
  }

  /** Does `work` with whatever has been ordered for this call. The delay comes before the work. */
  async around<T>(call: Call, signal: AbortSignal | undefined, work: () => T | Promise<T>): Promise<T> {
    signal?.throwIfAborted();
    const fault = this.#take(call);
    const delay = this.#delays.get(call);
    if (delay !== undefined) await this.#clock.sleep(delay, signal);
    if (fault !== undefined && !fault.answerLost) throw fault.error;
    const result = await work();
    if (fault !== undefined) throw fault.error;
    return result;
  }

  #take(call: Call): Fault | undefined {
    const faults = this.#faults.get(call);
    const fault = faults?.[0];
    if (faults === undefined || fault === undefined) return undefined;
    fault.left--;
    if (fault.left === 0) faults.shift();
    return fault;
  }
}
