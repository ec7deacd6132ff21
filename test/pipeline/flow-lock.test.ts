import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { BackupError } from '../../src/core/errors.js';
import { FlowLock, type FlowLockReleaser } from '../../src/pipeline/flow-lock.js';

/** Lets everything that is ready run. */
async function settle(): Promise<void> {
  for (let i = 0; i < 50; i++) await Promise.resolve();
}

/** Records what became of a take. */
function watch(promise: Promise<FlowLockReleaser>): { releaser: FlowLockReleaser | undefined; error: unknown } {
  const outcome: { releaser: FlowLockReleaser | undefined; error: unknown } = { releaser: undefined, error: undefined };
  promise.then(
    (releaser) => (outcome.releaser = releaser),
    (error: unknown) => (outcome.error = error),
  );
  return outcome;
}

describe('FlowLock', () => {
  it('counts what is taken and released', async () => {
    const lock = new FlowLock(100);
    const first = await lock.take(60);
    const second = await lock.take(40);
    expect([lock.activePermits, lock.available, lock.waiters]).toEqual([100, 0, 0]);
    first.release(10);
    expect([lock.activePermits, lock.available, first.remaining]).toEqual([90, 10, 50]);
    first.release();
    second.release();
    expect([lock.activePermits, lock.available]).toEqual([0, 100]);
  });

  it('gives permits back once, however often the releaser is called, and never more than were taken', async () => {
    const lock = new FlowLock(100);
    const releaser = await lock.take(60);
    await lock.take(10);
    releaser.release();
    releaser.release();
    expect(lock.activePermits).toBe(10);
    expect(() => releaser.release(1)).toThrow(/released 1 of 0/);
    expect(() => lock.release(11)).toThrow(/released 11/);
    expect(lock.activePermits).toBe(10);
  });

  it('makes a take wait until enough is released, and tells that it waits', async () => {
    let waits = 0;
    const lock = new FlowLock(100, { onWait: () => waits++ });
    const held = await lock.take(80);
    expect(waits).toBe(0);
    const waiting = watch(lock.take(50));
    expect([waits, lock.waiters]).toEqual([1, 1]);
    held.release(20);
    await settle();
    expect(waiting.releaser).toBeUndefined();
    held.release(10);
    await settle();
    expect(waiting.releaser?.remaining).toBe(50);
    expect([lock.activePermits, lock.waiters]).toEqual([100, 0]);
  });

  it('does not let a small take pass a large one that came first', async () => {
    const lock = new FlowLock(100);
    const held = await lock.take(50);
    const large = watch(lock.take(80));
    const small = watch(lock.take(10));
    await settle();
    expect([large.releaser, small.releaser, lock.waiters]).toEqual([undefined, undefined, 2]);
    held.release();
    await settle();
    expect([large.releaser?.remaining, small.releaser?.remaining]).toEqual([80, 10]);
  });

  it('lets an amount above all permits through when nothing is held, and nothing beside it', async () => {
    const lock = new FlowLock(100);
    const held = await lock.take(1);
    const oversize = watch(lock.take(250));
    await settle();
    expect(oversize.releaser).toBeUndefined();
    held.release();
    await settle();
    expect(oversize.releaser?.remaining).toBe(250);
    expect([lock.activePermits, lock.available]).toEqual([250, 0]);
    const next = watch(lock.take(1));
    oversize.releaser?.release(149);
    await settle();
    expect(next.releaser).toBeUndefined();
    oversize.releaser?.release(2);
    await settle();
    expect([next.releaser?.remaining, lock.activePermits]).toEqual([1, 100]);
  });

  it('leaves the account right when a waiting take is cancelled, and lets the next one in', async () => {
    const lock = new FlowLock(100);
    await lock.take(50);
    const controller = new AbortController();
    const reason = new Error('cancelled by the test');
    const cancelled = watch(lock.take(80, { signal: controller.signal }));
    const next = watch(lock.take(30));
    await settle();
    controller.abort(reason);
    await settle();
    expect(cancelled.error).toBe(reason);
    expect([next.releaser?.remaining, lock.activePermits, lock.waiters]).toEqual([30, 80, 0]);
  });

  it('leaves the order of the others alone when a take in the middle of the queue is cancelled', async () => {
    const lock = new FlowLock(100);
    const held = await lock.take(100);
    const controller = new AbortController();
    const order: string[] = [];
    const takes = [
      lock.take(60).then((r) => (order.push('first'), r)),
      lock.take(60, { signal: controller.signal }).catch(() => order.push('cancelled')),
      lock.take(60).then((r) => (order.push('third'), r)),
    ];
    controller.abort();
    await settle();
    held.release();
    await settle();
    expect([order, lock.activePermits, lock.waiters]).toEqual([['cancelled', 'first'], 60, 1]);
    const first = (await takes[0]) as FlowLockReleaser;
    first.release();
    await settle();
    expect([order, lock.activePermits]).toEqual([['cancelled', 'first', 'third'], 60]);
  });

  it('rejects a take whose signal has aborted already, without taking anything', async () => {
    const lock = new FlowLock(100);
    await expect(lock.take(1, { signal: AbortSignal.abort(new Error('too late')) })).rejects.toThrow('too late');
    expect(lock.activePermits).toBe(0);
  });

  it('kill fails every waiter and every later take; what is held is still given back', async () => {
    const lock = new FlowLock(100);
    const held = await lock.take(100);
    const waiting = [watch(lock.take(1)), watch(lock.take(2))];
    const error = new Error('the worker has stopped');
    lock.kill(error);
    lock.kill(new Error('a second reason does not count'));
    await settle();
    expect(waiting.map((w) => w.error)).toEqual([error, error]);
    await expect(lock.take(1)).rejects.toBe(error);
    held.release();
    await settle();
    expect([lock.activePermits, lock.waiters]).toEqual([0, 0]);
  });

  it('refuses permits that are no whole number > 0, by name and value', () => {
    for (const permits of [0, -1, 1.5, NaN]) {
      expect(() => new FlowLock(permits)).toThrow(BackupError);
      expect(() => new FlowLock(permits)).toThrow(`permits must be a whole number > 0, got ${permits}`);
    }
  });

  it('holds exactly what was taken and not released, whatever happens; nobody starves, nobody is woken too early', async () => {
    const step = fc.oneof(
      {
        weight: 4,
        arbitrary: fc.record({ do: fc.constant('take' as const), amount: fc.integer({ min: 0, max: 150 }) }),
      },
      { weight: 4, arbitrary: fc.record({ do: fc.constant('release' as const), which: fc.nat(), part: fc.nat() }) },
      { weight: 1, arbitrary: fc.record({ do: fc.constant('cancel' as const), which: fc.nat() }) },
      { weight: 2, arbitrary: fc.record({ do: fc.constant('turn' as const), times: fc.integer({ min: 1, max: 30 }) }) },
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
        const permits = 100;
        const lock = new FlowLock(permits);
        interface Take {
          readonly amount: number;
          readonly abort: AbortController;
          state: 'waiting' | 'held' | 'cancelled';
          releaser?: FlowLockReleaser;
        }
        const takes: Take[] = [];
        let lastGranted = -1;
        const waiting = () => takes.filter((t) => t.state === 'waiting');
        const held = () => takes.filter((t) => t.state === 'held' && (t.releaser?.remaining ?? 0) > 0);
        /** What the lock has granted, as far as the takers know; the rest is on its way to them. */
        const known = () => held().reduce((sum, t) => sum + (t.releaser?.remaining ?? 0), 0);

        const check = () => {
          expect(lock.activePermits).toBeGreaterThanOrEqual(known());
          // Above all permits only with one oversize amount, taken when nothing else was held.
          if (lock.activePermits > permits)
            expect(takes.some((t) => t.amount > permits && t.state !== 'cancelled')).toBe(true);
        };
        const take = (amount: number) => {
          const entry: Take = { amount, abort: new AbortController(), state: 'waiting' };
          const index = takes.push(entry) - 1;
          lock.take(amount, { signal: entry.abort.signal }).then(
            (releaser) => {
              expect(entry.state).toBe('waiting');
              expect(index).toBeGreaterThan(lastGranted); // first come, first served
              lastGranted = index;
              entry.state = 'held';
              entry.releaser = releaser;
              expect(releaser.remaining).toBe(amount);
              check();
            },
            () => {
              expect(entry.abort.signal.aborted).toBe(true);
              entry.state = 'cancelled';
              check();
            },
          );
        };

        for (const s of steps) {
          if (s.do === 'take') {
            const before = lock.activePermits;
            const mayGo = lock.waiters === 0 && (before === 0 || before + s.amount <= permits);
            take(s.amount);
            // Granted in the same step exactly when nobody waits and it fits: never too early, never later than needed.
            expect(lock.activePermits).toBe(mayGo ? before + s.amount : before);
          } else if (s.do === 'release') {
            const candidates = held();
            const chosen = candidates[s.which % Math.max(1, candidates.length)];
            if (chosen?.releaser !== undefined) chosen.releaser.release((s.part % chosen.releaser.remaining) + 1);
          } else if (s.do === 'cancel') {
            const candidates = waiting();
            candidates[s.which % Math.max(1, candidates.length)]?.abort.abort(new Error('cancelled'));
          } else {
            for (let i = 0; i < s.times; i++) {
              await Promise.resolve();
              check();
            }
          }
          check();
        }
        await settle();
        expect(lock.activePermits).toBe(known());
        expect(lock.waiters).toBe(waiting().length);
        // Whoever is first now does not fit.
        const [head] = waiting();
        if (head !== undefined) {
          expect(lock.activePermits).toBeGreaterThan(0);
          expect(lock.activePermits + head.amount).toBeGreaterThan(permits);
        }
        // Draining lets everyone in.
        for (let round = 0; round <= takes.length && (held().length > 0 || waiting().length > 0); round++) {
          for (const entry of held()) entry.releaser?.release();
          await settle();
        }
        expect([waiting().length, lock.activePermits, lock.waiters]).toEqual([0, 0, 0]);
      }),
      { numRuns: 500 },
    );
  });
});
