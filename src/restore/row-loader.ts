// Loads the rows of a snapshot into one shard of the target, in the order of their keys. The checkpoint of each apply names the last row that is in it.
// Runs once per row of a restore: it makes the operation and its two views, and nothing else.

import { compareBytes, fromHex, toHex } from '../core/bytes.js';
import type { KeyRange } from '../core/key-range.js';
import type { Version } from '../core/version.js';
import type { FileSums } from '../format/fdb/file-sums.js';
import type { CheckedReads } from './checked-reads.js';
import type { KeyRewriter } from './key-rewriter.js';
import type { RowPiece } from './restore-pieces.js';
import type { ShardPlace, ShardWriter } from './restore-shard.js';
import type { RowRun } from './row-runs.js';
import { rowRuns } from './row-runs.js';
import type { TimeSlices } from './time-slices.js';

export interface RowLoaderOptions {
  readonly reads: CheckedReads;
  /** In the order of keys. */
  readonly pieces: readonly RowPiece[];
  readonly sumsOf: (name: string) => FileSums | undefined;
  readonly writer: ShardWriter;
  readonly rewriter: KeyRewriter;
  /** Bytes of keys and values per apply. */
  readonly applyBytes: number;
  /** Rows up to and including this key are in the target already; undefined: none is. */
  readonly after: Uint8Array | undefined;
  /** Everything at or below it is in the target once the rows are. */
  readonly version: Version;
  readonly slices: TimeSlices;
  /** Aborted when another shard has failed, or the restore's own signal is. */
  readonly stop: AbortSignal;
  /** Called after each run, with its bytes and the rows that were taken from it. */
  readonly onRun: (bytes: number, rows: number) => void;
}

export function formatRowCursor(key: Uint8Array): string {
  return `row:${toHex(key)}`;
}

/** undefined for anything but what formatRowCursor writes. */
export function parseRowCursor(cursor: string): Uint8Array | undefined {
  return /^row:(?:[0-9a-f]{2})*$/.test(cursor) ? fromHex(cursor.slice(4)) : undefined;
}

/** What of `pieces` is left after the row `after`. */
export function piecesAfter(pieces: readonly RowPiece[], after: Uint8Array | undefined): readonly RowPiece[] {
  if (after === undefined) return pieces;
  return pieces.filter(({ ranges }) => compareBytes((ranges.at(-1) as KeyRange).end, after) > 0);
}

/** Ends with an apply under way whose checkpoint says that the rows are done. */
export async function loadRows(options: RowLoaderOptions): Promise<void> {
  const { reads, pieces, sumsOf, writer, version, stop } = options;
  const last: LastRow = { key: options.after };
  for await (const run of rowRuns(piecesAfter(pieces, options.after), reads, sumsOf)) {
    await takeRun(run, options, last);
    stop.throwIfAborted();
  }
  await writer.flush({ phase: 'log', version });
}

/** The last row that was taken: what comes after it may have no room in the same apply. */
interface LastRow {
  key: Uint8Array | undefined;
}

async function takeRun(
  { piece, reader, bytes: runBytes }: RowRun,
  options: RowLoaderOptions,
  last: LastRow,
): Promise<void> {
  const { writer, rewriter, applyBytes, after, slices } = options;
  const { bytes } = reader;
  const wanted = new WantedRows(piece, after);
  let rows = 0;
  while (reader.next()) {
    if (slices.due()) await slices.yield();
    const key = bytes.subarray(reader.keyStart, reader.keyEnd);
    if (!wanted.all && !wanted.has(key)) continue;
    const value = bytes.subarray(reader.valueStart, reader.valueEnd);
    const pending = writer.set(rewriter.key(key), value, key.length + value.length);
    rows++;
    if (writer.isOver && last.key !== undefined) await writer.flushOver(placeAfter(last.key));
    last.key = key;
    if (pending >= applyBytes) await writer.flush(placeAfter(key));
  }
  options.onRun(runBytes, rows);
}

function placeAfter(key: Uint8Array): ShardPlace {
  return { phase: 'rows', version: 0n, cursor: formatRowCursor(key) };
}

/** Which rows of a file are to be loaded. Asked in the order of keys. */
class WantedRows {
  /** No row need be looked at. */
  readonly all: boolean;
  readonly #ranges: readonly KeyRange[];
  readonly #after: Uint8Array | undefined;
  #range = 0;

  constructor({ file, ranges }: RowPiece, after: Uint8Array | undefined) {
    const [first] = ranges;
    this.#ranges = ranges;
    this.#after = after !== undefined && compareBytes(after, file.range.begin) >= 0 ? after : undefined;
    this.all =
      this.#after === undefined &&
      first !== undefined &&
      compareBytes(first.begin, file.range.begin) === 0 &&
      compareBytes(first.end, file.range.end) === 0;
  }

  has(key: Uint8Array): boolean {
    if (this.#after !== undefined && compareBytes(key, this.#after) <= 0) return false;
    let range = this.#ranges[this.#range];
    while (range !== undefined && compareBytes(range.end, key) <= 0) range = this.#ranges[++this.#range];
    return range !== undefined && compareBytes(range.begin, key) <= 0;
  }
}
