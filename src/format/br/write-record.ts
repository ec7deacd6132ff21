// Values of the write CF: what became of a key at a commit timestamp (TiKV, txn_types: Write).
// Must never take for a value what is not one: whatever the bytes, it is CORRUPT_FILE or what TiKV would read.

import { setBytes } from '../../core/bytes.js';
import { BackupError } from '../../core/errors.js';
import { joinTs } from './engine-key.js';

/** Values of up to so many bytes stand in the write record itself (TiKV: SHORT_VALUE_MAX_LEN). */
export const MAX_SHORT_VALUE = 255;

export type WriteType = 'put' | 'delete' | 'lock' | 'rollback';

const TYPE_OF_BYTE: ReadonlyMap<number, WriteType> = new Map([
  [0x50, 'put'],
  [0x44, 'delete'],
  [0x4c, 'lock'],
  [0x52, 'rollback'],
]);
const BYTE_OF_TYPE: Readonly<Record<WriteType, number>> = { put: 0x50, delete: 0x44, lock: 0x4c, rollback: 0x52 };

const SHORT_VALUE = 0x76; // v
const OVERLAPPED_ROLLBACK = 0x52; // R
const GC_FENCE = 0x46; // F
const LAST_CHANGE = 0x6c; // l
const TXN_SOURCE = 0x53; // S

const MAX_VARINT = 10;

export interface WriteRecord {
  readonly type: WriteType;
  readonly startTs: bigint;
  /** Of a put: its value, when it is short; undefined: it stands in the default CF, at the start timestamp. */
  readonly shortValue?: Uint8Array | undefined;
  /** A rollback of the transaction that began at this very timestamp is recorded here, too. */
  readonly overlappedRollback?: boolean | undefined;
  /** Set by such a rollback: the next version's commit timestamp, 0 when there was none. */
  readonly gcFence?: bigint | undefined;
  /** The put or delete before a run of locks and rollbacks: its commit timestamp (0: there is none) and about how many versions lie between. */
  readonly lastChange?: { readonly ts: bigint; readonly versions: bigint } | undefined;
  /** Who wrote the transaction; 0: a user. */
  readonly txnSource?: bigint | undefined;
}

/** Reads one record after the other without an object for each. What it has read is valid until the next `read`. */
export class WriteRecordReader {
  type: WriteType = 'put';
  /** Halves of the start timestamp, unsigned. */
  startTsHigh = 0;
  startTsLow = 0;
  hasShortValue = false;
  /** Where the short value lies. */
  shortValueStart = 0;
  shortValueEnd = 0;
  overlappedRollback = false;
  /** Offset of its 8 bytes; -1: there is none. */
  gcFenceAt = -1;
  /** Offset of the 8 bytes of the timestamp, behind which a varint stands; -1: there is none. */
  lastChangeAt = -1;
  /** Offset of a varint; -1: there is none. */
  txnSourceAt = -1;
  #bytes: Uint8Array = new Uint8Array(0);
  #at = 0;
  #varintHigh = 0;
  #varintLow = 0;
  #file: string | undefined;

  get startTs(): bigint {
    return joinTs(this.startTsHigh, this.startTsLow);
  }

  /** A view of the record's bytes; undefined when it has none. */
  get shortValue(): Uint8Array | undefined {
    return this.hasShortValue ? this.#bytes.subarray(this.shortValueStart, this.shortValueEnd) : undefined;
  }

