// Which job gets which messages of a cut. A job's records depend on the job alone, never on which other jobs run (rule P18).
// A batch whose key interval lies inside a job's ranges goes to it as whole spans; only one that crosses their edges is looked at message by message, once for all jobs.

import type { Clock } from '../core/clock.js';
import { assert } from '../core/errors.js';
import { METADATA_VERSION_RANGE, NORMAL_KEYS, coalesceRanges, type KeyRange } from '../core/key-range.js';
import { RECORD_HEADER_BYTES, type MessageBatch } from '../core/message-batch.js';
import { CHECKSUM_FLAG, CHECKSUM_INDEX_FLAG, MutationType, decodeMutation, readUint32LE } from '../core/mutation.js';
import { RangeMap } from '../core/range-map.js';
import type { Version } from '../core/version.js';
import { ClippedClears, clipToRanges, relateToRanges, type Relation } from './clear-clipper.js';
import { Arenas, SLICE_BYTES, endOfSlice, type Arena } from './gathered-records.js';
import type { Cut, CutPart } from './message-queue.js';
import { RUN_WIDTH, RoutedJob, measureRuns, type RecordSource } from './routed-job.js';

/** Messages looked at before the host's event loop gets a turn: one to two milliseconds. */
const MESSAGES_PER_TURN = 16_384;
const DEFAULT_GATHER_BYTES = 64 << 20;
const TYPE_MASK = ~(CHECKSUM_FLAG | CHECKSUM_INDEX_FLAG);
/** Type byte and length1. */
const PARAM1_OFFSET = RECORD_HEADER_BYTES + 5;
/** A `wantedFrom` that no record reaches: the job's share of the batch is settled without looking at messages. */
const NO_MESSAGE = Number.POSITIVE_INFINITY;

export interface RouterJob {
  readonly uid: string;
  /** As the operator gave them; none means the normal keys. The metadata version key is always added. */
  readonly ranges: readonly KeyRange[];
}

/** A job that takes part in a round. */
export interface RouteRequest {
  readonly uid: string;
  /** Messages below it are left out. */
  readonly begin: Version;
}

export interface RouteOptions {
  readonly clock: Clock;
  readonly signal?: AbortSignal | undefined;
}

export interface MutationRouterOptions {
  /** Memory for short runs that are copied together, beyond what the flow lock counts. Taken as needed, and kept. Default 64 MiB: half of the lock's default. */
  readonly gatherBytes?: number;
  /** Called for every job of a round and every batch of its cut that reaches the job's begin. */
  readonly onBatch?: (relation: Relation) => void;
}

/** The active jobs' ranges as one map. Changes of the jobs take effect for the next route; one that is under way goes on with those it began with. */
export class MutationRouter {
  #jobs: readonly { readonly uid: string; readonly ranges: readonly KeyRange[] }[] = [];
  #map = new RangeMap([]);
  readonly #arenas: Arenas;
  readonly #onBatch: (relation: Relation) => void;

  constructor(options: MutationRouterOptions = {}) {
    this.#arenas = new Arenas(options.gatherBytes ?? DEFAULT_GATHER_BYTES);
    this.#onBatch = options.onBatch ?? (() => undefined);
  }

  /** Replaces all jobs. */
  setJobs(jobs: readonly RouterJob[]): void {
    this.#jobs = jobs.map(({ uid, ranges }) => ({ uid, ranges: storedRanges(ranges) }));
    assert(new Set(jobs.map((job) => job.uid)).size === jobs.length, 'a job is in the router once');
    this.#map = new RangeMap(this.#jobs.map((job) => job.ranges));
  }

