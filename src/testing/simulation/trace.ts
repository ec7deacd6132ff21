// What happened, for a person who reads a failing seed; the same seed gives the same lines, byte for byte.

export class SimTrace {
  readonly #lines: string[] | undefined;
  readonly #now: () => number;

  constructor(enabled: boolean, now: () => number) {
    this.#lines = enabled ? [] : undefined;
    this.#now = now;
  }

  /** Callers that would build a long line ask first. */
  get enabled(): boolean {
    return this.#lines !== undefined;
  }

  add(who: string, what: string): void {
    this.#lines?.push(`${this.#now().toFixed(3).padStart(10)} ${who.padEnd(12)} ${what}`);
  }

  text(): string {
    return this.#lines === undefined ? '' : `${this.#lines.join('\n')}\n`;
  }
}

/** For trace lines: short, and never throws. */
export function describeError(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const code = 'code' in error ? `${String(error.code)}: ` : '';
  return `${code}${error.message}`;
}
