// Log files of one tag, side by side, as one stream of records: each version once, and only if all files that hold a version agree on it, byte for byte.
// In memory per open file: one run. Files are opened where their versions begin.

import { equalBytes } from '../core/bytes.js';
import { BackupError } from '../core/errors.js';
import type { Version } from '../core/version.js';
import type { FileSums } from '../format/fdb/file-sums.js';
import type { BackupContainer } from '../ports/backup-container.js';
import { FileCursor } from './compact-cursor.js';
import type { LogFile } from './description.js';
import type { TimeSlices } from './time-slices.js';

/** Records that lie one behind the other in `bytes`: record i is bytes[starts[i], starts[i + 1]). */
export interface RecordSpan {
  readonly bytes: Uint8Array;
  readonly starts: Uint32Array;
  readonly count: number;
}

/** What was said by one file and not by the other. `error.file` and `error.offset` tell where. */
export class Disagreement extends BackupError {
  readonly other: string;

  constructor(file: string, offset: number, other: string, what: string) {
    super('CORRUPT_FILE', `${file} and ${other} hold the same versions and differ: ${what}`, { file, offset });
    this.name = 'Disagreement';
    this.other = other;
  }
}

export interface AgreeingOptions {
  readonly container: BackupContainer;
  /** By begin. */
  readonly files: readonly LogFile[];
  readonly sumsOf: (file: LogFile) => Promise<FileSums | undefined>;
  readonly slices: TimeSlices;
  readonly signal: AbortSignal | undefined;
}

const SPAN_RECORDS = 1024;

/** Throws Disagreement, what a damaged file throws, and what the container throws. */
export async function* agreeingRecords(options: AgreeingOptions): AsyncGenerator<RecordSpan, void, undefined> {
  const merge = new AgreeingMerge(options);
  const span = { bytes: new Uint8Array(0), starts: new Uint32Array(SPAN_RECORDS + 1), count: 0 };
  while (await merge.settle()) {
    merge.take(span);
    yield span;
    span.count = 0;
    if (options.slices.due()) await options.slices.yield();
    options.signal?.throwIfAborted();
  }
}

class AgreeingMerge {
  readonly #options: AgreeingOptions;
  #active: FileCursor[] = [];
  #opened = 0;

  constructor(options: AgreeingOptions) {
    this.#options = options;
  }

  /** Opens and closes files until the smallest version is known and everyone who holds it stands on it. False at the end. */
  async settle(): Promise<boolean> {
    for (;;) {
      for (const cursor of this.#active) if (!cursor.onRecord) await cursor.refill();
      const version = this.#smallest();
      const next = this.#options.files[this.#opened];
      if (next !== undefined && (version === undefined || next.begin <= version)) {
        await this.#open(next);
        continue;
      }
      if (version === undefined) return false;
      // What ends at or below the version has no more to say; what it said it has said.
      this.#active = this.#active.filter(({ file }) => file.end > version);
      return true;
    }
  }

  /** Takes as many records as are easily had. */
  take(span: { bytes: Uint8Array; readonly starts: Uint32Array; count: number }): void {
    const [leader, ...others] = this.#active as [FileCursor, ...FileCursor[]];
    if (others.length > 0) return this.#takeOneOfAll(span, leader, others);
    const next = this.#options.files[this.#opened]?.begin;
    // No bigint per record where files merely touch, as most do.
    const until = next !== undefined && next < leader.file.end ? next : undefined;
    span.bytes = leader.reader.bytes;
    span.starts[0] = leader.start;
    do {
      span.starts[++span.count] = leader.end;
    } while (
      leader.next() &&
      span.count < SPAN_RECORDS &&
      leader.start === span.starts[span.count] &&
      (until === undefined || leader.reader.version < until)
    );
  }

  #takeOneOfAll(
    span: { bytes: Uint8Array; readonly starts: Uint32Array; count: number },
    leader: FileCursor,
    others: readonly FileCursor[],
  ): void {
    const smallest = this.#smallest() as Version;
    for (const cursor of this.#active) if (!standsOn(cursor, smallest)) this.#disagree(cursor, smallest);
    const record = leader.record();
    for (const other of others) {
      if (equalBytes(record, other.record())) continue;
      const { version, subsequence } = leader.reader;
      const what = `another record after or at (${version}, ${subsequence})`;
      throw new Disagreement(other.file.name, other.reader.recordOffset, leader.file.name, what);
    }
    span.bytes = leader.reader.bytes;
    span.starts[0] = leader.start;
    span.starts[1] = leader.end;
    span.count = 1;
    for (const cursor of this.#active) cursor.next();
  }

  /** `cursor`'s file holds `version`, and has no record where another one has. */
  #disagree(cursor: FileCursor, version: Version): never {
    const { file, reader } = cursor;
    const witness = this.#active.find((other) => standsOn(other, version)) as FileCursor;
    const offset = cursor.onRecord ? reader.recordOffset : file.size;
    throw new Disagreement(file.name, offset, witness.file.name, `a record of version ${version} is missing`);
  }

  async #open(file: LogFile): Promise<void> {
    const { container, sumsOf } = this.#options;
    this.#opened++;
    const cursor = new FileCursor(container, file, await sumsOf(file));
    await cursor.refill();
    this.#active.push(cursor);
  }

  #smallest(): Version | undefined {
    let smallest: Version | undefined;
    for (const { onRecord, reader } of this.#active) {
      if (onRecord && (smallest === undefined || reader.version < smallest)) smallest = reader.version;
    }
    return smallest;
  }
}

function standsOn(cursor: FileCursor, version: Version): boolean {
  return cursor.onRecord && cursor.reader.version === version;
}
