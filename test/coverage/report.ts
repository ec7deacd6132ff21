// What a coverage run says, as Vitest's `json` reporter writes it (Istanbul's form): for each file its statements, functions and branches, and how often each ran.

import { readFile } from 'node:fs/promises';
import { relative, sep } from 'node:path';

/** Lines from 1, columns from 0. A missing line or column in `end` means the end of the line; a position without anything is that of an `else` that is not written. */
export interface Position {
  readonly line?: number | null;
  readonly column?: number | null;
}

export interface Location {
  readonly start: Position;
  readonly end: Position;
}

export interface FileReport {
  readonly statementMap: Readonly<Record<string, Location>>;
  readonly fnMap: Readonly<Record<string, { readonly decl: Location; readonly loc: Location }>>;
  readonly branchMap: Readonly<
    Record<string, { readonly type: string; readonly loc: Location; readonly locations: readonly Location[] }>
  >;
  readonly s: Readonly<Record<string, number>>;
  readonly f: Readonly<Record<string, number>>;
  readonly b: Readonly<Record<string, readonly number[]>>;
}

/** Covered, and how many there are. */
export interface Count {
  readonly covered: number;
  readonly total: number;
}

export interface FileCounts {
  readonly lines: Count;
  readonly branches: Count;
  readonly functions: Count;
}

/** By path from the root of the repository, with `/`. */
export async function readReport(path: string, root: string): Promise<ReadonlyMap<string, FileReport>> {
  const files = JSON.parse(await readFile(path, 'utf8')) as Record<string, FileReport>;
  const named = Object.entries(files).map(
    ([name, file]) => [relative(root, name).split(sep).join('/'), file] as const,
  );
  return new Map(named.sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** A line counts once a statement begins on it, and is covered as soon as one of those has run. */
export function countFile({ statementMap, s, f, b }: FileReport): FileCounts {
  const lines = new Map<number, boolean>();
  for (const [id, { start }] of Object.entries(statementMap)) {
    const line = start.line ?? 0;
    lines.set(line, (lines.get(line) ?? false) || (s[id] ?? 0) > 0);
  }
  const arms = Object.values(b).flat();
  return {
    lines: { covered: [...lines.values()].filter((covered) => covered).length, total: lines.size },
    branches: countHits(arms),
    functions: countHits(Object.values(f)),
  };
}

function countHits(hits: readonly number[]): Count {
  return { covered: hits.filter((count) => count !== 0).length, total: hits.length };
}

export function addCounts(counts: readonly FileCounts[]): FileCounts {
  const sum = (pick: (file: FileCounts) => Count): Count => ({
    covered: counts.reduce((all, file) => all + pick(file).covered, 0),
    total: counts.reduce((all, file) => all + pick(file).total, 0),
  });
  return { lines: sum((x) => x.lines), branches: sum((x) => x.branches), functions: sum((x) => x.functions) };
}

/** `98.7`; never 100 while something is missing. `-` where there is nothing to cover. */
export function percent({ covered, total }: Count): string {
  if (total === 0) return '-';
  return (Math.floor((covered * 1000) / total) / 10).toFixed(1);
}
