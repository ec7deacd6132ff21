// Lists a folder tree in the byte order of the whole names, in slices: a folder may hold hundreds of thousands of files.

import type { Dirent } from 'node:fs';
import { stat } from 'node:fs';
import { opendir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '../core/clock.js';
import { isMissing } from '../core/file-system.js';
import type { ListedFile } from '../ports/backup-container.js';
import { compareFileNames, fileNameProblem, isUnfinishedName } from '../core/file-name.js';
import { mergeSorted } from './merge-sorted.js';

/** Names sorted at a time; a millisecond or two. */
const RUN = 4096;
/** `stat` calls in flight, and files in a batch: enough to keep libuv's four threads busy, little enough not to hold up others there. */
const BATCH = 128;
/** Only among these characters does the order of code units differ from that of bytes. */
const NOT_PLAIN = /[\ud800-\uffff]/;

/**
 * Finished files below `root` whose name starts with `prefix`, in batches: handing each file through as many generators as the tree is deep takes longer than to read
 * it (measured). A missing folder has none. Symbolic links are not followed.
 */
export async function* listTree(root: string, prefix: string, clock: Clock): AsyncGenerator<readonly ListedFile[]> {
  const folder = prefix.slice(0, prefix.lastIndexOf('/') + 1);
  // No file lies below a folder that cannot be part of a name; `../` above all.
  if (folder !== '' && fileNameProblem(`${folder}x`) !== undefined) return;
  yield* listFolder(root, folder, prefix, clock);
}

/** `folder` is '' or ends in '/'. */
async function* listFolder(
  root: string,
  folder: string,
  prefix: string,
  clock: Clock,
): AsyncGenerator<readonly ListedFile[]> {
  const { runs, compare } = await readRuns(root, folder, prefix, clock);
  let names: string[] = [];
  for (const name of mergeSorted(runs, compare)) {
    const isFolder = name.endsWith('/');
    if (!isFolder) names.push(name);
    if ((isFolder && names.length > 0) || names.length >= BATCH) {
      yield await withSizes(root, names);
      names = [];
    }
    if (isFolder) yield* listFolder(root, name, prefix, clock);
  }
  if (names.length > 0) yield await withSizes(root, names);
}

interface SortedRuns {
  readonly runs: readonly (readonly string[])[];
  readonly compare: (a: string, b: string) => number;
}

/**
 * What is in the folder and can lead to a wanted name, in sorted runs. A folder carries its '/': compared with it, folders and files come in the order of the
 * whole names ('a,b' lies before 'a/b', and 'a0' behind it).
 */
async function readRuns(root: string, folder: string, prefix: string, clock: Clock): Promise<SortedRuns> {
  const runs: string[][] = [];
  let run: string[] = [];
  let isPlain = true;
  // The engine's own order is ten times as fast, and nearly always the same.
  const sort = (names: string[]) => (isPlain ? names.sort() : names.sort(compareFileNames));
  try {
    for await (const entry of await opendir(join(root, folder), { bufferSize: 1024 })) {
      const name = nameOf(folder, entry);
      if (name === undefined || !(name.startsWith(prefix) || (name.endsWith('/') && prefix.startsWith(name)))) continue;
      if (NOT_PLAIN.test(name)) isPlain = false;
      run.push(name);
      if (run.length < RUN) continue;
      runs.push(sort(run));
      run = [];
      await clock.yieldToHost();
    }
  } catch (error) {
    if (!isMissing(error)) throw error;
  }
  runs.push(sort(run));
  return { runs, compare: isPlain ? compareUnits : compareFileNames };
}

function compareUnits(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** undefined for what is no file of the container: unfinished ones, links, sockets, names that the port refuses. */
function nameOf(folder: string, entry: Dirent): string | undefined {
  if (entry.name.includes('\\')) return undefined;
  if (entry.isDirectory()) return `${folder}${entry.name}/`;
  return entry.isFile() && !isUnfinishedName(entry.name) ? folder + entry.name : undefined;
}

async function withSizes(root: string, names: readonly string[]): Promise<readonly ListedFile[]> {
  const sizes = await Promise.all(names.map((name) => sizeOf(`${root}/${name}`)));
  const files: ListedFile[] = [];
  for (const [i, size] of sizes.entries()) {
    if (size !== undefined) files.push({ name: names[i] as string, size });
  }
  return files;
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
