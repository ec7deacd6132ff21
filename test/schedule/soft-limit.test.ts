import { getEventListeners } from 'node:events';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { backupSettings } from '../../src/schedule/backup-settings.js';
import { HostLoad, type LoadSample } from '../../src/schedule/host-load.js';
import { SoftLimit, type SoftLimitGuard } from '../../src/schedule/soft-limit.js';
import { SoftLimitKeeper } from '../../src/schedule/soft-limit-keeper.js';
import { ManualClock } from '../../src/testing/manual-clock.js';
import { settle } from './fakes.js';

describe('SoftLimit', () => {
  it('lets as many begin as it has places, in order', async () => {
    const limit = new SoftLimit(2);
    const begun: number[] = [];
    const guards = [0, 1, 2, 3].map((index) => limit.guard().then((guard) => (begun.push(index), guard)));
    await settle();
    expect([begun, limit.active, limit.waiting]).toEqual([[0, 1], 2, 2]);
    (await guards[1])?.release();
    (await guards[1])?.release();
    await settle();
    expect([begun, limit.active, limit.waiting]).toEqual([[0, 1, 2], 2, 1]);
  });

  it('is resized while tasks run: more begin at once, fewer when enough have ended', async () => {
    const limit = new SoftLimit(1);
    const guards: SoftLimitGuard[] = [];
    for (let index = 0; index < 6; index++) void limit.guard().then((guard) => guards.push(guard));
    limit.resize(4);
    await settle();
    expect(guards).toHaveLength(4);
    limit.resize(2);
    expect([limit.cap, limit.active]).toEqual([2, 4]);
    guards[0]?.release();
    guards[1]?.release();
    await settle();
    expect(guards).toHaveLength(4);
    guards[2]?.release();
    await settle();
    expect([guards.length, limit.active]).toEqual([5, 2]);
  });

  it('gives the place back when the work fails, and whoever gives up waiting takes none', async () => {
    const limit = new SoftLimit(1);
    await expect(limit.run(() => Promise.reject(new Error('in the work')))).rejects.toThrow('in the work');
    const guard = await limit.guard();
    const controller = new AbortController();
    const waiting = limit.guard(controller.signal);
    const next = limit.run(() => 'next');
    controller.abort(new Error('cancelled by the test'));
    await expect(waiting).rejects.toThrow('cancelled by the test');
    await expect(limit.guard(controller.signal)).rejects.toThrow('cancelled by the test');
    guard.release();
    await expect(next).resolves.toBe('next');
    expect([limit.active, limit.waiting]).toEqual([0, 0]);
    const unused = new AbortController();
    await limit.run(() => 1, unused.signal);
    expect(getEventListeners(unused.signal, 'abort')).toHaveLength(0);
  });

  it('never has more begin than there are places, and lets all begin in the end', async () => {
    const step = fc.oneof(
      fc.constant('take' as const),
      fc.constant('end' as const),
      fc.record({ cap: fc.integer({ min: 1, max: 6 }) }),
      fc.record({ abort: fc.nat(20) }),
    );
    const property = fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
      const limit = new SoftLimit(2);
      const running: SoftLimitGuard[] = [];
      const controllers: AbortController[] = [];
      let begun = 0;
      let aborted = 0;
      for (const step of steps) {
        const before = begun;
        const activeBefore = limit.active;
        if (step === 'take') {
          const controller = new AbortController();
          controllers.push(controller);
          limit.guard(controller.signal).then(
            (guard) => void (begun++, running.push(guard)),
            () => aborted++,
          );
        } else if (step === 'end') running.shift()?.release();
        else if ('cap' in step) limit.resize(step.cap);
        else controllers[step.abort]?.abort();
        await Promise.resolve();
        await Promise.resolve();
        expect(limit.active).toBe(running.length);
        if (begun > before) expect(limit.active).toBeLessThanOrEqual(limit.cap);
        else expect(limit.active).toBeLessThanOrEqual(activeBefore);
        if (limit.waiting > 0) expect(limit.active).toBeGreaterThanOrEqual(limit.cap);
      }
      while (running.length > 0) {
        running.shift()?.release();
        await Promise.resolve();
      }
      await settle();
      expect([limit.active, limit.waiting, begun + aborted]).toEqual([0, 0, controllers.length]);
    });
    await fc.assert(property, { numRuns: 200 });
  });

  it('refuses a limit below 1', () => {
    expect(() => new SoftLimit(0)).toThrow(/cap must be a whole number from 1 on, got 0/);
    expect(() => new SoftLimit(1).resize(1.5)).toThrow(/got 1.5/);
  });
});

