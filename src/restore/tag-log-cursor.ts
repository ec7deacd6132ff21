// One tag's log as a stream of records, in order: file after file, run of blocks after run, the next run being read while the current one is used.
// In memory per tag: the current run and the next one.

import { EMPTY_BYTES } from '../core/bytes.js';
import type { DecodedLogFile } from '../format/fdb/log-file-decoder.js';
import { LogRecordReader } from '../format/fdb/log-file-decoder.js';
import { convertUnpartitionedLog } from '../format/fdb/unpartitioned-log.js';
import type { CheckedReads } from './checked-reads.js';
import type { RunPlace } from './merged-batch.js';
import type { LogFile } from './description.js';
import { runBytes } from './log-file-blocks.js';
import type { LogPiece, TagPieces } from './restore-pieces.js';

/** A run of a file, ready to be decoded. */
export interface LogRun {
  readonly bytes: Uint8Array;
  /** What the bytes belong to: the file itself, or what a file of the older format was rewritten as. */
  readonly file: DecodedLogFile;
  /** Bytes that were read for it. */
  readonly bytesRead: number;
}

export type ReadRun = (file: LogFile, offset: number) => Promise<LogRun>;

/** Reads runs of log files. A file of the older format is read whole, whatever its size: its records are in no particular order. */
export function logRunsOf(reads: CheckedReads): ReadRun {
  return async (file, offset) => {
    if (file.unpartitioned !== true) {
      const bytes = await reads.run(file, offset);
      return { bytes, file, bytesRead: bytes.length };
    }
    const bytes = await reads.run({ name: file.name, size: file.size, blockSize: file.size }, 0);
    return { ...convertUnpartitionedLog(bytes, file), bytesRead: bytes.length };
  };
}

/** A read-ahead may fail long before anyone waits for it: its outcome is kept, so that no rejection goes unobserved. */
type Settled = LogRun | { readonly error: unknown };

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
const DECODE_AHEAD = 256;

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
  /** The run, and where it comes from. */
  bytes: Uint8Array = EMPTY_BYTES;
  runPlace: RunPlace = { file: '', offset: 0 };

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
  // Records decoded ahead, as columns. Decoding a few hundred in a row is three times as fast as one at a time in turn with other tags: memory is read in order.
  readonly #highs = new Uint32Array(DECODE_AHEAD);
  readonly #lows = new Uint32Array(DECODE_AHEAD);
  readonly #subsequences = new Uint32Array(DECODE_AHEAD);
  readonly #starts = new Uint32Array(DECODE_AHEAD);
  readonly #ends = new Uint32Array(DECODE_AHEAD);
  #decoded = 0;
  #at = -1;
  /** Bytes loaded so far. */
  bytesLoaded = 0;

  constructor({ tag, pieces }: TagPieces, read: ReadRun, readBytes: number) {
    this.tag = tag;
    // A file without bytes has no records; that it was there has been checked by the plan.
    this.#pieces = pieces.filter((piece) => piece.file.size > 0);
    this.#read = read;
    this.#readBytes = readBytes;
  }

  /** Moves to the next record. */
  advance(): CursorState {
    if (++this.#at >= this.#decoded) {
      const state = this.#decodeAhead();
      if (state !== READY) return state;
    }
    const at = this.#at;
    this.versionHigh = this.#highs[at] as number;
    this.versionLow = this.#lows[at] as number;
    this.subsequence = this.#subsequences[at] as number;
    this.start = this.#starts[at] as number;
    this.end = this.#ends[at] as number;
    return READY;
  }

  /** Decodes the next records of the run, as far as the window allows. */
  #decodeAhead(): CursorState {
    this.#at = 0;
    this.#decoded = 0;
    const reader = this.#reader;
    if (reader === undefined) return this.#piece + 1 < this.#pieces.length ? EMPTY : DONE;
    while (this.#decoded < DECODE_AHEAD) {
      if (!reader.next()) {
        if (reader.nextOffset === reader.file.size) this.#leavePiece();
        break;
      }
      const high = reader.versionHigh;
      const low = reader.versionLow;
      if (high > this.#endHigh || (high === this.#endHigh && low >= this.#endLow)) {
        this.#leavePiece();
        break;
      }
      if (high < this.#beginHigh || (high === this.#beginHigh && low < this.#beginLow)) continue;
      const at = this.#decoded++;
      this.#highs[at] = high;
      this.#lows[at] = low;
      this.#subsequences[at] = reader.subsequence;
      this.#starts[at] = reader.mutationStart;
      this.#ends[at] = reader.mutationEnd;
    }
    if (this.#decoded > 0) return READY;
    return this.#reader !== undefined || this.#piece + 1 < this.#pieces.length ? EMPTY : DONE;
  }

  /** After EMPTY: waits for the next run, starts reading the one after it, and moves to the next record. */
  async refill(): Promise<CursorState> {
    let state: CursorState = EMPTY;
    while (state === EMPTY) {
      const { piece, offset } = this.#next(this.#piece, this.#reader) ?? { piece: 0, offset: 0 };
      const { bytes, file, bytesRead } = await this.#take(piece, offset);
      if (piece !== this.#piece || this.#reader === undefined) this.#enterPiece(piece, file);
      if (bytes.length > 0) this.#reader!.load(bytes);
      else this.#leavePiece();
      this.bytes = bytes;
      this.runPlace = { file: this.#pieces[piece]!.file.name, offset };
      this.slot = -1;
      this.bytesLoaded += bytesRead;
      this.#startReadAhead(piece, offset);
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

  async #take(piece: number, offset: number): Promise<LogRun> {
    if (this.#ahead !== undefined && (this.#ahead.piece !== piece || this.#ahead.offset !== offset)) {
      // The rest of a file whose window ended early: not needed, but one read at a time.
      await this.#ahead.outcome;
      this.#ahead = undefined;
    }
    this.#ahead ??= this.#startRead(piece, offset);
    const settled = await this.#ahead.outcome;
    this.#ahead = undefined;
    if ('error' in settled) throw settled.error;
    return settled;
  }

  /** Of what follows the run at `offset`. */
  #startReadAhead(piece: number, offset: number): void {
    const file = this.#pieces[piece]!.file;
    const next = file.unpartitioned === true ? file.size : offset + runBytes(file, this.#readBytes);
    if (next < file.size) this.#ahead = this.#startRead(piece, next);
    else if (piece + 1 < this.#pieces.length) this.#ahead = this.#startRead(piece + 1, 0);
  }

  #startRead(piece: number, offset: number): ReadAhead {
    const outcome = this.#read(this.#pieces[piece]!.file, offset).catch((error: unknown): Settled => ({ error }));
    return { piece, offset, outcome };
  }

  #enterPiece(index: number, file: DecodedLogFile): void {
    const { begin, end } = this.#pieces[index]!;
    this.#piece = index;
    this.#reader = new LogRecordReader(file);
    this.#beginHigh = Number(begin >> 32n);
    this.#beginLow = Number(begin & 0xffffffffn);
    this.#endHigh = Number(end >> 32n);
    this.#endLow = Number(end & 0xffffffffn);
  }

  /** Nothing more is wanted of the current file; what was decoded of it stays. */
  #leavePiece(): void {
    this.#reader = undefined;
  }
}
