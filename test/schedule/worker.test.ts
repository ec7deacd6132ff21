import { getEventListeners } from 'node:events';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { BackupError } from '../../src/core/errors.js';
import type { Runnable, RunnableWithTimer } from '../../src/schedule/runnable.js';
import type { Scheduler } from '../../src/schedule/scheduler.js';
import { Builder, type Worker } from '../../src/schedule/worker.js';
import { ManualClock } from '../../src/testing/manual-clock.js';
import { settle } from './fakes.js';

/** Records every call, and waits in `run` for tasks whose gates are closed. */
class Recorder implements RunnableWithTimer<string> {
  interval: number;
  readonly calls: string[] = [];
  /** Tasks that do not end before their gate is opened. */
  readonly gates = new Map<string, () => void>();
  #running = 0;

  constructor(interval = 0) {
    this.interval = interval;
  }

  get shutdowns(): number {
    return this.calls.filter((call) => call === 'shutdown').length;
  }

  async run(task: string): Promise<void> {
    expect(++this.#running).toBe(1);
    this.calls.push(task);
    if (task.startsWith('held')) await new Promise<void>((resolve) => this.gates.set(task, resolve));
    this.#running--;
    if (task.startsWith('error')) throw new Error(task);
  }

  onTick(): void {
    expect(this.#running).toBe(0);
    this.calls.push('tick');
  }

  onTimeout(): void {
    expect(this.#running).toBe(0);
    this.calls.push('timeout');
  }

  shutdown(): void {
    expect(this.#running).toBe(0);
    this.calls.push('shutdown');
  }
}

/** What the worker told about failures, and a worker that is stopped, whatever it fails with. */
function makeWorker(adapt: (builder: Builder) => Builder = (builder) => builder) {
  const clock = new ManualClock();
  const failures: string[] = [];
  const onFailure = ({ name, error }: { name: string; error: unknown }) => failures.push(`${name}: ${String(error)}`);
  const worker = adapt(new Builder('test').clock(clock).onFailure(onFailure)).create();
  return { clock, worker, failures };
}

function scheduleAll(scheduler: Scheduler<string>, tasks: readonly string[]): void {
  for (const task of tasks) scheduler.schedule(task);
}

describe('Worker', () => {
  it('runs the tasks of a runnable one after another, in order, and ticks when nothing more waits', async () => {
    const { worker } = makeWorker((builder) => builder.concurrency(4));
    const recorder = new Recorder();
    const scheduler = worker.start('recorder', recorder);
    expect([scheduler.isBusy, scheduler.pendingTasks]).toEqual([false, 0]);
    scheduleAll(scheduler, ['a', 'held b', 'c']);
    await settle();
    expect(recorder.calls).toEqual(['a', 'held b']);
    expect([scheduler.isBusy, scheduler.pendingTasks]).toEqual([true, 2]);
    recorder.gates.get('held b')?.();
    await settle();
    scheduler.schedule('d');
    await settle();
    expect(recorder.calls).toEqual(['a', 'held b', 'c', 'tick', 'd', 'tick']);
    expect([scheduler.isBusy, scheduler.pendingTasks]).toEqual([false, 0]);
    await worker.stop();
    expect(recorder.calls.slice(6)).toEqual(['shutdown']);
  });

  it('ticks after 128 runs at the latest', async () => {
    const { worker } = makeWorker();
    const recorder = new Recorder();
    const scheduler = worker.start('recorder', recorder);
    for (let task = 0; task < 300; task++) scheduler.schedule(String(task));
    await settle();
    const ticks = recorder.calls.flatMap((call, index) => (call === 'tick' ? [index] : []));
    expect(ticks).toEqual([128, 257, 302]);
    await worker.stop();
  });

  it('refuses more than its capacity, of all runnables together, unless forced to', async () => {
    const { worker } = makeWorker((builder) => builder.pendingCapacity(3));
    const recorders = [new Recorder(), new Recorder()] as const;
    const [first, second] = [worker.start('first', recorders[0]), worker.start('second', recorders[1])];
    scheduleAll(first, ['held a', 'b']);
    second.schedule('c');
    expect(() => first.schedule('d')).toThrow(
      expect.objectContaining({ code: 'QUEUE_FULL', retryable: true }) as Error,
    );
    expect(() => second.schedule('d')).toThrow(expect.objectContaining({ code: 'QUEUE_FULL' }) as Error);
    second.scheduleForce('forced');
    expect(second.pendingTasks).toBe(4);
    await settle();
    recorders[0].gates.get('held a')?.();
    await settle();
    first.schedule('e');
    await settle();
    expect(recorders.map(({ calls }) => calls)).toEqual([
      ['held a', 'b', 'tick', 'e', 'tick'],
      ['c', 'forced', 'tick'],
    ]);
    await worker.stop();
  });

  it('runs as many runnables at a time as its concurrency', async () => {
    const { worker } = makeWorker((builder) => builder.concurrency(2));
    const recorders = [new Recorder(), new Recorder(), new Recorder()];
    recorders.forEach((recorder, index) => worker.start(String(index), recorder).schedule('held'));
    expect(worker.isBusy).toBe(true);
    await settle();
    expect(recorders.map(({ calls }) => calls.length)).toEqual([1, 1, 0]);
    recorders[0]?.gates.get('held')?.();
    await settle();
    expect(recorders.map(({ calls }) => calls.filter((call) => call === 'held').length)).toEqual([1, 1, 1]);
    for (const { gates } of recorders) gates.get('held')?.();
    await worker.stop();
  });

  it('lets runnables have their turns in between when one has much to do', async () => {
    const { worker } = makeWorker();
    const order: string[] = [];
    const runnable: Runnable<string> = { run: (task) => void order.push(task) };
    const [busy, idle] = [worker.start('busy', runnable), worker.start('idle', runnable)];
    scheduleAll(busy, ['a', 'b', 'c']);
    idle.schedule('z');
    await settle();
    expect(order).toEqual(['a', 'z', 'b', 'c']);
    await worker.stop();
  });

  it('is stopped: what waits is dropped, what runs is finished, and shutdown comes last and once', async () => {
    const { worker } = makeWorker();
    const recorder = new Recorder();
    const scheduler = worker.start('recorder', recorder);
    scheduleAll(scheduler, ['held a', 'b', 'c']);
    await settle();
    let isStopped = false;
    const stopped = worker.stop().then(() => (isStopped = true));
    await settle();
    expect(isStopped).toBe(false);
    expect(() => scheduler.schedule('d')).toThrow(expect.objectContaining({ code: 'STOPPED' }) as Error);
    expect(() => scheduler.scheduleForce('d')).toThrow(expect.objectContaining({ code: 'STOPPED' }) as Error);
    expect(() => worker.start('late', recorder)).toThrow(expect.objectContaining({ code: 'STOPPED' }) as Error);
    recorder.gates.get('held a')?.();
    await stopped;
    await worker.stop();
    expect(recorder.calls).toEqual(['held a', 'shutdown']);
    expect([worker.pendingTasks, worker.isBusy]).toEqual([0, true]);
  });

  it('is stopped by its signal, and leaves nothing there', async () => {
    const controller = new AbortController();
    const { worker } = makeWorker((builder) => builder.signal(controller.signal));
    const recorder = new Recorder(100);
    worker.startWithTimer('recorder', recorder);
    controller.abort();
    await worker.stop();
    expect(recorder.calls).toEqual(['shutdown']);
    expect(getEventListeners(controller.signal, 'abort')).toHaveLength(0);
    const { worker: late } = makeWorker((builder) => builder.signal(controller.signal));
    expect(() => late.start('late', recorder)).toThrow(/has been stopped/);
  });

  it('runs what was scheduled when only the scheduler is stopped', async () => {
    const { worker } = makeWorker();
    const recorder = new Recorder();
    const scheduler = worker.start('recorder', recorder);
    scheduleAll(scheduler, ['a', 'b']);
    scheduler.stop();
    expect(() => scheduler.schedule('c')).toThrow(/takes no more tasks/);
    await settle();
    expect(recorder.calls).toEqual(['a', 'b', 'tick', 'shutdown']);
    await worker.stop();
    expect(recorder.shutdowns).toBe(1);
  });

  it('ends a runnable that fails, with its shutdown, and leaves the others alone', async () => {
    const { worker, failures } = makeWorker();
    const [failing, other] = [new Recorder(), new Recorder()];
    const scheduler = worker.start('failing', failing);
    const otherScheduler = worker.start('other', other);
    scheduleAll(scheduler, ['a', 'error b', 'c']);
    await settle();
    expect(failing.calls).toEqual(['a', 'error b', 'shutdown']);
    expect(failures).toEqual(['failing: Error: error b']);
    const refusal = expect.objectContaining({ code: 'STOPPED', cause: new Error('error b') }) as Error;
    expect(() => scheduler.schedule('d')).toThrow(refusal);
    expect(worker.pendingTasks).toBe(0);
    otherScheduler.schedule('e');
    await settle();
    expect(other.calls).toEqual(['e', 'tick']);
    await expect(worker.stop()).rejects.toThrow('error b');
    expect([failing.shutdowns, other.shutdowns]).toEqual([1, 1]);
  });

  it('reports what a tick, a timeout or a shutdown fails with, and shuts down once all the same', async () => {
    const fail = (what: string) => () => {
      throw new Error(what);
    };
    for (const what of ['onTick', 'onTimeout', 'shutdown'] as const) {
      const { clock, worker, failures } = makeWorker();
      let shutdowns = 0;
      const runnable = {
        interval: 10,
        run: () => undefined,
        onTimeout: () => undefined,
        ...(what === 'shutdown' ? {} : { [what]: fail(what) }),
        shutdown: () => {
          shutdowns++;
          if (what === 'shutdown') fail(what)();
        },
      };
      worker.startWithTimer('recorder', runnable).schedule('a');
      await clock.advance(10);
      await expect(worker.stop()).rejects.toThrow(what);
      expect([shutdowns, failures, clock.pendingTimers]).toEqual([1, [`recorder: Error: ${what}`], 0]);
    }
  });

  it('takes an error of the runnable that says STOPPED for an error, unless it is stopping itself', async () => {
    const { worker, failures } = makeWorker();
    let shutdowns = 0;
    const run = () => Promise.reject(new BackupError('STOPPED', 'another pool has been stopped'));
    worker.start('recorder', { run, shutdown: () => void (shutdowns += 1) }).schedule('a');
    await settle();
    expect([failures, shutdowns]).toEqual([['recorder: BackupError: another pool has been stopped'], 1]);
    await expect(worker.stop()).rejects.toThrow('another pool');
  });

  it('tells of the first failure when it is stopped, and of each when it happens', async () => {
    const { worker, failures } = makeWorker();
    worker.start('first', new Recorder()).schedule('error 1');
    await settle();
    worker.start('second', new Recorder()).schedule('error 2');
    await settle();
    expect(failures).toEqual(['first: Error: error 1', 'second: Error: error 2']);
    await expect(worker.stop()).rejects.toThrow('error 1');
  });

  it('waits for a shutdown that takes its time', async () => {
    const { worker } = makeWorker();
    let hasShutDown = false;
    worker.start('slow', {
      run: () => undefined,
      shutdown: async () => {
        await settle();
        hasShutDown = true;
      },
    });
    await worker.stop();
    expect(hasShutDown).toBe(true);
  });

  it('checks its options', () => {
    expect(() => new Builder('test').concurrency(0).create()).toThrow(/concurrency .* got 0/);
    expect(() => new Builder('test').pendingCapacity(-1).create()).toThrow(/pendingCapacity .* got -1/);
    const { worker } = makeWorker();
    expect(() => worker.startWithTimer('test', new Recorder(-1))).toThrow(/interval .* got -1/);
    expect(() => worker.spawnIntervalTask(0, () => undefined)).toThrow(/interval .* got 0/);
  });
});

describe('RunnableWithTimer', () => {
  it('times out between runs, an interval after the timeout before, which is read anew', async () => {
    const { clock, worker } = makeWorker();
    const recorder = new Recorder(100);
    const scheduler = worker.startWithTimer('recorder', recorder);
    await clock.advance(99);
    expect(recorder.calls).toEqual([]);
    scheduler.schedule('held a');
    await clock.advance(50);
    expect(recorder.calls).toEqual(['held a']);
    recorder.interval = 10;
    recorder.gates.get('held a')?.();
    await clock.settle();
    expect(recorder.calls).toEqual(['held a', 'timeout', 'tick']);
    await clock.advance(9);
    expect(recorder.calls).toHaveLength(3);
    recorder.interval = 0;
    await clock.advance(1);
    expect(recorder.calls.slice(3)).toEqual(['timeout']);
    expect(clock.pendingTimers).toBe(0);
    await clock.advance(1000);
    expect(recorder.calls).toHaveLength(4);
    await worker.stop();
  });

  it('leaves no timer behind', async () => {
    const { clock, worker } = makeWorker();
    const scheduler = worker.startWithTimer('recorder', new Recorder(100));
    expect(clock.pendingTimers).toBe(1);
    scheduler.stop();
    await clock.settle();
    expect(clock.pendingTimers).toBe(0);
    worker.startWithTimer('another', new Recorder(100));
    await worker.stop();
    expect(clock.pendingTimers).toBe(0);
  });
});

describe('spawnIntervalTask', () => {
  it('calls now and every interval, never twice at a time, until the worker stops', async () => {
    const { clock, worker } = makeWorker();
    const times: number[] = [];
    let release: (() => void) | undefined;
    worker.spawnIntervalTask(100, () => {
      times.push(clock.now());
      return times.length === 3 ? new Promise((resolve) => (release = resolve)) : undefined;
    });
    await clock.advance(250);
    expect(times).toEqual([0, 100, 200]);
    await clock.advance(200);
    expect(times).toHaveLength(3);
    release?.();
    await clock.advance(0);
    expect(times).toEqual([0, 100, 200, 450]);
    await clock.advance(100);
    expect(times).toEqual([0, 100, 200, 450, 550]);
    await worker.stop();
    expect(clock.pendingTimers).toBe(0);
  });

  it('is told when the worker stops, and waited for', async () => {
    const { worker, failures } = makeWorker();
    let hasLeft = false;
    worker.spawnIntervalTask(
      100,
      (signal) =>
        new Promise((_resolve, reject) => {
          signal.addEventListener('abort', () => {
            hasLeft = true;
            reject(signal.reason as Error);
          });
        }),
    );
    await settle();
    await worker.stop();
    expect([hasLeft, failures]).toEqual([true, []]);
  });

  it('ends with an error, which is a failure of the worker', async () => {
    const { clock, worker, failures } = makeWorker();
    let calls = 0;
    worker.spawnIntervalTask(10, () => {
      calls++;
      throw new Error('in the task');
    });
    await clock.advance(100);
    expect([calls, failures]).toEqual([1, ['test: Error: in the task']]);
    await expect(worker.stop()).rejects.toThrow('in the task');
  });
});

describe('LazyWorker', () => {
  it('keeps what is scheduled before the start, and runs it then', async () => {
    const { worker } = makeWorker((builder) => builder.pendingCapacity(2));
    const lazy = worker.lazyBuild<string>('lazy');
    scheduleAll(lazy.scheduler, ['a', 'b']);
    expect(() => lazy.scheduler.schedule('c')).toThrow(/2 pending tasks already/);
    await settle();
    const [recorder, second] = [new Recorder(), new Recorder()];
    expect(lazy.start(recorder)).toBe(true);
    expect(lazy.startWithTimer(second)).toBe(false);
    await settle();
    expect(recorder.calls).toEqual(['a', 'b', 'tick']);
    await lazy.stopWorker();
    expect([recorder.shutdowns, second.calls]).toEqual([1, []]);
  });

  it('can be stopped before it is started: what was scheduled is still run then', async () => {
    const { worker } = makeWorker();
    const lazy = worker.lazyBuild<string>('lazy');
    lazy.scheduler.schedule('a');
    lazy.stop();
    expect(() => lazy.scheduler.schedule('b')).toThrow(/takes no more tasks/);
    const recorder = new Recorder();
    lazy.start(recorder);
    await settle();
    expect(recorder.calls).toEqual(['a', 'tick', 'shutdown']);
    await worker.stop();
  });

  it('drops what was scheduled when the worker is stopped before it is started', async () => {
    const { worker } = makeWorker();
    const lazy = worker.lazyBuild<string>('lazy');
    lazy.scheduler.schedule('a');
    await worker.stop();
    expect(worker.pendingTasks).toBe(0);
    const recorder = new Recorder();
    expect(() => lazy.start(recorder)).toThrow(expect.objectContaining({ code: 'STOPPED' }) as Error);
    expect(() => lazy.scheduler.schedule('b')).toThrow(/takes no more tasks/);
    expect(recorder.calls).toEqual([]);
  });
});

type Action =
  | { readonly schedule: number; readonly kind: string }
  | { readonly open: number }
  | { readonly stop: number }
  | { readonly advance: number };

it('whatever is done to a worker, each runnable shuts down once and last, and tasks are run in order', async () => {
  const action: fc.Arbitrary<Action> = fc.oneof(
    { weight: 8, arbitrary: fc.record({ schedule: fc.nat(2), kind: fc.constantFrom('task', 'task', 'task', 'held') }) },
    { weight: 1, arbitrary: fc.record({ schedule: fc.nat(2), kind: fc.constant('error') }) },
    { weight: 4, arbitrary: fc.record({ open: fc.nat(2) }) },
    { weight: 1, arbitrary: fc.record({ stop: fc.nat(2) }) },
    { weight: 4, arbitrary: fc.record({ advance: fc.nat(30) }) },
  );
  const run = async (worker: Worker, clock: ManualClock, actions: readonly Action[]) => {
    const recorders = [new Recorder(), new Recorder(20), new Recorder(7)];
    const schedulers = recorders.map((recorder, index) => worker.startWithTimer(String(index), recorder));
    const scheduled: string[][] = [[], [], []];
    const open = (recorder: Recorder | undefined) => recorder?.gates.forEach((release) => release());
    for (const [number, action] of actions.entries()) {
      if ('schedule' in action) {
        const task = `${action.kind} ${number}`;
        try {
          schedulers[action.schedule]?.schedule(task);
          scheduled[action.schedule]?.push(task);
        } catch (error) {
          expect(error).toMatchObject({ code: expect.stringMatching(/QUEUE_FULL|STOPPED/) as string });
        }
      } else if ('open' in action) open(recorders[action.open]);
      else if ('stop' in action) schedulers[action.stop]?.stop();
      else await clock.advance(action.advance);
      expect(worker.pendingTasks).toBeLessThanOrEqual(4);
    }
    const stopped = worker.stop().catch((error: unknown) => expect(String(error)).toMatch(/error \d/));
    await settle();
    recorders.forEach(open);
    await stopped;
    return { recorders, scheduled };
  };
  const property = fc.asyncProperty(
    fc.array(action, { maxLength: 40 }),
    fc.integer({ min: 1, max: 3 }),
    async (actions, concurrency) => {
      const { clock, worker } = makeWorker((builder) => builder.concurrency(concurrency).pendingCapacity(4));
      const { recorders, scheduled } = await run(worker, clock, actions);
      recorders.forEach(({ calls }, index) => {
        expect(calls.indexOf('shutdown')).toBe(calls.length - 1);
        const tasks = calls.filter((call) => /\d/.test(call));
        expect(tasks).toEqual(scheduled[index]?.slice(0, tasks.length));
      });
      expect([worker.pendingTasks, clock.pendingTimers]).toEqual([0, 0]);
    },
  );
  await fc.assert(property, { numRuns: 100 });
});
