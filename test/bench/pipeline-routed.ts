// Four jobs of 1,000 ranges each that do not overlap; half of the messages lie in one of them. Against a raw write of the bytes that were really written.

import type { KeyRange } from '../../src/core/key-range.js';
import { backUp, directoryJob, inFreshFolder, inSubfolder, logOf, MIB, prebuild, writeRaw } from './backup.js';
import { DEFAULT_PAIRS, atLeast, inTurn, median, type BenchOptions, type Figures } from './bench.js';

const DEFAULT_SIZE_MIB = 1024;
const JOBS = 4;
const RANGES = 1_000;
/** As the worker's default: the raw side has no less of the disk. */
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
  const raw = () => inSubfolder(parent, (directory) => writeRaw(directory, batches, files, WRITES_AT_A_TIME));
  const { ratios, a, b } = await inTurn(backup, raw, options.pairs ?? DEFAULT_PAIRS, options.log);
  const bytes = files.reduce((sum, size) => sum + size, 0);
  const rate = (ms: number) => `${Math.round(bytes / MIB / (ms / 1000))} MiB/s`;
  const detail =
    `${sizeMiB} MiB looked at for ${JOBS} jobs of ${RANGES} ranges, ${Math.round(bytes / MIB)} MiB written in ${files.length} files: ` +
    `backup ${rate(a)}, raw writev of 1 MiB chunks ${rate(b)}; both with ${WRITES_AT_A_TIME} files at a time and an fsync of each file and its folder`;
  return { 'pipeline.routed': atLeast(1 / median(ratios), 0.4, 'ratio to a raw write', detail) };
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
