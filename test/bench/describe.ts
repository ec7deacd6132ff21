// describe of a container with very many log files, against just listing them: once in memory, where a listing is as cheap as it gets, and once in a folder.

import { closeSync, mkdirSync, openSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { DirectoryContainer } from '../../src/container/directory-container.js';
import { MemoryContainer } from '../../src/container/memory-container.js';
import { logFileName } from '../../src/format/fdb/names.js';
import type { BackupContainer } from '../../src/ports/backup-container.js';
import { describeBackup } from '../../src/restore/describe.js';
import { DEFAULT_PAIRS, atMost, inTurn, type BenchOptions, type Figures, type Pairs } from './bench.js';

const FILES = 200_000;
const TAGS = 16;
const VERSIONS_PER_FILE = 20_000_000n;

export async function bench(options: BenchOptions): Promise<Figures> {
  const names = fileNames(FILES);
  const pairs = options.pairs ?? DEFAULT_PAIRS;
  const memory = new MemoryContainer();
  await memory.create();
  for (const name of names) await (await memory.writeFile(name)).finish();
  const inMemory = await compare(memory, pairs);
  const folder = await mkdtemp(join(options.directory ?? tmpdir(), 'tidemark-describe-'));
  try {
    touchAll(folder, names);
    const inFolder = await compare(new DirectoryContainer(folder), pairs);
    const words = ({ a, b }: Pairs) => `described in ${Math.round(a)} ms, listed in ${Math.round(b)} ms`;
    const cheapest = `in memory, where a listing reads nothing: ${words(inMemory)}, ratio ${inMemory.ratio.toFixed(1)}`;
    const detail = `${FILES} log files over ${TAGS} tags in a folder: ${words(inFolder)}; ${cheapest}`;
    return { describe: atMost(inFolder.ratio, 2, 'ratio to listing a folder', detail) };
  } finally {
    await rm(folder, { recursive: true });
  }
}

function fileNames(files: number): string[] {
  let uid = 0;
  return Array.from({ length: Math.floor(files / TAGS) }, (_, i) => {
    const begin = 1n + BigInt(i) * VERSIONS_PER_FILE;
    return Array.from({ length: TAGS }, (_, tag) =>
      logFileName({
        begin,
        end: begin + VERSIONS_PER_FILE,
        uid: Math.imul(++uid, 0x9e3779b1).toString(16).replace('-', 'f').padStart(32, 'ab'),
        tag,
        totalTags: TAGS,
        blockSize: 1 << 20,
      }),
    );
  }).flat();
}

/** Empty files, without syncs: they are only listed. One after the other and blocking, which is three times as fast. */
function touchAll(folder: string, names: readonly string[]): void {
  let made = '';
  for (const name of names) {
    const path = join(folder, name);
    if (dirname(path) !== made) mkdirSync((made = dirname(path)), { recursive: true });
    closeSync(openSync(path, 'w'));
  }
}

function compare(container: BackupContainer, pairs: number) {
  return inTurn(
    () =>
      time(async () => {
        const { contiguousLogEnd, logFiles, gaps } = await describeBackup(container);
        if (logFiles !== FILES || gaps.length !== 0 || contiguousLogEnd === undefined)
          throw new Error('described something else');
      }),
    () =>
      time(async () => {
        let files = 0;
        for await (const { size } of container.listFiles('plogs/')) files += size + 1;
        if (files !== FILES) throw new Error('listed something else');
      }),
    pairs,
  );
}

async function time(body: () => Promise<void>): Promise<number> {
  const began = performance.now();
  await body();
  return performance.now() - began;
}
