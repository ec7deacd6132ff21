// The first thing that was wrong in a run. Checks report here instead of throwing: they run inside calls of the code under test, which would take their errors for
// its own.

import type { SimTrace } from './trace.js';

export interface SimViolation {
  /** The check that failed, such as `file content` or `liveness`. */
  readonly check: string;
  readonly message: string;
  /** Virtual milliseconds. */
  readonly at: number;
}

export class SimVerdict {
  readonly #trace: SimTrace;
  readonly #now: () => number;
  #first: SimViolation | undefined;

  constructor(trace: SimTrace, now: () => number) {
    this.#trace = trace;
    this.#now = now;
  }

  get violation(): SimViolation | undefined {
    return this.#first;
  }

  get isGood(): boolean {
    return this.#first === undefined;
  }

  fail(check: string, message: string): void {
    this.#trace.add('ORACLE', `${check}: ${message}`);
    this.#first ??= { check, message, at: this.#now() };
  }

  expect(condition: boolean, check: string, message: () => string): void {
    if (!condition) this.fail(check, message());
  }
}
