// Loads the rows of a chain of backups into the target, in the order of their keys in the backup. The checkpoint of each apply names the last row that is in it. Runs once per row of a restore.

import type { KeyRange } from '../../core/key-range.js';
import { compareBytes } from '../../core/bytes.js';
import { ByteSlab } from './byte-slab.js';
import type { KeyState, WantedKeys } from './key-state.js';
import type { RowMerge } from './merge.js';
import type { TableRewriter } from './table-rewriter.js';
import type { ShardPlace, ShardWriter } from '../../restore/restore-shard.js';
import { formatRowCursor } from '../../restore/row-loader.js';
import type { TimeSlices } from '../../restore/time-slices.js';

export interface RestoreRowsOptions {
  readonly merge: RowMerge;
  /** What the merge hands its rows to. */
  readonly state: KeyState;
  readonly writer: ShardWriter;
  readonly rewriter: TableRewriter;
  /** Bytes of keys and values per apply. */
  readonly applyBytes: number;
  /** The timestamp that the target is at once all rows are in it. */
  readonly version: bigint;
  readonly slices: TimeSlices;
  readonly signal: AbortSignal | undefined;
}

/** Ends when the target has everything and says so. */
export async function restoreRows(options: RestoreRowsOptions): Promise<void> {
  const { merge, writer, version, slices, signal } = options;
  const slab = new ByteSlab();
  const last: LastRow = { key: undefined };
  do {
    await takeRows(options, slab, last);
    // Once per block: what native codecs give back is freed in a turn of the event loop alone.
    if (slices.isOver()) await slices.yield();
    signal?.throwIfAborted();
  } while (await merge.refill());
  signal?.throwIfAborted();
  await writer.flush({ phase: 'done', version });
  await writer.settle();
}

/** The last row that was taken: what comes after it may have no room in the same apply. */
interface LastRow {
  key: Uint8Array | undefined;
}

async function takeRows(options: RestoreRowsOptions, slab: ByteSlab, last: LastRow): Promise<void> {
  const { merge, state, writer, rewriter, applyBytes, slices, signal } = options;
  while (merge.next()) {
    if (slices.due()) {
      await slices.yield();
      signal?.throwIfAborted();
    }
    const found = state.finish();
    if (found === undefined) continue;
    const key = slab.copy(merge.key);
    const value = slab.copy(found);
    const pending = writer.set(rewriter.changes ? rewriter.key(key) : key, value, key.length + value.length);
    if (writer.isOver && last.key !== undefined) await writer.flushOver(placeAfter(last.key));
    last.key = key;
    if (pending >= applyBytes) await writer.flush(placeAfter(key));
  }
}

function placeAfter(key: Uint8Array): ShardPlace {
  return { phase: 'rows', version: 0n, cursor: formatRowCursor(key) };
}

/** Of the keys in `ranges` (sorted, disjoint) those after `after`. To be asked in order. */
export function wantedKeys(ranges: readonly KeyRange[], after: Uint8Array | undefined): WantedKeys {
  let at = 0;
  return (key) => {
    let range = ranges[at];
    while (range !== undefined && compareBytes(range.end, key) <= 0) range = ranges[++at];
    if (range === undefined || compareBytes(range.begin, key) > 0) return false;
    return after === undefined || compareBytes(after, key) < 0;
  };
}
