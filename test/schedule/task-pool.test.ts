import { getEventListeners } from 'node:events';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { TaskPool, type QueueKind } from '../../src/schedule/task-pool.js';
import type { TaskHandle } from '../../src/schedule/task.js';
import { WorkClock, settle } from './fakes.js';

function makePool(concurrency = 1, queue: QueueKind = 'multilevel') {
  const clock = new WorkClock();
  return { clock, pool: new TaskPool({ concurrency, queue, clock }) };
}

/** A promise and how to settle it. */
function gate(): { readonly passed: Promise<void>; open: () => void } {
  let open: () => void = () => undefined;
  const passed = new Promise<void>((resolve) => (open = resolve));
  return { passed, open: () => open() };
}

function fail(error: Error): never {
  throw error;
}

describe('TaskPool', () => {
  it('runs functions, async functions, generators and async generators, and gives their values', async () => {
    const { pool } = makePool(2);
    const values = await Promise.all([
      pool.run(() => 1),
      pool.run(async () => Promise.resolve('two')),
      pool.run(function* () {
        yield 'ignored';
        return 3;
      }),
      pool.run(async function* () {
        yield 'ignored';
        await Promise.resolve();
        yield;
        return 'four';
      }),
      pool.run(() => [5]),
    ]);
    expect(values).toEqual([1, 'two', 3, 'four', [5]]);
    expect(pool.pending).toBe(0);
  });

  it('rejects with what a task throws, in whatever slice', async () => {
    const { pool } = makePool();
    const error = new Error('in the task');
    const fail = () => {
      throw error;
    };
    await expect(pool.run(fail)).rejects.toBe(error);
    await expect(pool.run(() => Promise.reject(error))).rejects.toBe(error);
    const steps = pool.run(function* () {
      yield;
      fail();
    });
    await expect(steps).rejects.toBe(error);
    expect(pool.pending).toBe(0);
  });

  it('sets a generator aside after each step, so that others have their turns', async () => {
    const { pool } = makePool(1, 'single');
    const order: string[] = [];
    const task = (name: string) =>
      function* () {
        for (let step = 0; step < 3; step++) {
          order.push(`${name}${step}`);
          yield;
        }
      };
    await Promise.all([pool.run(task('a')), pool.run(task('b'))]);
    expect(order).toEqual(['a0', 'b0', 'a1', 'b1', 'a2', 'b2']);
  });

  it('never runs more slices at a time than its concurrency, and heeds a new one while tasks run', async () => {
    const { pool } = makePool(2);
    const gates = Array.from({ length: 6 }, gate);
    let running = 0;
    const tasks = gates.map((own) =>
      pool.run(async () => {
        running++;
        await own.passed;
        running--;
      }),
    );
    await settle();
    expect(running).toBe(2);
    pool.concurrency = 4;
    await settle();
    expect(running).toBe(4);
    pool.concurrency = 1;
    gates.slice(0, 3).forEach(({ open }) => open());
    await settle();
    expect(running).toBe(1);
    gates[3]?.open();
    await settle();
    expect(running).toBe(1);
    gates.forEach(({ open }) => open());
    await Promise.all(tasks);
  });

  it('counts the synchronous time of each slice, up to its first await, and what is wrapped in measure', async () => {
    const { clock, pool } = makePool();
    let handle: TaskHandle | undefined;
    await pool.run(async function* (own) {
      handle = own;
      clock.work(3);
      yield;
      clock.work(4);
      await Promise.resolve();
      clock.work(100); // Whether this was work or waiting cannot be seen from outside.
      own.measure(() => clock.work(7));
      yield;
      own.measure(() => clock.work(1)); // It is counted anyway, and once.
      clock.work(2);
    });
    expect(handle?.elapsed).toBe(17);
    expect(pool.elapsed).toBe(17);
  });

  it('counts the tasks of one id together', async () => {
    const { clock, pool } = makePool();
    await pool.run(() => clock.work(30), { id: 'request 7' });
    await pool.run(() => clock.work(500));
    const elapsed = await pool.run((handle) => handle.elapsed, { id: 'request 7' });
    expect(elapsed).toBe(30);
  });

  it('lets the event loop of the host turn between slices, by time and by number', async () => {
    const { clock, pool } = makePool(2);
    await pool.run(function* () {
      for (let step = 0; step < 20; step++) {
        clock.work(2.5);
        yield;
      }
    });
    expect(clock.hostTurns).toBe(10);
    const weightless = makePool();
    await weightless.pool.run(function* () {
      for (let step = 0; step < 5000; step++) yield;
    });
    expect(weightless.clock.hostTurns).toBe(4);
  });

  it('refuses more tasks than its capacity', async () => {
    const { passed, open } = gate();
    const pool = new TaskPool({ concurrency: 1, capacity: 2, clock: new WorkClock() });
    const tasks = [pool.run(() => passed), pool.run(() => passed)];
    await expect(pool.run(() => passed)).rejects.toMatchObject({ code: 'QUEUE_FULL' });
    open();
    await Promise.all(tasks);
    await expect(pool.run(() => 1)).resolves.toBe(1);
  });

  it('checks its options and those of a task', async () => {
    expect(() => new TaskPool({ concurrency: 0 })).toThrow(/concurrency must be a whole number from 1 on, got 0/);
    expect(() => new TaskPool({ concurrency: 1, capacity: 1.5 })).toThrow(/capacity .* got 1.5/);
    const { pool } = makePool();
    expect(() => (pool.concurrency = NaN)).toThrow(/concurrency .* got NaN/);
    await expect(pool.run(() => 1, { level: 3 as 2 })).rejects.toMatchObject({ code: 'INVALID_OPTION' });
    await expect(pool.run(() => 1, { priority: NaN })).rejects.toThrow(/priority .* got NaN/);
  });
});

