// The rows of one backup file, one after the other: user key, timestamp, value. Counts and sums them as TiKV does, and compares that with the meta data where the file ends: whoever has come to the end of a cursor
// without an error has had all rows that were backed up. Runs once per row of a restore.

import { compareBytes, printableBytes } from '../../core/bytes.js';
import { Crc64Xor } from '../../core/crc64.js';
import { BackupError } from '../../core/errors.js';
import { crc64xorOf } from '../../format/br/checksum.js';
import { DATA_PREFIX, checkTxnDataKey, tsHighOf, tsLowOf, userKeyOf } from '../../format/br/engine-key.js';
import type { BrFile } from '../../format/br/messages.js';
import type { RawApiVersion, RawRow } from '../../format/br/raw-kv.js';
import { decodeRawRow } from '../../format/br/raw-kv.js';
import { WriteRecordReader } from '../../format/br/write-record.js';
import { endsBefore } from '../backup/br-range.js';
import type { PlannedFile } from './plan.js';
import type { SstRowBatch, SstRows } from './sst-rows.js';

/** Of this module alone: no key of a row is this very array. */
const NOTHING = new Uint8Array(0);
const NO_ROWS: SstRowBatch = { count: 0, key: () => NOTHING, value: () => NOTHING };

/** What stands for no bound in halves of a timestamp. */
const MAX_HALF = 0xffff_ffff;

export class BrCursor {
  readonly planned: PlannedFile;
  /** The place of the link in the chain. */
  readonly link: number;
  /** Lower is merged first where user keys are equal: write records say which long values count. */
  readonly rank: 0 | 1;

  // The row that it stands at, after `next` was true:
  userKey: Uint8Array = NOTHING;
  /** Commit timestamp of a write record, start timestamp of a long value; 0 where keys have none. Unsigned. */
  tsHigh = 0;
  tsLow = 0;
  /** As it is in the file. */
  value: Uint8Array = NOTHING;
  /** Of a row of a write file: the record. */
  readonly record = new WriteRecordReader();
  /** Of a row of a raw file. */
  raw: RawRow | undefined;

  readonly #apiVersion: RawApiVersion;
  readonly #rows: SstRows;
  readonly #crc = new Crc64Xor();
  readonly #afterHigh: number;
  readonly #afterLow: number;
  readonly #endHigh: number;
  readonly #endLow: number;
  #batch: SstRowBatch = NO_ROWS;
  #at = 0;
  #ahead: Promise<Loaded> | undefined;
  #kvs = 0;
  #bytes = 0;

  constructor(planned: PlannedFile, rows: SstRows, apiVersion: RawApiVersion) {
    const { file, link, role } = planned;
    this.planned = planned;
    this.link = link.index;
    this.rank = role === 'default' ? 1 : 0;
    this.#rows = rows;
    this.#apiVersion = apiVersion;
    const isIncremental = file.startVersion < file.endVersion;
    [this.#afterHigh, this.#afterLow] = isIncremental ? halves(file.startVersion) : [0, 0];
    [this.#endHigh, this.#endLow] = role === 'write' ? halves(file.endVersion) : [MAX_HALF, MAX_HALF];
  }

  /** Goes to the next row of the loaded ones; false: `load` comes first. CORRUPT_FILE for one that the file cannot have. */
  next(): boolean {
    if (this.#at === this.#batch.count) return false;
    const key = this.#batch.key(this.#at);
    this.value = this.#batch.value(this.#at++);
    const { role } = this.planned;
    if (role === 'raw') this.#takeRaw(key);
    else this.#takeTxn(key, role === 'write');
    return true;
  }

  /** True: there are rows again. False: that was the file, and it was whole. CHECKSUM_MISMATCH where its rows are not those that were backed up. */
  async load(): Promise<boolean> {
    this.#ahead ??= this.#startLoad();
    const loaded = await this.#ahead;
    this.#ahead = undefined;
    if ('error' in loaded) throw loaded.error;
    this.#at = 0;
    this.#batch = loaded.batch ?? NO_ROWS;
    if (loaded.batch === undefined) {
      this.#checkTotals();
      return false;
    }
    this.#ahead = this.#startLoad();
    return this.#batch.count > 0 || this.load();
  }

  /** Nothing of it is under way afterwards. */
  async close(): Promise<void> {
    await this.#ahead;
    this.#batch = NO_ROWS;
    await this.#rows[Symbol.asyncDispose]();
  }

  /** Never rejects: it may fail long before anyone waits for it. */
  #startLoad(): Promise<Loaded> {
    return this.#rows.next().then(
      (batch): Loaded => ({ batch }),
      (error: unknown): Loaded => ({ error }),
    );
  }

  #takeTxn(key: Uint8Array, isWrite: boolean): void {
    const { file } = this.planned;
    checkTxnDataKey(key, file.name);
    const before = this.userKey;
    this.userKey = userKeyOf(key);
    this.tsHigh = tsHighOf(key);
    this.tsLow = tsLowOf(key);
    this.#checkPlace(before);
    if (isWrite) this.#takeWrite();
    else this.#count(this.value);
  }

