// A run of log messages in the very framing of the log file. Encoded once, by whoever builds the batch; from then on the pipeline moves spans of bytes.
// record = version i64 BE | subsequence u32 BE | length u32 BE | mutation

import { forgetBuilt } from './built-batches.js';
import { EMPTY_BYTES } from './bytes.js';
import type { VersionedMessage } from './mutation.js';
import { decodeMutation } from './mutation.js';
import type { Version } from './version.js';

/** Bytes of a record before its mutation. */
export const RECORD_HEADER_BYTES = 16;

/** The parts of a batch, as MessageBatchBuilder lays them out. Arrays may be longer than their counts say (they are pooled). */
export interface MessageBatchParts {
  /** Framed records, contiguous from offset 0. */
  readonly bytes: Uint8Array;
  readonly byteLength: number;
  /** recordStarts[i] is the offset of record i; recordStarts[recordCount] === byteLength. */
  readonly recordStarts: Uint32Array;
  readonly recordCount: number;
  /** The versions in the batch, ascending, each once. */
  readonly versions: BigInt64Array;
  /** versionRecords[i] is the index of the first record of versions[i]; versionRecords[versionCount] === recordCount. */
  readonly versionRecords: Uint32Array;
  readonly versionCount: number;
  /** The key interval that the batch touches, half-open: a set ends at key + 0x00 (rule P19). Both undefined when empty. */
  readonly minKey: Uint8Array | undefined;
  readonly endKey: Uint8Array | undefined;
  /** Length of the longest record, header included. */
  readonly maxRecordBytes: number;
  /** Called once, when the pipeline has dropped the whole batch and holds no byte of it any more: the buffers may be reused. */
  readonly onRelease?: (() => void) | undefined;
}

/** Immutable until released. */
export class MessageBatch {
  static readonly empty: MessageBatch = new MessageBatch({
    bytes: EMPTY_BYTES,
    byteLength: 0,
    recordStarts: new Uint32Array(1),
    recordCount: 0,
    versions: new BigInt64Array(0),
    versionRecords: new Uint32Array(1),
    versionCount: 0,
    minKey: undefined,
    endKey: undefined,
    maxRecordBytes: 0,
  });

  readonly bytes: Uint8Array;
  readonly byteLength: number;
  readonly recordStarts: Uint32Array;
  readonly recordCount: number;
  readonly versions: BigInt64Array;
  readonly versionRecords: Uint32Array;
  readonly versionCount: number;
  readonly minKey: Uint8Array | undefined;
  readonly endKey: Uint8Array | undefined;
  readonly maxRecordBytes: number;
  #onRelease: (() => void) | undefined;

  constructor(parts: MessageBatchParts) {
    this.bytes = parts.bytes;
    this.byteLength = parts.byteLength;
    this.recordStarts = parts.recordStarts;
    this.recordCount = parts.recordCount;
    this.versions = parts.versions;
    this.versionRecords = parts.versionRecords;
    this.versionCount = parts.versionCount;
    this.minKey = parts.minKey;
    this.endKey = parts.endKey;
    this.maxRecordBytes = parts.maxRecordBytes;
    this.#onRelease = parts.onRelease;
  }

  get isEmpty(): boolean {
    return this.recordCount === 0;
  }

  /** Smallest version in the batch; undefined when empty. */
  get firstVersion(): Version | undefined {
    return this.versionCount === 0 ? undefined : this.versions[0];
  }

  /** Largest version in the batch; undefined when empty. */
  get lastVersion(): Version | undefined {
    return this.versionCount === 0 ? undefined : this.versions[this.versionCount - 1];
  }

  /** Index into `versions` of the first one that is > `version`; versionCount when there is none. Binary search. */
  versionIndexAfter(version: Version): number {
    let low = 0;
    let high = this.versionCount;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.versions[middle] as bigint) <= version) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** Number of records with a version <= `version`. */
  recordsThrough(version: Version): number {
    return this.versionRecords[this.versionIndexAfter(version)] as number;
  }

  /** The messages one by one: for tests, tools and hosts that want them; not used in the pipeline. */
  *[Symbol.iterator](): IterableIterator<VersionedMessage> {
    const view = new DataView(this.bytes.buffer, this.bytes.byteOffset, this.bytes.byteLength);
    for (let i = 0; i < this.recordCount; i++) {
      const start = this.recordStarts[i] as number;
      const end = this.recordStarts[i + 1] as number;
      yield {
        version: view.getBigInt64(start),
        subsequence: view.getUint32(start + 8),
        mutation: decodeMutation(this.bytes.subarray(start + RECORD_HEADER_BYTES, end)),
      };
    }
  }

  /** Called by the pipeline, once, when it is done with the batch. */
  release(): void {
    forgetBuilt(this);
    const onRelease = this.#onRelease;
    this.#onRelease = undefined;
    onRelease?.();
  }
}

/** The largest i in [first, end] with recordStarts[i] <= limit; `first` if not even one record fits. */
export function lastRecordWithin(recordStarts: Uint32Array, first: number, end: number, limit: number): number {
  if ((recordStarts[end] as number) <= limit) return end;
  let low = first;
  let high = end - 1;
  while (low < high) {
    const middle = (low + high + 1) >>> 1;
    if ((recordStarts[middle] as number) <= limit) low = middle;
    else high = middle - 1;
  }
  return low;
}
