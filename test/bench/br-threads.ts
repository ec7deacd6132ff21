// Worker threads: one SST file with zstd, its blocks compressed on 2 threads, on 1 and on none, from the same rows. Whether both cores of a small machine are put to use.
//
// What the second core of a virtual machine gives differs from minute to minute: the detail has what zstd alone gains from it in the same run.

import { once } from 'node:events';
import { availableParallelism } from 'node:os';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';

import { BlockPool } from '../../src/br/threads/block-pool.js';
import { SstWriter } from '../../src/format/sst/sst-writer.js';
import { sourceThreads } from '../br/source-threads.js';
import { atLeast, DEFAULT_PAIRS, inTurn, type BenchOptions, type Figures } from './bench.js';
import { VALUE_BYTES } from './messages.js';
import { BLOCK_SIZE, ROW_BYTES, SstRows } from './sst-rows.js';

const DEFAULT_SIZE_MIB = 256;
const GOAL = 1.6;
/** Files per pool before the ones that count. */
const WARM_UP = 2;
const BARE_BLOCKS = 2_000;

export async function bench(options: BenchOptions): Promise<Figures> {
  const sizeMiB = options.sizeMiB ?? DEFAULT_SIZE_MIB;
  const pairs = options.pairs ?? DEFAULT_PAIRS;
  const rows = new SstRows(sizeMiB, textHalf);
  const pools = await Promise.all([0, 1, 2].map((numThreads) => BlockPool.open({ numThreads, ...sourceThreads })));
  const [none, one, two] = pools as [BlockPool, BlockPool, BlockPool];
  try {
    const sizes = new Set<number>();
    const timed = (pool: BlockPool) => () => write(pool, rows, sizes);
    for (let i = 0; i < WARM_UP; i++) for (const pool of pools) await timed(pool)();
    const overNone = await inTurn(timed(none), timed(two), pairs, options.log);
    const bare = await zstdAlone(rows, pairs, options.log);
    const overOne = await inTurn(timed(one), timed(two), Math.ceil(pairs / 2), options.log);
    if (sizes.size !== 1) throw new Error(`the files differ: ${[...sizes].join(', ')} bytes`);
    const rate = (ms: number) => `${Math.round(rows.bytes / 1000 / ms)} MB/s`;
    const ratio = (((sizes.values().next().value ?? 0) / rows.bytes) * 100).toFixed(0);
    const detail =
      `${sizeMiB} MiB of rows of 16 + 100 bytes, which zstd makes ${ratio} % of, on ${availableParallelism()} cores: no threads ${rate(overNone.a)}, ` +
      `2 threads ${rate(overNone.b)}; 1 thread ${rate(overOne.a)}, over which 2 are ${overOne.ratio.toFixed(2)} times as fast; zstd alone is ${bare.toFixed(2)} times as fast on two threads as on one`;
    return { 'br.threads.zstd': atLeast(overNone.ratio, GOAL, 'times as fast as without threads', detail) };
  } finally {
    await Promise.all(pools.map((pool) => pool.close()));
  }
}

/** Two threads that compress the same block so many times together, over one that does so alone. */
async function zstdAlone(rows: SstRows, pairs: number, log: BenchOptions['log']): Promise<number> {
  const values = [...rows.some(BLOCK_SIZE / ROW_BYTES)].map(([, value]) => value);
  const block = new Uint8Array(Buffer.concat(values));
  const threads = [1, 2].map(() => new Worker(new URL('./zstd-thread.ts', import.meta.url), { workerData: block }));
  const ask = (thread: Worker, times: number) => {
    thread.postMessage(times);
    return once(thread, 'message');
  };
  const timed = (used: readonly Worker[]) => async () => {
    const began = performance.now();
    await Promise.all(used.map((thread) => ask(thread, BARE_BLOCKS / used.length)));
    return performance.now() - began;
  };
  try {
    return (await inTurn(timed(threads.slice(0, 1)), timed(threads), pairs, log)).ratio;
  } finally {
    await Promise.all(threads.map((thread) => thread.terminate()));
  }
}

async function write(pool: BlockPool, rows: SstRows, sizes: Set<number>): Promise<number> {
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
  await rows.writeTo(writer);
  const ms = performance.now() - began;
  sizes.add(stored);
  return ms;
}

/** A stretch of text: less for zstd to save than zeros, so more to do. */
function textHalf(i: number): Uint8Array {
  const text = 'the quick brown fox jumps over the lazy dog, '.repeat(4);
  return Buffer.from(text.slice(i % 45, (i % 45) + VALUE_BYTES / 2));
}
