// npm run fuzz -- [--cases N] [--target NAME] [--seed S] [--for MINUTES] [--jobs J] [--blind] [--list] [--replay FILE]
// Fuzzes all decoders over all cores. Exits with 1 when an input fails, after saving it and printing the command that replays it.

import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { Fuzzer } from './fuzzer.js';
import type { Assignment, FailureReport, TargetReport } from './messages.js';
import { runChildren } from './run-children.js';
import { printSummary } from './summary.js';
import type { FuzzTarget } from './target.js';
import { TARGETS, targetOf } from './targets/index.js';

const USAGE = `npm run fuzz -- [--cases N] [--for MINUTES] [--target NAME]… [--seed S] [--jobs J] [--patience SECONDS] [--blind] [--save FOLDER]
npm run fuzz -- --replay FILE
npm run fuzz -- --list`;

/** Of one target that a child is given at a time; its corpus stays with it. */
const CASES_AT_A_TIME = 20_000;
const MAX_FAILURES = 20;

function readOptions() {
  const { values } = parseArgs({
    options: {
      help: { type: 'boolean', default: false },
      cases: { type: 'string', default: '1000000' },
      target: { type: 'string', multiple: true },
      seed: { type: 'string', default: String(Math.floor(Math.random() * 2 ** 31)) },
      for: { type: 'string' },
      jobs: { type: 'string', default: String(availableParallelism()) },
      blind: { type: 'boolean', default: false },
      list: { type: 'boolean', default: false },
      replay: { type: 'string' },
      save: { type: 'string', default: path.join(import.meta.dirname, 'corpus') },
      patience: { type: 'string', default: '30' },
    },
  });
  const whole = (name: 'cases' | 'seed' | 'jobs' | 'patience', least: number) => {
    const value = Number(values[name]);
    if (Number.isSafeInteger(value) && value >= least) return value;
    throw new RangeError(`--${name} must be a whole number from ${least} on, got ${values[name]}`);
  };
  const minutes = values.for === undefined ? undefined : Number(values.for);
  if (minutes !== undefined && !(minutes > 0)) throw new RangeError(`--for must be minutes, got ${values.for ?? ''}`);
  return {
    ...values,
    cases: whole('cases', 1),
    seed: whole('seed', 0),
    jobs: whole('jobs', 1),
    patience: whole('patience', 1),
    minutes,
    targets: values.target?.map(targetOf) ?? TARGETS.filter(({ weight }) => weight > 0),
  };
}

type Options = ReturnType<typeof readOptions>;

/** undefined: they are wrong, which has been said. */
function optionsOrUsage(): Options | undefined {
  try {
    const options = readOptions();
    if (!options.help) return options;
    console.log(USAGE);
  } catch (error) {
    console.error(`${error instanceof Error ? error.message : String(error)}\n\n${USAGE}`);
    process.exitCode = 2;
  }
  return undefined;
}

/** Round after round over the targets, so that a run that is stopped has looked at all of them. */
function* assignments({ cases, targets, seed, minutes, blind }: Options): Generator<Assignment> {
  const total = targets.reduce((sum, { weight }) => sum + (weight || 1), 0);
  const share = ({ weight }: FuzzTarget) => Math.max(1, Math.ceil((cases * (weight || 1)) / total));
  const end = minutes === undefined ? undefined : performance.now() + minutes * 60_000;
  const left = new Map(targets.map((target) => [target, share(target)]));
  const perRound = (target: FuzzTarget) =>
    Math.max(1, Math.ceil(Math.min(CASES_AT_A_TIME, (share(target) / cases) * 200_000)));
  for (let round = 0; end === undefined ? left.size > 0 : performance.now() < end; round++) {
    for (const target of targets) {
      const rest = end === undefined ? (left.get(target) ?? 0) : perRound(target);
      const some = Math.min(rest, perRound(target));
      if (some <= 0) left.delete(target);
      else {
        left.set(target, rest - some);
        if (end !== undefined && performance.now() >= end) return;
        yield { target: target.name, cases: some, seed: (seed + round * 1009) % 2 ** 31, guided: !blind };
      }
    }
  }
}

function save(folder: string, { target, hex }: FailureReport): string {
  const name = createHash('sha256').update(hex).digest('hex').slice(0, 12);
  const file = path.join(folder, target, `${name}.hex`);
  mkdirSync(path.dirname(file), { recursive: true });
  writeFileSync(file, hex.replace(/.{1,160}/g, '$&\n'));
  return path.relative(process.cwd(), file);
}

async function replay(file: string): Promise<void> {
  const target = targetOf(path.basename(path.dirname(path.resolve(file))));
  const input = new Uint8Array(Buffer.from(readFileSync(file, 'utf8').replaceAll(/\s/g, ''), 'hex'));
  const problem = await new Fuzzer(target, { seed: 1 }).try(input);
  console.log(
    problem === undefined
      ? `${target.name}: ${input.length} bytes, as it should be`
      : `${target.name} FAILS: ${problem}`,
  );
  if (problem !== undefined) process.exitCode = 1;
}

async function fuzz(options: Options): Promise<void> {
  const failures: FailureReport[] = [];
  const reports = new Map<string, TargetReport>();
  const begun = performance.now();
  console.log(`seed ${options.seed}, ${options.jobs} jobs, ${options.blind ? 'blind' : 'guided by coverage'}`);
  const { peakRss } = await runChildren(assignments(options), {
    jobs: options.jobs,
    patienceMs: options.patience * 1000,
    mayGoOn: () => failures.length < MAX_FAILURES,
    onFailure(failure) {
      failures.push(failure);
      const file = save(options.save, failure);
      console.log(`\n${failure.target} FAILS: ${failure.message}\n  replay: npm run fuzz -- --replay ${file}`);
    },
    onReport: (child, report) => reports.set(`${child} ${report.target}`, report),
    onProgress(cases) {
      const seconds = Math.round((performance.now() - begun) / 1000);
      const line = `${cases} cases in ${seconds} s, ${failures.length} failed`;
      if (process.stdout.isTTY) process.stdout.write(`\r${line} `);
      else console.log(line);
    },
  });
  printSummary(options.targets, [...reports.values()], { seconds: (performance.now() - begun) / 1000, peakRss });
  console.log(failures.length === 0 ? 'clean' : `${failures.length} FAILED`);
  process.exitCode = failures.length === 0 ? 0 : 1;
}

const options = optionsOrUsage();
if (options?.list === true)
  for (const { name, weight } of TARGETS) console.log(weight > 0 ? name : `${name} (only by name)`);
else if (options?.replay !== undefined) await replay(options.replay);
else if (options !== undefined) await fuzz(options);
