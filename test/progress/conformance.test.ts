import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'vitest';
import type { FileProgressStoreOptions } from '../../src/progress/file-progress-store.js';
import { FileProgressStore } from '../../src/progress/file-progress-store.js';
import { MemoryProgressStore } from '../../src/progress/memory-progress-store.js';
import { ManualClock } from '../../src/testing/manual-clock.js';
import { progressStoreSuite } from '../../src/testing/store-suite.js';

describe('MemoryProgressStore', () => {
  const open = () => {
    const store = new MemoryProgressStore();
    return { client: () => store };
  };
  for (const { name, run } of progressStoreSuite(open)) it(name, run);
});

describe('MemoryProgressStore with a clock of its own', () => {
  const open = () => {
    const clock = new ManualClock();
    const store = new MemoryProgressStore({ clock });
    return { client: () => store, letTimePass: (ms: number) => clock.advance(ms) };
  };
  for (const { name, run } of progressStoreSuite(open)) it(name, run);
});

describe('FileProgressStore', () => {
  for (const { name, run } of progressStoreSuite(() => openFiles(256))) it(name, run);
});

describe('FileProgressStore that folds its commits all the time, with a time of its own', () => {
  const open = async () => {
    let now = 0;
    const store = await openFiles(3, { leaseTime: () => now, pollInterval: 10 });
    return { ...store, letTimePass: (ms: number) => void (now += ms) };
  };
  for (const { name, run } of progressStoreSuite(open)) it(name, run);
});

async function openFiles(generationCommits: number, options: Partial<FileProgressStoreOptions> = {}) {
  const parent = await mkdtemp(join(tmpdir(), 'tidemark-'));
  const stores: FileProgressStore[] = [];
  return {
    client: () => {
      const store = new FileProgressStore({ directory: join(parent, 'a', 'store'), generationCommits, ...options });
      stores.push(store);
      return store;
    },
    cleanup: async () => {
      await Promise.all(stores.map((store) => store.close()));
      await rm(parent, { recursive: true });
    },
  };
}
