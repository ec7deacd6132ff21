// A TxnRangeSource whose regions and rows are looked at as they come. What only the writer can know (their order, their range, their timestamps) it checks itself.

import { isBytes } from '../core/bytes.js';
import { BackupError } from '../core/errors.js';
import type { Version } from '../core/version.js';
import { answerOf, lacksFunction, show } from './broken-contract.js';
import { checkReadVersion, checkedItems, emptyBatchCheck, regionProblem } from './checked-stream.js';
import type { TxnBatch, TxnRangeSource } from './txn-range-source.js';

const checked = new WeakSet<TxnRangeSource>();

/** INVALID_OPTION for what is no TxnRangeSource. Wraps once. */
export function checkedTxnRangeSource(source: TxnRangeSource): TxnRangeSource {
  if (checked.has(source)) return source;
  const missing = lacksFunction(source, ['readVersion', 'regions', 'scan']);
  if (missing !== undefined) {
    throw new BackupError('INVALID_OPTION', `source must be a TxnRangeSource: it has no function ${missing}`);
  }
  const port = 'TxnRangeSource';
  const checkedSource: TxnRangeSource = {
    readVersion: async (request) =>
      checkReadVersion(
        port,
        request,
        await answerOf(`${port}.readVersion`, () => source.readVersion(request), request.signal),
      ),
    ...(source.releaseVersion === undefined
      ? {}
      : {
          releaseVersion: (version: Version) =>
            answerOf(`${port}.releaseVersion`, () => source.releaseVersion?.(version)),
        }),
    regions: (request) => checkedItems(`${port}.regions`, () => source.regions(request), request.signal, regionProblem),
    scan: (request) => checkedItems(`${port}.scan`, () => source.scan(request), request.signal, batchCheck()),
  };
  checked.add(checkedSource);
  return checkedSource;
}

function batchCheck(): (batch: TxnBatch) => string | undefined {
  const emptyProblem = emptyBatchCheck();
  return (batch) => {
    const { keys, values, startTs, commitTs } = batch ?? {};
    if (!Array.isArray(keys) || !Array.isArray(values)) return `it yielded ${show(batch)}, not a batch of rows`;
    if (!(startTs instanceof BigUint64Array) || !(commitTs instanceof BigUint64Array))
      return 'it yielded a batch whose startTs and commitTs are no BigUint64Arrays';
    // Something else than bytes would be compared as if it were in order, and stored as zeros.
    for (let i = 0; i < keys.length; i++) {
      const value: unknown = values[i];
      if (!isBytes(keys[i]) || !(isBytes(value) || value === undefined))
        return 'it yielded a row that is not a key, and a value or none';
    }
    return emptyProblem(keys.length);
  };
}
