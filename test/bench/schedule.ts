// Tasks per second of the multilevel queue under p-queue, beside p-queue's own queue: what levels and measured times cost.
// The tasks do nothing, so this is the worst case; the burst waits in line as a whole, and long tasks come back slice by slice.

import PQueue from 'p-queue';

import { MultilevelQueue } from '../../src/schedule/multilevel-queue.js';
import type { SliceOptions } from '../../src/schedule/slice.js';
import { TaskPool } from '../../src/schedule/task-pool.js';
import { DEFAULT_PAIRS, atLeast, inTurn, median, type BenchOptions, type Figures } from './bench.js';

const TASKS = 20_000;
/** Many short runs instead of a few long ones: what else the machine does hits few of them, and the median leaves those out. */
const RUNS_PER_PAIR = 5;
const CONCURRENCY = 4;
/** Tasks that come back with the same id, as the slices of a scan do. */
const LONG_TASKS = 16;
const GOAL = 0.7;

type Add = (index: number) => Promise<unknown>;

const nothing = () => undefined;

/** Processor time of each run in ms, by side: what the queue costs, which a machine that is busy with other things changes less than it changes tasks/s. */
const processorMs = { own: [] as number[], ours: [] as number[] };

async function timed(side: keyof typeof processorMs, add: Add): Promise<number> {
  const tasks: Promise<unknown>[] = [];
  const usage = process.cpuUsage();
  const began = performance.now();
  for (let index = 0; index < TASKS; index++) tasks.push(add(index));
  await Promise.all(tasks);
  const ms = performance.now() - began;
  const { user, system } = process.cpuUsage(usage);
  processorMs[side].push((user + system) / 1000);
  return ms;
}

function own(): Promise<number> {
  const queue = new PQueue({ concurrency: CONCURRENCY });
  return timed('own', () => queue.add(nothing));
}

function multilevel(optionsOf: (index: number) => Partial<SliceOptions>): Promise<number> {
  const queue = new PQueue<MultilevelQueue, SliceOptions>({ concurrency: CONCURRENCY, queueClass: MultilevelQueue });
  return timed('ours', (index) => queue.add(nothing, optionsOf(index)));
}

const withoutId: Partial<SliceOptions> = {};
/** Every other task is a slice of one of a few long ones, the rest have ids of their own. */
const withId = (index: number): Partial<SliceOptions> => ({
  taskId: index % 2 === 0 ? index % (2 * LONG_TASKS) : index,
});

/** Whole tasks through a TaskPool, which also lets the event loop turn. For comparison; no goal. */
function pooled(): Promise<number> {
  const pool = new TaskPool({ concurrency: CONCURRENCY, capacity: TASKS });
  return timed('ours', () => pool.run(nothing));
}

async function compare(ours: () => Promise<number>, runs: number, log: BenchOptions['log']) {
  processorMs.own = [];
  processorMs.ours = [];
  const times = await inTurn(own, ours, runs, log);
  const perSecond = (ms: number) => Math.round((TASKS / ms) * 1000);
  const processorRatio = median(processorMs.own) / median(processorMs.ours);
  const detail = {
    tasks: TASKS,
    ownPerSecond: perSecond(times.a),
    perSecond: perSecond(times.b),
    processorRatio: Number(processorRatio.toFixed(3)),
  };
  return { ratio: times.ratio, detail };
}

export async function bench({ pairs = DEFAULT_PAIRS, log }: BenchOptions): Promise<Figures> {
  const runs = pairs * RUNS_PER_PAIR;
  log?.("p-queue's own queue, and the multilevel queue without ids");
  const plain = await compare(() => multilevel(() => withoutId), runs, log);
  log?.("p-queue's own queue, and the multilevel queue with ids");
  const ids = await compare(() => multilevel(withId), runs, log);
  log?.("p-queue's own queue, and TaskPool");
  const pool = await compare(pooled, runs, log);
  return {
    schedule: atLeast(plain.ratio, GOAL, "of p-queue's own tasks/s", plain.detail),
    'schedule.ids': atLeast(ids.ratio, GOAL, "of p-queue's own tasks/s", {
      ...ids.detail,
      pool: pool.detail.perSecond,
      poolRatio: Number(pool.ratio.toFixed(3)),
      poolProcessorRatio: pool.detail.processorRatio,
    }),
  };
}
