import { describe, expect, it } from 'vitest';
import { parseFailedSeeds, readFailedSeeds } from './failed-seeds.js';
import { parseOptions } from './options.js';
import { SeedSource } from './seed-source.js';

const parse = (...args: string[]) => parseOptions(args, { random: 0.5, cores: 4 });

describe('parseOptions', () => {
  it('runs 200 seeds from 1 on over all cores, after those that ever failed', () => {
    expect(parse()).toEqual({
      mode: 'run',
      from: 1,
      seeds: 200,
      duration: undefined,
      failedFirst: true,
      planted: undefined,
      jobs: 4,
      stallMs: 120_000,
    });
  });

  it('takes what it is given', () => {
    expect(parse('--seeds', '2000', '--from', '77', '--jobs=1', '--stall', '5')).toMatchObject({
      from: 77,
      seeds: 2000,
      jobs: 1,
      stallMs: 5_000,
    });
    expect(parse('--failed')).toMatchObject({ mode: 'run', seeds: 0, failedFirst: true });
    expect(parse('--list')).toMatchObject({ mode: 'list' });
    expect(parse('--help')).toMatchObject({ mode: 'help' });
  });

  it('traces one seed and no other', () => {
    expect(parse('--from', '9', '--trace')).toMatchObject({ mode: 'trace', from: 9, seeds: 1, failedFirst: false });
  });

  it('soaks from a random seed on, or from where it is told', () => {
    const soak = parse('--for', '10');
    expect(soak).toMatchObject({ from: 2 ** 29, seeds: Number.POSITIVE_INFINITY, duration: 600_000 });
    expect(parse('--for', '10', '--from', '3').from).toBe(3);
  });

  it('runs a planted bug on its own seeds', () => {
    expect(parse('--planted', 'pop before save')).toMatchObject({ planted: 'pop before save', failedFirst: false });
  });

  it.each([
    [['--seeds', '0'], '--seeds must be a whole number from 1 to 4294967296, got "0"'],
    [['--from', '-1'], "Option '--from' argument is ambiguous"],
    [['--from', '1e3'], '--from must be a whole number from 0 to 4294967295, got "1e3"'],
    [['--jobs', 'many'], '--jobs must be a whole number from 1 to 1000, got "many"'],
    [['--for', '0'], '--for must be a whole number from 1'],
    [['--seeds', '5', '--for', '1'], '--seeds and --for contradict each other'],
    [['--seeds', '5', '--failed'], '--seeds and --failed contradict each other'],
    [['--for', '5', '--trace'], '--for and --trace contradict each other'],
    [['--seed', '5'], "Unknown option '--seed'"],
    [['17'], "Unexpected argument '17'"],
    [['--planted', 'no such bug'], 'pop before save'],
  ])('refuses %j with a reason', (args, message) => {
    expect(() => parse(...args)).toThrow(RangeError);
    expect(() => parse(...args)).toThrow(message);
  });
});

describe('SeedSource', () => {
  const taken = (source: SeedSource): number[] => {
    const all: number[] = [];
    for (let some = source.take(); some.length > 0; some = source.take()) all.push(...some);
    return all;
  };

  it('begins with the seeds that ever failed', () => {
    const source = new SeedSource({ from: 100, seeds: 12, failedFirst: true }, [7, 8, 9], () => false);
    expect(source.total).toBe(15);
    expect(taken(source)).toEqual([7, 8, 9, ...Array.from({ length: 12 }, (_, i) => 100 + i)]);
  });

  it('leaves them out where they have no business', () => {
    expect(taken(new SeedSource({ from: 4, seeds: 2, failedFirst: false }, [7], () => false))).toEqual([4, 5]);
  });

  it('ends when the time is over, and stays below 2^32', () => {
    let left = 2;
    const options = { from: 2 ** 32 - 3, seeds: Number.POSITIVE_INFINITY, failedFirst: false };
    const seeds = taken(new SeedSource(options, [], () => left-- === 0));
    expect(seeds).toHaveLength(20);
    expect(seeds.slice(0, 5)).toEqual([2 ** 32 - 3, 2 ** 32 - 2, 2 ** 32 - 1, 0, 1]);
  });
});

describe('failed-seeds.json', () => {
  it('can be read', () => {
    expect(readFailedSeeds().length).toBeGreaterThan(0);
  });

  it.each([
    ['{}', 'must hold a list'],
    ['[{"seed": 1.5, "found": "2026-01-01", "why": "x"}]', 'entry 0: seed must be a whole number'],
    ['[{"seed": 1, "found": "today", "why": "x"}]', 'entry 0: found must be a date'],
    ['[{"seed": 1, "found": "2026-01-01", "why": " "}]', 'entry 0: why must say'],
    ['[null]', 'entry 0: seed must be'],
    [
      '[{"seed": 1, "found": "2026-01-01", "why": "x"}, {"seed": 1, "found": "2026-01-01", "why": "y"}]',
      'has seed 1 twice',
    ],
  ])('refuses %s', (json, message) => {
    expect(() => parseFailedSeeds(json)).toThrow(message);
  });
});
