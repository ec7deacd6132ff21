// Committed rows as a source gives them (TxnBatch), looked at before anything of them is stored.
// Must never let a row through that a backup of that range and those timestamps cannot hold: its files would say what was not.

import { compareBytes } from '../../core/bytes.js';
import { HIGH, compareHalves, halvesOf } from '../../core/u64-halves.js';
import type { TxnBatch } from '../../ports/txn-range-source.js';
import { endsBefore } from './br-range.js';

/** What rows may be: of these keys, committed in (startTs, endTs]. */
export interface TxnBounds {
  /** The first key that may come, and the first that may not; an empty end is no bound. */
  readonly from: Uint8Array;
  readonly endKey: Uint8Array;
  /** 0: a full backup, in which there are no deletes. */
  readonly startTs: bigint;
  readonly endTs: bigint;
}

/** A batch whose timestamps are read as halves, without a bigint for each. */
export class TxnEntries {
  readonly length: number;
  readonly keys: readonly Uint8Array[];
  readonly values: readonly (Uint8Array | undefined)[];
  readonly #start: Uint32Array;
  readonly #commit: Uint32Array;

  constructor(batch: TxnBatch) {
    this.keys = batch.keys;
    this.values = batch.values;
    this.length = batch.keys.length;
    this.#start = halvesOf(batch.startTs);
    this.#commit = halvesOf(batch.commitTs);
  }

  startHigh(row: number): number {
    return this.#start[2 * row + HIGH] as number;
  }

  startLow(row: number): number {
    return this.#start[2 * row + 1 - HIGH] as number;
  }

  commitHigh(row: number): number {
    return this.#commit[2 * row + HIGH] as number;
  }

  commitLow(row: number): number {
    return this.#commit[2 * row + 1 - HIGH] as number;
  }

  /** What is wrong with the batch; undefined: nothing. */
  problem(bounds: TxnBounds): string | undefined {
    const { length, keys, values } = this;
    if (values.length !== length || this.#start.length !== 2 * length || this.#commit.length !== 2 * length) {
      return 'the columns of a batch have different lengths';
    }
    if (length === 0) return undefined;
    const outOfPlace = keyProblem(keys, bounds.from, bounds.endKey);
    return outOfPlace ?? this.#tsProblem(bounds);
  }

  #tsProblem({ startTs, endTs }: TxnBounds): string | undefined {
    const bounds = halvesOf(BigUint64Array.of(startTs, endTs));
    const isFull = startTs === 0n;
    for (let row = 0; row < this.length; row++) {
      if (compareHalves(this.#start, row, this.#commit, row) > 0) {
        return 'a row was committed before its transaction began';
      }
      if (compareHalves(this.#commit, row, bounds, 0) <= 0 || compareHalves(this.#commit, row, bounds, 1) > 0) {
        return `a row was not committed in (${startTs}, ${endTs}]`;
      }
      if (isFull && this.values[row] === undefined) return 'a full backup has no deleted rows';
    }
    return undefined;
  }
}

/** What is wrong with the keys of a batch that is not empty; undefined: nothing. Each once, in order, from `from` on, below `endKey` (empty: no bound). */
export function keyProblem(
  keys: readonly Uint8Array[],
  from: Uint8Array,
  endKey: Uint8Array,
): 'a key lies outside of the range' | 'the keys are not in order, each once' | undefined {
  let last = keys[0] as Uint8Array;
  if (compareBytes(last, from) < 0) return 'a key lies outside of the range';
  for (let i = 1; i < keys.length; i++) {
    const key = keys[i] as Uint8Array;
    if (compareBytes(last, key) >= 0) return 'the keys are not in order, each once';
    last = key;
  }
  return endsBefore(endKey, last) ? 'a key lies outside of the range' : undefined;
}
