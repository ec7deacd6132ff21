// npm run simulate: see USAGE in options.ts, and docs/simulation.md. Exits with 1 when a seed fails, after printing it and the command that replays it with a readable trace, and when a path that must be met was not.

import { randomInt } from 'node:crypto';
import { availableParallelism } from 'node:os';
import { PLANTED_BUGS } from '../../src/testing/simulation/planted-bugs.js';
import { simulate } from '../../src/testing/simulation/simulate.js';
import { readFailedSeeds } from './failed-seeds.js';
import type { SeedReport } from './messages.js';
import type { Options } from './options.js';
import { USAGE, parseOptions } from './options.js';
import { missingPaths } from './paths.js';
import { rulesOf } from './planted.js';
import { runSeeds } from './pool.js';
import { missingAfter } from './rare-paths.js';
import { SeedSource } from './seed-source.js';
import { addReport, countsOf, newTotals, progressLine, summaryLines } from './totals.js';

/** Failing seeds after which the run is given up. */
const MAX_FAILURES = 10;
/** Between two lines of progress where there is no terminal, ms. */
const PROGRESS_MS = 15_000;

/** One seed after the other, each with its trace: for the seed that failed. */
async function runTraced({ from, seeds, failedFirst, planted }: Options): Promise<boolean> {
  const source = new SeedSource({ from, seeds, failedFirst }, knownSeeds(), () => false);
  let failures = 0;
  for (let some = source.take(); some.length > 0; some = source.take()) {
    for (const seed of some) {
      const { violation, trace } = await simulate({ seed, trace: true, rules: rulesOf(planted) });
      process.stdout.write(trace);
      console.log(`seed ${seed}: ${violation === undefined ? 'clean' : `${violation.check}: ${violation.message}`}`);
      if (violation !== undefined) failures++;
    }
  }
  return planted === undefined ? failures === 0 : failures > 0;
}

async function runPlain(options: Options): Promise<boolean> {
  const { planted, duration, from } = options;
  if (duration !== undefined) console.log(`fresh seeds from ${from} on`);
  const totals = newTotals();
  const start = performance.now();
  const elapsed = () => performance.now() - start;
  const isEnough = () => totals.failed.length >= (planted === undefined ? MAX_FAILURES : 1);
  const source = new SeedSource(options, knownSeeds(), () => isEnough() || elapsed() > (duration ?? Infinity));
  let lastProgress = start;
  const onReport = (report: SeedReport) => {
    addReport(totals, report);
    if (report.violation !== undefined) tellFailure(report, planted);
    const isDue = performance.now() - lastProgress >= PROGRESS_MS;
    if (!process.stdout.isTTY && !isDue) return;
    lastProgress = performance.now();
    const missing = missingPaths(countsOf(totals)).length;
    const facts = { done: totals.done, total: source.total, failed: totals.failed.length, missing };
    const line = progressLine({ ...facts, elapsedMs: elapsed(), durationMs: duration });
    if (process.stdout.isTTY) process.stdout.write(`\r\x1b[2K${line}`);
    else console.log(line);
  };
  await runSeeds({ ...options, take: () => source.take(), onReport });
  for (const line of summaryLines(totals)) console.log(line);
  const seconds = elapsed() / 1_000;
  const { done, events, failed } = totals;
  console.log(`\n${done} seeds in ${seconds.toFixed(1)} s, ${Math.round(events / Math.max(1, done))} events each`);
  if (planted !== undefined) {
    console.log(failed.length > 0 ? `found: ${planted}` : `NOT FOUND: ${planted}`);
    return failed.length > 0;
  }
  const missing = missingAfter(done, missingPaths(countsOf(totals)));
  for (const name of missing) console.log(`NEVER MET: ${name}`);
  console.log(failed.length === 0 ? 'clean' : `${failed.length} FAILED: ${failed.map(({ seed }) => seed).join(', ')}`);
  return failed.length === 0 && missing.length === 0;
}

function tellFailure({ seed, violation }: SeedReport, planted: string | undefined): void {
  const bug = planted === undefined ? '' : ` --planted '${planted}'`;
  console.log(`\nseed ${seed} FAILS: ${violation?.check}: ${violation?.message}`);
  console.log(`  replay: npm run simulate -- --from ${seed} --seeds 1${bug} --trace`);
}

function knownSeeds(): number[] {
  return readFailedSeeds().map(({ seed }) => seed);
}

function list(): void {
  console.log('Planted bugs, and what each breaks:');
  for (const { name, breaks } of PLANTED_BUGS) console.log(`  ${name} (${breaks})`);
  console.log('\nPaths that a long run must meet:');
  for (const path of missingPaths({})) console.log(`  ${path}`);
}

async function main(): Promise<boolean> {
  let options: Options;
  try {
    options = parseOptions(process.argv.slice(2), {
      random: randomInt(2 ** 32) / 2 ** 32,
      cores: availableParallelism(),
    });
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    console.error(`${error.message}\n\n${USAGE}`);
    return false;
  }
  switch (options.mode) {
    case 'help':
      console.log(USAGE);
      return true;
    case 'list':
      list();
      return true;
    case 'trace':
      return runTraced(options);
    case 'run':
      return runPlain(options);
  }
}

process.exitCode = (await main()) ? 0 : 1;
