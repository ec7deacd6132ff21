// The options of `npm run simulate`, checked. Whatever is wrong is a RangeError that says which option, and what it may be.

import { parseArgs } from 'node:util';
import { plantedBug } from './planted.js';

export const USAGE = `npm run simulate -- [options]
  --seeds N        how many seeds to run, 200 unless it says otherwise; 1 with --trace
  --from S         the first of them, 1 unless it says otherwise
  --for MINUTES    instead of --seeds: go on with fresh seeds for so long; from a random one unless --from says where
  --failed         run the seeds that ever failed (test/simulate/failed-seeds.json), and no others; every plain run runs them first
  --trace          one process, and everything that happens is printed: for a seed that failed
  --planted NAME   with a deliberate bug: succeeds when a seed finds it
  --jobs J         child processes, one per core unless it says otherwise
  --stall SECONDS  a seed that takes longer counts as failed, 120 unless it says otherwise
  --list           the planted bugs, and the paths that a long run must meet
  --help           this`;

export interface Options {
  readonly mode: 'run' | 'trace' | 'list' | 'help';
  readonly from: number;
  /** Fresh ones; infinite with `--for`. */
  readonly seeds: number;
  /** ms, of a soak. */
  readonly duration: number | undefined;
  /** Whether those that ever failed come first. */
  readonly failedFirst: boolean;
  readonly planted: string | undefined;
  readonly jobs: number;
  readonly stallMs: number;
}

/** Seeds lie below this. */
export const MAX_SEED = 2 ** 32;

const MINUTE_MS = 60_000;
const DEFAULT_SEEDS = 200;
const DEFAULT_STALL_SECONDS = 120;

/** `random`: a number from 0 to 1 for the first seed of a soak; `cores`: how many there are. */
export function parseOptions(args: readonly string[], { random, cores }: { random: number; cores: number }): Options {
  const values = parse(args);
  const isSoak = values.for !== undefined;
  expectApart(values);
  const bug = values.planted === undefined ? undefined : plantedBug(values.planted);
  const least = (name: NumberOption, fallback: number, smallest: number, largest = Number.MAX_SAFE_INTEGER) =>
    wholeNumber(name, values[name], fallback, smallest, largest);
  const isPlain = !values.trace && values.planted === undefined;
  return {
    mode: values.help ? 'help' : values.list ? 'list' : values.trace ? 'trace' : 'run',
    from: least('from', isSoak ? Math.floor(random * (MAX_SEED / 4)) : (bug?.from[0] ?? 1), 0, MAX_SEED - 1),
    seeds: values.failed
      ? 0
      : isSoak
        ? Number.POSITIVE_INFINITY
        : least('seeds', values.trace ? 1 : DEFAULT_SEEDS, 1, MAX_SEED),
    duration: isSoak ? least('for', 0, 1, 100_000) * MINUTE_MS : undefined,
    failedFirst: values.failed || isPlain,
    planted: values.planted,
    jobs: least('jobs', cores, 1, 1_000),
    stallMs: least('stall', DEFAULT_STALL_SECONDS, 1, 86_400) * 1_000,
  };
}

type NumberOption = 'seeds' | 'from' | 'for' | 'jobs' | 'stall';

function parse(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      options: {
        seeds: { type: 'string' },
        from: { type: 'string' },
        for: { type: 'string' },
        failed: { type: 'boolean', default: false },
        trace: { type: 'boolean', default: false },
        planted: { type: 'string' },
        jobs: { type: 'string' },
        stall: { type: 'string' },
        list: { type: 'boolean', default: false },
        help: { type: 'boolean', default: false },
      },
    }).values;
  } catch (error) {
    throw new RangeError(error instanceof Error ? error.message : String(error), { cause: error });
  }
}

function expectApart(values: ReturnType<typeof parse>): void {
  const given = (...names: (keyof typeof values)[]) =>
    names.filter((name) => values[name] !== undefined && values[name] !== false);
  const apart = [given('seeds', 'for', 'failed'), given('from', 'failed'), given('for', 'trace')];
  const clash = apart.find((names) => names.length > 1);
  if (clash !== undefined)
    throw new RangeError(`${clash.map((name) => `--${name}`).join(' and ')} contradict each other: leave one out`);
}

function wholeNumber(
  name: NumberOption,
  text: string | undefined,
  fallback: number,
  least: number,
  most: number,
): number {
  if (text === undefined) return fallback;
  const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  if (!(value >= least && value <= most))
    throw new RangeError(`--${name} must be a whole number from ${least} to ${most}, got "${text}"`);
  return value;
}