  /**
   * What each of `requests`' jobs gets of the cut; every one of them is in the result, if only with nothing. All must have been set. The result is valid until the next
   * call, and as long as the queue keeps the cut.
   */
  async route(cut: Cut, requests: readonly RouteRequest[], options: RouteOptions): Promise<Map<string, RoutedJob>> {
    const sources = cut.parts.map((part) => part.batch);
    const byIndex = this.#jobs.map((job) => {
      const request = requests.find((wanted) => wanted.uid === job.uid);
      return request === undefined ? undefined : new JobRuns(job.uid, job.ranges, request.begin, sources);
    });
    const jobs = byIndex.filter((job) => job !== undefined);
    assert(jobs.length === requests.length, 'every job of a round is in the router');
    this.#arenas.reset();
    const pass = new Pass(this.#map, this.#arenas, byIndex, jobs);
    for (const [index, part] of cut.parts.entries()) {
      if (!pass.begin(part, index, this.#onBatch)) continue;
      for (let record = part.firstRecord; record < part.endRecord;) {
        record = pass.look(record, Math.min(record + MESSAGES_PER_TURN, part.endRecord));
        await options.clock.yieldToHost();
        options.signal?.throwIfAborted();
      }
    }
    return new Map(jobs.map((job) => [job.uid, job.finish()]));
  }
}

function storedRanges(ranges: readonly KeyRange[]): KeyRange[] {
  return coalesceRanges([...(ranges.length === 0 ? [NORMAL_KEYS] : ranges), METADATA_VERSION_RANGE]);
}

/** The runs of one job while a cut is being routed. Fields are plain: the message loop works on them. */
class JobRuns {
  readonly uid: string;
  readonly ranges: readonly KeyRange[];
  readonly begin: Version;
  /** In the batch that is being looked at: the first record that the job may get; NO_MESSAGE when its share is settled. */
  wantedFrom = NO_MESSAGE;
  /** End of the open run in that batch; -1: none is open. */
  openEnd = -1;
  #openFirst = 0;
  #openSource = 0;

  /** The batches of the cut, then the clipped clears, then arenas. */
  readonly #sources: RecordSource[];
  readonly #clippedSource: number;
  readonly #clipped = new ClippedClears();
  #runs = new Uint32Array(8 * RUN_WIDTH);
  #runCount = 0;
  #bytes = 0;
  #messages = 0;
  #maxRecordBytes = 0;
  /** Runs before it are settled: measured, and gathered if they were short. */
  #settledRuns = 0;

  constructor(uid: string, ranges: readonly KeyRange[], begin: Version, batches: readonly MessageBatch[]) {
    this.uid = uid;
    this.ranges = ranges;
    this.begin = begin;
    this.#sources = [...batches, this.#clipped];
    this.#clippedSource = batches.length;
  }

  /** `index`: of all arenas of the route. Called for each of them, in order. */
  addArena(arena: Arena, index: number): void {
    this.#sources.push(arena);
    assert(this.#arenaSource(index) === this.#sources.length - 1, 'arenas come in order');
  }

  #arenaSource(index: number): number {
    return this.#clippedSource + 1 + index;
  }

  /** The whole span at once. */
  addSpan(source: number, batch: MessageBatch, first: number, end: number): void {
    if (first >= end) return;
    this.startRun(source, first);
    this.openEnd = end;
    this.closeRun();
    if (first === 0 && end === batch.recordCount) {
      // The batch knows its figures: no need to walk over its records.
      this.#bytes += batch.byteLength;
      this.#messages += end;
      this.#maxRecordBytes = Math.max(this.#maxRecordBytes, batch.maxRecordBytes);
      this.#settledRuns = this.#runCount;
    } else this.#measure();
  }

  /** Begins a run with `record`; the caller extends it through `openEnd`. */
  startRun(source: number, record: number): void {
    this.closeRun();
    this.#openSource = source;
    this.#openFirst = record;
    this.openEnd = record + 1;
  }

  closeRun(): void {
    if (this.openEnd < 0) return;
    const at = this.#runCount * RUN_WIDTH;
    if (at === this.#runs.length) {
      const grown = new Uint32Array(at * 2);
      grown.set(this.#runs);
      this.#runs = grown;
    }
    this.#runs[at] = this.#openSource;
    this.#runs[at + 1] = this.#openFirst;
    this.#runs[at + 2] = this.openEnd;
    this.#runCount++;
    this.openEnd = -1;
  }

  /** Parts of a clear, in key order; `order` begins with its version and subsequence. */
  addClipped(order: Uint8Array, parts: readonly KeyRange[]): void {
    const first = this.#clipped.recordCount;
    for (const part of parts) this.#clipped.add(order, part);
    this.startRun(this.#clippedSource, first);
    this.openEnd = this.#clipped.recordCount;
    this.closeRun();
  }

  /** Ends a slice, which begins with byte `base` of its batch and lies in `arena` if there is one: many short runs become one, in the arena. */
  endSlice(batch: MessageBatch, base: number, arena: Arena | undefined, arenaIndex: number): void {
    this.closeRun();
    const from = this.#settledRuns;
    if (from === this.#runCount) return;
    if (arena !== undefined && !this.#hasClipped(from)) {
      const first = arena.recordCount;
      if (arena.gather(batch.recordStarts, base, this.#runs, from, this.#runCount)) {
        this.#runCount = from;
        this.startRun(this.#arenaSource(arenaIndex), first);
        this.openEnd = arena.recordCount;
        this.closeRun();
      }
    }
    this.#measure();
    if (from > 0 && from + 1 === this.#runCount) this.#joinLastRun();
  }

  #hasClipped(fromRun: number): boolean {
    for (let run = fromRun; run < this.#runCount; run++)
      if (this.#runs[run * RUN_WIDTH] === this.#clippedSource) return true;
    return false;
  }

  /** A run that goes on from one slice to the next is one run. */
  #joinLastRun(): void {
    const at = (this.#runCount - 1) * RUN_WIDTH;
    const before = at - RUN_WIDTH;
    const runs = this.#runs;
    if (runs[before] !== runs[at] || runs[before + 2] !== runs[at + 1]) return;
    runs[before + 2] = runs[at + 2] as number;
    this.#runCount--;
    this.#settledRuns = this.#runCount;
  }

  /** Adds up the runs that are not settled. */
  #measure(): void {
    const { bytes, messages, maxRecordBytes } = measureRuns(
      this.#sources,
      this.#runs,
      this.#settledRuns,
      this.#runCount,
    );
    this.#bytes += bytes;
    this.#messages += messages;
    this.#maxRecordBytes = Math.max(this.#maxRecordBytes, maxRecordBytes);
    this.#settledRuns = this.#runCount;
  }

  finish(): RoutedJob {
    return new RoutedJob({
      uid: this.uid,
      sources: this.#sources,
      runs: this.#runs,
      runCount: this.#runCount,
      bytes: this.#bytes,
      messages: this.#messages,
      maxRecordBytes: this.#maxRecordBytes,
    });
  }
}

/** One walk over a cut. */
class Pass {
  readonly #map: RangeMap;
  readonly #arenas: Arenas;
  /** By the map's job index; undefined: takes no part. */
  readonly #byIndex: readonly (JobRuns | undefined)[];
  readonly #jobs: readonly JobRuns[];
  #batch: MessageBatch | undefined;
  #source = 0;

  constructor(map: RangeMap, arenas: Arenas, byIndex: readonly (JobRuns | undefined)[], jobs: readonly JobRuns[]) {
    this.#map = map;
    this.#arenas = arenas;
    this.#byIndex = byIndex;
    this.#jobs = jobs;
  }

  /** Settles every job that needs no look at the messages. Returns whether any is left. */
  begin({ batch, firstRecord, endRecord }: CutPart, source: number, onBatch: (relation: Relation) => void): boolean {
    const { minKey, endKey } = batch;
    assert(minKey !== undefined && endKey !== undefined, 'a batch with records has a key interval');
    this.#batch = batch;
    this.#source = source;
    let isCrossing = false;
    for (const job of this.#jobs) {
      const wantedFrom = Math.max(firstRecord, batch.recordsThrough(job.begin - 1n));
      if (wantedFrom >= endRecord) {
        job.wantedFrom = NO_MESSAGE;
        continue;
      }
      const relation = relateToRanges(minKey, endKey, job.ranges);
      onBatch(relation);
      job.wantedFrom = relation === 'crossing' ? wantedFrom : NO_MESSAGE;
      if (relation === 'inside') job.addSpan(source, batch, wantedFrom, endRecord);
      if (relation === 'crossing') isCrossing = true;
    }
    return isCrossing;
  }

  /** Looks at records [first, end) slice by slice; returns `end`. */
  look(first: number, end: number): number {
    const batch = this.#batch as MessageBatch;
    const { recordStarts } = batch;
    for (let record = first; record < end;) {
      const sliceEnd = endOfSlice(recordStarts, record, end);
      const base = recordStarts[record] as number;
      const limit = recordStarts[sliceEnd] as number;
      const place = limit - base > SLICE_BYTES ? undefined : this.#arenas.forSlice(sliceEnd - record);
      if (place?.isNew === true) for (const job of this.#jobs) job.addArena(place.arena, place.index);
      if (place === undefined) this.#lookAtSlice(batch.bytes, 0, record, sliceEnd);
      else {
        place.arena.load(batch.bytes, base, limit);
        this.#lookAtSlice(place.arena.bytes, base, record, sliceEnd);
      }
      for (const job of this.#jobs) job.endSlice(batch, base, place?.arena, place?.index ?? 0);
      record = sliceEnd;
    }
    return end;
  }

  /** Looks at records [first, end) one by one, in `bytes`, where they begin `base` bytes earlier than in the batch. */
  #lookAtSlice(bytes: Uint8Array, base: number, first: number, end: number): void {
    const batch = this.#batch as MessageBatch;
    const { recordStarts } = batch;
    const map = this.#map;
    for (let record = first; record < end; record++) {
      const start = (recordStarts[record] as number) - base;
      const type = bytes[start + RECORD_HEADER_BYTES] as number;
      let length = readUint32LE(bytes, start + RECORD_HEADER_BYTES + 1);
      if ((type & TYPE_MASK) === MutationType.ClearRange) {
        if (type !== MutationType.ClearRange || readUint32LE(bytes, start + PARAM1_OFFSET + length) !== 0) {
          this.#lookAtClear(batch, record);
          continue;
        }
        length--; // A short clear: param1 is the key and a zero byte.
      }
      this.#give(map.jobsOf(map.segmentOf(bytes, start + PARAM1_OFFSET, length)), record);
    }
  }

  #give(indices: Uint16Array, record: number): void {
    for (let i = 0; i < indices.length; i++) {
      const job = this.#byIndex[indices[i] as number];
      if (job === undefined || record < job.wantedFrom) continue;
      if (record === job.openEnd) job.openEnd = record + 1;
      else job.startRun(this.#source, record);
    }
  }

  /** A clear of more than one key may cross the edges of any job's ranges. */
  #lookAtClear(batch: MessageBatch, record: number): void {
    const start = batch.recordStarts[record] as number;
    const order = batch.bytes.subarray(start, batch.recordStarts[record + 1]);
    const { param1, param2 } = decodeMutation(order.subarray(RECORD_HEADER_BYTES));
    const clear: KeyRange = { begin: param1, end: param2 };
    for (const job of this.#jobs) {
      if (record < job.wantedFrom) continue;
      const parts = clipToRanges(clear, job.ranges);
      const [part] = parts;
      if (part === undefined) continue;
      if (part.begin !== clear.begin || part.end !== clear.end) job.addClipped(order, parts);
      else if (record === job.openEnd) job.openEnd = record + 1;
      else job.startRun(this.#source, record);
    }
  }
}
