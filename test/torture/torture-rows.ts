// The rows of the deterministic database, as a process that takes snapshots sees them: a RangeSource that works out the rows of a version from the seed.

import { systemClock } from '../../src/core/clock.js';
import { fromHex } from '../../src/core/bytes.js';
import { rangeContains } from '../../src/core/key-range.js';
import type { Version } from '../../src/core/version.js';
import type {
  KeyValueBatch,
  RangeSource,
  ReadVersionRequest,
  Region,
  RegionsRequest,
  ScanRequest,
} from '../../src/ports/range-source.js';
import { readLogState } from './log-state.js';
import { rowsAt } from './truth.js';

const LOOK_INTERVAL = 15;
const BATCH_ROWS = 25;

export class TortureRows implements RangeSource {
  readonly #folder: string;
  readonly #seed: number;
  /** The last version that was asked for, and its rows in key order. */
  #rows: { readonly version: Version; readonly sorted: readonly (readonly [string, Uint8Array])[] } | undefined;

  constructor({ folder, seed }: { readonly folder: string; readonly seed: number }) {
    this.#folder = folder;
    this.#seed = seed;
  }

  async readVersion({ atLeast, signal }: ReadVersionRequest): Promise<Version> {
    for (;;) {
      const { committed } = readLogState(this.#folder);
      if (committed >= atLeast) return committed;
      await systemClock.sleep(LOOK_INTERVAL, signal);
    }
  }

  /** One region for every two stripes. */
  async *regions({ range }: RegionsRequest): AsyncGenerator<Region> {
    const borders = [new Uint8Array(0), ...['s2/', 's4/', 's6/'].map((key) => Buffer.from(key)), Uint8Array.of(0xff)];
    for (const [i, begin] of borders.slice(0, -1).entries()) {
      const end = borders[i + 1] as Uint8Array;
      const from = Buffer.compare(begin, range.begin) > 0 ? begin : range.begin;
      const to = Buffer.compare(end, range.end) < 0 ? end : range.end;
      if (Buffer.compare(from, to) < 0) yield { id: String(i), epoch: '1', range: { begin: from, end: to } };
    }
  }

  async *scan({ range, version, signal }: ScanRequest): AsyncGenerator<KeyValueBatch> {
    let batch: (readonly [Uint8Array, Uint8Array])[] = [];
    for (const [hex, value] of this.#sorted(version)) {
      const key = fromHex(hex);
      if (!rangeContains(range, key)) continue;
      batch.push([key, value.slice()]);
      if (batch.length < BATCH_ROWS) continue;
      yield batch;
      batch = [];
      await systemClock.sleep(1, signal);
    }
    if (batch.length > 0) yield batch;
  }

  #sorted(version: Version) {
    if (this.#rows?.version !== version) {
      const rows = rowsAt(this.#seed, readLogState(this.#folder).epochs, version);
      this.#rows = { version, sorted: [...rows].sort(([a], [b]) => (a < b ? -1 : 1)) };
    }
    return this.#rows.sorted;
  }
}
