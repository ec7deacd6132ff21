// One data file, read from end to end: decoded as far as that goes, its checksums held against those that were recorded.

import { createHash } from 'node:crypto';
import { crc32 } from '../core/crc32.js';
import { Crc64Xor } from '../core/crc64.js';
import type { BackupErrorCode } from '../core/errors.js';
import type { KeyRange } from '../core/key-range.js';
import type { FileSums } from '../format/fdb/file-sums.js';
import { FileSumsBuilder } from '../format/fdb/file-sums.js';
import { LogRecordReader } from '../format/fdb/log-file-decoder.js';
import { RangeFileReader } from '../format/fdb/range-file-decoder.js';
import type { RangeFileSums } from '../format/fdb/snapshot-sums.js';
import { convertUnpartitionedLog } from '../format/fdb/unpartitioned-log.js';
import type { BackupContainer } from '../ports/backup-container.js';
import type { LogFile } from './description.js';
import type { TimeSlices } from './time-slices.js';
import { isDamage, readExactly, wrongBlocks } from './verify-read.js';
import type { FoundProblem } from './verify-report.js';

const RUN_BYTES = 1 << 20;
/** Blocks of a checksum when none are recorded: as those who write files choose them, so that what is recorded anew is what was recorded before, byte for byte. */
const MIN_SUMS_BLOCK = 512;

/** Takes a file's bytes run by run. */
export interface RunDecoder {
  /** Throws what is wrong with the bytes. */
  decode(bytes: Uint8Array): Promise<void>;
  /** After the last run. */
  finish?(): Promise<void>;
}

export interface ScannedFile {
  /** What was seen, as far as the file could be read. */
  readonly sums: FileSums;
  /** Of all bytes. */
  readonly crc: number;
  readonly sha256: string | undefined;
  readonly problems: readonly FoundProblem[];
}

export interface ScanOptions {
  readonly container: BackupContainer;
  readonly file: { readonly name: string; readonly size: number; readonly blockSize: number };
  readonly decoder: RunDecoder | undefined;
  readonly recorded: FileSums | undefined;
  readonly signal: AbortSignal | undefined;
  /** Called after each run. */
  readonly onBytes: (bytes: number) => void;
  readonly sha256?: boolean;
}

/** Reads the whole file. Damage is in `problems`; what the container throws is thrown. */
export async function scanFile(options: ScanOptions): Promise<ScannedFile> {
  const { container, file, recorded, signal, onBytes } = options;
  const problems: FoundProblem[] = [];
  const builder = new FileSumsBuilder(recorded?.blockSize ?? sumsBlockSize(file.blockSize));
  const hash = options.sha256 === true ? createHash('sha256') : undefined;
  let decoder = options.decoder;
  let crc = 0;
  const runBytes = Math.max(1, Math.floor(RUN_BYTES / file.blockSize)) * file.blockSize;
  for (let offset = 0; offset < file.size;) {
    signal?.throwIfAborted();
    let bytes: Uint8Array;
    try {
      bytes = await readExactly(container, file, offset, Math.min(runBytes, file.size - offset));
    } catch (error) {
      if (!isDamage(error)) throw error;
      problems.push(damageOf(file.name, error, offset));
      break;
    }
    builder.update(bytes);
    hash?.update(bytes);
    crc = crc32(bytes, crc);
    try {
      await decoder?.decode(bytes);
      if (offset + bytes.length === file.size) await decoder?.finish?.();
    } catch (error) {
      if (!isDamage(error)) throw error;
      problems.push(damageOf(file.name, error, offset));
      decoder = undefined;
    }
    offset += bytes.length;
    onBytes(bytes.length);
  }
  const sums = builder.build();
  if (recorded !== undefined) problems.push(...differences(file.name, recorded, sums));
  return { sums, crc, sha256: hash?.digest('hex'), problems };
}

export function sumsBlockSize(blockSize: number): number {
  return Math.ceil(MIN_SUMS_BLOCK / blockSize) * blockSize;
}

