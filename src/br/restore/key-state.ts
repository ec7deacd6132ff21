// What has become of one user key: from all its rows in all backups of the chain to one value, or none. Must never give a value that is not the newest, nor pass over a row that says that something is missing.

import { equalBytes, printableBytes } from '../../core/bytes.js';
import { BackupError } from '../../core/errors.js';
import { compareTs, joinTs } from '../../format/br/engine-key.js';
import type { RawRow } from '../../format/br/raw-kv.js';
import type { BrCursor } from './cursor.js';
import type { KeyRows } from './merge.js';

/** Versions of one key over a whole chain. A backup of BR has one. */
const MOST_VERSIONS = 65_536;

/** A put whose value stands in the default column family of the same backup, at the timestamp at which its transaction began. */
interface LongPut {
  readonly link: number;
  readonly startHigh: number;
  readonly startLow: number;
  /** The write file. */
  readonly file: string;
  isFound: boolean;
}

export interface KeyState extends KeyRows {
  /** The value of the key whose rows were added; undefined: it has none, or is not wanted. The next row begins a new key. */
  finish(): Uint8Array | undefined;
  readonly deletes: number;
  readonly superseded: number;
  readonly expiring: number;
}

/** Keys that are restored by this run. Asked once per key, in order. */
export type WantedKeys = (userKey: Uint8Array) => boolean;

/** What to do with a row that cannot be. It may throw, and does in a restore; where it returns, the row is passed over. */
export type OnProblem = (problem: BackupError) => void;

function throwProblem(problem: BackupError): never {
  throw problem;
}

/** What both kinds of rows have in common: which keys are wanted, and which row of a key is the newest. */
abstract class NewestRowState implements KeyState {
  deletes = 0;
  superseded = 0;
  abstract readonly expiring: number;
  protected readonly onProblem: OnProblem;
  /** The key whose rows are being added. */
  protected key: Uint8Array = new Uint8Array(0);
  readonly #wanted: WantedKeys;
  #phase: 'none' | 'wanted' | 'unwanted' = 'none';
  // The newest row:
  #stored: Uint8Array | undefined;
  #tsHigh = 0;
  #tsLow = 0;

  constructor(wanted: WantedKeys, onProblem: OnProblem = throwProblem) {
    this.#wanted = wanted;
    this.onProblem = onProblem;
  }

  abstract finish(): Uint8Array | undefined;

  /** A row of a key that is wanted. */
  protected abstract addRow(cursor: BrCursor): void;

  /** What it is that two rows of one key and one time are not the same. */
  protected abstract contradiction(cursor: BrCursor): BackupError;