const calm: LoadSample = { cores: 16, machineBusy: 0, processBusy: 0, eventLoopDelay: 1 };

/** A keeper under made-up loads. */
function keeping(sample: Partial<LoadSample> = {}, settings = {}) {
  let load: LoadSample = { ...calm, ...sample };
  let samples = 0;
  const statistics = {
    sample: () => {
      samples++;
      return load;
    },
  };
  const clock = new ManualClock();
  const keeper = new SoftLimitKeeper({
    settings: { numThreads: 8, enableAutoTune: true, autoTuneRemainThreads: 2, ...settings },
    statistics,
    clock,
  });
  const under = (next: Partial<LoadSample>) => {
    load = { ...calm, ...next };
    keeper.tick();
    return keeper.limit.cap;
  };
  return { keeper, clock, under, samples: () => samples };
}

describe('SoftLimitKeeper', () => {
  it('leaves the others their cores, and some more', () => {
    const { under } = keeping();
    expect(under({ machineBusy: 3 })).toBe(8);
    expect(under({ machineBusy: 9.5 })).toBe(4);
    expect(under({ machineBusy: 15.9 })).toBe(1);
    expect(under({ machineBusy: 16 })).toBe(1);
    expect(under({ machineBusy: 0 })).toBe(8);
  });

  it('does not take its own tasks for others, as far as they can be told', () => {
    const { under } = keeping();
    // 8 tasks use 8 cores, others 2: all that is left over is the backup's, less 2.
    expect(under({ machineBusy: 10, processBusy: 8 })).toBe(8);
    // Of a process that uses 12 cores, 8 can be the backup's.
    expect(under({ machineBusy: 12, processBusy: 12 })).toBe(8);
    expect(under({ machineBusy: 15, processBusy: 12 })).toBe(7);
    expect(under({ machineBusy: 15, processBusy: 0 })).toBe(1);
  });

  it('halves the limit while the event loop is late, and raises it one by one when it is calm again', () => {
    const { under } = keeping();
    const delays = [60, 60, 200, 200, 30, 30, 10, 10, 30, 10, 80, 10, 10, 10, 10, 10, 10, 10];
    expect(delays.map((eventLoopDelay) => under({ eventLoopDelay }))).toEqual([
      4, 2, 1, 1, 1, 1, 2, 3, 3, 4, 2, 3, 4, 5, 6, 7, 8, 8,
    ]);
  });

  it('obeys whichever bound is lower', () => {
    const { under } = keeping();
    expect(under({ machineBusy: 11, eventLoopDelay: 60 })).toBe(3);
    expect(under({ machineBusy: 11, eventLoopDelay: 30 })).toBe(3);
    expect(under({ eventLoopDelay: 30 })).toBe(4);
  });

  it('stays between 1 and numThreads under any load', () => {
    const sample = fc.record({
      cores: fc.integer({ min: 1, max: 64 }),
      machineBusy: fc.double({ min: 0, max: 64, noNaN: true }),
      processBusy: fc.double({ min: 0, max: 64, noNaN: true }),
      eventLoopDelay: fc.double({ min: 0, max: 1000, noNaN: true }),
    });
    const numThreads = fc.integer({ min: 1, max: 32 });
    fc.assert(
      fc.property(fc.array(sample, { maxLength: 20 }), numThreads, (samples, numThreads) => {
        const { under } = keeping({}, { numThreads });
        for (const sample of samples) {
          const cap = under(sample);
          expect(cap).toBeGreaterThanOrEqual(1);
          expect(cap).toBeLessThanOrEqual(numThreads);
          const othersAtLeast = sample.machineBusy - sample.processBusy;
          expect(cap).toBeLessThanOrEqual(Math.max(1, sample.cores - othersAtLeast - 2));
        }
        for (let count = 0; count <= numThreads; count++) under(calm);
        expect(under(calm)).toBe(Math.min(numThreads, 14));
      }),
    );
  });

  it('does nothing unless it is enabled, and can be while it runs', async () => {
    const { keeper, clock, samples } = keeping({ machineBusy: 13 }, { enableAutoTune: false });
    const controller = new AbortController();
    const running = keeper.run(controller.signal);
    await clock.advance(60_000);
    expect([keeper.limit.cap, samples()]).toEqual([8, 0]);
    keeper.configure({ enableAutoTune: true, autoTuneRefreshInterval: 1000 });
    await clock.advance(60_000);
    expect(keeper.limit.cap).toBe(1);
    const before = samples();
    await clock.advance(5000);
    expect(samples() - before).toBe(5);
    keeper.configure({ numThreads: 6, enableAutoTune: false });
    await clock.advance(1000);
    expect(keeper.limit.cap).toBe(6);
    controller.abort();
    await running;
    expect(clock.pendingTimers).toBe(0);
  });

  it('rejects when the statistics fail', async () => {
    const statistics = {
      sample: () => {
        throw new Error('no such file');
      },
    };
    const keeper = new SoftLimitKeeper({ settings: { enableAutoTune: true }, statistics, clock: new ManualClock() });
    await expect(keeper.run(new AbortController().signal)).rejects.toThrow('no such file');
  });

  it('needs statistics when it is enabled', () => {
    expect(() => new SoftLimitKeeper({ settings: { enableAutoTune: true } })).toThrow(/statistics must be given/);
    const keeper = new SoftLimitKeeper({ settings: { numThreads: 3 } });
    expect(() => keeper.configure({ enableAutoTune: true })).toThrow(/statistics must be given/);
    expect(keeper.settings.enableAutoTune).toBe(false);
    expect(() => keeping({}, { autoTuneRefreshInterval: 0 })).toThrow(/autoTuneRefreshInterval .* got 0/);
  });
});

