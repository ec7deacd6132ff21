// What the host feels while pipeline.full runs: the delay of its event loop, and how long its own small reads of files take.

import { open, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';

import { backUp, directoryJob, inFreshFolder, logOf, MIB, prebuild } from './backup.js';
import { DEFAULT_PAIRS, atMost, median, percentile, type BenchOptions, type Figures } from './bench.js';
import { numbers } from './messages.js';

const DEFAULT_SIZE_MIB = 512;
const HOST_FILE_MIB = 64;
const READ_BYTES = 4096;
/** ms between the host's reads, and of the delay histogram. */
const INTERVAL = 1;
const MAX_LOOP_DELAY = 10;

interface Felt {
  /** p99 in ms. */
  readonly loopDelay: number;
  readonly read: number;
  readonly reads: number;
  readonly ms: number;
}

export function bench(options: BenchOptions): Promise<Figures> {
  return inFreshFolder(options.directory, async (directory) => {
    const batches = prebuild((options.sizeMiB ?? DEFAULT_SIZE_MIB) * MIB);
    const host = await open(join(directory, 'host'), 'w+');
    const felt: { quiet: Felt; busy: Felt }[] = [];
    try {
      await host.write(new Uint8Array(HOST_FILE_MIB * MIB).fill(7));
      await host.sync();
      for (let pair = 0; pair <= (options.pairs ?? DEFAULT_PAIRS); pair++) {
        const busy = await feel(host, () =>
          inFreshFolder(directory, (folder) => backUp(logOf(batches), [directoryJob(folder, 'full')])),
        );
        const quiet = await feel(host, () => new Promise((resolve) => setTimeout(resolve, busy.ms)));
        if (pair > 0) felt.push({ quiet, busy });
      }
    } finally {
      await host.close();
    }
    const delay = median(felt.map(({ busy }) => busy.loopDelay));
    const ratio = median(felt.map(({ quiet, busy }) => busy.read / quiet.read));
    const reads = (which: 'quiet' | 'busy') => `${median(felt.map((pair) => pair[which].read)).toFixed(2)} ms`;
    const detail = `p99 of 4 KiB reads: ${reads('busy')} during a backup, ${reads('quiet')} without; ${median(felt.map(({ busy }) => busy.reads))} reads a run`;
    return {
      eventloop: atMost(delay, MAX_LOOP_DELAY, "ms, p99 of the event loop's delay", detail),
      'eventloop.read': {
        value: ratio,
        unit: 'ratio of p99 to that without a backup',
        goal: 'none',
        met: true,
        detail,
      },
    };
  });
}

/** Reads from the host's file, again and again, while `work` runs. */
async function feel(host: FileHandle, work: () => Promise<unknown>): Promise<Felt> {
  const histogram = monitorEventLoopDelay({ resolution: INTERVAL });
  const random = numbers(3);
  const buffer = new Uint8Array(READ_BYTES);
  const times: number[] = [];
  let isDone = false;
  const start = performance.now();
  histogram.enable();
  const reading = (async () => {
    while (!isDone) {
      const at = performance.now();
      await host.read(buffer, 0, READ_BYTES, (random() % (HOST_FILE_MIB * 256)) * READ_BYTES);
      times.push(performance.now() - at);
      await new Promise((resolve) => setTimeout(resolve, INTERVAL));
    }
  })();
  try {
    await work();
  } finally {
    isDone = true;
    await reading;
    histogram.disable();
  }
  return {
    // The histogram counts the interval itself.
    loopDelay: histogram.percentile(99) / 1e6 - INTERVAL,
    read: percentile(times, 0.99),
    reads: times.length,
    ms: performance.now() - start,
  };
}
