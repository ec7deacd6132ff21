import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'vitest';
import { FileProgressStore } from '../../src/progress/file-progress-store.js';
import { MemoryProgressStore } from '../../src/progress/memory-progress-store.js';
import { progressStoreSuite } from '../../src/testing/store-suite.js';

describe('MemoryProgressStore', () => {
  const open = () => {
    const store = new MemoryProgressStore();
    return { client: () => store };
  };
  for (const { name, run } of progressStoreSuite(open)) it(name, run);
});

describe('FileProgressStore', () => {
  for (const { name, run } of progressStoreSuite(() => openFiles(256))) it(name, run);
});

describe('FileProgressStore that folds its commits all the time', () => {
  for (const { name, run } of progressStoreSuite(() => openFiles(3))) it(name, run);
});

async function openFiles(generationCommits: number) {
  const parent = await mkdtemp(join(tmpdir(), 'tidemark-'));
  const stores: FileProgressStore[] = [];
  return {
    client: () => {
      const store = new FileProgressStore({ directory: join(parent, 'a', 'store'), generationCommits });
      stores.push(store);
      return store;
    },
    cleanup: async () => {
      await Promise.all(stores.map((store) => store.close()));
      await rm(parent, { recursive: true });
    },
  };
}
