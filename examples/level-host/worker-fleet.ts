// The backup workers' processes, seen from the demo: one per tag, and whatever the demo does to them.

import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { Version } from 'tidemark';
import type { WorkerEnd, WorkerMessage, WorkerProgress, WorkerSettings } from './worker-messages.js';

const SCRIPT = fileURLToPath(new URL('./worker-process.ts', import.meta.url));
const STOP_TIMEOUT = 10_000;

export type ProcessEnd = WorkerEnd | { readonly outcome: 'killed'; readonly message: string };

export class WorkerProcess {
  readonly tagId: number;
  readonly ended: Promise<ProcessEnd>;
  readonly #child: ChildProcess;
  #progress: WorkerProgress | undefined;
  #end: WorkerEnd | undefined;

  constructor(settings: WorkerSettings) {
    this.tagId = settings.tagId;
    // Node starts with tsx, so that it understands TypeScript.
    this.#child = fork(SCRIPT, [JSON.stringify(settings)], { execArgv: ['--import', import.meta.resolve('tsx')] });
    this.#child.on('message', (message: WorkerMessage) => {
      if ('progress' in message) this.#progress = message.progress;
      else this.#end = message.end;
    });
    this.ended = this.#awaitEnd();
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  get progress(): WorkerProgress | undefined {
    return this.#progress;
  }

  /** Inclusive, as the process told last. */
  get savedVersion(): Version {
    return BigInt(this.#progress?.savedVersion ?? 0);
  }

  signal(name: 'SIGKILL' | 'SIGSTOP' | 'SIGCONT'): void {
    this.#child.kill(name);
  }

  /** Lets the worker end cleanly; kills it when it does not. */
  async stop(): Promise<ProcessEnd> {
    // Signals to a process that has ended do nothing.
    this.#child.kill('SIGCONT');
    this.#child.kill('SIGTERM');
    const kill = setTimeout(() => this.#child.kill('SIGKILL'), STOP_TIMEOUT);
    try {
      return await this.ended;
    } finally {
      clearTimeout(kill);
    }
  }

  async #awaitEnd(): Promise<ProcessEnd> {
    // 'close' comes after the last message.
    const [code, signal] = (await once(this.#child, 'close')) as [number | null, string | null];
    if (signal !== null) return { outcome: 'killed', message: `ended by ${signal}` };
    return this.#end ?? { outcome: 'failed', message: `ended with exit code ${code} and without a word` };
  }
}

export class WorkerFleet {
  readonly #settings: Omit<WorkerSettings, 'tagId'>;
  readonly #current = new Map<number, WorkerProcess>();
  readonly #all = new Set<WorkerProcess>();
  readonly #expected = new Set<WorkerProcess>();
  readonly #onUnexpectedEnd: (error: Error) => void;
  #stopping = false;

  constructor(settings: Omit<WorkerSettings, 'tagId'>, onUnexpectedEnd: (error: Error) => void) {
    this.#settings = settings;
    this.#onUnexpectedEnd = onUnexpectedEnd;
  }

  /** The newest worker of each tag. */
  get workers(): readonly WorkerProcess[] {
    return [...this.#current.values()];
  }

  /** How many processes were ever started. */
  get started(): number {
    return this.#all.size;
  }

  /** Starts a worker for the tag; from now on it is the tag's current one, whether or not an earlier one still lives. */
  start(tagId: number): WorkerProcess {
    const worker = new WorkerProcess({ ...this.#settings, tagId });
    this.#current.set(tagId, worker);
    this.#all.add(worker);
    void worker.ended.then(({ outcome, message }) => {
      if (this.#stopping || this.#expected.has(worker)) return;
      this.#onUnexpectedEnd(
        new Error(`The worker of tag ${tagId} (pid ${worker.pid}) ended unexpectedly, ${outcome}: ${message}`),
      );
    });
    return worker;
  }

  worker(tagId: number): WorkerProcess {
    const worker = this.#current.get(tagId);
    if (worker === undefined) throw new Error(`No worker was started for tag ${tagId}`);
    return worker;
  }

  /** The demo is about to end this one: no alarm. */
  expectEnd(worker: WorkerProcess): void {
    this.#expected.add(worker);
  }

  /** Ends all of them, the frozen ones too. */
  async stop(): Promise<readonly ProcessEnd[]> {
    this.#stopping = true;
    return Promise.all([...this.#all].map((worker) => worker.stop()));
  }
}
