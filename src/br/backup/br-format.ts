// Rows as the SST files of a BR backup: scan workers fill pieces, save workers finish them; each stored file, or pair of files, is answered at once.
// Must never leave an unfinished file behind, nor answer for keys whose files are not all whole and durable.

import { AbortScope } from '../../core/abort.js';
import { compareBytes } from '../../core/bytes.js';
import type { Clock } from '../../core/clock.js';
import { AssertionError, BackupError, assert } from '../../core/errors.js';
import { FirstFailure } from '../../core/first-failure.js';
import { lingerFor } from '../../core/linger.js';
import type { TaskHandle } from '../../schedule/task.js';
import type { RetryPolicy } from '../../snapshot/backoff.js';
import { isTransient } from '../../snapshot/backoff.js';
import type { RowFormat } from '../../snapshot/row-format.js';
import { BrCutter } from './br-cutter.js';
import type { BrRangeResponse } from './br-range-response.js';
import type { BrPieceAnswer, BrSnapshotWriter } from './br-snapshot-writer.js';
import type { EndedPiece } from './piece-queue.js';
import { PieceQueue } from './piece-queue.js';
import type { BatchKind, ScannedPiece } from './scanned-piece.js';

export interface BrFormatOptions<Batch> {
  readonly batches: BatchKind<Batch>;
  /** A writer for the keys of a piece; it tells of each answer before it goes on. */
  readonly openWriter: (piece: ScannedPiece, onAnswer: (answer: BrPieceAnswer) => Promise<void>) => BrSnapshotWriter;
  /** Pieces that may wait for the save workers. */
  readonly maxWaiting: number;
  readonly policy: RetryPolicy;
  readonly clock: Clock;
  /** Aborts when the request ends early: of every writer, too. */
  readonly signal: AbortSignal;
  readonly respond: (response: BrRangeResponse) => Promise<void>;
}

export class BrFormat<Batch> implements RowFormat<Batch> {
  readonly #options: BrFormatOptions<Batch>;
  readonly #queue: PieceQueue;
  readonly #open = new Set<BrSnapshotWriter>();
  #failuresInARow = 0;
  #givenUp: { readonly error: unknown } | undefined;

  constructor(options: BrFormatOptions<Batch>) {
    this.#options = options;
    this.#queue = new PieceQueue(options.maxWaiting);
  }

  get givenUp(): { readonly error: unknown } | undefined {
    return this.#givenUp;
  }

  get failuresInARow(): number {
    return this.#failuresInARow;
  }

  newCutter(task: TaskHandle): BrCutter<Batch> {
    const { lastKeyOf } = this.#options.batches;
    return new BrCutter<Batch>({
      task,
      lastKeyOf,
      add: (piece, batch) => this.#add(piece, batch),
      complete: (piece, end, signal) => this.#queue.send({ piece, end }, signal),
    });
  }

  close(): void {
    this.#queue.close();
  }

  async run(workers: number, signal: AbortSignal): Promise<void> {
    using scope = new AbortScope(signal);
    const failure = new FirstFailure(scope);
    const work = async () => {
      for (let next = await this.#queue.take(scope.signal); next !== undefined;) {
        await this.#complete(next);
        next = await this.#queue.take(scope.signal);
      }
    };
    try {
      await Promise.all(Array.from({ length: workers }, () => failure.guard(work())));
      failure.throwIfAny();
    } finally {
      const aborting = [...this.#open].map((writer) => this.#abort(writer));
      await lingerFor(Promise.all(aborting), this.#options.clock);
    }
  }

  async #add(piece: ScannedPiece, batch: Batch): Promise<void> {
    const { batches } = this.#options;
    if (batches.lastKeyOf(batch) === undefined) return;
    await this.#guarded(piece, async () => {
      piece.writer ??= this.#openWriter(piece);
      await batches.add(piece.writer, batch);
    });
    // Rows that cannot be are the scan's affair: it stops, and nothing of the piece is believed.
    const error = piece.failure?.error;
    if (BackupError.is(error, 'ADAPTER_CONTRACT')) throw error;
  }

  /** Answers for what of the piece is not answered yet. */
  async #complete({ piece, end }: EndedPiece): Promise<void> {
    const { respond } = this.#options;
    const { writer, begin } = piece;
    if (writer === undefined && piece.failure === undefined) {
      await respond({ range: { begin, end }, files: [] });
      return;
    }
    await this.#guarded(piece, async () => {
      assert(writer !== undefined, 'what has rows has a writer');
      await writer.finish(end);
      this.#open.delete(writer);
    });
    if (piece.failure === undefined) return;
    if (writer !== undefined) await this.#abort(writer);
    const from = writer?.answeredTo ?? begin;
    if (compareBytes(from, end) < 0) await respond({ range: { begin: from, end }, error: piece.failure.error });
  }

  /** What goes wrong with a piece fails it alone; an abort, or a mistake of ours, ends everything. */
  async #guarded(piece: ScannedPiece, body: () => Promise<void>): Promise<void> {
    const { signal, policy } = this.#options;
    if (piece.failure !== undefined) return;
    try {
      await body();
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof AssertionError) throw error;
      piece.failure = { error };
      if (piece.writer !== undefined) await this.#abort(piece.writer);
      // It says nothing of the container: other regions may be fine.
      if (BackupError.is(error, 'ADAPTER_CONTRACT')) return;
      this.#failuresInARow++;
      if (!isTransient(error) || this.#failuresInARow >= policy.maxAttempts) this.#givenUp ??= { error };
    }
  }

  #openWriter(piece: ScannedPiece): BrSnapshotWriter {
    const writer = this.#options.openWriter(piece, async ({ startKey, endKey, files }) => {
      this.#failuresInARow = 0;
      await this.#options.respond({ range: { begin: startKey, end: endKey }, files });
    });
    this.#open.add(writer);
    return writer;
  }

  async #abort(writer: BrSnapshotWriter): Promise<void> {
    this.#open.delete(writer);
    await writer.abort();
  }
}