describe('a task whose signal aborts', () => {
  const reason = new Error('cancelled by the test');

  it('is not begun when the signal has aborted already', async () => {
    const { pool } = makePool();
    let hasRun = false;
    await expect(pool.run(() => (hasRun = true), { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    expect([hasRun, pool.pending]).toEqual([false, 0]);
  });

  it('leaves the queue at once while it waits, and its place is free', async () => {
    const { pool } = makePool();
    const { passed, open } = gate();
    const controller = new AbortController();
    const first = pool.run(() => passed);
    let hasRun = false;
    const second = pool.run(() => (hasRun = true), { signal: controller.signal });
    const third = pool.run(() => 'third');
    await settle();
    controller.abort(reason);
    await expect(second).rejects.toBe(reason);
    expect(pool.pending).toBe(2);
    open();
    await first;
    await expect(third).resolves.toBe('third');
    expect(hasRun).toBe(false);
  });

  it('runs its finally blocks, whole, when it is set aside', async () => {
    const { pool } = makePool();
    const { passed, open } = gate();
    const controller = new AbortController();
    const seen: string[] = [];
    const scan = pool.run(
      async function* () {
        try {
          for (;;) yield;
        } finally {
          seen.push('closing');
          yield;
          await Promise.resolve();
          seen.push('closed');
        }
      },
      { signal: controller.signal },
    );
    const blocker = pool.run(() => passed);
    await settle();
    controller.abort(reason);
    await expect(scan).rejects.toBe(reason);
    expect(seen).toEqual(['closing', 'closed']);
    open();
    await blocker;
  });

  it('is left in peace in its finally blocks, also when the pool is stopped meanwhile', async () => {
    const { pool } = makePool();
    const { passed, open } = gate();
    const controller = new AbortController();
    const seen: string[] = [];
    const scan = pool.run(
      function* () {
        try {
          for (;;) yield;
        } finally {
          seen.push('closing');
          for (let step = 0; step < 10; step++) yield;
          seen.push('closed');
        }
      },
      { signal: controller.signal },
    );
    const blocker = pool.run(() => passed);
    await settle();
    controller.abort(reason);
    const stopped = pool.stop();
    await expect(scan).rejects.toBe(reason);
    expect(seen).toEqual(['closing', 'closed']);
    open();
    await Promise.all([stopped, blocker]);
  });

  it('rejects with what its finally block throws', async () => {
    const { pool } = makePool();
    const error = new Error('could not close');
    const scan = pool.run(function* () {
      try {
        for (;;) yield;
      } finally {
        fail(error);
      }
    });
    const ended = expect(scan).rejects.toBe(error);
    await pool.stop();
    await ended;
  });

  it('ends after its slice while it runs, and sees the signal of its handle', async () => {
    const { pool } = makePool();
    const { passed, open } = gate();
    const controller = new AbortController();
    let handle: TaskHandle | undefined;
    let steps = 0;
    const scan = pool.run(
      async function* (own) {
        handle = own;
        for (;;) {
          steps++;
          await passed;
          yield;
        }
      },
      { signal: controller.signal },
    );
    await settle();
    expect(handle?.signal.aborted).toBe(false);
    controller.abort(reason);
    expect(handle?.signal.reason).toBe(reason);
    expect(pool.pending).toBe(1);
    open();
    await expect(scan).rejects.toBe(reason);
    expect([steps, pool.pending]).toEqual([1, 0]);
  });

  it('has only one listener at a signal that many tasks share, and none when they have ended', async () => {
    const { pool } = makePool();
    const { passed, open } = gate();
    const { signal } = new AbortController();
    const tasks = Array.from({ length: 100 }, () => pool.run(() => passed, { signal }));
    expect(getEventListeners(signal, 'abort')).toHaveLength(1);
    open();
    await Promise.all(tasks);
    await settle();
    expect(getEventListeners(signal, 'abort')).toHaveLength(0);
  });
});

describe('TaskPool.stop', () => {
  it('ends what waits at once, what runs after its slice, and refuses what comes later', async () => {
    const { pool } = makePool();
    const { passed, open } = gate();
    let seenByRunning: unknown;
    const running = pool.run(async (handle) => {
      handle.signal.addEventListener('abort', () => {
        seenByRunning = handle.signal.reason;
      });
      await passed;
      return 'finished';
    });
    let hasRun = false;
    const waiting = pool.run(() => (hasRun = true));
    await settle();
    let isStopped = false;
    const stopped = pool.stop().then(() => (isStopped = true));
    await expect(waiting).rejects.toMatchObject({ code: 'STOPPED' });
    await expect(pool.run(() => 1)).rejects.toMatchObject({ code: 'STOPPED' });
    expect([hasRun, isStopped]).toEqual([false, false]);
    expect(seenByRunning).toMatchObject({ code: 'STOPPED' });
    open();
    await expect(running).resolves.toBe('finished');
    await stopped;
    await pool.stop();
    expect(pool.pending).toBe(0);
  });

  it('is what the signal of the pool does, and its reason is the cause', async () => {
    const controller = new AbortController();
    const pool = new TaskPool({ concurrency: 1, clock: new WorkClock(), signal: controller.signal });
    const endless = pool.run(function* () {
      for (;;) yield;
    });
    await settle();
    const reason = new Error('the host is going down');
    controller.abort(reason);
    await expect(endless).rejects.toMatchObject({ code: 'STOPPED', cause: reason });
    await pool.stop();
    expect(getEventListeners(controller.signal, 'abort')).toHaveLength(0);
  });

  it('finishes and forgets every task, whatever ends it, and never runs too many slices at a time', async () => {
    const taskKind = fc.constantFrom('value', 'async', 'steps', 'asyncSteps', 'error');
    const plan = fc.record({
      kind: taskKind,
      steps: fc.nat(4),
      abortAfter: fc.option(fc.nat(12), { nil: undefined }),
      id: fc.option(fc.nat(3), { nil: undefined }),
      level: fc.constantFrom(undefined, 0 as const, 1 as const, 2 as const),
      priority: fc.integer({ min: -2, max: 2 }),
    });
    const kinds = fc.constantFrom<QueueKind>('multilevel', 'single', 'priority');
    const property = fc.asyncProperty(
      fc.array(plan, { maxLength: 25 }),
      kinds,
      fc.integer({ min: 1, max: 4 }),
      fc.option(fc.nat(20), { nil: undefined }),
      async (plans, kind, concurrency, stopAfter) => {
        const { clock, pool } = makePool(concurrency, kind);
        let running = 0;
        let most = 0;
        let begun = 0;
        let left = 0;
        const slice = (body: () => void) => {
          most = Math.max(most, ++running);
          body();
          running--;
        };
        const controllers: AbortController[] = [];
        const tasks = plans.map(({ kind, steps, abortAfter, id, level, priority }, index) => {
          const controller = new AbortController();
          if (abortAfter !== undefined) controllers[abortAfter] = controller;
          const options = { id, level, priority, signal: controller.signal };
          if (kind === 'value') return pool.run(() => slice(() => clock.work(index)), options);
          if (kind === 'error') return pool.run(() => Promise.reject(new Error('planned')), options);
          if (kind === 'async') {
            return pool.run(async () => {
              most = Math.max(most, ++running);
              await settle();
              running--;
            }, options);
          }
          return pool.run(async function* () {
            begun++;
            try {
              for (let step = 0; step < steps; step++) {
                slice(() => clock.work(4));
                if (kind === 'asyncSteps') await Promise.resolve();
                yield;
              }
            } finally {
              left++;
            }
          }, options);
        });
        const all = Promise.allSettled(tasks);
        for (let tick = 0; tick < 21; tick++) {
          controllers[tick]?.abort(new Error('aborted'));
          if (tick === stopAfter) void pool.stop();
          await Promise.resolve();
        }
        const outcomes = await all;
        expect(outcomes).toHaveLength(plans.length);
        expect(pool.pending).toBe(0);
        expect(left).toBe(begun);
        expect(most).toBeLessThanOrEqual(concurrency);
        await pool.stop();
      },
    );
    await fc.assert(property, { numRuns: 200 });
  });
});
