import { afterEach, describe, expect, it, vi } from 'vitest';
import type { Assignment, ChildMessage, SeedReport } from './messages.js';
import type { SeedChild } from './pool.js';
import { runSeeds } from './pool.js';

const report = (seed: number): SeedReport => ({ seed, violation: undefined, hits: {}, events: 1, virtualMs: 1 });

/** Children that run seeds as `run` says: a report, the way in which the process ends, or nothing for ever. */
function children(run: (seed: number) => 'fine' | 'dies' | 'hangs') {
  let count = 0;
  const start = (): SeedChild => {
    count++;
    let say: (message: ChildMessage) => void = () => undefined;
    let end: (how: string) => void = () => undefined;
    const work = ({ seeds }: Assignment) => {
      for (const seed of seeds) {
        const fate = run(seed);
        if (fate === 'dies') {
          end('code 1');
          return;
        }
        if (fate === 'hangs') return;
        say(report(seed));
      }
      say('ready');
    };
    return {
      assign: (assignment) => queueMicrotask(() => work(assignment)),
      letGo: () => queueMicrotask(() => end('code 0')),
      kill: () => end('SIGKILL'),
      listen: (onMessage, onEnd) => {
        say = onMessage;
        end = onEnd;
        queueMicrotask(() => onMessage('ready'));
      },
    };
  };
  return { start, count: () => count };
}

/** Lists of three. */
function threes(last: number): () => number[] {
  let next = 1;
  return () => {
    const seeds: number[] = [];
    while (seeds.length < 3 && next <= last) seeds.push(next++);
    return seeds;
  };
}

afterEach(() => void vi.useRealTimers());

describe('runSeeds', () => {
  it('runs every seed once, over all children', async () => {
    const { start, count } = children(() => 'fine');
    const seen: number[] = [];
    const onReport = ({ seed }: SeedReport) => void seen.push(seed);
    await runSeeds({ jobs: 3, planted: undefined, stallMs: 1_000, take: threes(20), onReport, start });
    expect(seen.sort((a, b) => a - b)).toEqual(Array.from({ length: 20 }, (_, i) => i + 1));
    expect(count()).toBe(3);
  });

  it('names the seed in which a child has died, and goes on with the next one', async () => {
    const { start, count } = children((seed) => (seed === 2 ? 'dies' : 'fine'));
    const seen: SeedReport[] = [];
    await runSeeds({
      jobs: 1,
      planted: undefined,
      stallMs: 1_000,
      take: threes(6),
      onReport: (r) => void seen.push(r),
      start,
    });
    expect(seen.map(({ seed }) => seed)).toEqual([1, 2, 3, 4, 5, 6]);
    expect(seen.filter(({ violation }) => violation !== undefined)).toMatchObject([
      {
        seed: 2,
        violation: { check: 'a seed does not end its process', message: 'the child process ended with code 1' },
      },
    ]);
    expect(count()).toBe(2);
  });

  it('kills a child that is stuck in a seed, names the seed and goes on', async () => {
    vi.useFakeTimers();
    const { start, count } = children((seed) => (seed === 5 ? 'hangs' : 'fine'));
    const seen: SeedReport[] = [];
    const run = runSeeds({
      jobs: 1,
      planted: undefined,
      stallMs: 90_000,
      take: threes(7),
      onReport: (r) => void seen.push(r),
      start,
    });
    await vi.advanceTimersByTimeAsync(89_999);
    expect(seen.map(({ seed }) => seed)).toEqual([1, 2, 3, 4]);
    await vi.advanceTimersByTimeAsync(1);
    await run;
    expect(seen.map(({ seed }) => seed)).toEqual([1, 2, 3, 4, 5, 6, 7]);
    expect(seen[4]?.violation).toMatchObject({ check: 'a seed comes to its end', message: 'no end after 90 s' });
    expect(count()).toBe(2);
  });

  it('rejects when children cannot even begin', async () => {
    const start = (): SeedChild => ({
      assign: () => undefined,
      letGo: () => undefined,
      kill: () => undefined,
      listen: (_onMessage, onEnd) => queueMicrotask(() => onEnd('code 13')),
    });
    const onReport = () => undefined;
    const run = runSeeds({ jobs: 1, planted: undefined, stallMs: 1_000, take: threes(3), onReport, start });
    await expect(run).rejects.toThrow('a child process ended with code 13 before it could run seed 1');
  });
});
