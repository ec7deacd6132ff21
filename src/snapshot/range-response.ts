// What the endpoint answers: piece by piece of what it was asked for, in no order.

import type { KeyRange } from '../core/key-range.js';
import type { RangeFileSums } from '../format/fdb/snapshot-sums.js';

/** A part of the request that is stored: its rows are in this file, which is whole and durable. */
export interface RangeStored {
  readonly range: KeyRange;
  readonly file: RangeFileSums;
  readonly error?: undefined;
}

/** A part of the request of which nothing is stored. */
export interface RangeFailed {
  readonly range: KeyRange;
  readonly file?: undefined;
  /** What the source or the container said. `isTransient` tells whether asking again makes sense. */
  readonly error: unknown;
}

/** The ranges of all responses to a request cover it without overlap and without a hole. */
export type RangeResponse = RangeStored | RangeFailed;
