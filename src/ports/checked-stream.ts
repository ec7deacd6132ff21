// What checked sources share: a stream whose items are looked at as they come, and what all sources say alike.

import { abortable } from '../core/abort.js';
import { isBytes } from '../core/bytes.js';
import type { Version } from '../core/version.js';
import { answerOf, brokenContract, isVersion, iteratorOf, show } from './broken-contract.js';
import type { ReadVersionRequest, Region } from './range-source.js';

/** Batches without a row in a row: nothing that a scan needs, and more than any would send by accident. */
const MOST_EMPTY_BATCHES = 10_000;

export function checkReadVersion(port: string, { atLeast }: ReadVersionRequest, version: Version): Version {
  if (isVersion(version) && version >= atLeast) return version;
  throw brokenContract(`${port}.readVersion`, `it must answer ${atLeast} or above, got ${show(version)}`);
}

/** The stream's items; ADAPTER_CONTRACT with what `check` says of one. */
export async function* checkedItems<T>(
  call: string,
  open: () => AsyncIterable<T>,
  signal: AbortSignal,
  check: (item: T) => string | undefined,
): AsyncGenerator<T, void, undefined> {
  const iterator = iteratorOf(call, open);
  let isAtEnd = false;
  try {
    for (;;) {
      // A source that does not heed its signal is told to return all the same.
      const next = await abortable(
        answerOf(call, () => iterator.next(), signal),
        signal,
      );
      if (next.done === true) {
        isAtEnd = true;
        return;
      }
      const problem = check(next.value);
      if (problem !== undefined) throw brokenContract(call, problem);
      yield next.value;
    }
  } finally {
    // Not waited for: how a stream that has been left ends is of no interest.
    if (!isAtEnd) void answerOf(call, () => iterator.return?.()).catch(() => undefined);
  }
}

export function regionProblem(region: Region): string | undefined {
  const { id, epoch, range } = region ?? {};
  if (typeof id !== 'string' || typeof epoch !== 'string')
    return `it yielded a region with the id ${show(id)} and the epoch ${show(epoch)}`;
  if (isBytes(range?.begin) && isBytes(range.end)) return undefined;
  return `it yielded region ${id} without a range of keys`;
}

/** For one scan: says so when batches without a row never end. */
export function emptyBatchCheck(): (rows: number) => string | undefined {
  let empty = 0;
  return (rows) => {
    if (rows > 0) empty = 0;
    else if (++empty > MOST_EMPTY_BATCHES)
      return `it yielded ${MOST_EMPTY_BATCHES} batches without a row, one after the other`;
    return undefined;
  };
}
