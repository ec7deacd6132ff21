// npm run simulate -- --seeds N --from S [--jobs J] [--trace]
// Runs N seeds from S on, over all cores. Exits with 1 when one of them fails, after printing it and the command that replays it with a readable trace.

import { fork } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { simulate } from '../../src/testing/simulation/simulate.js';
import { SimHits } from '../../src/testing/simulation/hits.js';
import { missingPaths } from './paths.js';
import type { Assignment, SeedReport } from './messages.js';

/** Seeds that a child process is given at a time. */
const SEEDS_AT_A_TIME = 10;
/** Failing seeds after which the run is given up. */
const MAX_FAILURES = 10;
/** From this many seeds on every fault and path must have been met. */
const SEEDS_FOR_ALL_PATHS = 1_000;

interface Totals {
  done: number;
  events: number;
  readonly failed: SeedReport[];
  readonly hits: SimHits;
}

function readOptions() {
  const { values } = parseArgs({
    options: {
      seeds: { type: 'string', default: '200' },
      from: { type: 'string', default: '1' },
      jobs: { type: 'string', default: String(availableParallelism()) },
      trace: { type: 'boolean', default: false },
    },
  });
  const whole = (name: 'seeds' | 'from' | 'jobs', least: number) => {
    const value = Number(values[name]);
    if (!Number.isSafeInteger(value) || value < least)
      throw new RangeError(`--${name} must be a whole number from ${least} on, got ${values[name]}`);
    return value;
  };
  return { seeds: whole('seeds', 1), from: whole('from', 0), jobs: whole('jobs', 1), trace: values.trace };
}

/** One seed after the other, each with its trace: for the seed that failed. */
async function runTraced(from: number, seeds: number): Promise<number> {
  let failures = 0;
  for (let seed = from; seed < from + seeds; seed++) {
    const result = await simulate({ seed, trace: true });
    process.stdout.write(result.trace);
    console.log(
      result.violation === undefined
        ? `seed ${seed}: clean`
        : `seed ${seed}: ${result.violation.check}: ${result.violation.message}`,
    );
    if (result.violation !== undefined) failures++;
  }
  return failures;
}

function runParallel(from: number, seeds: number, jobs: number): Promise<Totals> {
  const totals: Totals = { done: 0, events: 0, failed: [], hits: new SimHits() };
  const end = from + seeds;
  let next = from;
  const assignment = (): Assignment | undefined => {
    if (next >= end || totals.failed.length >= MAX_FAILURES) return undefined;
    const first = next;
    next = Math.min(end, next + SEEDS_AT_A_TIME);
    return { from: first, to: next };
  };
  const children = Array.from({ length: Math.min(jobs, Math.ceil(seeds / SEEDS_AT_A_TIME)) }, () =>
    runChild(assignment, (report) => {
      note(totals, report);
      showProgress(totals, seeds);
    }),
  );
  return Promise.all(children).then(() => totals);
}

/** Resolves when the child has no seeds left; rejects when it dies. */
function runChild(assignment: () => Assignment | undefined, onReport: (report: SeedReport) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = fork(fileURLToPath(new URL('./child.ts', import.meta.url)));
    let last: SeedReport | undefined;
    const assign = () => {
      const seeds = assignment();
      if (seeds === undefined) child.disconnect();
      else child.send(seeds);
    };
    child.on('message', (message) => {
      if (message === 'ready') return assign();
      last = message as SeedReport;
      onReport(last);
    });
    child.on('error', reject);
    child.on('exit', (code) => {
      if (code === 0) resolve();
      else
        reject(
          new Error(`a child process ended with code ${code}; its last finished seed was ${last?.seed ?? 'none'}`),
        );
    });
  });
}

function note(totals: Totals, report: SeedReport): void {
  totals.done++;
  totals.events += report.events;
  totals.hits.addAll(report.hits);
  if (report.violation === undefined) return;
  totals.failed.push(report);
  console.log(`\nseed ${report.seed} FAILS: ${report.violation.check}: ${report.violation.message}`);
  console.log(`  replay: npm run simulate -- --from ${report.seed} --seeds 1 --trace`);
}

function showProgress({ done, failed }: Totals, seeds: number): void {
  if (process.stdout.isTTY) process.stdout.write(`\r${done} of ${seeds} seeds, ${failed.length} failed `);
  else if (done % 500 === 0) console.log(`${done} of ${seeds} seeds, ${failed.length} failed`);
}

function summarize({ done, events, failed, hits }: Totals, seconds: number): string[] {
  const counts = hits.toObject();
  console.log(`\n${done} seeds in ${seconds.toFixed(1)} s, ${Math.round(events / done)} events each`);
  for (const [name, count] of Object.entries(counts)) console.log(`  ${name.padEnd(52)} ${String(count).padStart(9)}`);
  const missing = done >= SEEDS_FOR_ALL_PATHS ? missingPaths(counts) : [];
  for (const name of missing) console.log(`NEVER MET: ${name}`);
  console.log(failed.length === 0 ? 'clean' : `${failed.length} FAILED: ${failed.map(({ seed }) => seed).join(', ')}`);
  return missing;
}

const { seeds, from, jobs, trace } = readOptions();
if (trace) {
  process.exitCode = (await runTraced(from, seeds)) === 0 ? 0 : 1;
} else {
  const start = performance.now();
  const totals = await runParallel(from, seeds, jobs);
  const missing = summarize(totals, (performance.now() - start) / 1000);
  process.exitCode = totals.failed.length === 0 && missing.length === 0 ? 0 : 1;
}
