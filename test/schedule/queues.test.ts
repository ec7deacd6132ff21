import PQueue from 'p-queue';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { LevelShare } from '../../src/schedule/level-share.js';
import { MultilevelQueue } from '../../src/schedule/multilevel-queue.js';
import { PriorityTaskQueue } from '../../src/schedule/priority-task-queue.js';
import { Ring } from '../../src/schedule/ring.js';
import { SingleLevelQueue } from '../../src/schedule/single-level-queue.js';
import type { RunFunction, SliceOptions } from '../../src/schedule/slice.js';
import type { TaskQueue } from '../../src/schedule/task-queue.js';
import type { Level } from '../../src/schedule/task-time.js';
import { WorkClock } from './fakes.js';

const nothing: RunFunction = () => Promise.resolve();

/** Queues slices that tell their names when they run. */
function names(queue: TaskQueue) {
  const ran: string[] = [];
  const add = (name: string, options: Partial<SliceOptions> = {}) =>
    queue.enqueue(() => Promise.resolve(ran.push(name)), { id: name, ...options });
  const drain = () => {
    for (let run = queue.dequeue(); run !== undefined; run = queue.dequeue()) void run();
    return ran;
  };
  return { add, drain, ran };
}

describe('Ring', () => {
  it('does what an array does', () => {
    const step = fc.oneof(
      { weight: 5, arbitrary: fc.constant('push' as const) },
      { weight: 3, arbitrary: fc.constant('shift' as const) },
      { weight: 1, arbitrary: fc.nat(60) },
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
        const ring = new Ring<number>();
        const array: number[] = [];
        steps.forEach((step, number) => {
          if (step === 'push') {
            ring.push(number);
            array.push(number);
          } else if (step === 'shift') {
            expect(ring.shift()).toBe(array.shift());
          } else {
            const index = array.indexOf(step);
            expect(ring.remove((item) => item === step)).toBe(index === -1 ? undefined : array.splice(index, 1)[0]);
          }
          expect([...ring]).toEqual(array);
          expect(ring.size).toBe(array.length);
        });
        ring.clear();
        expect([ring.size, ring.shift()]).toEqual([0, undefined]);
      }),
    );
  });
});

describe('LevelShare', () => {
  /** One second of running time, of which level 0 has had `share`. */
  function second(levels: LevelShare, share: number): void {
    levels.ran(2, 1000 * (1 - share));
    levels.ran(0, 1000 * share);
  }

  it('asks level 0 first with its chance, and the levels below 4 to 1', () => {
    const levels = new LevelShare(0.8);
    const counts = [0, 0, 0];
    for (let turn = 0; turn < 25_000; turn++) counts[levels.next()]!++;
    expect(counts[0]).toBeCloseTo(20_000, -1);
    expect(counts[1]).toBeCloseTo(4000, -1);
    expect(counts[2]).toBeCloseTo(1000, -1);
  });

  it('raises the chance by 0.06 while level 0 has too little time, up to 0.98, and lowers it down to 0.5', () => {
    const levels = new LevelShare(0.8);
    const chances: number[] = [];
    for (const share of [0.2, 0.74, 0.5, 0.5, 0.77, 0.84, 0.8]) {
      second(levels, share);
      chances.push(Number(levels.chance.toFixed(2)));
    }
    expect(chances).toEqual([0.86, 0.92, 0.98, 0.98, 0.98, 0.98, 0.98]);
    for (let count = 0; count < 20; count++) second(levels, 1);
    expect(levels.chance).toBe(0.5);
    second(levels, 0.7);
    expect(levels.chance).toBeCloseTo(0.56);
  });

  it('leaves the chance alone before a second of running time has passed', () => {
    const levels = new LevelShare(0.8);
    levels.ran(1, 999);
    expect(levels.chance).toBe(0.8);
    levels.ran(1, 1);
    expect(levels.chance).toBeCloseTo(0.86);
  });

  it('lets level 1 wait for 100 turns at most and level 2 for 250, at whatever chance', () => {
    fc.assert(
      fc.property(fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { minLength: 1, maxLength: 30 }), (shares) => {
        const levels = new LevelShare(0.8);
        const waited = [0, 0, 0];
        const longest = [0, 0, 0];
        for (const share of shares) {
          for (let turn = 0; turn < 300; turn++) {
            const level = levels.next();
            for (const other of [1, 2]) {
              waited[other] = level === other ? 0 : waited[other]! + 1;
              longest[other] = Math.max(longest[other]!, waited[other]);
            }
          }
          second(levels, share);
        }
        expect(longest[1]).toBeLessThan(100);
        expect(longest[2]).toBeLessThan(250);
      }),
    );
  });
});

