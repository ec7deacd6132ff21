// From entries to rows: of each user key the newest entry, unless that is a deletion or a range deletion hides it.

import { compareBytes, equalBytes, printableBytes } from '../../core/bytes.js';
import { DELETION, SINGLE_DELETION, VALUE } from './entry-types.js';
import type { RangeDeletions } from './range-deletions.js';
import type { SstBatch } from './sst-batch.js';
import type { SstFile } from './sst-file.js';
import { refuseSst } from './sst-file.js';

/** Batches of entries in, batches of rows out, in the same order of keys. */
export class VersionResolver {
  readonly #file: Pick<SstFile, 'name'>;
  readonly #rangeDeletions: RangeDeletions;

  constructor(file: Pick<SstFile, 'name'>, rangeDeletions: RangeDeletions) {
    this.#file = file;
    this.#rangeDeletions = rangeDeletions;
  }

  async *forward(batches: AsyncIterable<SstBatch>): AsyncGenerator<SstBatch, void, undefined> {
    let last: Uint8Array | undefined;
    for await (const batch of batches) {
      const { count } = batch;
      const first = last === undefined ? 0 : endOfKey(batch, 0, last);
      const rows = this.#resolve(batch.slice(first, count));
      // The batch may be good no longer when the next one is there.
      last = batch.key(count - 1).slice();
      if (rows.count > 0) yield rows;
    }
  }

  /** `batches`: those of `forward`, the last one first, each still in ascending order. Rows come out in descending order. */
  async *backward(batches: AsyncIterable<SstBatch>): AsyncGenerator<SstBatch, void, undefined> {
    // The newest entry of a user key may lie in the batch that comes next: the first key of a batch waits for it. An older version of it that waited is not the one that counts.
    let waiting: SstBatch | undefined;
    for await (const batch of batches) {
      const { count } = batch;
      if (waiting !== undefined && !equalBytes(waiting.key(0), batch.key(count - 1))) yield* this.#rowsOf(waiting);
      waiting = batch.slice(0, 1);
      const rest = endOfKey(batch, 0, batch.key(0));
      if (rest < count) yield* this.#rowsOf(batch.slice(rest, count));
    }
    if (waiting !== undefined) yield* this.#rowsOf(waiting);
  }

  *#rowsOf(batch: SstBatch): Generator<SstBatch, void, undefined> {
    const rows = this.#resolve(batch);
    if (rows.count > 0) yield rows.reversed();
  }

  /** Of a batch that is in ascending order. */
  #resolve(batch: SstBatch): SstBatch {
    if (batch.isPlain && this.#rangeDeletions.isEmpty) return batch;
    const places: number[] = [];
    for (let i = 0; i < batch.count; i++) {
      if (i > 0 && compareBytes(batch.key(i), batch.key(i - 1)) === 0) continue;
      if (this.isRow(batch, i)) places.push(i);
    }
    return batch.pick(places);
  }

  /** Whether the newest entry of a user key is a row. UNSUPPORTED_FORMAT where that cannot be told from the file: it needs a merge operator, or another file. */
  isRow(batch: SstBatch, i: number): boolean {
    const type = batch.typeByte(i);
    if (type === DELETION || type === SINGLE_DELETION) return false;
    if (!this.#rangeDeletions.isEmpty && this.#rangeDeletions.hides(batch.key(i), batch.seqno(i))) return false;
    if (type === VALUE) return true;
    const key = printableBytes(batch.key(i));
    const what = `the newest entry of "${key}" is of the type ${batch.type(i)}: its value is not in it`;
    return refuseSst(this.#file, 0, what, 'UNSUPPORTED_FORMAT');
  }
}

/** The first entry from `from` on whose user key is not `key`. */
function endOfKey(batch: SstBatch, from: number, key: Uint8Array): number {
  let at = from;
  while (at < batch.count && equalBytes(batch.key(at), key)) at++;
  return at;
}
