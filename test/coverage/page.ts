// docs/coverage.md: the table and the list, made from a run. Nothing in it depends on when or where it was made.

import { addCounts, percent, type FileCounts } from './report.js';
import type { Comparison } from './reasons.js';
import type { UncoveredPlace } from './uncovered.js';

export interface PageContent {
  readonly files: ReadonlyMap<string, FileCounts>;
  readonly comparison: Comparison;
}

/** `src/restore`; the public face stands for itself. */
export function folderOf(file: string): string {
  return file.slice(0, file.lastIndexOf('/'));
}

/** One row per folder, and the sum. */
export function folderRows(files: ReadonlyMap<string, FileCounts>): [name: string, counts: FileCounts][] {
  const folders = new Map<string, FileCounts[]>();
  for (const [file, counts] of files) folders.set(folderOf(file), [...(folders.get(folderOf(file)) ?? []), counts]);
  const rows = [...folders].map(([name, counts]): [string, FileCounts] => [name, addCounts(counts)]);
  return [...rows.sort(([a], [b]) => (a < b ? -1 : 1)), ['all of src', addCounts([...files.values()])]];
}

/** As one line for a person; `|` and backquotes are safe in it. */
export function describePlace({ code, part }: Pick<UncoveredPlace, 'code' | 'part'>): string {
  return part === undefined || part === code ? inCode(code) : `${inCode(code)}: ${isWord(part) ? part : inCode(part)}`;
}

const isWord = (part: string) => part === 'never true' || part === 'never false';

/** Markdown's way to quote what has backquotes in it. */
function inCode(text: string): string {
  const longest = Math.max(0, ...Array.from(text.matchAll(/`+/g), ([run]) => run.length));
  const fence = '`'.repeat(longest + 1);
  return longest === 0 ? `${fence}${text}${fence}` : `${fence} ${text} ${fence}`;
}

export function renderPage(content: PageContent, introduction: string): string {
  return `${introduction.trimEnd()}\n\n${renderTable(content.files)}\n\n${renderList(content)}\n`;
}

function renderTable(files: ReadonlyMap<string, FileCounts>): string {
  const rows = folderRows(files).map(
    ([name, { lines, branches, functions }]) =>
      `| ${name.startsWith('src') ? `\`${name}\`` : name} | ${lines.total} | ${percent(lines)} | ${branches.total} | ${percent(branches)} | ${functions.total} | ${percent(functions)} |`,
  );
  const head = ['folder', 'lines', '%', 'branches', '%', 'functions', '%'];
  return ['## The table', '', `| ${head.join(' | ')} |`, '| --- |' + ' ---: |'.repeat(6), ...rows].join('\n');
}

function renderList({ files, comparison }: PageContent): string {
  const byFile = new Map<string, string[]>();
  for (const { place, reason } of comparison.explained) note(byFile, place.file, describePlace(place), reason);
  for (const place of comparison.unexplained) note(byFile, place.file, describePlace(place), 'NO REASON YET');
  const full = [...files.keys()].filter((file) => !byFile.has(file)).length;
  const sections = [...byFile].map(([file, lines]) => `### ${file}\n\n${lines.join('\n')}`);
  const summary = `${full} of ${files.size} files ran whole, or hold types alone. In the others:`;
  return ['## What does not run', '', summary, '', sections.join('\n\n')].join('\n');
}

function note(byFile: Map<string, string[]>, file: string, what: string, reason: string): void {
  const lines = byFile.get(file) ?? [];
  lines.push(`- ${what} — ${reason}`);
  byFile.set(file, lines);
}
