// What a run of the torture test counts and complains of.

export class Report {
  readonly problems: string[] = [];
  readonly #counts = new Map<string, number>();
  readonly #started = performance.now();

  count(what: string, amount = 1): void {
    this.#counts.set(what, (this.#counts.get(what) ?? 0) + amount);
  }

  counted(what: string): number {
    return this.#counts.get(what) ?? 0;
  }

  /** The largest one is kept. */
  high(what: string, value: number): void {
    this.#counts.set(what, Math.max(this.counted(what), value));
  }

  problem(message: string): void {
    this.problems.push(message);
    this.say(`PROBLEM: ${message}`);
  }

  say(line: string): void {
    console.log(`${((performance.now() - this.#started) / 1000).toFixed(1).padStart(7)} s  ${line}`);
  }

  summary(): string {
    const lines = [...this.#counts].sort(([a], [b]) => (a < b ? -1 : 1));
    const width = Math.max(0, ...lines.map(([what]) => what.length));
    return lines.map(([what, count]) => `  ${what.padEnd(width)}  ${count.toLocaleString('en')}`).join('\n');
  }
}
