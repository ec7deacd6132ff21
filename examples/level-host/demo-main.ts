// What every demo does with its command line, with signals and with errors: it ends in good order, says what failed first, and sets the exit code.

import { mkdir, readdir } from 'node:fs/promises';
import type { DemoOptions } from './demo-options.js';

const INTERRUPTS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
const INTERRUPTED = new Error('interrupted');

export interface Demo {
  readonly parseOptions: (args: readonly string[]) => DemoOptions;
  /** Shown where the command line cannot be understood. */
  readonly usage: string;
  /** What the demo cannot do without, and how to get it; undefined: it is all here. */
  readonly missing?: () => string | undefined;
  /** The folder `options.out` is there and empty. The controller aborts at a signal. */
  readonly run: (options: DemoOptions, abort: AbortController) => Promise<void>;
}

/** Never rejects. Exit code 2: it could not begin; 1: it failed, or was interrupted. */
export async function demoMain({ parseOptions, usage, missing, run }: Demo): Promise<void> {
  let options: DemoOptions;
  try {
    options = parseOptions(process.argv.slice(2));
  } catch (error) {
    console.error(`${error instanceof Error ? error.message : String(error)}\n\n${usage}`);
    process.exitCode = 2;
    return;
  }
  const complaint = missing?.();
  if (complaint !== undefined) {
    console.error(complaint);
    process.exitCode = 2;
    return;
  }
  await runInterruptible(async (abort) => {
    if (options.out !== undefined) await prepareOut(options.out);
    await run(options, abort);
  });
}

/** Runs `demo`, whose controller aborts at a signal. Never rejects. */
async function runInterruptible(demo: (abort: AbortController) => Promise<void>): Promise<void> {
  const abort = new AbortController();
  const interrupt = () => abort.abort(INTERRUPTED);
  for (const signal of INTERRUPTS) process.on(signal, interrupt);
  try {
    await demo(abort);
  } catch (error) {
    // What failed first is the reason; the rest failed because everything was stopped.
    const reason: unknown = abort.signal.aborted ? abort.signal.reason : error;
    if (reason === INTERRUPTED) console.error('Interrupted');
    else console.error('FAILED:', reason);
    process.exitCode = 1;
  } finally {
    for (const signal of INTERRUPTS) process.off(signal, interrupt);
  }
}

async function prepareOut(out: string): Promise<void> {
  await mkdir(out, { recursive: true });
  if ((await readdir(out)).length > 0) throw new Error(`--out: ${out} is not empty`);
}
