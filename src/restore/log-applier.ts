// Applies the merged log: each mutation goes to the shard that has its key, unless the row that was loaded contains it already. One reader feeds all shards.
//
// A batch ends with a version where it can. A version too large for that is applied in parts: the checkpoint then counts the version's records that are done, which is exact because
// the merged log is the same every time.

import { compareBytes } from '../core/bytes.js';
import { BackupError } from '../core/errors.js';
import { MutationType } from '../core/mutation.js';
import type { Version } from '../core/version.js';
import { MAX_VERSION, maxVersion } from '../core/version.js';
import type { KeyRewriter } from './key-rewriter.js';
import type { KeyVersions } from './key-versions.js';
import type { MergedBatch } from './merged-batch.js';
import type { ShardWriter } from './restore-shard.js';
import type { TimeSlices } from './time-slices.js';

/** The first `records` records of `version` are applied. */
export interface PartOfVersion {
  readonly version: Version;
  readonly records: number;
}

export interface LogShard {
  /** Its first key; it has the keys up to the next shard's. Empty for the first shard. */
  readonly begin: Uint8Array;
  readonly writer: ShardWriter;
  /** Everything at or below it is applied already. */
  readonly applied: Version;
  /** So many records of the version that comes after `applied` are applied too. */
  readonly skip: PartOfVersion | undefined;
  /** It has come to the end of the restore, and takes nothing any more. */
  readonly done: boolean;
}

export interface LogApplierOptions {
  /** By their keys. */
  readonly shards: readonly LogShard[];
  readonly versions: KeyVersions;
  readonly rewriter: KeyRewriter;
  /** Bytes of mutations per apply, as far as versions allow. */
  readonly applyBytes: number;
  readonly slices: TimeSlices;
}

/** A batch ends at the latest when so many times `applyBytes` have been read for it: values that are kept hold on to the blocks that they lie in. */
const READ_PER_APPLY = 16;
/** Within a version a batch goes on for so many times `applyBytes`, in the hope that the version ends. */
const WITHIN_VERSION = 4;

export function formatCursor(part: PartOfVersion): string {
  return `${part.version}:${part.records}`;
}

/** undefined for anything but what formatCursor writes. */
export function parseCursor(cursor: string): PartOfVersion | undefined {
  const match = /^([0-9]{1,19}):([0-9]{1,15})$/.exec(cursor);
  if (match === null) return undefined;
  const version = BigInt(match[1] as string);
  return version > MAX_VERSION ? undefined : { version, records: Number(match[2]) };
}

/** A shard, and how it stands to the record that is looked at. */
interface Lane extends LogShard {
  skip: PartOfVersion | undefined;
  /** Records of the current version up to this number are in it already. */
  takesAfter: number;
  /** The log has come to where the shard was left. */
  caughtUp: boolean;
  /** #readBytes at its last apply. */
  appliedAt: number;
}

export class LogApplier {
  readonly #options: LogApplierOptions;
  readonly #lanes: readonly Lane[];
  /** More is pending in a shard than the target takes at once. */
  #isOver = false;
  /** All shards have caught up, and nothing is to be skipped: no need to ask at each version. */
  #settled = false;
  /** Bytes of all records so far. */
  #readBytes = 0;
  /** No shard can be due for a part of a version before so much is pending in one of them, or has been read. */
  #mostPending = 0;
  #leastAppliedAt = 0;
  /** The version of the last record that was added, as halves and whole, and how many records of it there were. */
  #high = -1;
  #low = -1;
  #version: Version = -1n;
  #records = 0;
  /** Everything at or below it has been added. */
  #complete: Version = -1n;

  constructor(options: LogApplierOptions) {
    this.#options = options;
    this.#lanes = options.shards.map((shard) => ({ ...shard, takesAfter: 0, caughtUp: false, appliedAt: 0 }));
  }