  #takeWrite(): void {
    const { record } = this;
    record.read(this.value, this.planned.file.name);
    const isChange = record.type === 'put' || record.type === 'delete';
    if (isChange && !this.#isInTime()) {
      const { startVersion, endVersion } = this.planned.file;
      throw this.#corrupt(`was committed outside of the file's timestamps, (${startVersion}, ${endVersion}]`);
    }
    // A put without its value is counted where the value is: in the default file.
    const { shortValue } = record;
    if (shortValue !== undefined || record.type !== 'put') this.#count(shortValue ?? NOTHING);
  }

  #isInTime(): boolean {
    const { tsHigh, tsLow } = this;
    const isAfter = tsHigh > this.#afterHigh || (tsHigh === this.#afterHigh && tsLow > this.#afterLow);
    return isAfter && (tsHigh < this.#endHigh || (tsHigh === this.#endHigh && tsLow <= this.#endLow));
  }

  #takeRaw(key: Uint8Array): void {
    const { file } = this.planned;
    if (key[0] !== DATA_PREFIX)
      throw new BackupError('CORRUPT_FILE', `a key of ${file.name} does not begin with z`, { file: file.name });
    const before = this.userKey;
    const raw = decodeRawRow(this.#apiVersion, key.subarray(1), this.value, file.name);
    this.raw = raw;
    this.userKey = raw.userKey;
    if (this.#apiVersion === 'v2') {
      this.tsHigh = tsHighOf(key);
      this.tsLow = tsLowOf(key);
    }
    this.#checkPlace(before);
    this.#count(raw.userValue);
  }

  /** The merge relies on both. `before`: the key of the row before, or none at all. */
  #checkPlace(before: Uint8Array): void {
    const { startKey, endKey } = this.planned.file;
    const { userKey } = this;
    if (before === NOTHING && compareBytes(userKey, startKey) < 0) throw this.#corrupt("lies before the file's range");
    if (compareBytes(before, userKey) > 0) throw this.#corrupt('is out of order');
    if (endsBefore(endKey, userKey)) throw this.#corrupt("lies behind the file's range");
  }

  #count(value: Uint8Array): void {
    this.#kvs++;
    this.#bytes += this.userKey.length + value.length;
    this.#crc.add(this.userKey, value);
  }

  #checkTotals(): void {
    const problem = totalsProblem(this.planned.file, {
      kvs: BigInt(this.#kvs),
      bytes: BigInt(this.#bytes),
      crc64xor: crc64xorOf(this.#crc),
    });
    if (problem === undefined) return;
    const { file, link } = this.planned;
    throw new BackupError('CHECKSUM_MISMATCH', `${file.name} ${problem}`, {
      file: file.name,
      container: link.container.url,
    });
  }

  #corrupt(what: string): BackupError {
    const { file, link } = this.planned;
    return new BackupError('CORRUPT_FILE', `the row "${printableBytes(this.userKey)}" of ${file.name} ${what}`, {
      file: file.name,
      container: link.container.url,
    });
  }
}

type Loaded = { readonly batch: SstRowBatch | undefined } | { readonly error: unknown };

function halves(ts: bigint): [number, number] {
  return [Number(ts >> 32n), Number(ts & 0xffff_ffffn)];
}

export interface RowTotals {
  readonly kvs: bigint;
  readonly bytes: bigint;
  readonly crc64xor: bigint;
}

/** Whether the meta data has a checksum of the file's rows. Old releases of TiKV made none for raw rows, and whoever took a backup could do without. */
export function hasRowChecksum({ crc64xor, totalKvs }: BrFile): boolean {
  return crc64xor !== 0n || totalKvs === 0n;
}

/** What of the meta data's totals the file's rows do not have; undefined: all is right. What was not recorded is 0. */
export function totalsProblem(file: BrFile, { kvs, bytes, crc64xor }: RowTotals): string | undefined {
  if (kvs !== file.totalKvs) return `counts ${kvs} rows, and the backup's meta data says ${file.totalKvs}`;
  if (file.totalBytes !== 0n && bytes !== file.totalBytes)
    return `has rows of ${bytes} bytes, and the backup's meta data says ${file.totalBytes}`;
  if (!hasRowChecksum(file) || crc64xor === file.crc64xor) return undefined;
  return "has rows with another crc64xor than the backup's meta data says";
}
