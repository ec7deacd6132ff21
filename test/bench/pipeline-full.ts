// The whole way of one tag's messages, for one job with all keys, against a raw write of the same bytes.

import { backUp, directoryJob, inFreshFolder, inSubfolder, logOf, MIB, prebuild, writeRaw } from './backup.js';
import { DEFAULT_PAIRS, atLeast, inTurn, median, type BenchOptions, type Figures } from './bench.js';

const DEFAULT_SIZE_MIB = 1024;

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
      const result = await backUp(logOf(batches), [directoryJob(directory, 'full')]);
      files = result.files;
      return result.time;
    });
  const raw = () => inSubfolder(parent, (directory) => writeRaw(directory, batches, files));
  // The backup comes first in each pair: the raw side writes files of the sizes that it wrote.
  const { ratios, a, b } = await inTurn(backup, raw, options.pairs ?? DEFAULT_PAIRS, options.log);
  const value = 1 / median(ratios);
  const bytes = files.reduce((sum, size) => sum + size, 0);
  const rate = (ms: number) => `${Math.round(bytes / MIB / (ms / 1000))} MiB/s`;
  const detail = `${sizeMiB} MiB in ${files.length} files: backup ${rate(a)}, raw writev of 1 MiB chunks ${rate(b)}; both fsync each file and its folder`;
  return { 'pipeline.full': atLeast(value, 0.85, 'ratio to a raw write', detail) };
}
