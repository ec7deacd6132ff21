// A RangeSource whose regions and rows are looked at as they come. What only the cutter can know (their order, their range) it checks itself.

import { isBytes } from '../core/bytes.js';
import { BackupError } from '../core/errors.js';
import type { Version } from '../core/version.js';
import { answerOf, lacksFunction, show } from './broken-contract.js';
import { checkReadVersion, checkedItems, emptyBatchCheck, regionProblem } from './checked-stream.js';
import type { KeyValueBatch, RangeSource } from './range-source.js';

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
        'RangeSource',
        request,
        await answerOf('RangeSource.readVersion', () => source.readVersion(request), request.signal),
      ),
    ...(source.releaseVersion === undefined
      ? {}
      : {
          releaseVersion: (version: Version) =>
            answerOf('RangeSource.releaseVersion', () => source.releaseVersion?.(version)),
        }),
    regions: (request) =>
      checkedItems('RangeSource.regions', () => source.regions(request), request.signal, regionProblem),
    scan: (request) => checkedItems('RangeSource.scan', () => source.scan(request), request.signal, batchCheck()),
  };
  checked.add(checkedSource);
  return checkedSource;
}

function batchCheck(): (batch: KeyValueBatch) => string | undefined {
  const emptyProblem = emptyBatchCheck();
  return (batch) => {
    if (!Array.isArray(batch)) return `it yielded ${show(batch)}, not a batch of rows`;
    const problem = emptyProblem(batch.length);
    if (problem !== undefined) return problem;
    // Something else than bytes would be compared as if it were in order, and stored as zeros.
    for (let i = 0; i < batch.length; i++) {
      const row = batch[i] as KeyValueBatch[number] | undefined;
      if (!(isBytes(row?.[0]) && isBytes(row[1]))) return 'it yielded a row that is not a key and a value';
    }
    return undefined;
  };
}
