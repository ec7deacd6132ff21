// A snapshot of a LevelDB into a folder, against just iterating the same LevelDB with the same client; and whether memory stays flat meanwhile.
// --size is in MiB of keys and values; the default is 2 GiB.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { LevelDatabase } from '../../examples/level-host/level-database.js';
import { openLevel } from '../../examples/level-host/level.js';
import { LevelRangeSource } from '../../examples/level-host/range-source.js';
import { BATCH_BYTES, BATCH_ROWS } from '../../examples/level-host/rows-view.js';
import { DirectoryContainer } from '../../src/container/directory-container.js';
import { takeSnapshot } from '../../src/snapshot/take-snapshot.js';
import { inFreshFolder, inSubfolder, MIB } from './backup.js';
import { DEFAULT_PAIRS, atLeast, atMost, inTurn, median, type BenchOptions, type Figures } from './bench.js';
import { fillLevel, Rows } from './rows.js';

const DEFAULT_SIZE_MIB = 2048;
/** A pair of this many MiB takes a minute: fewer of them count. */
const LARGE_MIB = 1024;
const LARGE_PAIRS = 2;
/** What may be used more in the second half than in the first: collections do not come at fixed times. */
const FLAT_MIB = 16;
const NEVER = 1 << 30;

interface Pass {
  readonly ms: number;
  /** Of the event loop's time, how much it was busy. */
  readonly busy: number;
  /** Processor time of the whole process, ms. */
  readonly cpu: number;
}

export function bench(options: BenchOptions): Promise<Figures> {
  return inFreshFolder(options.directory, (directory) => compare(options, directory));
}

async function compare(options: BenchOptions, parent: string): Promise<Figures> {
  const sizeMiB = options.sizeMiB ?? DEFAULT_SIZE_MIB;
  const location = join(parent, 'level');
  const rows = new Rows(sizeMiB * MIB);
  options.log?.(`  filling a LevelDB with ${rows.count} rows`);
  await fillLevel(location, rows, 1_000n);
  const iterated: Pass[] = [];
  const stored: Pass[] = [];
  const growths: number[] = [];
  const peaks: number[] = [];
  const iterate = async () => {
    const pass = await iterateAll(location, rows.count);
    iterated.push(pass);
    return pass.ms;
  };
  const snapshot = () =>
    inSubfolder(parent, async (directory) => {
      const { pass, growthMiB, peakMiB } = await snapshotAll(location, directory, rows.count);
      stored.push(pass);
      growths.push(growthMiB);
      peaks.push(peakMiB);
      return pass.ms;
    });
  const pairs = options.pairs ?? (sizeMiB >= LARGE_MIB ? LARGE_PAIRS : DEFAULT_PAIRS);
  const { ratio, a, b } = await inTurn(iterate, snapshot, pairs, options.log);
  const words = (passes: readonly Pass[]) => {
    const counted = passes.slice(1);
    const perRow = (of: (pass: Pass) => number) => Math.round((median(counted.map(of)) * 1e6) / rows.count);
    const busy = Math.round(100 * median(counted.map((pass) => pass.busy)));
    return `${perRow(({ ms }) => ms)} ns a row (event loop busy for ${busy} %, processor ${perRow(({ cpu }) => cpu)} ns)`;
  };
  const rate = (ms: number) => `${Math.round(rows.count / ms)}k rows/s`;
  const detail =
    `${sizeMiB} MiB, ${rows.count} rows of 16 + 100 bytes, from the page cache: snapshot ${rate(b)}, ${words(stored)}; ` +
    `iterating ${rate(a)}, ${words(iterated)}`;
  const growth = median(growths.slice(1));
  return {
    snapshot: atLeast(ratio, 0.8, 'ratio to iterating', detail),
    'snapshot.memory': atMost(
      growth,
      FLAT_MIB,
      'MiB',
      `largest RSS, without mapped files, in the second half of a snapshot less that in the first; ${Math.round(median(peaks.slice(1)))} MiB in all`,
    ),
  };
}

/** One loop, with batches of the same size as the range source takes. */
async function iterateAll(location: string, count: number): Promise<Pass> {
  const level = await openLevel(location);
  const pass = await measure(async () => {
    const iterator = level.iterator({ lt: Uint8Array.of(0xff), highWaterMarkBytes: BATCH_BYTES });
    let seen = 0;
    for (;;) {
      const batch = await iterator.nextv(BATCH_ROWS);
      if (batch.length === 0) break;
      seen += batch.length;
    }
    await iterator.close();
    if (seen !== count) throw new Error(`${seen} rows instead of ${count}`);
  });
  await level.close();
  return pass;
}

async function snapshotAll(location: string, directory: string, count: number) {
  const database = await LevelDatabase.open(location, { heartbeatInterval: NEVER });
  const source = new LevelRangeSource(database);
  const container = new DirectoryContainer(directory);
  const resident: number[] = [];
  const sampling = setInterval(() => resident.push(ownMemory() / MIB), 100);
  const pass = await measure(async () => {
    const { rows } = await takeSnapshot({ source, container, ranges: [] });
    if (rows !== count) throw new Error(`${rows} rows instead of ${count}`);
  });
  clearInterval(sampling);
  await source.close();
  await database.close();
  const half = resident.length >> 1;
  const growthMiB = Math.max(...resident.slice(half)) - Math.max(...resident.slice(0, half));
  return { pass, growthMiB, peakMiB: Math.max(...resident) };
}

/** Bytes of RSS without the pages of mapped files: LevelDB maps its tables, so that whoever reads 2 GiB of them has 2 GiB more of RSS until it closes them. All of the RSS where that is not told apart. */
function ownMemory(): number {
  if (process.platform !== 'linux') return process.memoryUsage.rss();
  const kilobytes = /^RssAnon:\s+(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'latin1'))?.[1];
  return kilobytes === undefined ? process.memoryUsage.rss() : Number(kilobytes) * 1024;
}

async function measure(body: () => Promise<void>): Promise<Pass> {
  const cpu = process.cpuUsage();
  const loop = performance.eventLoopUtilization();
  const began = performance.now();
  await body();
  const ms = performance.now() - began;
  const { user, system } = process.cpuUsage(cpu);
  return { ms, busy: performance.eventLoopUtilization(loop).utilization, cpu: (user + system) / 1000 };
}