  async add(batch: MergedBatch): Promise<void> {
    const { applyBytes, slices } = this.#options;
    const within = applyBytes * WITHIN_VERSION;
    for (let i = 0; i < batch.count; i++) {
      if (slices.due()) await slices.yield();
      if (batch.versionLow[i] !== this.#low || batch.versionHigh[i] !== this.#high) {
        if (this.#high >= 0) this.#complete = this.#version;
        await this.#flushDue(applyBytes, undefined);
        this.#enterVersion(batch, i);
      } else if (this.#mostPending >= within || this.#readBytes - this.#leastAppliedAt >= within * READ_PER_APPLY) {
        await this.#flushDue(within, { version: this.#version, records: this.#records });
      }
      this.#records++;
      const bytes = batch.recordBytes(i);
      this.#readBytes += bytes;
      this.#take(batch, i, bytes);
      if (this.#isOver) await this.#flushOver();
    }
  }

  /** Everything is there: applies what is left, with the checkpoint that says so. */
  async finish(version: Version): Promise<void> {
    for (const lane of this.#lanes) this.#leaveVersion(lane);
    for (const { skip } of this.#lanes) if (skip !== undefined) refuseCheckpoint(skip);
    for (const { writer, done } of this.#lanes) if (!done) await writer.flush({ phase: 'done', version });
    for (const { writer } of this.#lanes) await writer.settle();
  }

  /** Applies what has become large enough. `part`: what of the current version is done; undefined: a version has just ended. */
  async #flushDue(bytes: number, part: PartOfVersion | undefined): Promise<void> {
    this.#mostPending = 0;
    this.#leastAppliedAt = this.#readBytes;
    for (const lane of this.#lanes) {
      const { writer } = lane;
      const due = writer.pendingBytes >= bytes || this.#readBytes - lane.appliedAt >= bytes * READ_PER_APPLY;
      // A shard that the log has not come to yet has a checkpoint that is ahead of it.
      const ahead = !lane.caughtUp || (part !== undefined && part.records < lane.takesAfter);
      if (due && !ahead && !lane.done) {
        const version = maxVersion(this.#complete, lane.applied);
        const cursor = part === undefined ? undefined : formatCursor(part);
        await writer.flush({ phase: 'log', version, ...(cursor === undefined ? {} : { cursor }) });
        lane.appliedAt = this.#readBytes;
      }
      this.#mostPending = Math.max(this.#mostPending, writer.pendingBytes);
      this.#leastAppliedAt = Math.min(this.#leastAppliedAt, lane.appliedAt);
    }
  }

  /** The last record had no room with those before it: they are applied without it. */
  async #flushOver(): Promise<void> {
    this.#isOver = false;
    const records = this.#records - 1;
    const cursor = records === 0 ? undefined : formatCursor({ version: this.#version, records });
    for (const { writer, applied } of this.#lanes) {
      const version = maxVersion(this.#complete, applied);
      if (writer.isOver) await writer.flushOver({ phase: 'log', version, ...(cursor === undefined ? {} : { cursor }) });
    }
  }

  #enterVersion(batch: MergedBatch, i: number): void {
    if (!this.#settled) for (const lane of this.#lanes) this.#leaveVersion(lane);
    this.#high = batch.versionHigh[i] as number;
    this.#low = batch.versionLow[i] as number;
    this.#version = batch.version(i);
    this.#records = 0;
    if (this.#settled) return;
    for (const lane of this.#lanes) {
      lane.takesAfter = this.#version <= lane.applied ? Infinity : (lane.skip?.records ?? 0);
      if (this.#version <= lane.applied) continue;
      if (lane.skip !== undefined && lane.skip.version !== this.#version) refuseCheckpoint(lane.skip);
      lane.caughtUp = true;
    }
    this.#settled = this.#lanes.every(({ caughtUp, skip }) => caughtUp && skip === undefined);
  }

  /** The version that a checkpoint has a part of ends: it must have had that part. */
  #leaveVersion(lane: Lane): void {
    if (lane.skip?.version !== this.#version) return;
    if (this.#records < lane.skip.records) refuseCheckpoint(lane.skip);
    lane.skip = undefined;
  }

  #take(batch: MergedBatch, i: number, bytes: number): void {
    const { versions, rewriter } = this.#options;
    if (batch.isPlainSet(i)) {
      const key = batch.setKey(i);
      if (!versions.counts(key, this.#high, this.#low)) return;
      const lane = this.#laneOf(key);
      if (this.#records > lane.takesAfter)
        this.#added(lane, lane.writer.set(rewriter.key(key), batch.setValue(i), bytes));
      return;
    }
    const mutation = batch.mutation(i);
    const { type, param1: key, param2 } = mutation;
    if (type === MutationType.ClearRange) {
      versions.clip(key, param2, this.#high, this.#low, (begin, end) => this.#clear(begin, end, bytes));
      return;
    }
    if (type === MutationType.SetVersionstampedKey || type === MutationType.SetVersionstampedValue) {
      const { file, offset } = batch.place(i);
      throw new BackupError(
        'INVALID_MUTATION',
        `${file} at offset ${offset}: a versionstamped operation (type ${type}) without its stamp; a log holds such operations as plain sets`,
        { file, offset, version: batch.version(i) },
      );
    }
    if (!versions.counts(key, this.#high, this.#low)) return;
    const lane = this.#laneOf(key);
    if (this.#records <= lane.takesAfter) return;
    const target = rewriter.key(key);
    if (type === MutationType.SetValue) this.#added(lane, lane.writer.set(target, param2, bytes));
    else this.#added(lane, lane.writer.atomic({ type, param1: target, param2 }, bytes));
  }

  /** In each shard what it has of the range. */
  #clear(begin: Uint8Array, end: Uint8Array, bytes: number): void {
    const { rewriter } = this.#options;
    for (let i = this.#indexOf(begin); i < this.#lanes.length; i++) {
      const lane = this.#lanes[i] as Lane;
      if (compareBytes(lane.begin, end) >= 0) return;
      if (this.#records <= lane.takesAfter) continue;
      const next = this.#lanes[i + 1]?.begin;
      const from = compareBytes(lane.begin, begin) > 0 ? lane.begin : begin;
      const to = next !== undefined && compareBytes(next, end) < 0 ? next : end;
      this.#added(lane, lane.writer.clear(rewriter.key(from), rewriter.end(to), bytes));
    }
  }

  #added({ writer }: Lane, pendingBytes: number): void {
    if (writer.isOver) this.#isOver = true;
    if (pendingBytes > this.#mostPending) this.#mostPending = pendingBytes;
  }

  #laneOf(key: Uint8Array): Lane {
    return this.#lanes[this.#indexOf(key)] as Lane;
  }

  /** The shard that has the key. */
  #indexOf(key: Uint8Array): number {
    let low = 0;
    let high = this.#lanes.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >>> 1;
      if (compareBytes((this.#lanes[middle] as Lane).begin, key) <= 0) low = middle;
      else high = middle - 1;
    }
    return low;
  }
}

/** What the checkpoint counts is not in the log any more: what follows would be applied to something else. */
function refuseCheckpoint({ version, records }: PartOfVersion): never {
  throw new BackupError(
    'ADAPTER_CONTRACT',
    `the target's checkpoint has ${records} records of version ${version}, which the log does not hold`,
    { version },
  );
}
