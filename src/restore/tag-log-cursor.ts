// One tag's log as a stream of records, in order: file after file, run of blocks after run, the next run being read while the current one is used.
// In memory per tag: the current run and the next one.

import { LogRecordReader } from '../format/fdb/log-file-decoder.js';
import type { LogPiece, TagPieces } from './restore-set.js';
import { runBytes } from './log-file-blocks.js';

/** Reads a run of a file. Never rejects on its own: see `Settled`. */
export type ReadRun = (piece: LogPiece, offset: number) => Promise<Uint8Array>;

/** A read-ahead may fail long before anyone waits for it: its outcome is kept, so that no rejection goes unobserved. */
type Settled = { readonly bytes: Uint8Array } | { readonly error: unknown };

interface ReadAhead {
  readonly piece: number;
  readonly offset: number;
  readonly outcome: Promise<Settled>;
}

/** The cursor stands on a record. */
export const READY = 0;
/** The run is used up: `refill` brings the next one. */
export const EMPTY = 1;
/** There are no more records. */
export const DONE = 2;
export type CursorState = typeof READY | typeof EMPTY | typeof DONE;

export class TagLogCursor {
  // The record that the cursor stands on, as LogRecordReader describes it; copied here because the merge compares them all the time.
  versionHigh = 0;
  versionLow = 0;
  subsequence = 0;
  start = 0;
  end = 0;
  /** Which entry of the batch's list of runs is this cursor's current run; the merge's to use. -1: none yet. */
  slot = -1;

  readonly tag: number;
  readonly #pieces: readonly LogPiece[];
  readonly #read: ReadRun;
  readonly #readBytes: number;
  /** Index of the piece that `#reader` reads. */
  #piece = -1;
  #reader: LogRecordReader | undefined;
  #ahead: ReadAhead | undefined;
  // The piece's window, as halves.
  #beginHigh = 0;
  #beginLow = 0;
  #endHigh = 0;
  #endLow = 0;
  /** Bytes loaded so far. */
  bytesLoaded = 0;

  constructor({ tag, pieces }: TagPieces, read: ReadRun, readBytes: number) {
    this.tag = tag;
    // A file without bytes has no records; that it was there has been checked by the plan.
    this.#pieces = pieces.filter((piece) => piece.file.size > 0);
    this.#read = read;
    this.#readBytes = readBytes;
  }

  get bytes(): Uint8Array {
    return this.#current().bytes;
  }

  /** Name of the file, and the offset in it of byte 0 of `bytes`. */
  get runPlace(): { readonly file: string; readonly offset: number } {
    const reader = this.#current();
    return { file: reader.file.name, offset: reader.nextOffset - reader.bytes.length };
  }

  /** Moves to the next record. */
  advance(): CursorState {
    const reader = this.#reader;
    if (reader === undefined) return this.#pieces.length === 0 ? DONE : EMPTY;
    while (reader.next()) {
      const high = reader.versionHigh;
      const low = reader.versionLow;
      if (high > this.#endHigh || (high === this.#endHigh && low >= this.#endLow)) return this.#leavePiece();
      if (high < this.#beginHigh || (high === this.#beginHigh && low < this.#beginLow)) continue;
      this.versionHigh = high;
      this.versionLow = low;
      this.subsequence = reader.subsequence;
      this.start = reader.mutationStart;
      this.end = reader.mutationEnd;
      return READY;
    }
    return reader.nextOffset < reader.file.size ? EMPTY : this.#leavePiece();
  }

  /** After EMPTY: waits for the next run, starts reading the one after it, and moves to the next record. */
  async refill(): Promise<CursorState> {
    let state: CursorState = EMPTY;
    while (state === EMPTY) {
      const { piece, offset } = this.#next(this.#piece, this.#reader) ?? { piece: 0, offset: 0 };
      const bytes = await this.#take(piece, offset);
      if (piece !== this.#piece || this.#reader === undefined) this.#enterPiece(piece);
      const reader = this.#current();
      reader.load(bytes);
      this.slot = -1;
      this.bytesLoaded += bytes.length;
      this.#startReadAhead(piece, offset + runBytes(this.#pieces[piece]!.file, this.#readBytes));
      state = this.advance();
    }
    return state;
  }

  /** Waits until no read is under way any more. */
  async close(): Promise<void> {
    await this.#ahead?.outcome;
  }

  /** The run that follows what `reader` has loaded of `piece`. */
  #next(piece: number, reader: LogRecordReader | undefined): { piece: number; offset: number } | undefined {
    if (reader !== undefined && reader.nextOffset < reader.file.size) return { piece, offset: reader.nextOffset };
    return piece + 1 < this.#pieces.length ? { piece: piece + 1, offset: 0 } : undefined;
  }

  async #take(piece: number, offset: number): Promise<Uint8Array> {
    if (this.#ahead !== undefined && (this.#ahead.piece !== piece || this.#ahead.offset !== offset)) {
      // The rest of a file whose window ended early: not needed, but one read at a time.
      await this.#ahead.outcome;
      this.#ahead = undefined;
    }
    this.#ahead ??= this.#startRead(piece, offset);
    const settled = await this.#ahead.outcome;
    this.#ahead = undefined;
    if ('error' in settled) throw settled.error;
    return settled.bytes;
  }

  #startReadAhead(piece: number, offset: number): void {
    const file = this.#pieces[piece]!.file;
    if (offset < file.size) this.#ahead = this.#startRead(piece, offset);
    else if (piece + 1 < this.#pieces.length) this.#ahead = this.#startRead(piece + 1, 0);
  }

  #startRead(piece: number, offset: number): ReadAhead {
    const outcome = this.#read(this.#pieces[piece]!, offset).then(
      (bytes): Settled => ({ bytes }),
      (error: unknown): Settled => ({ error }),
    );
    return { piece, offset, outcome };
  }

  #enterPiece(index: number): void {
    const { file, begin, end } = this.#pieces[index]!;
    this.#piece = index;
    this.#reader = new LogRecordReader(file);
    this.#beginHigh = Number(begin >> 32n);
    this.#beginLow = Number(begin & 0xffffffffn);
    this.#endHigh = Number(end >> 32n);
    this.#endLow = Number(end & 0xffffffffn);
  }

  /** Nothing more is wanted of the current file. */
  #leavePiece(): CursorState {
    this.#reader = undefined;
    return this.#piece + 1 < this.#pieces.length ? EMPTY : DONE;
  }

  #current(): LogRecordReader {
    return this.#reader!;
  }
}
