// Worker threads: one SST file with zstd, its blocks compressed on 2 threads, on 1 and on none, from the same rows. Whether both cores of a small machine are put to use.

import { availableParallelism } from 'node:os';
import { setImmediate as nextTurn } from 'node:timers/promises';

import { BlockPool } from '../../src/br/threads/block-pool.js';
import { SstWriter } from '../../src/format/sst/sst-writer.js';
import { sourceThreads } from '../br/source-threads.js';
import { MIB } from './backup.js';
import { atLeast, DEFAULT_PAIRS, inTurn, type BenchOptions, type Figures } from './bench.js';
import { KEY_BYTES, numbers, VALUE_BYTES } from './messages.js';

const DEFAULT_SIZE_MIB = 256;
const ROW_BYTES = KEY_BYTES + VALUE_BYTES;
/** Rows between two looks at whether the writer has a batch to hand over: as a scan brings them. */
const PER_BATCH = 900;
/** A power of two, and far more than there are in a block. */
const VALUES = 8192;
const [ZERO, NINE] = [48, 57];
const GOAL = 1.6;

export async function bench(options: BenchOptions): Promise<Figures> {
  const sizeMiB = options.sizeMiB ?? DEFAULT_SIZE_MIB;
  const pairs = options.pairs ?? DEFAULT_PAIRS;
  const rows = new CompressibleRows(Math.ceil((sizeMiB * MIB) / ROW_BYTES));
  const pools = await Promise.all([0, 1, 2].map((numThreads) => BlockPool.open({ numThreads, ...sourceThreads })));
  const [none, one, two] = pools as [BlockPool, BlockPool, BlockPool];
  try {
    const sizes = new Set<number>();
    const timed = (pool: BlockPool) => () => write(pool, rows, sizes);
    const overNone = await inTurn(timed(none), timed(two), pairs, options.log);
    const overOne = await inTurn(timed(one), timed(two), Math.ceil(pairs / 2), options.log);
    if (sizes.size !== 1) throw new Error(`the files differ: ${[...sizes].join(', ')} bytes`);
    const rate = (ms: number) => `${Math.round((rows.count * ROW_BYTES) / 1000 / ms)} MB/s`;
    const ratio = (((sizes.values().next().value ?? 0) / (rows.count * ROW_BYTES)) * 100).toFixed(0);
    const detail =
      `${sizeMiB} MiB of rows of 16 + 100 bytes, which zstd makes ${ratio} % of, on ${availableParallelism()} cores: no threads ${rate(overNone.a)}, ` +
      `2 threads ${rate(overNone.b)}; 1 thread ${rate(overOne.a)}, over which 2 are ${overOne.ratio.toFixed(2)} times as fast`;
    return { 'br.threads.zstd': atLeast(overNone.ratio, GOAL, 'times as fast as without threads', detail) };
  } finally {
    await Promise.all(pools.map((pool) => pool.close()));
  }
}

async function write(pool: BlockPool, rows: CompressibleRows, sizes: Set<number>): Promise<number> {
  let stored = 0;
  const sink = {
    append: async (chunks: readonly Uint8Array[]) => {
      for (const { length } of chunks) stored += length;
      // As where bytes really go somewhere: without a turn of the event loop Node does not free what the codecs return.
      await nextTurn();
    },
  };
  const press = await pool.press({ compression: 'zstd' });
  const began = performance.now();
  const writer = new SstWriter({ sink, press });
  for (let from = 0; from < rows.count; from += PER_BATCH) {
    rows.addTo(writer, from, Math.min(from + PER_BATCH, rows.count));
    if (writer.pendingBytes > 0) await writer.flush();
  }
  await writer.finish();
  const ms = performance.now() - began;
  sizes.add(stored);
  return ms;
}

/** 16-byte keys in order; values of which one half is random and the other a stretch of text, and of which no two in a block are alike. Making them takes next to nothing. */
class CompressibleRows {
  readonly count: number;
  readonly #values: readonly Uint8Array[];

  constructor(count: number) {
    this.count = count;
    const next = numbers(11);
    const text = 'the quick brown fox jumps over the lazy dog, '.repeat(4);
    const half = VALUE_BYTES / 2;
    this.#values = Array.from({ length: VALUES }, (_, i) =>
      Buffer.concat([Uint8Array.from({ length: half }, next), Buffer.from(text.slice(i % 45, (i % 45) + half))]),
    );
  }

  addTo(writer: SstWriter, from: number, to: number): void {
    const key = Buffer.from(String(from).padStart(KEY_BYTES, '0'));
    for (let i = from; i < to; i++) {
      writer.add(key, this.#values[i & (VALUES - 1)] as Uint8Array);
      increment(key);
    }
  }
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
