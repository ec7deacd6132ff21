// The rows of one key range as SST files of a TiKV backup. As components/backup/src/writer.rs and the scan of endpoint.rs, but streaming: memory does not grow with the files.
// Must never answer for keys that it was not given to their end, nor leave a file behind that it has not answered with.

import { AbortScope, ScopeEnded } from '../../core/abort.js';
import { compareBytes, keyAfter, printableBytes } from '../../core/bytes.js';
import { checkMethods, checkWholeNumber } from '../../core/check-option.js';
import type { Clock } from '../../core/clock.js';
import { systemClock } from '../../core/clock.js';
import { BackupError } from '../../core/errors.js';
import { lingerFor } from '../../core/linger.js';
import { checkCipher } from '../../format/br/cipher.js';
import { isColumnFamilyName } from '../../format/br/file-name.js';
import type { BrFile, BrKeyRange } from '../../format/br/messages.js';
import type { RawApiVersion } from '../../format/br/raw-kv.js';
import { rawUserKey, rawUserValueLength } from '../../format/br/raw-kv.js';
import type { KeyValueBatch } from '../../ports/range-source.js';
import type { TxnBatch } from '../../ports/txn-range-source.js';
import type { BrFileNames, BrFileRegion } from './br-file-names.js';
import type { BrFileFacts } from './br-file-writer.js';
import { BrPiece } from './br-piece.js';
import { compareEnds, formatBrRange } from './br-range.js';
import { TxnEntries, keyProblem } from './txn-entries.js';

/** Bytes of the user's keys and values after which a piece ends: TiKV's `backup.sst-max-size`. */
export const DEFAULT_SST_MAX_SIZE = 144 << 20;

/** A piece of the range and its files: two or one, or none where there are no rows. */
export interface BrPieceAnswer extends BrKeyRange {
  readonly files: readonly BrFile[];
}

/** Transactional rows, committed in (startTs, endTs]; startTs 0: a full backup, which has no deletes. */
export interface BrTxnRows {
  readonly kind: 'txn';
  readonly startTs: bigint;
  readonly endTs: bigint;
}

/** Raw KV, as the cluster stores it. */
export interface BrRawRows {
  readonly kind: 'raw';
  /** Default `default`. */
  readonly cf?: string | undefined;
  /** Default `v1`: keys and values as the users know them. */
  readonly apiVersion?: RawApiVersion | undefined;
}

export interface BrSnapshotWriterOptions extends BrFileFacts {
  readonly rows: BrTxnRows | BrRawRows;
  /** Whose rows they are: in the names of the files. */
  readonly region: BrFileRegion;
  /** The user keys that may come. An empty end is no bound. */
  readonly range: BrKeyRange;
  /** Shared by all writers of a backup. */
  readonly names: BrFileNames;
  /** Bytes of user keys and values after which a piece ends at the next row. Default 144 MiB, as in TiKV; tables of many small values are smaller than that when compressed. */
  readonly sstMaxSize?: number | undefined;
  /** Default: the system's. */
  readonly clock?: Clock | undefined;
  /** Cancels: everything that waits rejects with its reason, and no file is left that was not answered with. */
  readonly signal?: AbortSignal | undefined;
  /** Called for each piece once its files are stored; from then on they are the callee's. Without it they belong to the writer until `finish` has resolved. */
  readonly onAnswer?: ((answer: BrPieceAnswer) => void | Promise<void>) | undefined;
  /** Runs the synchronous parts, to count their time (TaskHandle.measure). */
  readonly measure?: (<R>(work: () => R) => R) | undefined;
}

/**
 * `await addTxn(batch)` or `await addRaw(batch)`, batch after batch, then `await finish()`; otherwise `await abort()`. One call at a time, but for `abort`. Memory: for each of the two files a batch of blocks of 1 MiB (2 MiB
 * with threads), and those that are under way to the container: one more than the press works on at once.
 */
export class BrSnapshotWriter {
  readonly #options: BrSnapshotWriterOptions;
  readonly #clock: Clock;
  readonly #sstMaxSize: number;
  /** Ends with the writer: nothing that it has begun goes on. */
  readonly #scope: AbortScope;
  readonly #answers: BrPieceAnswer[] = [];
  /** Pieces whose files nobody else knows of yet. */
  readonly #ours = new Set<BrPiece>();
  #state: 'open' | 'busy' | 'finished' | 'aborted' = 'open';
  #aborting: Promise<void> | undefined;
  /** Where the piece begins. */
  #begin: Uint8Array;
  #piece: BrPiece | undefined;
  /** The first key that may come next. */
  #at: Uint8Array;
  #endedBytes = 0;