  /** CORRUPT_FILE, with `file`, for what is no write record. */
  read(bytes: Uint8Array, file?: string): this {
    this.#bytes = bytes;
    this.#file = file;
    const type = TYPE_OF_BYTE.get(bytes[0] ?? -1);
    if (type === undefined) throw this.#corrupt('has no known type', 0);
    this.type = type;
    this.#at = 1;
    this.#readVarint();
    this.startTsHigh = this.#varintHigh;
    this.startTsLow = this.#varintLow;
    this.hasShortValue = this.overlappedRollback = false;
    this.gcFenceAt = this.lastChangeAt = this.txnSourceAt = -1;
    while (this.#at < bytes.length && this.#readPart());
    return this;
  }

  /** The bytes of a whole number, 8 of them, most significant first. */
  uint64At(at: number): bigint {
    const view = new DataView(this.#bytes.buffer, this.#bytes.byteOffset, this.#bytes.byteLength);
    return view.getBigUint64(at);
  }

  varintAt(at: number): bigint {
    this.#at = at;
    this.#readVarint();
    return joinTs(this.#varintHigh, this.#varintLow);
  }

  /** False for a part that this release does not know: parts stand in a fixed order, so nothing behind it is of interest (as in TiKV). */
  #readPart(): boolean {
    const bytes = this.#bytes;
    switch (bytes[this.#at++]) {
      case SHORT_VALUE: {
        const length = bytes[this.#at++] ?? MAX_SHORT_VALUE + 1;
        this.hasShortValue = true;
        this.shortValueStart = this.#at;
        this.shortValueEnd = this.#skip(length, 'ends inside its short value');
        return true;
      }
      case OVERLAPPED_ROLLBACK:
        this.overlappedRollback = true;
        return true;
      case GC_FENCE:
        this.gcFenceAt = this.#at;
        this.#skip(8, 'ends inside its GC fence');
        return true;
      case LAST_CHANGE:
        this.lastChangeAt = this.#at;
        this.#skip(8, 'ends inside its last change');
        this.#readVarint();
        return true;
      case TXN_SOURCE:
        this.txnSourceAt = this.#at;
        this.#readVarint();
        return true;
      default:
        return false;
    }
  }

  #skip(length: number, what: string): number {
    if (this.#at + length > this.#bytes.length) throw this.#corrupt(what, this.#bytes.length);
    this.#at += length;
    return this.#at;
  }

  #readVarint(): void {
    const bytes = this.#bytes;
    const from = this.#at;
    let high = 0;
    let low = 0;
    for (let i = 0; i < MAX_VARINT; i++) {
      const byte = bytes[from + i];
      if (byte === undefined) throw this.#corrupt('ends inside a number', from + i);
      const part = byte & 0x7f;
      if (i < 4) low |= part << (7 * i);
      else if (i === 4) {
        low |= part << 28;
        high = part >>> 4;
      } else high |= part << (7 * i - 32);
      if (byte < 0x80) {
        if (i === MAX_VARINT - 1 && byte > 1) break;
        this.#varintHigh = high >>> 0;
        this.#varintLow = low >>> 0;
        this.#at = from + i + 1;
        return;
      }
    }
    throw this.#corrupt('has a number of more than 64 bits', from);
  }

  #corrupt(what: string, at: number): BackupError {
    return new BackupError('CORRUPT_FILE', `a write record of ${this.#bytes.length} bytes ${what}, at its byte ${at}`, {
      file: this.#file,
    });
  }
}

/** CORRUPT_FILE, with `file`, for what is no write record. The short value is a view of `bytes`. */
export function parseWriteRecord(bytes: Uint8Array, file?: string): WriteRecord {
  const reader = new WriteRecordReader().read(bytes, file);
  const { type, startTs, shortValue, overlappedRollback, gcFenceAt, lastChangeAt, txnSourceAt } = reader;
  return {
    type,
    startTs,
    shortValue,
    overlappedRollback,
    gcFence: gcFenceAt < 0 ? undefined : reader.uint64At(gcFenceAt),
    lastChange:
      lastChangeAt < 0 ? undefined : { ts: reader.uint64At(lastChangeAt), versions: reader.varintAt(lastChangeAt + 8) },
    txnSource: txnSourceAt < 0 ? undefined : reader.varintAt(txnSourceAt),
  };
}

/** Bytes that suffice for a record of a start timestamp and a short value of so many bytes. */
export function plainWriteRecordLength(shortValueLength: number): number {
  return 1 + MAX_VARINT + 2 + shortValueLength;
}

/**
 * The record of a commit, as a backup holds it, to `to` from 0 on: type, start timestamp (halves) and the short value of a put, if it is one. Returns the length. The caller has made room (plainWriteRecordLength).
 */
export function writePlainWriteRecord(
  type: 'put' | 'delete',
  startTsHigh: number,
  startTsLow: number,
  shortValue: Uint8Array | undefined,
  to: Uint8Array,
): number {
  to[0] = BYTE_OF_TYPE[type];
  let at = writeVarint(to, 1, startTsHigh >>> 0, startTsLow >>> 0);
  if (shortValue === undefined) return at;
  to[at++] = SHORT_VALUE;
  to[at++] = shortValue.length;
  setBytes.call(to, shortValue, at);
  return at + shortValue.length;
}

/** INVALID_OPTION for a short value that is too long. */
export function encodeWriteRecord(record: WriteRecord): Uint8Array {
  const { type, startTs, shortValue, overlappedRollback, gcFence, lastChange, txnSource } = record;
  if (shortValue !== undefined && shortValue.length > MAX_SHORT_VALUE) {
    throw new BackupError(
      'INVALID_OPTION',
      `shortValue must have at most ${MAX_SHORT_VALUE} bytes, got ${shortValue.length}`,
    );
  }
  const parts: number[] = [BYTE_OF_TYPE[type], ...varint(startTs)];
  if (shortValue !== undefined) parts.push(SHORT_VALUE, shortValue.length, ...shortValue);
  if (overlappedRollback === true) parts.push(OVERLAPPED_ROLLBACK);
  if (gcFence !== undefined) parts.push(GC_FENCE, ...uint64(gcFence));
  if (lastChange !== undefined) parts.push(LAST_CHANGE, ...uint64(lastChange.ts), ...varint(lastChange.versions));
  if (txnSource !== undefined && txnSource !== 0n) parts.push(TXN_SOURCE, ...varint(txnSource));
  return Uint8Array.from(parts);
}

function writeVarint(to: Uint8Array, start: number, unsignedHigh: number, unsignedLow: number): number {
  let at = start;
  let high = unsignedHigh;
  let low = unsignedLow;
  while (high !== 0 || low > 0x7f) {
    to[at++] = (low & 0x7f) | 0x80;
    low = ((low >>> 7) | (high << 25)) >>> 0;
    high >>>= 7;
  }
  to[at++] = low;
  return at;
}

function varint(value: bigint): Uint8Array {
  const bytes = new Uint8Array(MAX_VARINT);
  const unsigned = BigInt.asUintN(64, value);
  return bytes.subarray(0, writeVarint(bytes, 0, Number(unsigned >> 32n), Number(unsigned & 0xffff_ffffn)));
}

function uint64(value: bigint): Uint8Array {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, value);
  return bytes;
}
