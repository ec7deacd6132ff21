// How far a request has been handed out: `batchSize` regions at a time, in key order, as the source lists them at that moment.

import { Mutex } from 'async-mutex';
import { abortableStream } from '../core/abort.js';
import { equalBytes, compareBytes } from '../core/bytes.js';
import { BackupError } from '../core/errors.js';
import type { KeyRange } from '../core/key-range.js';
import { formatRange } from '../core/key-range.js';
import type { Region } from '../ports/range-source.js';
import type { RetryPolicy } from './backoff.js';
import { retrying } from './backoff.js';
import type { RangeFailed } from './range-response.js';
import type { RegionSource } from './row-format.js';

/** A region, or the part of it that was asked for: `region.range` is that part. Neighbours in a batch touch. */
export type RegionBatch = readonly Region[];

export class ScanProgress {
  readonly #source: Pick<RegionSource<unknown>, 'regions'>;
  readonly #batchSize: number;
  readonly #policy: RetryPolicy;
  /** What is still to be handed out. */
  #left: KeyRange[];
  readonly #turn = new Mutex();

  /** `ranges` sorted and disjoint. */
  constructor(
    source: Pick<RegionSource<unknown>, 'regions'>,
    ranges: readonly KeyRange[],
    batchSize: number,
    policy: RetryPolicy,
  ) {
    this.#source = source;
    this.#left = [...ranges];
    this.#batchSize = batchSize;
    this.#policy = policy;
  }

  /** The next regions; the error of a range that could not be listed; undefined at the end. */
  next(signal: AbortSignal): Promise<RegionBatch | RangeFailed | undefined> {
    return this.#turn.runExclusive(async () => {
      const [range] = this.#left;
      if (range === undefined) return undefined;
      try {
        const batch = await retrying(this.#policy, signal, () => this.#list(range, signal));
        if (this.#left[0] !== range) return undefined; // Stopped meanwhile.
        const to = (batch.at(-1) as Region).range.end;
        if (equalBytes(to, range.end)) this.#left.shift();
        else this.#left[0] = { begin: to, end: range.end };
        return batch;
      } catch (error) {
        signal.throwIfAborted();
        if (this.#left.shift() !== range) return undefined; // Stopped meanwhile.
        return { range, error };
      }
    });
  }

  /** Hands out nothing more; returns what was left. */
  stop(): KeyRange[] {
    const left = this.#left;
    this.#left = [];
    return left;
  }

  async #list(range: KeyRange, signal: AbortSignal): Promise<RegionBatch> {
    const batch: Region[] = [];
    let at = range.begin;
    for await (const region of abortableStream(this.#source.regions({ range, signal }), signal)) {
      const { begin, end } = region.range;
      if (!equalBytes(begin, at) || compareBytes(end, at) <= 0 || compareBytes(end, range.end) > 0) {
        throw new BackupError(
          'ADAPTER_CONTRACT',
          `regions of ${formatRange(range)} must follow one another without a hole and within it: region ${region.id} is ${formatRange(region.range)}`,
        );
      }
      batch.push(region);
      at = end;
      if (batch.length === this.#batchSize || equalBytes(at, range.end)) return batch;
    }
    if (batch.length === 0) throw new BackupError('ADAPTER_CONTRACT', `there is no region in ${formatRange(range)}`);
    return batch;
  }
}