describe('MultilevelQueue', () => {
  it('serves the levels below 4 to 1 also while level 0 has nothing', () => {
    const queue = new MultilevelQueue();
    const { add, ran } = names(queue);
    for (let i = 0; i < 200; i++) for (const level of [1, 2] as const) add(String(level), { level });
    for (let turn = 0; turn < 100; turn++) void queue.dequeue()?.();
    expect(ran.filter((name) => name === '1')).toHaveLength(80);
    expect(ran.filter((name) => name === '2')).toHaveLength(20);
  });

  it('moves a task down when it has run longer than the thresholds, over all slices with its id', () => {
    const clock = new WorkClock();
    const queue = new MultilevelQueue({ clock });
    const levels: Level[] = [];
    for (const ms of [4.9, 0.1, 94.9, 0.1, 50]) {
      queue.enqueue(() => clock.does(ms), { taskId: 'scan' });
      levels.push(queue.timeOf('scan').level);
      void queue.dequeue()?.();
    }
    expect(levels).toEqual([0, 0, 1, 1, 2]);
    expect(queue.timeOf('scan').ms).toBeCloseTo(150);
    queue.enqueue(nothing, { taskId: 'another' });
    expect(queue.timeOf('another').level).toBe(0);
  });

  it('has thresholds that can be set', () => {
    const clock = new WorkClock();
    const queue = new MultilevelQueue({ clock, levelThresholds: [1, 2] });
    queue.enqueue(() => clock.does(2), { taskId: 1n });
    void queue.dequeue()?.();
    queue.enqueue(nothing, { taskId: 1n });
    expect(queue.filter({ level: 2 })).toHaveLength(1);
  });

  it('keeps a task at a level that was asked for', () => {
    const clock = new WorkClock();
    const queue = new MultilevelQueue({ clock });
    const time = queue.timeOf('urgent');
    time.ms = 10_000;
    queue.enqueue(nothing, { time, level: 0 });
    queue.enqueue(nothing, { level: 2 });
    expect([0, 1, 2].map((level) => queue.filter({ level: level as Level }).length)).toEqual([1, 0, 1]);
  });

  it('takes from the level whose turn it is, and passes an empty level by', () => {
    const { add, drain } = names(new MultilevelQueue({ clock: new WorkClock() }));
    for (let index = 0; index < 8; index++) add(`0-${index}`, { level: 0 });
    for (let index = 0; index < 3; index++) add(`1-${index}`, { level: 1 });
    for (let index = 0; index < 2; index++) add(`2-${index}`, { level: 2 });
    const ran = drain();
    // 4 of 5 turns are level 0's; without it the turns go to level 1, and at last to level 2.
    expect(ran.map((name) => name[0]).join('')).toBe('0000100001122');
    expect(ran.filter((name) => name.startsWith('0'))).toEqual([0, 1, 2, 3, 4, 5, 6, 7].map((index) => `0-${index}`));
  });

  it('gives level 0 its share of the running time, and the rest to those below', () => {
    const clock = new WorkClock();
    const queue = new MultilevelQueue({ clock });
    const ms = [0, 0, 0];
    const add = (level: Level, cost: number): void =>
      queue.enqueue(
        () => {
          clock.work(cost);
          ms[level] = (ms[level] as number) + cost;
          add(level, cost);
          return Promise.resolve();
        },
        { level },
      );
    // Slices of level 0 are a third as long as those below: at the chance it begins with, level 0 would get 57 %.
    for (const [level, cost] of [[0, 1], [1, 3], [2, 3]] as const) add(level, cost); // prettier-ignore
    const run = (slices: number) => {
      for (let count = 0; count < slices; count++) void queue.dequeue()?.();
    };
    run(20_000);
    ms.fill(0);
    run(50_000);
    const total = ms[0]! + ms[1]! + ms[2]!;
    expect(ms[0]! / total).toBeGreaterThan(0.75);
    expect(ms[0]! / total).toBeLessThan(0.85);
    expect(ms[1]! / ms[2]!).toBeCloseTo(4, 0);
    expect(queue.level0Chance).toBeGreaterThan(0.85);
  });

  it('forgets ids that were not seen for an interval or two, and those in use only when they end', () => {
    const clock = new WorkClock();
    const queue = new MultilevelQueue({ clock, cleanupInterval: 1000 });
    const seen = (taskId: string, ms: number) => {
      queue.enqueue(() => clock.does(ms), { taskId });
      void queue.dequeue()?.();
    };
    seen('once', 200);
    for (let count = 0; count < 9; count++) seen('often', 300);
    expect(queue.timeOf('often').ms).toBe(2700);
    expect(queue.timeOf('once').ms).toBe(0);
    const live = queue.timeOf('live');
    for (let count = 0; count < 10; count++) {
      queue.enqueue(() => clock.does(700), { time: live });
      void queue.dequeue()?.();
      seen(`passing ${count}`, 0);
    }
    expect(queue.timeOf('live')).toBe(live);
    expect(live.ms).toBe(7000);
  });

  it('remembers no more ids than it may', () => {
    const queue = new MultilevelQueue({ clock: new WorkClock(), maxTaskIds: 100 });
    for (let id = 0; id < 10_000; id++) {
      queue.enqueue(nothing, { taskId: id });
      void queue.dequeue()?.();
      expect(queue.taskIds).toBeLessThanOrEqual(100);
    }
    expect(queue.timeOf(9_999)).toBe(queue.timeOf(9_999));
  });

  it('counts the time of a slice that another starts within itself only once', async () => {
    const clock = new WorkClock();
    const made: MultilevelQueue[] = [];
    const queueClass = class extends MultilevelQueue {
      constructor() {
        super({ clock });
        made.push(this);
      }
    };
    const pool = new PQueue<TaskQueue, SliceOptions>({ concurrency: 2, queueClass });
    await pool.add(
      () => {
        clock.work(10);
        const inner = pool.add(() => clock.does(30), { taskId: 'inner' });
        clock.work(5);
        return inner;
      },
      { taskId: 'outer' },
    );
    const [queue] = made;
    expect([queue?.timeOf('outer').ms, queue?.timeOf('inner').ms, queue?.elapsed]).toEqual([15, 30, 45]);
  });

  it('counts time that was measured on another thread as if the slice had taken it here', () => {
    const queue = new MultilevelQueue({ clock: new WorkClock() });
    const time = queue.timeOf('thread');
    const levels: Level[] = [];
    for (const ms of [4.9, 0.1, 94.9, 0.1, 2000]) {
      queue.enqueue(nothing, { time });
      void queue.dequeue()?.();
      levels.push(time.level);
      queue.count(time, time.level, ms);
    }
    expect(levels).toEqual([0, 0, 1, 1, 2]);
    expect([time.ms, queue.elapsed, queue.levelOf(time)]).toEqual([2100, 2100, 2]);
    // Level 0 had next to nothing of more than a second.
    expect(queue.level0Chance).toBeCloseTo(0.86);
  });

  it('does not take counted time from that of the slice in which it is counted', () => {
    const clock = new WorkClock();
    const queue = new MultilevelQueue({ clock });
    const there = queue.timeOf('there');
    queue.enqueue(
      () => {
        queue.count(there, 0, 40);
        return clock.does(10);
      },
      { taskId: 'here' },
    );
    void queue.dequeue()?.();
    expect([there.ms, queue.timeOf('here').ms, queue.elapsed]).toEqual([40, 10, 50]);
  });

  it('remembers a task for as long as time is counted to it', () => {
    const clock = new WorkClock();
    const queue = new MultilevelQueue({ clock, cleanupInterval: 1000 });
    const time = queue.timeOf('thread');
    for (let count = 0; count < 10; count++) {
      clock.work(700);
      queue.count(time, 0, 1);
    }
    expect(queue.timeOf('thread')).toBe(time);
  });

  it('checks its options', () => {
    expect(() => new MultilevelQueue({ level0Share: 1.1 })).toThrow(
      /level0Share must be a number from 0 to 1, got 1.1/,
    );
    expect(() => new MultilevelQueue({ levelThresholds: [5, 4] })).toThrow(/levelThresholds\[1\] .* from 5 on, got 4/);
    expect(() => new MultilevelQueue({ cleanupInterval: 0 })).toThrow(/cleanupInterval/);
    expect(() => new MultilevelQueue({ maxTaskIds: 0 })).toThrow(/maxTaskIds/);
  });
});

