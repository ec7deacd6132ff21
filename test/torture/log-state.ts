// How far the log has come, in a file that the test's own process replaces at every step and everybody else reads. That process is never killed.

import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { LogEpochInfo } from '../../src/ports/log-source.js';
import type { Version } from '../../src/core/version.js';

export interface LogState {
  /** Inclusive: up to here the log can be read. */
  readonly known: Version;
  /** Inclusive: up to here nothing will be rolled back. */
  readonly committed: Version;
  /** Oldest first; the last one has no end. */
  readonly epochs: readonly LogEpochInfo[];
}

const STATE = 'state.json';

/** In one step, so that no reader sees half of it. */
export function writeLogState(folder: string, state: LogState): void {
  const text = JSON.stringify(state, (_key, value: unknown) => (typeof value === 'bigint' ? `${value}n` : value));
  const path = join(folder, STATE);
  writeFileSync(`${path}.new`, text);
  renameSync(`${path}.new`, path);
}

export function readLogState(folder: string): LogState {
  return JSON.parse(readFileSync(join(folder, STATE), 'utf8'), (_key, value: unknown) =>
    typeof value === 'string' && /^\d+n$/.test(value) ? BigInt(value.slice(0, -1)) : value,
  ) as LogState;
}

/** One file per epoch and tag, a line for each pop: lines are only ever added, by whatever process. */
export function popsFile(folder: string, epoch: number, tag: number): string {
  return join(folder, `pops-${epoch}-${tag}`);
}

/** The largest version that was ever popped, inclusive; undefined: none. A line that a killed process did not finish was never acknowledged. */
export function largestPop(folder: string, epoch: number, tag: number): Version | undefined {
  let text: string;
  try {
    text = readFileSync(popsFile(folder, epoch, tag), 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined; // nobody has popped yet
    throw error;
  }
  let largest: Version | undefined;
  for (const line of text.split('\n').slice(0, -1)) {
    const upTo = BigInt(line);
    if (largest === undefined || upTo > largest) largest = upTo;
  }
  return largest;
}
