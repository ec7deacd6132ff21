// Which of the ranges that failed are asked for again, and how often.

import { toHex } from '../core/bytes.js';
import type { KeyRange } from '../core/key-range.js';
import { formatRange } from '../core/key-range.js';
import { isTransient } from './backoff.js';
import { byKey } from './coverage.js';
import type { RangeFailed } from './range-response.js';

/** A range that is still to be stored, and how often in a row it was asked for without getting any further. */
export interface Pending {
  readonly range: KeyRange;
  readonly attempts: number;
}

export interface AskAgainOptions {
  readonly maxAttempts: number;
  /** Whether an error may be gone the next time. Default: isTransient. */
  readonly isWorthIt?: (error: unknown) => boolean;
}

/** The failures that are worth another try, in key order; the others go to `givenUp`. */
export function askAgain<Failed extends RangeFailed>(
  failed: readonly Failed[],
  pending: readonly Pending[],
  { maxAttempts, isWorthIt = isTransient }: AskAgainOptions,
  givenUp: Failed[],
): Pending[] {
  const attemptsOf = new Map(pending.map(({ range, attempts }) => [rangeKey(range), attempts]));
  const again: Pending[] = [];
  for (const failure of [...failed].sort(byKey)) {
    // A smaller range than was asked for: the rest of that was stored, or failed by itself.
    const attempts = (attemptsOf.get(rangeKey(failure.range)) ?? 0) + 1;
    if (isWorthIt(failure.error) && attempts < maxAttempts) again.push({ range: failure.range, attempts });
    else givenUp.push(failure);
  }
  return again;
}

/** How many tries in a row the unluckiest has behind it: so long is the wait. */
export function mostAttempts(pending: readonly Pending[]): number {
  return pending.reduce((most, { attempts }) => Math.max(most, attempts), 1);
}

/** One error for each range that was given up, to be told together. */
export function rangeErrors(failed: readonly RangeFailed[]): [Error, ...Error[]] {
  const errors = failed.map(({ range, error }) => {
    const reason = error instanceof Error ? error.message : String(error);
    return new Error(`${formatRange(range)}: ${reason}`, { cause: error });
  });
  return errors as [Error, ...Error[]];
}

function rangeKey({ begin, end }: KeyRange): string {
  return `${toHex(begin)} ${toHex(end)}`;
}