describe('PriorityTaskQueue', () => {
  it('takes the greatest priority first and, of equals, the one that came first, whatever is taken out meanwhile', () => {
    const step = fc.oneof(
      { weight: 4, arbitrary: fc.record({ priority: fc.integer({ min: -3, max: 3 }) }) },
      { weight: 2, arbitrary: fc.constant('take' as const) },
      { weight: 1, arbitrary: fc.record({ remove: fc.nat(40) }) },
      { weight: 1, arbitrary: fc.record({ move: fc.nat(40), priority: fc.integer({ min: -3, max: 3 }) }) },
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 120 }), (steps) => {
        const queue = new PriorityTaskQueue({ clock: new WorkClock() });
        const { add, ran } = names(queue);
        const model: { id: string; priority: number }[] = [];
        const expected: string[] = [];
        const insert = (item: { id: string; priority: number }) => {
          const index = model.findIndex(({ priority }) => priority < item.priority);
          model.splice(index === -1 ? model.length : index, 0, item);
        };
        const takeOut = (number: number) => {
          const index = model.findIndex(({ id }) => id === String(number));
          return index === -1 ? undefined : model.splice(index, 1)[0];
        };
        steps.forEach((step, number) => {
          if (step === 'take') {
            void queue.dequeue()?.();
            expected.push(...model.splice(0, 1).map(({ id }) => id));
          } else if ('remove' in step) {
            queue.remove(String(step.remove));
            takeOut(step.remove);
          } else if ('move' in step) {
            const item = takeOut(step.move);
            if (item === undefined) expect(() => queue.setPriority(String(step.move), 0)).toThrow(/no slice/);
            else {
              queue.setPriority(item.id, step.priority);
              insert({ ...item, priority: step.priority });
            }
          } else {
            add(String(number), step);
            insert({ id: String(number), priority: step.priority });
          }
          expect(queue.size).toBe(model.length);
        });
        expect(ran).toEqual(expected);
      }),
    );
  });

  it('asks for the priority whenever a slice of the task is put in line', async () => {
    const clock = new WorkClock();
    const order: string[] = [];
    // The shortest so far goes first.
    const queueClass = PriorityTaskQueue.configured({ clock, priorityOf: (time) => -(time?.ms ?? 0) });
    const pool = new PQueue<TaskQueue, SliceOptions>({ concurrency: 1, queueClass, autoStart: false });
    const add = (taskId: string, ms: number) => pool.add(() => (order.push(taskId), clock.does(ms)), { taskId });
    const first = [add('long', 9), add('short', 1)];
    pool.start();
    await Promise.all(first);
    pool.pause();
    const second = [add('long', 9), add('short', 1)];
    pool.start();
    await Promise.all(second);
    expect(order).toEqual(['long', 'short', 'short', 'long']);
  });
});

