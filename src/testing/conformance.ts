// What the conformance suites have in common. They know no test framework: a suite is a list of cases.

import assert from 'node:assert/strict';
import { inspect } from 'node:util';
import type { BackupErrorCode } from '../core/errors.js';
import { BackupError } from '../core/errors.js';

/**
 * One requirement of a port. Register it with whatever runs your tests:
 *
 *     for (const { name, run } of containerSuite(open)) it(name, run);
 */
export interface ConformanceCase {
  readonly name: string;
  /** Rejects with an AssertionError of `node:assert` where the adapter does not keep the contract. */
  readonly run: () => Promise<void>;
}

/** Fails unless the promise rejects with a BackupError of this code. */
export async function rejectsWith(
  code: BackupErrorCode,
  promise: Promise<unknown>,
  what: string,
): Promise<BackupError> {
  let error: unknown;
  try {
    await promise;
  } catch (thrown) {
    error = thrown;
  }
  assert.ok(error !== undefined, `${what} must reject with ${code}, but it resolved`);
  if (!(error instanceof BackupError)) {
    assert.fail(`${what} must reject with a BackupError, but it was ${inspect(error)}`);
  }
  assert.equal(error.code, code, `${what}: ${error.message}`);
  return error;
}

/** A small generator of pseudo-random numbers: the same seed gives the same case on every run. */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    // Mulberry32, a public-domain generator.
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}