  /** INVALID_OPTION */
  constructor(options: BrSnapshotWriterOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    checkMethods('container', options.container, 'BackupContainer', ['writeFile', 'deleteFile']);
    checkMethods('press', options.press, 'BlockPress', ['press']);
    this.#sstMaxSize = checkWholeNumber('sstMaxSize', options.sstMaxSize ?? DEFAULT_SST_MAX_SIZE, 1);
    if (options.cipher !== undefined) checkCipher(options.cipher);
    if (options.rows.kind === 'txn') checkTimestamps(options.rows);
    else checkColumnFamily(options.rows.cf);
    this.#begin = this.#at = options.range.startKey;
    this.#scope = new AbortScope(options.signal);
  }

  /** Right after the last row. */
  get at(): Uint8Array {
    return this.#at;
  }

  /** Where the first piece begins that is not answered for. */
  get answeredTo(): Uint8Array {
    return this.#begin;
  }

  /** Bytes of user keys and values so far. */
  get countedBytes(): number {
    return this.#endedBytes + (this.#piece?.countedBytes ?? 0);
  }

  /**
   * Rows in key order, each key once, all behind those before. Resolves when more may come. ADAPTER_CONTRACT for other rows; that, and any other error but INVALID_STATE for a call while another one is under way, ends the
   * writer: nothing is left of what it has not answered with.
   */
  async addTxn(batch: TxnBatch): Promise<void> {
    const { rows, range } = this.#options;
    if (rows.kind !== 'txn') throw this.#wrong('addTxn is called on a writer of raw rows');
    await this.#run(async () => {
      const entries = new TxnEntries(batch);
      const problem = entries.problem({ ...rows, from: this.#at, endKey: range.endKey });
      if (problem !== undefined) throw this.#contract(problem);
      await this.#addAll(entries.keys, (piece, row) => piece.addTxn(entries, row));
    });
  }