  add(cursor: BrCursor): void {
    if (this.#phase === 'none') {
      this.#phase = this.#wanted(cursor.userKey) ? 'wanted' : 'unwanted';
      this.key = cursor.userKey;
    }
    if (this.#phase === 'wanted') this.addRow(cursor);
  }

  /** Whether no row of the key before this one is as new. Asked once per row that competes. */
  protected isNewest(cursor: BrCursor): boolean {
    const { value, tsHigh, tsLow } = cursor;
    if (this.#stored !== undefined) {
      this.superseded++;
      const order = compareTs(tsHigh, tsLow, this.#tsHigh, this.#tsLow);
      if (order === 0 && !equalBytes(value, this.#stored)) this.onProblem(this.contradiction(cursor));
      if (order <= 0) return false;
    }
    this.#stored = value;
    this.#tsHigh = tsHigh;
    this.#tsLow = tsLow;
    return true;
  }

  /** The next row begins a new key. Says whether this one was wanted. */
  protected endKey(): boolean {
    const wasWanted = this.#phase === 'wanted';
    this.#phase = 'none';
    this.#stored = undefined;
    return wasWanted;
  }
}

/** Transactional rows: write records of all links, and the long values. All write records of a key come before its values. */
export class TxnKeyState extends NewestRowState {
  override readonly expiring = 0;
  #versions = 0;
  // Of the newest put or delete:
  #isDelete = false;
  #value: Uint8Array | undefined;
  #long: LongPut | undefined;
  readonly #longPuts: LongPut[] = [];

  protected override addRow(cursor: BrCursor): void {
    if (cursor.rank === 1) this.#addValue(cursor);
    else if (cursor.record.type === 'put' || cursor.record.type === 'delete') this.#addWrite(cursor);
  }

  #addWrite(cursor: BrCursor): void {
    if (++this.#versions > MOST_VERSIONS) throw this.#tooMany(cursor);
    const { record } = cursor;
    const isShort = record.type === 'delete' || record.hasShortValue;
    const long = isShort ? undefined : longPutOf(cursor);
    if (long !== undefined) this.#longPuts.push(long);
    if (!this.isNewest(cursor)) return;
    this.#isDelete = record.type === 'delete' || isFencedOff(cursor);
    this.#value = record.shortValue;
    this.#long = long;
  }

  #addValue(cursor: BrCursor): void {
    let isNeeded = false;
    for (const put of this.#longPuts) {
      if (put.link !== cursor.link || put.startHigh !== cursor.tsHigh || put.startLow !== cursor.tsLow) continue;
      put.isFound = isNeeded = true;
      if (put === this.#long) this.#value = cursor.value;
    }
    if (!isNeeded) this.onProblem(this.#withoutRecord(cursor));
  }

  override finish(): Uint8Array | undefined {
    if (!this.endKey()) return undefined;
    for (const put of this.#longPuts) if (!put.isFound) this.onProblem(this.#withoutValue(put));
    const value = this.#isDelete ? undefined : this.#value;
    if (this.#isDelete) this.deletes++;
    this.#versions = 0;
    this.#value = this.#long = undefined;
    this.#isDelete = false;
    this.#longPuts.length = 0;
    return value;
  }

  #withoutValue({ file, link, startHigh, startLow }: LongPut): BackupError {
    return new BackupError(
      'CORRUPT_FILE',
      `${file} has a write record of "${printableBytes(this.key)}" whose value, begun at ${joinTs(startHigh, startLow)}, is in no default file of chain[${link}]`,
      { file },
    );
  }

  #withoutRecord({ planned, link, tsHigh, tsLow }: BrCursor): BackupError {
    const { name } = planned.file;
    return new BackupError(
      'CORRUPT_FILE',
      `${name} has a value of "${printableBytes(this.key)}", begun at ${joinTs(tsHigh, tsLow)}, whose write record is in no file of chain[${link}]`,
      { file: name },
    );
  }

  protected override contradiction({ planned, tsHigh, tsLow }: BrCursor): BackupError {
    const { name } = planned.file;
    return new BackupError(
      'CORRUPT_FILE',
      `${name} and another file have different records of "${printableBytes(this.key)}" committed at ${joinTs(tsHigh, tsLow)}`,
      { file: name },
    );
  }

  #tooMany({ planned }: BrCursor): BackupError {
    const { name } = planned.file;
    return new BackupError(
      'UNSUPPORTED_FORMAT',
      `"${printableBytes(this.key)}" has more than ${MOST_VERSIONS} versions: this is no backup of BR`,
      { file: name },
    );
  }
}

function longPutOf({ link, record, planned }: BrCursor): LongPut {
  const { startTsHigh, startTsLow } = record;
  return { link, startHigh: startTsHigh, startLow: startTsLow, file: planned.file.name, isFound: false };
}

/** A read of TiKV passes over such a record: the one after it has been collected as garbage (TiKV, txn_types: check_gc_fence_as_latest_version). */
function isFencedOff({ record, planned }: BrCursor): boolean {
  if (record.gcFenceAt < 0) return false;
  const fence = record.uint64At(record.gcFenceAt);
  return fence !== 0n && fence <= planned.link.meta.endVersion;
}

/** Raw rows: one state per key, or, of API v2, states with timestamps. */
export class RawKeyState extends NewestRowState {
  override expiring = 0;
  /** The newest one. */
  #row: RawRow | undefined;

  protected override addRow(cursor: BrCursor): void {
    if (this.isNewest(cursor)) this.#row = cursor.raw;
  }

  override finish(): Uint8Array | undefined {
    const row = this.#row;
    this.endKey();
    this.#row = undefined;
    if (row?.isDelete === true) this.deletes++;
    else if (row?.expiresAt !== undefined) this.expiring++;
    return row?.isDelete === true ? undefined : row?.userValue;
  }

  protected override contradiction({ planned }: BrCursor): BackupError {
    const { name } = planned.file;
    return new BackupError(
      'CORRUPT_FILE',
      `${name} and another file have different values of "${printableBytes(this.key)}", and nothing says which is the newer one`,
      { file: name },
    );
  }
}
