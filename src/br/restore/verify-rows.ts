// The rows of a backup against its meta data, and against each other: every long value has its write record and every record its value. Files that are damaged, and the keys of their ranges, are left out of that:
// what they lack would be held against the others.

import { compareBytes } from '../../core/bytes.js';
import { BackupError } from '../../core/errors.js';
import type { TimeSlices } from '../../restore/time-slices.js';
import type { VerifyProblemKind } from '../../restore/verify-report.js';
import { endsBefore } from '../backup/br-range.js';
import type { BrCursor } from './cursor.js';
import type { KeyState, WantedKeys } from './key-state.js';
import { RawKeyState, TxnKeyState } from './key-state.js';
import { RowMerge } from './merge.js';
import type { PlannedFile } from './plan.js';
import { liesBefore } from './plan.js';

export interface VerifyRowsOptions {
  readonly planned: readonly PlannedFile[];
  /** Those of them that are what was written. */
  readonly sound: ReadonlySet<PlannedFile>;
  readonly kind: 'txn' | 'raw';
  readonly open: (file: PlannedFile) => Promise<BrCursor>;
  readonly slices: TimeSlices;
  readonly signal: AbortSignal | undefined;
  readonly onProblem: (kind: VerifyProblemKind, problem: BackupError) => void;
  /** Called now and then. */
  readonly onProgress: () => void;
}

/** How many keys there are in what is sound. */
export async function verifyRows(options: VerifyRowsOptions): Promise<number> {
  const { planned, sound, onProblem } = options;
  const damaged = new Set(planned.filter((each) => !sound.has(each)));
  const place: Place = { after: undefined, keys: 0 };
  for (;;) {
    const problem = await verifyFrom(place, damaged, options);
    if (problem === undefined) return place.keys;
    // Each time round one file less.
    const found = planned.find((each) => each.file.name === problem.file && !damaged.has(each));
    if (found === undefined) throw problem;
    onProblem(problem.code === 'CHECKSUM_MISMATCH' ? 'content' : 'corrupt', problem);
    damaged.add(found);
  }
}

interface Place {
  /** Keys up to and including it are done. */
  after: Uint8Array | undefined;
  keys: number;
}

/** Until the end, or to the first file whose rows cannot be: what is wrong with it. */
async function verifyFrom(
  place: Place,
  damaged: ReadonlySet<PlannedFile>,
  { planned, kind, open, slices, signal, onProblem, onProgress }: VerifyRowsOptions,
): Promise<BackupError | undefined> {
  const { after } = place;
  const files = planned
    .filter((each) => !damaged.has(each) && (after === undefined || !liesBefore(each.file, after)))
    .sort((a, b) => compareBytes(a.file.startKey, b.file.startKey));
  const wanted = soundKeys(damaged, after);
  const report = (problem: BackupError): void => onProblem('content', problem);
  const state: KeyState = kind === 'raw' ? new RawKeyState(wanted, report) : new TxnKeyState(wanted, report);
  await using merge = new RowMerge(files, open, state);
  try {
    do {
      while (merge.next()) {
        state.finish();
        place.after = merge.key;
        place.keys++;
        if (slices.due()) await slices.yield();
      }
      if (slices.isOver()) await slices.yield();
      signal?.throwIfAborted();
      onProgress();
    } while (await merge.refill());
    return undefined;
  } catch (error) {
    const isOfAFile = BackupError.is(error, 'CORRUPT_FILE') || BackupError.is(error, 'CHECKSUM_MISMATCH');
    if (isOfAFile && error.file !== undefined) return error;
    throw error;
  }
}

/** Keys after `after` that no damaged file can hold. */
function soundKeys(damaged: ReadonlySet<PlannedFile>, after: Uint8Array | undefined): WantedKeys {
  const ranges = [...damaged].map(({ file }) => file);
  return (key) => {
    if (after !== undefined && compareBytes(key, after) <= 0) return false;
    return ranges.every(({ startKey, endKey }) => compareBytes(key, startKey) < 0 || endsBefore(endKey, key));
  };
}
