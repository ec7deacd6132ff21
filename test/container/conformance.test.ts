import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'vitest';
import { DirectoryContainer } from '../../src/container/directory-container.js';
import { MemoryContainer } from '../../src/container/memory-container.js';
import { containerSuite } from '../../src/testing/container-suite.js';

describe('MemoryContainer', () => {
  for (const { name, run } of containerSuite(() => ({ container: new MemoryContainer() }))) it(name, run);
});

describe('DirectoryContainer', () => {
  for (const { name, run } of containerSuite(openDirectory)) it(name, run);
});

async function openDirectory() {
  const parent = await mkdtemp(join(tmpdir(), 'tidemark-'));
  const path = join(parent, 'a b', 'backups');
  return {
    container: new DirectoryContainer(path),
    reopen: () => new DirectoryContainer(`file://${path.replaceAll(' ', '%20')}`),
    cleanup: () => rm(parent, { recursive: true }),
  };
}
