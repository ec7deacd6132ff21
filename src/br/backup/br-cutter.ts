// Cuts the rows of neighbouring regions into pieces: one for each region, or for each part of one that was scanned by itself, since a BR file is named after its region.
// Must never let a piece claim keys that were not scanned to their end, at the backup's timestamp.

import { compareBytes, keyAfter } from '../../core/bytes.js';
import { assert } from '../../core/errors.js';
import type { Version } from '../../core/version.js';
import type { Region } from '../../ports/range-source.js';
import type { TaskHandle } from '../../schedule/task.js';
import type { RowCutter } from '../../snapshot/row-format.js';
import type { ScannedPiece } from './scanned-piece.js';

export interface BrCutterOptions<Batch> {
  readonly task: TaskHandle;
  readonly lastKeyOf: (batch: Batch) => Uint8Array | undefined;
  /** What the container does not take fails the piece. ADAPTER_CONTRACT for rows that cannot be. */
  readonly add: (piece: ScannedPiece, batch: Batch) => Promise<void>;
  /** No row of it follows. Waits while the saving is too far behind. */
  readonly complete: (piece: ScannedPiece, end: Uint8Array, signal: AbortSignal) => Promise<void>;
}

export class BrCutter<Batch> implements RowCutter<Batch> {
  readonly #options: BrCutterOptions<Batch>;
  #region: Region | undefined;
  /** The keys from its begin to #at have been scanned. */
  #piece: ScannedPiece | undefined;
  #at: Uint8Array = new Uint8Array(0);
  #version: Version | undefined;
  /** Of the pieces before #piece. */
  #endedBytes = 0;

  constructor(options: BrCutterOptions<Batch>) {
    this.#options = options;
  }

  get at(): Uint8Array {
    return this.#at;
  }

  get encodedBytes(): number {
    return this.#endedBytes + (this.#piece?.writer?.countedBytes ?? 0);
  }

  enter(region: Region): void {
    this.skipTo(region.range.begin);
    this.#region = region;
  }

  skipTo(key: Uint8Array): void {
    const isThere = compareBytes(key, this.#at) === 0;
    assert(isThere || this.#piece === undefined, 'a piece does not cover what was left out');
    this.#at = key;
  }

  async useVersion(version: Version): Promise<void> {
    assert(this.#version === undefined || this.#version === version, 'a BR backup is of one timestamp');
    this.#version = version;
    if (this.#piece?.region !== this.#region) await this.endFile();
    this.#piece ??= this.#newPiece();
  }

  async add(batch: Batch): Promise<void> {
    const { add, lastKeyOf } = this.#options;
    const piece = this.#piece;
    assert(piece !== undefined, 'a version has been chosen');
    await add(piece, batch);
    const last = lastKeyOf(batch);
    if (last !== undefined) this.#at = keyAfter(last);
    // What cannot be stored takes no more keys along.
    if (piece.failure === undefined) return;
    await this.endFile();
    this.#piece = this.#newPiece();
  }

  coverTo(end: Uint8Array): void {
    this.#at = end;
  }

  async endFile(): Promise<void> {
    const piece = this.#piece;
    this.#piece = undefined;
    if (piece === undefined) return;
    // A batch that turned out to be wrong in its middle may have ended a file before that.
    const answeredTo = piece.writer?.answeredTo ?? piece.begin;
    if (compareBytes(this.#at, answeredTo) < 0) this.#at = answeredTo;
    if (compareBytes(piece.begin, this.#at) === 0) return;
    this.#endedBytes += piece.writer?.countedBytes ?? 0;
    await this.#options.complete(piece, this.#at, this.#options.task.signal);
  }

  fail(error: unknown): void {
    if (this.#piece !== undefined) this.#piece.failure ??= { error };
  }

  #newPiece(): ScannedPiece {
    const region = this.#region;
    assert(region !== undefined, 'rows come from a region');
    return { begin: this.#at, region, task: this.#options.task, writer: undefined, failure: undefined };
  }
}