  /** As `addTxn`. Keys and values are what the cluster stores: see RawApiVersion. */
  async addRaw(batch: KeyValueBatch): Promise<void> {
    const { rows, range } = this.#options;
    if (rows.kind !== 'raw') throw this.#wrong('addRaw is called on a writer of transactional rows');
    const { cf = 'default', apiVersion = 'v1' } = rows;
    await this.#run(async () => {
      if (batch.length === 0) return;
      const keys = batch.map(([key]) => this.#believed(() => rawUserKey(apiVersion, key)));
      const problem = keyProblem(keys, this.#at, range.endKey);
      if (problem !== undefined) throw this.#contract(problem);
      await this.#addAll(keys, (piece, row) => {
        const [key, value] = batch[row] as KeyValueBatch[number];
        const length = this.#believed(() => rawUserValueLength(apiVersion, value));
        piece.addRaw(cf, key, value, keys[row] as Uint8Array, value.subarray(0, length));
      });
    });
  }

  /**
   * There are no more rows below `endKey` (default: the range's end; above the last row): the last piece reaches to it. All answers, in key order, without a hole: also those that `onAnswer` was told. Nothing for an empty
   * range; an answer without files where there are no rows. INVALID_OPTION for an end before the last row or beyond the range.
   */
  async finish(endKey: Uint8Array = this.#options.range.endKey): Promise<readonly BrPieceAnswer[]> {
    const isBeyond = compareEnds(endKey, this.#options.range.endKey) > 0;
    if (isBeyond || (endKey.length > 0 && compareBytes(endKey, this.#at) < 0)) {
      throw this.#wrong(`endKey must be behind the rows and in the range, got "${printableBytes(endKey)}"`);
    }
    await this.#run(async () => {
      if (compareBytes(this.#begin, endKey) !== 0 || endKey.length === 0) await this.#endPiece(endKey);
    }, 'finished');
    return this.#answers;
  }

  /** Ends the writer: nothing is left of what it has not answered with, unless the container does not answer. After `finish` it does nothing. Never rejects. */
  async abort(): Promise<void> {
    if (this.#state === 'finished') return;
    this.#state = 'aborted';
    this.#scope.end();
    this.#aborting ??= lingerFor(Promise.all([...this.#ours].map((piece) => piece.abort())), this.#clock);
    await this.#aborting;
  }

  async #run(work: () => Promise<void>, after: 'open' | 'finished' = 'open'): Promise<void> {
    if (this.#state !== 'open') throw this.#notOpen();
    this.#state = 'busy';
    try {
      this.#options.signal?.throwIfAborted();
      await work();
      this.#checkNotAborted();
    } catch (error) {
      await this.abort();
      throw error instanceof ScopeEnded ? this.#notOpen() : error;
    }
    this.#state = after;
    if (after === 'finished') {
      this.#ours.clear();
      this.#scope.end();
    }
  }

  /** `abort` may have come while something was under way. */
  #checkNotAborted(): void {
    if (this.#state !== 'busy') throw this.#notOpen();
  }

  #notOpen(): BackupError {
    const { region, range } = this.#options;
    const what = this.#state === 'busy' ? 'in the middle of another call' : this.#state;
    return new BackupError('INVALID_STATE', `the writer of region ${region.id}, ${formatBrRange(range)}, is ${what}`);
  }

  async #addAll(keys: readonly Uint8Array[], add: (piece: BrPiece, row: number) => void): Promise<void> {
    const { measure = plainly } = this.#options;
    for (let next = 0; next < keys.length;) {
      const key = keys[next] as Uint8Array;
      if (this.#isFull()) await this.#endPiece(key);
      const piece = (this.#piece ??= this.#newPiece());
      next = measure(() => {
        let row = next;
        do add(piece, row++);
        while (row < keys.length && piece.pendingBytes === 0 && !this.#isFull());
        return row;
      });
      this.#at = keyAfter(keys[next - 1] as Uint8Array);
      if (piece.pendingBytes > 0) await this.#flush(piece);
    }
  }

  async #flush(piece: BrPiece): Promise<void> {
    await piece.flush();
    // A container in memory would never let the host have a turn.
    await this.#clock.yieldToHost();
    this.#options.signal?.throwIfAborted();
    this.#checkNotAborted();
  }

  #isFull(): boolean {
    return this.#piece !== undefined && this.#piece.countedBytes >= this.#sstMaxSize;
  }

  #newPiece(): BrPiece {
    const { names, region, rows } = this.#options;
    const name = names.next({ region, startKey: this.#begin, isRaw: rows.kind === 'raw' });
    const piece = new BrPiece({ facts: this.#options, name, signal: this.#scope.signal });
    this.#ours.add(piece);
    return piece;
  }

  async #endPiece(endKey: Uint8Array): Promise<void> {
    const { rows, onAnswer } = this.#options;
    const piece = this.#piece;
    const startKey = this.#begin;
    const startVersion = rows.kind === 'txn' ? rows.startTs : 0n;
    const endVersion = rows.kind === 'txn' ? rows.endTs : 0n;
    const files = (await piece?.finish({ startKey, endKey, startVersion, endVersion })) ?? [];
    this.#checkNotAborted();
    const answer: BrPieceAnswer = { startKey, endKey, files };
    if (onAnswer !== undefined) {
      // Whatever it does with them: it has been told of the files.
      if (piece !== undefined) this.#ours.delete(piece);
      await onAnswer(answer);
    }
    this.#answers.push(answer);
    this.#endedBytes += piece?.countedBytes ?? 0;
    this.#piece = undefined;
    this.#begin = this.#at = endKey;
  }

  /** What the format refuses is the source's mistake here. */
  #believed<R>(read: () => R): R {
    try {
      return read();
    } catch (cause) {
      throw BackupError.is(cause, 'CORRUPT_FILE') ? this.#contract(cause.message, cause) : cause;
    }
  }

  #wrong(problem: string): BackupError {
    return new BackupError('INVALID_OPTION', `${problem} (region ${this.#options.region.id})`);
  }

  #contract(problem: string, cause?: unknown): BackupError {
    const { region, range } = this.#options;
    return new BackupError(
      'ADAPTER_CONTRACT',
      `a scan of region ${region.id}, ${formatBrRange(range)}, must yield rows of the range that it is asked for, each key once and in order: ${problem}`,
      { cause },
    );
  }
}

function plainly<R>(work: () => R): R {
  return work();
}

function checkTimestamps({ startTs, endTs }: BrTxnRows): void {
  const isFine = startTs >= 0n && startTs <= endTs && BigInt.asUintN(64, endTs) === endTs;
  if (isFine) return;
  throw new BackupError(
    'INVALID_OPTION',
    `startTs and endTs must be 64-bit timestamps with startTs <= endTs, got ${startTs} and ${endTs}`,
  );
}

function checkColumnFamily(cf: string | undefined): void {
  if (cf === undefined || isColumnFamilyName(cf)) return;
  throw new BackupError('INVALID_OPTION', `cf must be the name of a column family, got ${JSON.stringify(cf)}`);
}
