// The table at the end of a run.

import type { TargetReport } from './messages.js';
import type { FuzzTarget } from './target.js';

export interface RunFacts {
  readonly seconds: number;
  /** Bytes: the largest child. */
  readonly peakRss: number;
}

const COLUMNS = ['target', 'cases', 'refused', 'accepted', 'corpus', 'reached', 'slowest ms', 'of bytes', 'KiB a case'];

export function printSummary(targets: readonly FuzzTarget[], reports: readonly TargetReport[], facts: RunFacts): void {
  const rows = targets.map(({ name }) =>
    rowOf(
      name,
      reports.filter(({ target }) => target === name),
    ),
  );
  const widths = COLUMNS.map((title, i) => Math.max(title.length, ...rows.map((row) => (row[i] ?? '').length)));
  for (const row of [COLUMNS, ...rows]) {
    console.log(
      row.map((cell, i) => (i === 0 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0))).join('  '),
    );
  }
  console.log('');
  for (const { name } of targets) {
    const codes = codesOf(reports.filter(({ target }) => target === name));
    if (codes.length > 0) console.log(`${name}: ${codes.map(([code, count]) => `${code} ${count}`).join(', ')}`);
  }
  const cases = reports.reduce((sum, report) => sum + report.cases, 0);
  console.log(
    `\n${cases} cases in ${facts.seconds.toFixed(1)} s; the largest process had ${Math.round(facts.peakRss / 2 ** 20)} MiB`,
  );
}

function codesOf(reports: readonly TargetReport[]): (readonly [string, number])[] {
  const counts = new Map<string, number>();
  for (const { refused } of reports)
    for (const [code, count] of refused) counts.set(code, (counts.get(code) ?? 0) + count);
  return [...counts].sort(([, a], [, b]) => b - a);
}

function rowOf(name: string, reports: readonly TargetReport[]): string[] {
  const sum = (of: (report: TargetReport) => number) => reports.reduce((total, report) => total + of(report), 0);
  const most = (of: (report: TargetReport) => number) => Math.max(0, ...reports.map(of));
  const slowest = [...reports].sort((a, b) => b.slowestMs - a.slowestMs)[0];
  const cases = sum((report) => report.cases);
  const accepted = sum((report) => report.accepted);
  const cells = [cases, cases - accepted, accepted, most((report) => report.corpus), most((report) => report.reached)];
  const peak = (most((report) => report.peakMemory) / 1024).toFixed(0);
  return [name, ...cells.map(String), (slowest?.slowestMs ?? 0).toFixed(1), String(slowest?.slowestBytes ?? 0), peak];
}
