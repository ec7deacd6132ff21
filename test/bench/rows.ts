// Rows to benchmark with, in a LevelDB and as a source that makes them up: 16-byte keys in order, 100-byte values that do not compress.

import { encodeVersion } from '../../examples/level-host/keys.js';
import { openLevel, type Level } from '../../examples/level-host/level.js';
import { DURABLE_VERSION } from '../../examples/level-host/rows-view.js';
import type { KeyRange } from '../../src/core/key-range.js';
import type { Version } from '../../src/core/version.js';
import type { KeyValueBatch, RangeSource, Region, ScanRequest } from '../../src/ports/range-source.js';
import { KEY_BYTES, VALUE_BYTES, numbers } from './messages.js';

export const ROW_BYTES = KEY_BYTES + VALUE_BYTES;
const PER_BATCH = 900;
const POOL_BYTES = 1 << 20;

/** Batches of rows in key order, about 100 KiB each, as a LevelDB iterator returns them: every key and value has memory of its own. */
export class Rows {
  readonly count: number;
  readonly #pool: Buffer;

  constructor(bytes: number) {
    this.count = Math.ceil(bytes / ROW_BYTES);
    const random = numbers(7);
    this.#pool = Buffer.alloc(POOL_BYTES);
    for (let i = 0; i < POOL_BYTES; i += 4) this.#pool.writeUInt32LE(random(), i);
  }

  *batches(): Generator<[key: Uint8Array, value: Uint8Array][]> {
    for (let from = 0; from < this.count; from += PER_BATCH) {
      const rows: [Uint8Array, Uint8Array][] = [];
      for (let i = from; i < Math.min(from + PER_BATCH, this.count); i++) rows.push([keyOf(i), this.#value(i)]);
      yield rows;
    }
  }

  /** Larger than what snappy looks back over, so that it finds nothing to compress. */
  #value(i: number): Uint8Array {
    const at = Math.imul(i, 0x9e3779b1) >>> 0;
    return this.#pool.subarray(at % (POOL_BYTES - VALUE_BYTES), (at % (POOL_BYTES - VALUE_BYTES)) + VALUE_BYTES);
  }
}

function keyOf(i: number): Uint8Array {
  return Buffer.from(`row ${String(i).padStart(KEY_BYTES - 4, '0')}`, 'latin1');
}

/** A LevelDB that LevelDatabase opens as its own, with nothing left to compact. */
export async function fillLevel(location: string, rows: Rows, version: Version): Promise<void> {
  const level = await openLevel(location);
  for (const batch of rows.batches()) await writeRows(level, batch);
  await level.put(DURABLE_VERSION, encodeVersion(version), { sync: true });
  await level.compactRange(Uint8Array.of(), Uint8Array.of(0xff));
  await level.close();
}

async function writeRows(level: Level, rows: KeyValueBatch): Promise<void> {
  const batch = level.batch();
  for (const [key, value] of rows) batch.put(key, value);
  await batch.write();
}

/** All rows, at any version, in one region. */
export class RowsSource implements RangeSource {
  readonly #rows: Rows;
  readonly #version: Version;

  constructor(rows: Rows, version: Version) {
    this.#rows = rows;
    this.#version = version;
  }

  readVersion(): Promise<Version> {
    return Promise.resolve(this.#version);
  }

  async *regions({ range }: { range: KeyRange }): AsyncGenerator<Region> {
    yield { id: 'all', epoch: '1', range };
  }

  async *scan({ range }: ScanRequest): AsyncGenerator<KeyValueBatch> {
    for (const batch of this.#rows.batches()) {
      const within = batch.filter(
        ([key]) => Buffer.compare(key, range.begin) >= 0 && Buffer.compare(key, range.end) < 0,
      );
      if (within.length > 0) yield within;
    }
  }
}
