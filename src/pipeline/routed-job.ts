// What one job gets of a cut: runs of records, in order, in the memory of the batches that they came in. Only the parts of clipped clears have bytes of their own.

import type { Version } from '../core/version.js';

/** Framed records in memory: recordStarts[i] is the offset of record i, recordStarts[i + 1] its end. */
export interface RecordSource {
  readonly bytes: Uint8Array;
  readonly recordStarts: Uint32Array;
}

/** Records [firstRecord, endRecord) of a source. */
export interface RecordRun extends RecordSource {
  readonly firstRecord: number;
  readonly endRecord: number;
}

/** Runs as numbers, since a job that wants every other message has very many of them: index of the source, first record, end record. */
export const RUN_WIDTH = 3;

export interface RoutedJobParts {
  readonly uid: string;
  readonly sources: readonly RecordSource[];
  /** RUN_WIDTH numbers per run; may be longer than `runCount` says. */
  readonly runs: Uint32Array;
  readonly runCount: number;
  /** Encoded bytes of the records, without the framing of blocks. */
  readonly bytes: number;
  readonly messages: number;
  /** Length of the longest record, header included; exact, since the block size of the file hangs on it (rule P18). 0 without records. */
  readonly maxRecordBytes: number;
}

/** A job's records of a cut, in (version, subsequence) order. Reads the batches of the cut: valid until the queue drops them. */
export class RoutedJob implements RoutedJobParts {
  readonly uid: string;
  readonly sources: readonly RecordSource[];
  readonly runs: Uint32Array;
  readonly runCount: number;
  readonly bytes: number;
  readonly messages: number;
  readonly maxRecordBytes: number;

  constructor(parts: RoutedJobParts) {
    this.uid = parts.uid;
    this.sources = parts.sources;
    this.runs = parts.runs;
    this.runCount = parts.runCount;
    this.bytes = parts.bytes;
    this.messages = parts.messages;
    this.maxRecordBytes = parts.maxRecordBytes;
  }

  /** Run 0 to runCount - 1. Never empty. */
  run(index: number): RecordRun {
    const at = index * RUN_WIDTH;
    const { bytes, recordStarts } = this.sources[this.runs[at] as number] as RecordSource;
    return {
      bytes,
      recordStarts,
      firstRecord: this.runs[at + 1] as number,
      endRecord: this.runs[at + 2] as number,
    };
  }

  /** The records with begin <= version < end: what goes into one file where a round makes two (rule P20). */
  slice(begin: Version, end: Version): RoutedJob {
    const from = this.#find(begin);
    const to = this.#find(end);
    if (from.run === 0 && from.record === 0 && to.run === this.runCount) return this;
    const isCutWithin = to.record > 0;
    const runCount = Math.max(0, to.run - from.run + (isCutWithin ? 1 : 0));
    const runs = this.runs.slice(from.run * RUN_WIDTH, (from.run + runCount) * RUN_WIDTH);
    if (runCount > 0 && isCutWithin) {
      const last = (runCount - 1) * RUN_WIDTH;
      runs[last + 2] = (this.runs[to.run * RUN_WIDTH + 1] as number) + to.record;
    }
    if (runCount > 0) runs[1] = (runs[1] as number) + from.record;
    return new RoutedJob({
      uid: this.uid,
      sources: this.sources,
      runs,
      runCount,
      ...measureRuns(this.sources, runs, 0, runCount),
    });
  }

  /** Place of the first record with a version >= `version`: its run, and how many of that run's records come before it. */
  #find(version: Version): { run: number; record: number } {
    let low = 0;
    let high = this.runCount;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const { bytes, recordStarts, endRecord } = this.run(middle);
      if (versionAt(bytes, recordStarts[endRecord - 1] as number) < version) low = middle + 1;
      else high = middle;
    }
    if (low === this.runCount) return { run: low, record: 0 };
    const { bytes, recordStarts, firstRecord, endRecord } = this.run(low);
    let first = firstRecord;
    let end = endRecord;
    while (first < end) {
      const middle = (first + end) >>> 1;
      if (versionAt(bytes, recordStarts[middle] as number) < version) first = middle + 1;
      else end = middle;
    }
    return { run: low, record: first - firstRecord };
  }
}

/** Adds up runs [fromRun, toRun). */
export function measureRuns(
  sources: readonly RecordSource[],
  runs: Uint32Array,
  fromRun: number,
  toRun: number,
): { bytes: number; messages: number; maxRecordBytes: number } {
  let bytes = 0;
  let messages = 0;
  let maxRecordBytes = 0;
  for (let at = fromRun * RUN_WIDTH; at < toRun * RUN_WIDTH; at += RUN_WIDTH) {
    const { recordStarts } = sources[runs[at] as number] as RecordSource;
    const first = runs[at + 1] as number;
    const end = runs[at + 2] as number;
    messages += end - first;
    let start = recordStarts[first] as number;
    bytes -= start;
    for (let record = first + 1; record <= end; record++) {
      const next = recordStarts[record] as number;
      if (next - start > maxRecordBytes) maxRecordBytes = next - start;
      start = next;
    }
    bytes += start;
  }
  return { bytes, messages, maxRecordBytes };
}

function versionAt(bytes: Uint8Array, at: number): Version {
  return new DataView(bytes.buffer, bytes.byteOffset + at, 8).getBigInt64(0);
}
