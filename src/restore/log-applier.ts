// Applies the merged log to the target, batch by batch. Every batch carries the checkpoint from which a restore that dies right after it goes on.
//
// A batch ends with a version where it can. A version too large for that is applied in parts: the checkpoint then counts the version's records that are done, which is exact because
// the merged log is the same every time.

import { BackupError } from '../core/errors.js';
import type { Mutation } from '../core/mutation.js';
import { MutationType } from '../core/mutation.js';
import type { Version } from '../core/version.js';
import type { RestoreCheckpoint, RestoreTarget } from '../ports/restore-target.js';
import { evaluateBatch } from './evaluate-batch.js';
import type { MergedBatch } from './merged-batch.js';
import type { RangeFilter } from './range-filter.js';

export interface LogApplierOptions {
  readonly target: RestoreTarget;
  readonly restoreId: string;
  readonly filter: RangeFilter;
  /** Bytes of mutations per apply, as far as versions allow. */
  readonly applyBytes: number;
  /** Everything at or below it is applied already. */
  readonly applied: Version;
  /** So many records of the version that comes after `applied` are applied too. */
  readonly skip: PartOfVersion | undefined;
  /** Called after each apply. */
  readonly onApplied: (checkpoint: RestoreCheckpoint) => void;
}

/** The first `records` records of `version` are applied. */
export interface PartOfVersion {
  readonly version: Version;
  readonly records: number;
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
  return match === null ? undefined : { version: BigInt(match[1] as string), records: Number(match[2]) };
}

export class LogApplier {
  readonly #options: LogApplierOptions;
  #pending: Mutation[] = [];
  /** Bytes of the pending mutations, and bytes of all records since the last apply. */
  #pendingBytes = 0;
  #readBytes = 0;
  /** The version of the last record that was added, as halves and whole, and how many records of it there were. */
  #high = -1;
  #low = -1;
  #version: Version;
  #records = 0;
  /** Everything at or below it is in the target or pending. */
  #complete: Version;
  #skip: PartOfVersion | undefined;
  mutations = 0;
  operations = 0;

  constructor(options: LogApplierOptions) {
    this.#options = options;
    this.#complete = options.applied;
    this.#version = options.applied;
    this.#skip = options.skip;
  }

  async add(batch: MergedBatch): Promise<void> {
    const { applyBytes } = this.#options;
    for (let i = 0; i < batch.count; i++) {
      if (batch.versionLow[i] !== this.#low || batch.versionHigh[i] !== this.#high) {
        this.#complete = this.#records === 0 ? this.#complete : this.#version;
        if (this.#isDue(applyBytes)) await this.#apply({ phase: 'log', version: this.#complete });
        this.#enterVersion(batch, i);
      } else if (this.#isDue(applyBytes * WITHIN_VERSION)) {
        const cursor = formatCursor({ version: this.#version, records: this.#records });
        await this.#apply({ phase: 'log', version: this.#complete, cursor });
      }
      this.#records++;
      this.#readBytes += batch.recordBytes(i);
      if (this.#skip === undefined || this.#records > this.#skip.records) this.#take(batch, i);
    }
  }

  /** Everything is there: applies what is left, with the checkpoint that says so. */
  async finish(version: Version): Promise<void> {
    this.#checkSkipped();
    await this.#apply({ phase: 'done', version });
  }

  #isDue(bytes: number): boolean {
    return this.#pendingBytes >= bytes || this.#readBytes >= bytes * READ_PER_APPLY;
  }

  #enterVersion(batch: MergedBatch, i: number): void {
    const first = this.#high < 0;
    if (!first) this.#checkSkipped();
    this.#high = batch.versionHigh[i] as number;
    this.#low = batch.versionLow[i] as number;
    this.#version = batch.version(i);
    this.#records = 0;
    if (first && this.#skip !== undefined && this.#skip.version !== this.#version) this.#refuseCheckpoint(this.#skip);
  }

  /** The version that the checkpoint has a part of ends: it must have had that part. */
  #checkSkipped(): void {
    const skip = this.#skip;
    if (skip !== undefined && (this.#high < 0 || this.#records < skip.records)) this.#refuseCheckpoint(skip);
    this.#skip = undefined;
  }

  /** What the checkpoint counts is not in the log any more: what follows would be applied to something else. */
  #refuseCheckpoint({ version, records }: PartOfVersion): never {
    throw new BackupError(
      'ADAPTER_CONTRACT',
      `the target's checkpoint has ${records} records of version ${version}, which the log does not hold`,
      { version },
    );
  }

  #take(batch: MergedBatch, i: number): void {
    const mutation = batch.mutation(i);
    const { type, param1, param2 } = mutation;
    if (type === MutationType.ClearRange) {
      this.#options.filter.clip(param1, param2, (begin, end) =>
        this.#pend({ type, param1: begin, param2: end }, batch.recordBytes(i)),
      );
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
    if (this.#options.filter.contains(param1)) this.#pend(mutation, batch.recordBytes(i));
  }

  #pend(mutation: Mutation, bytes: number): void {
    this.#pending.push(mutation);
    this.#pendingBytes += bytes;
    this.mutations++;
  }

  async #apply(place: Pick<RestoreCheckpoint, 'phase' | 'version' | 'cursor'>): Promise<void> {
    const { target, restoreId, onApplied } = this.#options;
    const operations = await evaluateBatch(this.#pending, target);
    const checkpoint: RestoreCheckpoint = { restoreId, ...place };
    await target.apply(operations, checkpoint);
    this.#pending = [];
    this.#pendingBytes = 0;
    this.#readBytes = 0;
    this.operations += operations.length;
    onApplied(checkpoint);
  }
}