describe('each queue, under p-queue', () => {
  const classes: [string, (clock: WorkClock) => new () => TaskQueue][] = [
    ['MultilevelQueue', (clock) => MultilevelQueue.configured({ clock })],
    ['SingleLevelQueue', (clock) => SingleLevelQueue.configured({ clock })],
    ['PriorityTaskQueue', (clock) => PriorityTaskQueue.configured({ clock })],
  ];
  for (const [name, classOf] of classes) {
    it(`${name}: runs equals in the order in which they came, and counts and finds what waits`, async () => {
      const pool = new PQueue<TaskQueue, SliceOptions>({
        concurrency: 1,
        autoStart: false,
        queueClass: classOf(new WorkClock()),
      });
      const order: number[] = [];
      const tasks = [0, 1, 2, 3].map((index) =>
        pool.add(() => order.push(index), { taskId: index % 2, priority: index === 3 ? -1 : 0 }),
      );
      expect([pool.size, pool.sizeBy({ priority: 0 }), pool.sizeBy({ taskId: 1 })]).toEqual([4, 3, 2]);
      pool.start();
      await Promise.all(tasks);
      expect(order).toEqual([0, 1, 2, 3]);
      expect(pool.size).toBe(0);
    });

    it(`${name}: takes out what is aborted while it waits, and can be cleared`, async () => {
      const pool = new PQueue<TaskQueue, SliceOptions>({
        concurrency: 1,
        autoStart: false,
        queueClass: classOf(new WorkClock()),
      });
      const controller = new AbortController();
      const ran: string[] = [];
      const aborted = pool.add(() => ran.push('aborted'), { signal: controller.signal });
      const other = pool.add(() => ran.push('other'));
      controller.abort(new Error('cancelled by the test'));
      await expect(aborted).rejects.toThrow('cancelled by the test');
      expect(pool.size).toBe(1);
      pool.start();
      await other;
      expect(ran).toEqual(['other']);
      pool.pause();
      void pool.add(() => ran.push('cleared'));
      pool.clear();
      pool.start();
      await pool.onIdle();
      expect(ran).toEqual(['other']);
    });

    it(`${name}: loses and invents no slice`, () => {
      const step = fc.oneof(
        fc.record({ level: fc.constantFrom<Level | undefined>(undefined, 0, 1, 2), taskId: fc.nat(5) }),
        fc.constant('take' as const),
        fc.record({ remove: fc.nat(50) }),
      );
      fc.assert(
        fc.property(fc.array(step, { maxLength: 100 }), (steps) => {
          const clock = new WorkClock();
          const queue = new (classOf(clock))();
          const waiting = new Set<number>();
          steps.forEach((step, number) => {
            if (step === 'take') {
              const before = waiting.size;
              void queue.dequeue()?.();
              expect(waiting.size).toBe(Math.max(0, before - 1));
            } else if ('remove' in step) {
              queue.remove(String(step.remove));
              waiting.delete(step.remove);
            } else {
              const run = () => {
                clock.work(20);
                expect(waiting.delete(number)).toBe(true);
                return Promise.resolve();
              };
              queue.enqueue(run, { ...step, id: String(number) });
              waiting.add(number);
            }
            expect(queue.size).toBe(waiting.size);
            expect(queue.filter({})).toHaveLength(waiting.size);
          });
          while (queue.size > 0) void queue.dequeue()?.();
          expect(waiting.size).toBe(0);
        }),
      );
    });
  }
});