describe('HostLoad', () => {
  it('tells what has happened since the sample before', () => {
    const core = { user: 0, nice: 0, sys: 0, idle: 0, irq: 0 };
    const cores = [{ times: { ...core } }, { times: { ...core } }];
    const usage = { user: 5_000_000, system: 1_000_000 };
    let p99 = 0;
    let resets = 0;
    const eventLoopDelay = { count: 1, percentile: (p: number) => (p === 99 ? p99 : -1), reset: () => resets++ };
    const clock = new ManualClock();
    const load = new HostLoad({ cpus: () => cores, cpuUsage: () => usage, eventLoopDelay, clock });
    const [first, second] = cores as [(typeof cores)[0], (typeof cores)[0]];
    first.times = { user: 600, nice: 50, sys: 100, idle: 200, irq: 50 };
    second.times = { ...core, sys: 200, idle: 800 };
    usage.user += 400_000;
    usage.system += 100_000;
    p99 = 12_500_000;
    return clock.advance(1000).then(() => {
      expect(load.sample()).toEqual({ cores: 2, machineBusy: 1, processBusy: 0.5, eventLoopDelay: 12.5 });
      // Nothing has happened, not even time.
      eventLoopDelay.count = 0;
      expect(load.sample()).toEqual({ cores: 2, machineBusy: 0, processBusy: 0, eventLoopDelay: 0 });
      expect(resets).toBe(3);
    });
  });
});

describe('backupSettings', () => {
  it('has defaults, auto-tune off among them', () => {
    expect(backupSettings({}, 12)).toEqual({
      numThreads: 4,
      batchSize: 8,
      enableAutoTune: false,
      autoTuneRemainThreads: 2,
      autoTuneRefreshInterval: 60_000,
      ioThreadSize: 2,
    });
    expect([1, 2, 4, 64].map((cores) => backupSettings({}, cores).autoTuneRemainThreads)).toEqual([0, 0, 1, 13]);
  });

  it('names the setting that is wrong', () => {
    const wrong: [string, unknown][] = [
      ['numThreads', 0],
      ['numThreads', 1025],
      ['batchSize', 0],
      ['enableAutoTune', 'yes'],
      ['autoTuneRemainThreads', -1],
      ['autoTuneRefreshInterval', 0],
      ['ioThreadSize', 1.5],
    ];
    for (const [name, value] of wrong) {
      expect(() => backupSettings({ [name]: value })).toThrow(new RegExp(`${name} must be .* got ${String(value)}`));
    }
  });
});
