// Four jobs of 1,000 ranges each that do not overlap; half of the messages lie in one of them. Against a raw write of the bytes that were really written.

import type { KeyRange } from '../../src/core/key-range.js';
import { backUp, directoryJob, inFreshFolder, inSubfolder, logOf, MIB, prebuild, writeRaw } from './backup.js';
import { DEFAULT_PAIRS, atLeast, median, type BenchOptions, type Figures } from './bench.js';
import { RECORD_BYTES } from './messages.js';

const DEFAULT_SIZE_MIB = 1024;
const JOBS = 4;
const RANGES = 1_000;
/** As the worker's default: said beside the figure, since two syncs at a time take less than one after the other. */
const WRITES_AT_A_TIME = 2;

export function bench(options: BenchOptions): Promise<Figures> {
  // Nothing is deleted before the end: deleting files slows down the next ones' syncs.
  return inFreshFolder(options.directory, (directory) => compare(options, directory));
}

async function compare(options: BenchOptions, parent: string): Promise<Figures> {
  const sizeMiB = options.sizeMiB ?? DEFAULT_SIZE_MIB;
  const batches = prebuild(sizeMiB * MIB);
  let files: readonly number[] = [];
  const backup = () =>
    inSubfolder(parent, async (directory) => {
      const jobs = rangesOfJobs().map((ranges, i) => directoryJob(directory, `routed${i}`, ranges));
      const result = await backUp(logOf(batches), jobs);
      files = result.files;
      return result.time;
    });
  const raw = (atATime: number) => () =>
    inSubfolder(parent, (directory) => writeRaw(directory, batches, files, atATime));
  const times: { backup: number; one: number; two: number }[] = [];
  const pairs = options.pairs ?? DEFAULT_PAIRS;
  for (let pair = 0; pair <= pairs; pair++) {
    const time = { backup: await backup(), one: await raw(1)(), two: await raw(WRITES_AT_A_TIME)() };
    const words = `${Math.round(time.backup)} ms, raw ${Math.round(time.one)} ms, two at a time ${Math.round(time.two)} ms`;
    options.log?.(`  pair ${pair} of ${pairs}: ${words}${pair === 0 ? ' (dropped)' : ''}`);
    if (pair > 0) times.push(time);
  }
  const bytes = files.reduce((sum, size) => sum + size, 0);
  const rate = (side: 'backup' | 'one' | 'two') =>
    Math.round(bytes / MIB / (median(times.map((time) => time[side])) / 1000));
  const ratio = (side: 'one' | 'two') => median(times.map((time) => time[side] / time.backup));
  return {
    'pipeline.routed': atLeast(ratio('one'), 0.4, 'ratio to a raw write', {
      work: `${sizeMiB} MiB looked at for ${JOBS} jobs of ${RANGES} ranges, ${Math.round(bytes / MIB)} MiB written in ${files.length} files`,
      'backup, MiB/s': rate('backup'),
      'raw writev of 1 MiB chunks, the same files and syncs, MiB/s': rate('one'),
      [`the same, ${WRITES_AT_A_TIME} files at a time as the worker does, MiB/s`]: rate('two'),
      [`ratio to ${WRITES_AT_A_TIME} files at a time`]: Number(ratio('two').toFixed(3)),
      'M messages/s': Number(
        (((sizeMiB * MIB) / RECORD_BYTES / median(times.map((time) => time.backup))) * 1e-3).toFixed(2),
      ),
    }),
  };
}

/** All keys below 0xFF in 8,000 pieces of equal width; every other piece is a range, in turn of each job. */
export function rangesOfJobs(): KeyRange[][] {
  const pieces = JOBS * RANGES * 2;
  const edge = (piece: number): Uint8Array => {
    const key = new Uint8Array(4);
    new DataView(key.buffer).setUint32(0, Math.floor((piece / pieces) * 0xff000000));
    return key;
  };
  return Array.from({ length: JOBS }, (_, job) =>
    Array.from({ length: RANGES }, (_range, i) => {
      const piece = (i * JOBS + job) * 2;
      return { begin: edge(piece), end: edge(piece + 1) };
    }),
  );
}
