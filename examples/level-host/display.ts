// What the demo shows: progress bars on a terminal, plain lines elsewhere (a file, a CI log).

import cliProgress from 'cli-progress';

export interface Bar {
  /** The note stands behind the bar. */
  update(value: number, total: number, note: string): void;
}

export interface Display {
  /** To be called before anything is said. */
  bar(name: string): Bar;
  say(line: string): void;
  /** Takes the bars away; what was said stays. */
  stop(): void;
}

export function openDisplay(): Display {
  return process.stdout.isTTY ? new BarDisplay() : new LineDisplay();
}

const CLEAR_TO_END_OF_LINE = '\x1b[K';

class BarDisplay implements Display {
  readonly #bars = new cliProgress.MultiBar({
    format: '{name} {bar} {note}',
    stream: process.stdout,
    barsize: 30,
    fps: 5,
    hideCursor: true,
    forceRedraw: true, // a bar that has not moved is drawn again below what was said
    barCompleteChar: '█',
    barIncompleteChar: '░',
    gracefulExit: false, // the demo itself cleans up after Ctrl-C
    emptyOnZero: true,
  });

  bar(name: string): Bar {
    const bar = this.#bars.create(1, 0, { name: name.padEnd(10), note: '' });
    return {
      update: (value, total, note) => {
        bar.setTotal(total);
        bar.update(value, { note });
      },
    };
  }

  say(line: string): void {
    // The bars' library cuts lines at the terminal's edge, and does not clear what a bar has left there.
    for (const part of wrap(line, process.stdout.columns - 1)) this.#bars.log(`${part}${CLEAR_TO_END_OF_LINE}\n`);
  }

  stop(): void {
    this.#bars.stop();
  }
}

/** Every so often one line with all bars that have moved. */
class LineDisplay implements Display {
  static readonly #interval = 2_500;
  readonly #moved = new Map<string, string>();
  readonly #timer = setInterval(() => this.#print(), LineDisplay.#interval);

  bar(name: string): Bar {
    return {
      update: (value, total, note) => {
        const percent = total === 0 ? 0 : Math.floor((100 * value) / total);
        this.#moved.set(name, `${name} ${percent}% ${note}`.trimEnd());
      },
    };
  }

  say(line: string): void {
    console.log(line);
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#print();
  }

  #print(): void {
    if (this.#moved.size > 0) console.log(`    ${[...this.#moved.values()].join(' | ')}`);
    this.#moved.clear();
  }
}

/** Between words; lines after the first are indented a little more. */
function wrap(line: string, width: number): string[] {
  const at = line.length <= width ? -1 : line.lastIndexOf(' ', width);
  const indent = line.length - line.trimStart().length;
  if (at <= indent) return [line];
  return [line.slice(0, at), ...wrap(' '.repeat(indent + 2) + line.slice(at + 1), width)];
}

/** 12,345.6 */
export function number(value: number | bigint, digits: 0 | 1 = 0): string {
  return new Intl.NumberFormat('en-US', { maximumFractionDigits: digits, minimumFractionDigits: digits }).format(value);
}

export function mebibytes(bytes: number): string {
  return `${number(bytes / (1 << 20), 1)} MiB`;
}

/** Two columns. A value may have several lines; a name that is the same as in the row above is not repeated. */
export function table(rows: readonly (readonly [name: string, value: string])[]): string {
  const width = Math.max(...rows.map(([name]) => name.length));
  return rows
    .map(([name, value], i) => {
      const shown = name === rows[i - 1]?.[0] ? '' : name;
      return `  ${shown.padEnd(width)}  ${value.replaceAll('\n', `\n${' '.repeat(width + 4)}`)}`;
    })
    .join('\n');
}
