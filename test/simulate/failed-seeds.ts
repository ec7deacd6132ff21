// The seeds that ever failed: run first, by every plain run.

import { readFileSync } from 'node:fs';
import { MAX_SEED } from './options.js';

export interface FailedSeed {
  readonly seed: number;
  /** YYYY-MM-DD */
  readonly found: string;
  readonly why: string;
}

/** Throws a RangeError for anything but a list of different seeds, each with its date and its reason. */
export function parseFailedSeeds(json: string): FailedSeed[] {
  const value: unknown = JSON.parse(json);
  if (!Array.isArray(value)) throw new RangeError('failed-seeds.json must hold a list');
  const entries = value.map((entry: unknown, index) => {
    const { seed, found, why } = (entry ?? {}) as Partial<Record<keyof FailedSeed, unknown>>;
    const place = `failed-seeds.json, entry ${index}:`;
    if (typeof seed !== 'number' || !Number.isSafeInteger(seed) || seed < 0 || seed >= MAX_SEED)
      throw new RangeError(`${place} seed must be a whole number from 0 to ${MAX_SEED - 1}, got ${String(seed)}`);
    if (typeof found !== 'string' || !/^\d{4}-\d\d-\d\d$/.test(found))
      throw new RangeError(`${place} found must be a date like 2026-11-21, got ${String(found)}`);
    if (typeof why !== 'string' || why.trim() === '')
      throw new RangeError(`${place} why must say what was wrong, got ${String(why)}`);
    return { seed, found, why };
  });
  const twice = entries.find(({ seed }, index) => entries.findIndex((other) => other.seed === seed) !== index);
  if (twice !== undefined) throw new RangeError(`failed-seeds.json has seed ${twice.seed} twice`);
  return entries;
}

export function readFailedSeeds(): FailedSeed[] {
  return parseFailedSeeds(readFileSync(new URL('./failed-seeds.json', import.meta.url), 'utf8'));
}
