// The files of one piece of a range: one for raw KV; for transactional rows those of the default and of the write column family, each made when its first row comes.

import { EMPTY_BYTES, setBytes } from '../../core/bytes.js';
import { DATA_PREFIX, txnDataKeyLength, writeTxnDataKey } from '../../format/br/engine-key.js';
import type { BrFile } from '../../format/br/messages.js';
import { MAX_SHORT_VALUE, plainWriteRecordLength, writePlainWriteRecord } from '../../format/br/write-record.js';
import type { BrPieceName } from './br-file-names.js';
import type { BrFileFacts } from './br-file-writer.js';
import { BrFileWriter } from './br-file-writer.js';
import type { TxnEntries } from './txn-entries.js';

export interface BrPieceOptions {
  readonly facts: BrFileFacts;
  readonly name: BrPieceName;
  readonly signal: AbortSignal;
}

/** What the files of a piece say of themselves. */
export type BrPieceBounds = Pick<BrFile, 'startKey' | 'endKey' | 'startVersion' | 'endVersion'>;

/** Where keys are put together, unless they are longer. The writers copy what they are given. */
const keyScratch = new Uint8Array(16 << 10);
const recordScratch = new Uint8Array(plainWriteRecordLength(MAX_SHORT_VALUE));

export class BrPiece {
  readonly #options: BrPieceOptions;
  /** Long values of transactional rows, or the rows of raw KV. Stored first, as by TiKV. */
  #default: BrFileWriter | undefined;
  #write: BrFileWriter | undefined;

  constructor(options: BrPieceOptions) {
    this.#options = options;
  }

  /** The user's keys and values, as TiKV counts them towards a piece's largest size. */
  get countedBytes(): number {
    return (this.#default?.countedBytes ?? 0) + (this.#write?.countedBytes ?? 0);
  }

  /** What the next `flush` begins to store. */
  get pendingBytes(): number {
    return (this.#default?.pendingBytes ?? 0) + (this.#write?.pendingBytes ?? 0);
  }

  /** One row: its write record at the commit ts, and a long value in the default column family, at the start ts. It counts once: where its value is. */
  addTxn(entries: TxnEntries, row: number): void {
    const userKey = entries.keys[row] as Uint8Array;
    const value = entries.values[row];
    const startHigh = entries.startHigh(row);
    const startLow = entries.startLow(row);
    const isLong = value !== undefined && value.length > MAX_SHORT_VALUE;
    const write = (this.#write ??= this.#open('write'));
    if (isLong) {
      const file = (this.#default ??= this.#open('default'));
      file.put(txnKey(userKey, startHigh, startLow), value);
      file.count(userKey, value);
    } else write.count(userKey, value ?? EMPTY_BYTES);
    const length = writePlainWriteRecord(
      value === undefined ? 'delete' : 'put',
      startHigh,
      startLow,
      isLong ? undefined : value,
      recordScratch,
    );
    write.put(txnKey(userKey, entries.commitHigh(row), entries.commitLow(row)), recordScratch.subarray(0, length));
  }

  /** A row as the cluster stores it, under `z`. What counts is the user's part of it. */
  addRaw(cf: string, engineKey: Uint8Array, value: Uint8Array, userKey: Uint8Array, userValue: Uint8Array): void {
    const file = (this.#default ??= this.#open(cf));
    const key = keyRoom(1 + engineKey.length);
    key[0] = DATA_PREFIX;
    setBytes.call(key, engineKey, 1);
    file.put(key.subarray(0, 1 + engineKey.length), value);
    file.count(userKey, userValue);
  }

  async flush(): Promise<void> {
    await this.#default?.flush();
    await this.#write?.flush();
  }

  /** Stores the files, each after the other; none when there were no rows. */
  async finish(bounds: BrPieceBounds): Promise<BrFile[]> {
    const files: BrFile[] = [];
    for (const file of [this.#default, this.#write]) {
      if (file !== undefined) files.push({ ...(await file.finish()), ...bounds });
    }
    return files;
  }

  /** Nothing is left of it: also of files that are finished. */
  async abort(): Promise<void> {
    await Promise.allSettled([this.#default?.abort(), this.#write?.abort()]);
  }

  #open(cf: string): BrFileWriter {
    const { facts, name, signal } = this.#options;
    return new BrFileWriter({ ...facts, name: name.of(cf), cf, isUniqueName: name.isUnique, signal });
  }
}

function txnKey(userKey: Uint8Array, tsHigh: number, tsLow: number): Uint8Array {
  const room = keyRoom(txnDataKeyLength(userKey.length));
  return room.subarray(0, writeTxnDataKey(userKey, tsHigh, tsLow, room));
}

function keyRoom(length: number): Uint8Array {
  return length <= keyScratch.length ? keyScratch : new Uint8Array(length);
}
