// A child process of the command line: runs the cases that it is told. Before each it writes down the input, so that one that never ends, or that takes the process with it, is known.

import { openSync, writeSync } from 'node:fs';
import { Coverage, isLibrary } from './coverage.js';
import { Fuzzer } from './fuzzer.js';
import type { Assignment, ChildMessage } from './messages.js';
import { targetOf } from './targets/index.js';

const ALIVE_EVERY_MS = 250;
/** Cases between two looks at the clock. */
const SLICE = 2000;

Error.stackTraceLimit = 12;
const [, , inputPath = ''] = process.argv;
const inputFile = openSync(inputPath, 'w');
const head = Buffer.alloc(4);
const fuzzers = new Map<string, Fuzzer>();
let cases = 0;
let toldAt = 0;

function tell(message: ChildMessage): void {
  process.send?.(message);
}

function note(input: Uint8Array): void {
  head.writeUInt32LE(input.length);
  writeSync(inputFile, head, 0, 4, 0);
  writeSync(inputFile, input, 0, input.length, 4);
  cases++;
  if (performance.now() - toldAt < ALIVE_EVERY_MS) return;
  toldAt = performance.now();
  tell({ kind: 'alive', cases });
}

function fuzzerOf({ target, seed, guided }: Assignment): Fuzzer {
  let fuzzer = fuzzers.get(target);
  if (fuzzer === undefined) {
    const coverage = guided ? new Coverage((url) => isLibrary(url) || url.includes('/planted.')) : undefined;
    fuzzer = new Fuzzer(targetOf(target), { seed, coverage, before: note });
    fuzzers.set(target, fuzzer);
  }
  return fuzzer;
}

async function run(assignment: Assignment): Promise<void> {
  const fuzzer = fuzzerOf(assignment);
  const known = fuzzer.failures.length;
  for (let left = assignment.cases; left > 0; left -= SLICE) {
    await fuzzer.run(Math.min(left, SLICE));
    // Between slices the messages get out.
    await new Promise<void>((resolve) => setImmediate(resolve));
  }
  for (const { target, input, message } of fuzzer.failures.slice(known)) {
    tell({ kind: 'failure', failure: { target, message, hex: Buffer.from(input).toString('hex') } });
  }
  const { stats } = fuzzer;
  const peakRss = process.resourceUsage().maxRSS * 1024;
  tell({ kind: 'done', peakRss, report: { target: assignment.target, ...stats, refused: [...stats.refused] } });
}

process.on('message', (assignment) => {
  run(assignment as Assignment).catch((error: unknown) => {
    console.error(error);
    process.exit(1);
  });
});
tell({ kind: 'ready' });
