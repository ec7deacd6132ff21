// A stretch of the merged log: records of all tags in (version, subsequence) order, as columns of numbers over the runs of bytes that they lie in.

import { RECORD_HEADER_BYTES } from '../core/message-batch.js';
import type { Mutation } from '../core/mutation.js';
import { MUTATION_OVERHEAD_BYTES, MutationType, decodeMutation, readUint32LE } from '../core/mutation.js';
import type { Version } from '../core/version.js';

/** Where a run of bytes comes from. */
export interface RunPlace {
  readonly file: string;
  /** Offset in the file of the run's first byte. */
  readonly offset: number;
}

/** Valid until the next one is asked for: the columns are used again. The runs' bytes stay as they are for as long as someone holds them. */
export class MergedBatch {
  count = 0;
  /** Bytes of the batch's records. */
  byteLength = 0;
  readonly capacity: number;
  /** Upper and lower half of the version of record i. */
  readonly versionHigh: Uint32Array;
  readonly versionLow: Uint32Array;
  readonly subsequence: Uint32Array;
  /** The mutation of record i is runs[run[i]], bytes [start[i], end[i]). */
  readonly run: Uint32Array;
  readonly start: Uint32Array;
  readonly end: Uint32Array;
  readonly runs: Uint8Array[] = [];
  readonly places: RunPlace[] = [];

  constructor(capacity: number) {
    this.capacity = capacity;
    this.versionHigh = new Uint32Array(capacity);
    this.versionLow = new Uint32Array(capacity);
    this.subsequence = new Uint32Array(capacity);
    this.run = new Uint32Array(capacity);
    this.start = new Uint32Array(capacity);
    this.end = new Uint32Array(capacity);
  }

  /** Starts over. */
  clear(): void {
    this.count = 0;
    this.byteLength = 0;
    this.runs.length = 0;
    this.places.length = 0;
  }

  version(i: number): Version {
    return (BigInt(this.versionHigh[i] as number) << 32n) | BigInt(this.versionLow[i] as number);
  }

  /** Length of record i in its file. */
  recordBytes(i: number): number {
    return (this.end[i] as number) - (this.start[i] as number) + RECORD_HEADER_BYTES;
  }

  /** Its params share the run's memory. */
  mutation(i: number): Mutation {
    return decodeMutation((this.runs[this.run[i] as number] as Uint8Array).subarray(this.start[i], this.end[i]));
  }

  /** Whether record i is a set as most are, without a checksum: `setKey` and `setValue` then say it all. */
  isPlainSet(i: number): boolean {
    return (this.runs[this.run[i] as number] as Uint8Array)[this.start[i] as number] === MutationType.SetValue;
  }

  setKey(i: number): Uint8Array {
    const bytes = this.runs[this.run[i] as number] as Uint8Array;
    const start = this.start[i] as number;
    return bytes.subarray(start + 5, start + 5 + readUint32LE(bytes, start + 1));
  }

  setValue(i: number): Uint8Array {
    const bytes = this.runs[this.run[i] as number] as Uint8Array;
    const start = this.start[i] as number;
    return bytes.subarray(start + MUTATION_OVERHEAD_BYTES + readUint32LE(bytes, start + 1), this.end[i]);
  }

  /** File and offset of record i, for error messages. */
  place(i: number): RunPlace {
    const { file, offset } = this.places[this.run[i] as number] as RunPlace;
    return { file, offset: offset + (this.start[i] as number) - RECORD_HEADER_BYTES };
  }
}
