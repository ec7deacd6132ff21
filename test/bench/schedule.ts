// Tasks per second of the multilevel queue under p-queue, beside p-queue's own queue: what levels and measured times cost.
// The tasks do nothing, so this is the worst case; the burst waits in line as a whole, and long tasks come back slice by slice.

import PQueue from 'p-queue';

import { MultilevelQueue } from '../../src/schedule/multilevel-queue.js';
import type { SliceOptions } from '../../src/schedule/slice.js';
import { TaskPool } from '../../src/schedule/task-pool.js';
import { DEFAULT_PAIRS, atLeast, inTurn, type BenchOptions, type Figures } from './bench.js';

const TASKS = 20_000;
/** Many short runs instead of a few long ones: what else the machine does hits few of them, and the median leaves those out. */
const RUNS_PER_PAIR = 5;
const CONCURRENCY = 4;
/** Tasks that come back with the same id, as the slices of a scan do. */
const LONG_TASKS = 16;
const GOAL = 0.7;

type Add = (index: number) => Promise<unknown>;

const nothing = () => undefined;

async function timed(add: Add): Promise<number> {
  const tasks: Promise<unknown>[] = [];
  const began = performance.now();
  for (let index = 0; index < TASKS; index++) tasks.push(add(index));
  await Promise.all(tasks);
  return performance.now() - began;
}

function own(): Promise<number> {
  const queue = new PQueue({ concurrency: CONCURRENCY });
  return timed(() => queue.add(nothing));
}

function multilevel(optionsOf: (index: number) => Partial<SliceOptions>): Promise<number> {
  const queue = new PQueue<MultilevelQueue, SliceOptions>({ concurrency: CONCURRENCY, queueClass: MultilevelQueue });
  return timed((index) => queue.add(nothing, optionsOf(index)));
}

const withoutId: Partial<SliceOptions> = {};
/** Every other task is a slice of one of a few long ones, the rest have ids of their own. */
const withId = (index: number): Partial<SliceOptions> => ({
  taskId: index % 2 === 0 ? index % (2 * LONG_TASKS) : index,
});

/** Whole tasks through a TaskPool, which also lets the event loop turn. For comparison; no goal. */
function pooled(): Promise<number> {
  const pool = new TaskPool({ concurrency: CONCURRENCY, capacity: TASKS });
  return timed(() => pool.run(nothing));
}

export async function bench({ pairs = DEFAULT_PAIRS, log }: BenchOptions): Promise<Figures> {
  const runs = pairs * RUNS_PER_PAIR;
  log?.("p-queue's own queue, and the multilevel queue without ids");
  const plain = await inTurn(own, () => multilevel(() => withoutId), runs, log);
  log?.("p-queue's own queue, and the multilevel queue with ids");
  const ids = await inTurn(own, () => multilevel(withId), runs, log);
  log?.("p-queue's own queue, and TaskPool");
  const pool = await inTurn(own, pooled, runs, log);
  const perSecond = (ms: number) => Math.round((TASKS / ms) * 1000);
  const detail = (times: { readonly a: number; readonly b: number }) => ({
    tasks: TASKS,
    ownPerSecond: perSecond(times.a),
    perSecond: perSecond(times.b),
  });
  return {
    schedule: atLeast(plain.ratio, GOAL, "of p-queue's own tasks/s", detail(plain)),
    'schedule.ids': atLeast(ids.ratio, GOAL, "of p-queue's own tasks/s", {
      ...detail(ids),
      pool: perSecond(pool.b),
      poolRatio: Number(pool.ratio.toFixed(3)),
    }),
  };
}
