// Lists a folder tree in the byte order of the whole names, in slices: a folder may hold hundreds of thousands of files.

import type { Dirent } from 'node:fs';
import { stat } from 'node:fs';
import { opendir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '../core/clock.js';
import { isMissing } from '../core/file-system.js';
import type { ListedFile } from '../ports/backup-container.js';
import { compareFileNames, fileNameProblem, isUnfinishedName } from './file-name.js';
import { mergeSorted } from './merge-sorted.js';

/** Names sorted at a time; a few milliseconds. */
const RUN = 4096;
/** `stat` calls in flight: enough to keep libuv's four threads busy. */
const STATS = 64;

/** Finished files below `root` whose name starts with `prefix`. A missing folder has none. Symbolic links are not followed. */
export async function* listTree(root: string, prefix: string, clock: Clock): AsyncGenerator<ListedFile> {
  const folder = prefix.slice(0, prefix.lastIndexOf('/') + 1);
  // No file lies below a folder that cannot be part of a name; `../` above all.
  if (folder !== '' && fileNameProblem(`${folder}x`) !== undefined) return;
  yield* listFolder(root, folder, prefix, clock);
}

/** `folder` is '' or ends in '/'. */
async function* listFolder(root: string, folder: string, prefix: string, clock: Clock): AsyncGenerator<ListedFile> {
  let batch: string[] = [];
  for (const name of mergeSorted(await readRuns(root, folder, prefix, clock), compareFileNames)) {
    if (!name.endsWith('/')) batch.push(name);
    if (batch.length >= STATS || name.endsWith('/')) {
      yield* withSizes(root, batch);
      batch = [];
    }
    if (name.endsWith('/')) yield* listFolder(root, name, prefix, clock);
  }
  yield* withSizes(root, batch);
}

/**
 * What is in the folder and can lead to a wanted name, in sorted runs. A folder carries its '/': compared with it, folders and files come in the order of the
 * whole names ('a,b' lies before 'a/b', and 'a0' behind it).
 */
async function readRuns(root: string, folder: string, prefix: string, clock: Clock): Promise<string[][]> {
  const runs: string[][] = [];
  let run: string[] = [];
  try {
    for await (const entry of await opendir(join(root, folder), { bufferSize: 1024 })) {
      const name = nameOf(folder, entry);
      if (name === undefined || !(name.startsWith(prefix) || (name.endsWith('/') && prefix.startsWith(name)))) continue;
      run.push(name);
      if (run.length < RUN) continue;
      runs.push(run.sort(compareFileNames));
      run = [];
      await clock.yieldToHost();
    }
  } catch (error) {
    if (!isMissing(error)) throw error;
  }
  runs.push(run.sort(compareFileNames));
  return runs;
}

/** undefined for what is no file of the container: unfinished ones, links, sockets, names that the port refuses. */
function nameOf(folder: string, entry: Dirent): string | undefined {
  if (entry.name.includes('\\')) return undefined;
  if (entry.isDirectory()) return `${folder}${entry.name}/`;
  return entry.isFile() && !isUnfinishedName(entry.name) ? folder + entry.name : undefined;
}

async function* withSizes(root: string, names: readonly string[]): AsyncGenerator<ListedFile> {
  const sizes = await Promise.all(names.map((name) => sizeOf(join(root, name))));
  for (const [i, size] of sizes.entries()) {
    if (size !== undefined) yield { name: names[i] as string, size };
  }
}

/** undefined if the file was deleted meanwhile. The callback form: a third cheaper than the promise's (measured). */
function sizeOf(path: string): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    stat(path, (error, stats) => {
      if (error === null) resolve(stats.size);
      else if (isMissing(error)) resolve(undefined);
      else reject(error);
    });
  });
}
