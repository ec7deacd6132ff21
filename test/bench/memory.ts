// How much memory a worker takes when its container is ten times slower than its log. Measured in a process of its own: what other benches left behind must not count.

import { fork } from 'node:child_process';
import { once } from 'node:events';

import type { BenchOptions, Figures } from './bench.js';

export function bench(options: BenchOptions): Promise<Figures> {
  return inChild(options.sizeMiB);
}

async function inChild(lockMiB = 128): Promise<Figures> {
  const child = fork(new URL('./memory-child.ts', import.meta.url), [String(lockMiB)], { stdio: 'inherit' });
  const exited = once(child, 'exit');
  let figures: Figures | undefined;
  child.on('message', (message) => (figures = message as Figures));
  await exited;
  if (figures === undefined) throw new Error('the memory bench ended without a result');
  return figures;
}
