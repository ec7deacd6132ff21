// What every bench shares: how a figure looks, and how two ways of doing the same thing are compared.

/** One result. */
export interface Figure {
  readonly value: number;
  readonly unit: string;
  /** As text, such as ">= 0.5". */
  readonly goal: string;
  readonly met: boolean;
  /** What went into it: a line, or named numbers. */
  readonly detail: string | Readonly<Record<string, number | string>>;
}

export type Figures = Record<string, Figure>;

export interface BenchOptions {
  /** MiB that a bench moves; each has its own default. */
  readonly sizeMiB?: number | undefined;
  /** Pairs of runs that count; one more goes before them and is dropped. Default 5. */
  readonly pairs?: number | undefined;
  /** Where files go. Default: the system's temporary folder. */
  readonly directory?: string | undefined;
  /** Progress, for people. */
  readonly log?: ((line: string) => void) | undefined;
}

/** A bench: one module's `bench` function. */
export type Bench = (options: BenchOptions) => Promise<Figures>;

export const DEFAULT_PAIRS = 5;

export interface Pairs {
  /** Median over the pairs of (time of a / time of b). */
  readonly ratio: number;
  readonly ratios: readonly number[];
  /** Median times in ms. */
  readonly a: number;
  readonly b: number;
}

/** Runs A B A B …, the first pair for nothing, and compares each A with the B after it: on a machine that warms up or fills its caches only neighbours are comparable. Each side returns its time in ms. */
export async function inTurn(
  a: () => Promise<number>,
  b: () => Promise<number>,
  pairs: number,
  log?: (line: string) => void,
): Promise<Pairs> {
  const times: { a: number; b: number }[] = [];
  for (let pair = 0; pair <= pairs; pair++) {
    const time = { a: await a(), b: await b() };
    log?.(
      `  pair ${pair} of ${pairs}: ${Math.round(time.a)} ms, ${Math.round(time.b)} ms${pair === 0 ? ' (dropped)' : ''}`,
    );
    if (pair > 0) times.push(time);
  }
  const ratios = times.map((t) => t.a / t.b);
  return { ratio: median(ratios), ratios, a: median(times.map((t) => t.a)), b: median(times.map((t) => t.b)) };
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((x, y) => x - y);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? NaN) + upper) / 2;
}

/** `values[p * length]` of the sorted values, 0 <= p <= 1. */
export function percentile(values: readonly number[], p: number): number {
  const sorted = [...values].sort((x, y) => x - y);
  return sorted[Math.min(sorted.length - 1, Math.floor(p * sorted.length))] ?? NaN;
}

export function atLeast(value: number, goal: number, unit: string, detail: Figure['detail']): Figure {
  return { value, unit, goal: `>= ${goal}`, met: value >= goal, detail };
}

export function atMost(value: number, goal: number, unit: string, detail: Figure['detail']): Figure {
  return { value, unit, goal: `<= ${goal}`, met: value <= goal, detail };
}
