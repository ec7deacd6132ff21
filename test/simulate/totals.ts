// What has been run so far, and how it is told: a line of progress, and a summary of what was met and how often.

import type { SeedReport } from './messages.js';

export interface Totals {
  done: number;
  events: number;
  readonly failed: SeedReport[];
  /** How often each fault and path was met, and in how many seeds. */
  readonly hits: Map<string, { count: number; seeds: number }>;
}

export function newTotals(): Totals {
  return { done: 0, events: 0, failed: [], hits: new Map() };
}

export function addReport(totals: Totals, report: SeedReport): void {
  totals.done++;
  totals.events += report.events;
  if (report.violation !== undefined) totals.failed.push(report);
  for (const [name, count] of Object.entries(report.hits)) {
    const hit = totals.hits.get(name);
    if (hit === undefined) totals.hits.set(name, { count, seeds: 1 });
    else {
      hit.count += count;
      hit.seeds++;
    }
  }
}

export function countsOf({ hits }: Totals): Record<string, number> {
  return Object.fromEntries([...hits].map(([name, { count }]) => [name, count]));
}

export interface ProgressFacts {
  readonly done: number;
  /** Infinite: until the time is over. */
  readonly total: number;
  readonly failed: number;
  /** Paths that nobody has met yet. */
  readonly missing: number;
  readonly elapsedMs: number;
  /** Of a soak: when it ends, in ms from its begin. */
  readonly durationMs: number | undefined;
}

/** `312 of 2000 seeds, 12.3/s, 2:17 left, 0 failed, 4 paths not met yet` */
export function progressLine({ done, total, failed, missing, elapsedMs, durationMs }: ProgressFacts): string {
  const rate = elapsedMs > 0 ? done / (elapsedMs / 1_000) : 0;
  const leftMs = durationMs === undefined ? ((total - done) / rate) * 1_000 : durationMs - elapsedMs;
  const left = rate === 0 ? '' : `, ${formatTime(Math.max(0, leftMs))} left`;
  const of = Number.isFinite(total) ? ` of ${total}` : '';
  return `${done}${of} seeds, ${rate.toFixed(1)}/s${left}, ${failed} failed, ${missing} paths not met yet`;
}

/** `2:17`, `1:02:17` */
export function formatTime(ms: number): string {
  const seconds = Math.round(ms / 1_000);
  const two = (value: number) => String(value).padStart(2, '0');
  const minutes = Math.floor(seconds / 60) % 60;
  const hours = Math.floor(seconds / 3_600);
  return hours > 0 ? `${hours}:${two(minutes)}:${two(seconds % 60)}` : `${minutes}:${two(seconds % 60)}`;
}

export type Group = 'faults' | 'rules' | 'oracle' | 'paths';

/** By the beginning of the name. */
export function groupOf(name: string): Group {
  if (name.startsWith('fault: ')) return 'faults';
  if (name.startsWith('oracle: ')) return 'oracle';
  return /^(P\d\d|S\d) /.test(name) ? 'rules' : 'paths';
}

const GROUPS: readonly { readonly group: Group; readonly title: string }[] = [
  { group: 'faults', title: 'Faults' },
  { group: 'rules', title: 'Rules of docs/protocol.md' },
  { group: 'paths', title: 'What happened' },
  { group: 'oracle', title: 'What the oracle looked at' },
];

/** How often, and in how many seeds. */
export function summaryLines(totals: Totals): string[] {
  const names = [...totals.hits.keys()].sort((a, b) => (a < b ? -1 : 1));
  const width = names.reduce((longest, name) => Math.max(longest, name.length), 0);
  return GROUPS.flatMap(({ group, title }) => {
    const own = names.filter((name) => groupOf(name) === group);
    if (own.length === 0) return [];
    return [
      '',
      `${title}:`,
      ...own.map((name) => {
        const { count, seeds } = totals.hits.get(name) ?? { count: 0, seeds: 0 };
        return `  ${name.padEnd(width)} ${String(count).padStart(9)} in ${String(seeds).padStart(6)} seeds`;
      }),
    ];
  });
}
