// What a BR endpoint answers: piece by piece of what it was asked for, in no order.

import type { KeyRange } from '../../core/key-range.js';
import type { BrFile } from '../../format/br/messages.js';
import type { RangeFailed } from '../../snapshot/range-response.js';

/** A part of the request that is stored. */
export interface BrRangeStored {
  readonly range: KeyRange;
  /** Whole and durable; none where there are no rows. */
  readonly files: readonly BrFile[];
  readonly error?: undefined;
}

/** A part of the request of which nothing is stored. */
export interface BrRangeFailed extends RangeFailed {
  readonly files?: undefined;
}

/** The ranges of all answers to a request cover it without overlap and without a hole. */
export type BrRangeResponse = BrRangeStored | BrRangeFailed;
