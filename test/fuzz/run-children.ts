// Deals assignments to child processes, and kills one that makes no progress: its last input is a failure too.

import type { ChildProcess } from 'node:child_process';
import { fork } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Assignment, ChildMessage, FailureReport, TargetReport } from './messages.js';

export interface RunOptions {
  readonly jobs: number;
  /** Without a case for so long, a child is killed. */
  readonly patienceMs: number;
  readonly mayGoOn: () => boolean;
  readonly onFailure: (failure: FailureReport) => void;
  readonly onReport: (child: number, report: TargetReport) => void;
  /** Cases of all children so far; every few seconds. */
  readonly onProgress: (cases: number) => void;
}

const PROGRESS_MS = 10_000;
/** A child that is loading has nothing to make progress with. */
const START_MS = 120_000;
/** A child's JavaScript heap; what lies in buffers is not in it. */
const HEAP_MIB = 1024;

export async function runChildren(work: Iterator<Assignment>, options: RunOptions): Promise<{ peakRss: number }> {
  const folder = mkdtempSync(path.join(tmpdir(), 'tidemark-fuzz-run-'));
  const lanes = Array.from(
    { length: options.jobs },
    (_, i) => new Lane(work, path.join(folder, `input-${i}`), options),
  );
  const timer = setInterval(() => options.onProgress(lanes.reduce((sum, { cases }) => sum + cases, 0)), PROGRESS_MS);
  try {
    await Promise.all(lanes.map((lane) => lane.run()));
    return { peakRss: Math.max(0, ...lanes.map(({ peakRss }) => peakRss)) };
  } finally {
    clearInterval(timer);
    rmSync(folder, { recursive: true, force: true });
  }
}

let children = 0;

/** One child after another: the next takes over when one has died. */
class Lane {
  peakRss = 0;
  readonly #work: Iterator<Assignment>;
  readonly #inputPath: string;
  readonly #options: RunOptions;
  /** Of children that are gone, and of the one that runs. */
  #casesBefore = 0;
  #cases = 0;
  #current: Assignment | undefined;

  constructor(work: Iterator<Assignment>, inputPath: string, options: RunOptions) {
    this.#work = work;
    this.#inputPath = inputPath;
    this.#options = options;
  }

  get cases(): number {
    return this.#casesBefore + this.#cases;
  }

  async run(): Promise<void> {
    while (await this.#runChild()) {
      this.#casesBefore += this.#cases;
      this.#cases = 0;
    }
  }

  /** False: there is no work left. */
  #runChild(): Promise<boolean> {
    this.#current = undefined;
    const id = children++;
    const execArgv = [...process.execArgv, `--max-old-space-size=${HEAP_MIB}`];
    const child = fork(fileURLToPath(new URL('./child.ts', import.meta.url)), [this.#inputPath], { execArgv });
    let timer: NodeJS.Timeout | undefined;
    let isLate = false;
    const wait = () => {
      clearTimeout(timer);
      timer = setTimeout(
        () => {
          isLate = true;
          child.kill('SIGKILL');
        },
        this.#current === undefined ? START_MS : this.#options.patienceMs,
      );
    };
    wait();
    child.on('message', (message) => {
      this.#hear(id, child, message as ChildMessage);
      wait();
    });
    return new Promise((resolve, reject) => {
      child.on('error', reject);
      child.on('exit', (code, signal) => {
        clearTimeout(timer);
        if (code === 0) return resolve(false);
        const cause = isLate
          ? `no progress for ${this.#options.patienceMs / 1000} s`
          : `the process ended with ${code ?? String(signal)}`;
        if (this.#current === undefined) return reject(new Error(cause));
        this.#options.onFailure({ target: this.#current.target, hex: this.#lastInput(), message: cause });
        resolve(true);
      });
    });
  }

  #hear(id: number, child: ChildProcess, message: ChildMessage): void {
    switch (message.kind) {
      case 'alive':
        this.#cases = message.cases;
        return;
      case 'failure':
        return this.#options.onFailure(message.failure);
      case 'done':
        this.#options.onReport(id, message.report);
        this.peakRss = Math.max(this.peakRss, message.peakRss);
        return this.#assign(child);
      case 'ready':
        return this.#assign(child);
    }
  }

  #assign(child: ChildProcess): void {
    const next = this.#options.mayGoOn() ? this.#work.next() : undefined;
    this.#current = next === undefined || next.done === true ? undefined : next.value;
    if (this.#current === undefined) child.disconnect();
    else child.send(this.#current);
  }

  #lastInput(): string {
    const bytes = readFileSync(this.#inputPath);
    return bytes.length < 4 ? '' : bytes.subarray(4, 4 + bytes.readUInt32LE(0)).toString('hex');
  }
}
