// What the benches of SST files share: the rows, and a folder for the files.

import { existsSync } from 'node:fs';
import { tmpdir } from 'node:os';

import type { SstWriter } from '../../src/format/sst/sst-writer.js';
import { encodeRows } from '../format/sst/rocksdb-writer.js';
import type { Row } from '../format/sst/write-rows.js';
import { inFreshFolder } from './backup.js';
import type { BenchOptions, Figures } from './bench.js';
import { KEY_BYTES, VALUE_BYTES, numbers } from './messages.js';

export const BLOCK_SIZE = 64 << 10;
export const RESTART_INTERVAL = 16;
export const ROW_BYTES = KEY_BYTES + VALUE_BYTES;
const DEFAULT_MIB = 64;
const IN_MEMORY = '/dev/shm';

/** A power of two, and more than three blocks hold: no compressor sees a value twice. */
const DISTINCT_VALUES = 2_048;
/** Rows between two looks at whether the writer has a batch to hand over: as a scan brings them. */
const PER_BATCH = 900;
const [ZERO, NINE] = [48, 57];

/**
 * 16-byte keys in order, decimal digits; 100-byte values of which `half` of it says what follows their random first half. A key is made in place and there are few values: a million objects that are not the writer's would have the
 * garbage collector walk over them again and again while it is measured.
 */
export class SstRows {
  readonly sizeMiB: number;
  readonly count: number;
  readonly #values: readonly Uint8Array[];

  /** `half(i)`: the second half of value i. Default: zeros. */
  constructor(sizeMiB: number, half: (i: number) => Uint8Array = () => new Uint8Array(VALUE_BYTES / 2)) {
    this.sizeMiB = sizeMiB;
    this.count = Math.ceil((sizeMiB * (1 << 20)) / ROW_BYTES);
    const random = numbers(13);
    this.#values = Array.from({ length: DISTINCT_VALUES }, (_, i) =>
      Buffer.concat([Uint8Array.from({ length: VALUE_BYTES / 2 }, () => random() >>> 24), half(i)]),
    );
  }

  /** Bytes of all keys and values. */
  get bytes(): number {
    return this.count * ROW_BYTES;
  }

  /** All of them into `writer`, and its file to its end. */
  async writeTo(writer: SstWriter): Promise<void> {
    for (let from = 0; from < this.count; from += PER_BATCH) {
      this.#add(writer, from, Math.min(from + PER_BATCH, this.count));
      if (writer.pendingBytes > 0) await writer.flush();
    }
    await writer.finish();
  }

  [Symbol.iterator](): Generator<Row> {
    return this.some(this.count);
  }

  /** The first ones. */
  *some(count: number): Generator<Row> {
    for (let i = 0; i < count; i++) yield [keyOf(i), this.#valueOf(i)];
  }

  #add(writer: SstWriter, from: number, to: number): void {
    const key = keyOf(from);
    for (let i = from; i < to; i++) {
      writer.add(key, this.#valueOf(i));
      increment(key);
    }
  }

  #valueOf(i: number): Uint8Array {
    return this.#values[i & (DISTINCT_VALUES - 1)] as Uint8Array;
  }
}

function keyOf(i: number): Uint8Array {
  return Buffer.from(String(i).padStart(KEY_BYTES, '0'));
}

/** The next number, in decimal digits. */
function increment(digits: Uint8Array): void {
  for (let at = digits.length - 1; at >= 0; at--) {
    if (digits[at] !== NINE) {
      digits[at]! += 1;
      return;
    }
    digits[at] = ZERO;
  }
}

export interface SstBench {
  readonly rows: SstRows;
  /** The same as RocksDB's side reads them. */
  encode(): ReturnType<typeof encodeRows>;
  /** Gone afterwards. In memory where the system has a folder there: otherwise the disk is what is compared. */
  readonly folder: string;
}

/** Runs `body` unless a tool is missing: then there are no figures, and the log says why. */
export async function withSstRows(
  { sizeMiB = DEFAULT_MIB, directory = scratch(), log }: BenchOptions,
  missing: string | undefined,
  body: (bench: SstBench) => Promise<Figures>,
): Promise<Figures> {
  if (missing !== undefined) {
    log?.(`  no figures: ${missing}`);
    return {};
  }
  const rows = new SstRows(sizeMiB);
  return inFreshFolder(directory, (folder) => body({ rows, encode: () => encodeRows(rows), folder }));
}

function scratch(): string {
  return existsSync(IN_MEMORY) ? IN_MEMORY : tmpdir();
}