function damageOf(
  file: string,
  error: { readonly code: BackupErrorCode; readonly message: string; readonly offset: number | undefined },
  otherwise: number,
): FoundProblem {
  return { kind: 'corrupt', code: error.code, message: error.message, file, offset: error.offset ?? otherwise };
}

function* differences(file: string, recorded: FileSums, seen: FileSums): Generator<FoundProblem> {
  for (const offset of wrongBlocks(recorded, seen)) {
    // That the size is another is told by those who compare sizes.
    if (offset >= Math.min(recorded.size, seen.size)) continue;
    const message = `${file}: the block at offset ${offset} is not what was written (its checksum differs)`;
    yield { kind: 'checksum', code: 'CHECKSUM_MISMATCH', message, file, offset };
  }
}

export function logDecoder(file: LogFile, slices: TimeSlices): RunDecoder & { readonly records: number } {
  return file.unpartitioned === true ? new UnpartitionedRunDecoder(file, slices) : new LogRunDecoder(file, slices);
}

/** Records of a partitioned log file: in their versions and in order. */
class LogRunDecoder implements RunDecoder {
  records = 0;
  readonly #reader: LogRecordReader;
  readonly #slices: TimeSlices;

  constructor(file: LogFile, slices: TimeSlices) {
    this.#reader = new LogRecordReader(file);
    this.#slices = slices;
  }

  async decode(bytes: Uint8Array): Promise<void> {
    this.#reader.load(bytes);
    while (this.#reader.next()) {
      this.records++;
      if (this.#slices.due()) await this.#slices.yield();
    }
  }
}

/** An unpartitioned log file's records lie in no order: it is held in memory whole. */
class UnpartitionedRunDecoder implements RunDecoder {
  records = 0;
  readonly #file: LogFile;
  readonly #slices: TimeSlices;
  readonly #bytes: Uint8Array;
  #length = 0;

  constructor(file: LogFile, slices: TimeSlices) {
    this.#file = file;
    this.#slices = slices;
    this.#bytes = new Uint8Array(file.size);
  }

  decode(bytes: Uint8Array): Promise<void> {
    this.#bytes.set(bytes, this.#length);
    this.#length += bytes.length;
    return Promise.resolve();
  }

  async finish(): Promise<void> {
    const { bytes, file } = convertUnpartitionedLog(this.#bytes, this.#file);
    if (bytes.length === 0) return;
    const reader = new LogRecordReader(file);
    reader.load(bytes);
    while (reader.next()) {
      this.records++;
      if (this.#slices.due()) await this.#slices.yield();
    }
  }
}

/** Rows of a range file: in the file's keys and in order. */
export class RangeRunDecoder implements RunDecoder {
  readonly #reader: RangeFileReader;
  readonly #slices: TimeSlices;
  readonly #crc = new Crc64Xor();

  /** May throw CORRUPT_FILE at once. */
  constructor(
    file: { readonly name: string; readonly size: number; readonly blockSize: number },
    range: KeyRange | undefined,
    slices: TimeSlices,
  ) {
    const { name, size, blockSize } = file;
    this.#reader = new RangeFileReader({ name, size, blockSize, range });
    this.#slices = slices;
  }

  async decode(bytes: Uint8Array): Promise<void> {
    const reader = this.#reader;
    reader.load(bytes);
    while (reader.next()) {
      this.#crc.addRow(bytes, reader.keyStart, reader.keyEnd, reader.valueStart, reader.valueEnd);
      if (this.#slices.due()) await this.#slices.yield();
    }
  }

  get rows(): number {
    return this.#reader.rows;
  }

  /** What a sidecar records of the rows; undefined if the file was not read to its end. */
  facts(): (Pick<RangeFileSums, 'rows' | 'rowBytes' | 'crc64xor'> & { readonly range: KeyRange }) | undefined {
    const { begin, end, rows, rowBytes } = this.#reader;
    if (begin === undefined || end === undefined) return undefined;
    return { range: { begin, end }, rows, rowBytes, crc64xor: this.#crc.digest() };
  }
}
