// A RangeSource whose regions and rows are looked at as they come. What only the cutter can know (their order, their range) it checks itself.

import { abortable } from '../core/abort.js';
import { isBytes } from '../core/bytes.js';
import { BackupError } from '../core/errors.js';
import type { Version } from '../core/version.js';
import { answerOf, brokenContract, isVersion, iteratorOf, lacksFunction, show } from './broken-contract.js';
import type { KeyValueBatch, RangeSource, ReadVersionRequest, Region } from './range-source.js';

/** Batches without a row in a row: nothing that a scan needs, and more than any would send by accident. */
const MOST_EMPTY_BATCHES = 10_000;

const checked = new WeakSet<RangeSource>();

/** INVALID_OPTION for what is no RangeSource. Wraps once. */
export function checkedRangeSource(source: RangeSource): RangeSource {
  if (checked.has(source)) return source;
  const missing = lacksFunction(source, ['readVersion', 'regions', 'scan']);
  if (missing !== undefined) {
    throw new BackupError('INVALID_OPTION', `source must be a RangeSource: it has no function ${missing}`);
  }
  const checkedSource: RangeSource = {
    readVersion: async (request) =>
      checkReadVersion(
        request,
        await answerOf('RangeSource.readVersion', () => source.readVersion(request), request.signal),
      ),
    ...(source.releaseVersion === undefined
      ? {}
      : {
          releaseVersion: (version: Version) =>
            answerOf('RangeSource.releaseVersion', () => source.releaseVersion?.(version)),
        }),
    regions: (request) => items('RangeSource.regions', () => source.regions(request), request.signal, regionCheck()),
    scan: (request) => items('RangeSource.scan', () => source.scan(request), request.signal, batchCheck()),
  };
  checked.add(checkedSource);
  return checkedSource;
}

function checkReadVersion({ atLeast }: ReadVersionRequest, version: Version): Version {
  if (isVersion(version) && version >= atLeast) return version;
  throw brokenContract('RangeSource.readVersion', `it must answer ${atLeast} or above, got ${show(version)}`);
}

async function* items<T>(
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

function regionCheck(): (region: Region) => string | undefined {
  return (region) => {
    const { id, epoch, range } = region ?? {};
    if (typeof id !== 'string' || typeof epoch !== 'string')
      return `it yielded a region with the id ${show(id)} and the epoch ${show(epoch)}`;
    if (isBytes(range?.begin) && isBytes(range.end)) return undefined;
    return `it yielded region ${id} without a range of keys`;
  };
}

function batchCheck(): (batch: KeyValueBatch) => string | undefined {
  let empty = 0;
  return (batch) => {
    if (!Array.isArray(batch)) return `it yielded ${show(batch)}, not a batch of rows`;
    if (batch.length > 0) empty = 0;
    else if (++empty > MOST_EMPTY_BATCHES)
      return `it yielded ${MOST_EMPTY_BATCHES} batches without a row, one after the other`;
    // Something else than bytes would be compared as if it were in order, and stored as zeros.
    for (let i = 0; i < batch.length; i++) {
      const row = batch[i] as KeyValueBatch[number] | undefined;
      if (!(isBytes(row?.[0]) && isBytes(row[1]))) return 'it yielded a row that is not a key and a value';
    }
    return undefined;
  };
}
