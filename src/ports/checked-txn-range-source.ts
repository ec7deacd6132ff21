// A TxnRangeSource whose regions and rows are looked at as they come. What only the cutter can know (their order, their range) it checks itself.

import { isBytes } from '../core/bytes.js';
import { BackupError } from '../core/errors.js';
import { compareHalves, halvesOf } from '../core/u64-halves.js';
import type { Version } from '../core/version.js';
import { answerOf, lacksFunction, show } from './broken-contract.js';
import { checkReadVersion, checkedItems, emptyBatchCheck, regionProblem } from './checked-stream.js';
import type { TxnBatch, TxnRangeSource, TxnScanRequest } from './txn-range-source.js';

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
    scan: (request) => checkedItems(`${port}.scan`, () => source.scan(request), request.signal, batchCheck(request)),
  };
  checked.add(checkedSource);
  return checkedSource;
}

function batchCheck(request: TxnScanRequest): (batch: TxnBatch) => string | undefined {
  const emptyProblem = emptyBatchCheck();
  return (batch) => {
    const { keys, values, startTs, commitTs } = batch ?? {};
    if (!Array.isArray(keys) || !Array.isArray(values)) return `it yielded ${show(batch)}, not a batch of rows`;
    if (!(startTs instanceof BigUint64Array) || !(commitTs instanceof BigUint64Array))
      return 'it yielded a batch whose startTs and commitTs are no BigUint64Arrays';
    const rows = keys.length;
    if (values.length !== rows || startTs.length !== rows || commitTs.length !== rows)
      return `it yielded a batch of ${rows} keys, ${values.length} values, ${startTs.length} start and ${commitTs.length} commit timestamps`;
    return emptyProblem(rows) ?? rowsProblem(batch, request);
  };
}

/** Halves of timestamps are compared, not bigints: there may be millions of rows. */
function rowsProblem({ keys, values, startTs, commitTs }: TxnBatch, request: TxnScanRequest): string | undefined {
  const isFull = request.startTs === 0n;
  const bounds = halvesOf(BigUint64Array.of(request.startTs, request.endTs));
  const [starts, commits] = [halvesOf(startTs), halvesOf(commitTs)];
  for (let i = 0; i < keys.length; i++) {
    const value: unknown = values[i];
    if (!isBytes(keys[i]) || !(isBytes(value) || value === undefined))
      return 'it yielded a row that is not a key and a value';
    if (isFull && value === undefined) return 'it yielded a deleted row, and was asked for those that are there';
    if (compareHalves(commits, i, bounds, 0) <= 0 || compareHalves(commits, i, bounds, 1) > 0)
      return `it yielded a row that was committed at ${commitTs[i]}, and was asked for (${request.startTs}, ${request.endTs}]`;
    if (compareHalves(starts, i, commits, i) >= 0)
      return `it yielded a row whose transaction began at ${startTs[i]}, not before it was committed at ${commitTs[i]}`;
  }
  return undefined;
}
