// The worker processes, seen from the demo: each is what an operator would run on a machine of its own, or as one of two pods.

import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { stopChild, type Child, type Children } from './children.js';
import type { WorkerEnd, WorkerMessage, WorkerProgress, WorkerSettings } from './worker-messages.js';

const SCRIPT = fileURLToPath(new URL('./worker-process.ts', import.meta.url));

export interface HostListener {
  readonly onSaid: (host: string, line: string) => void;
  readonly onSnapshot: (host: string, snapshot: { version: string; rows: number; files: number }) => void;
  /** It ended, and nobody had asked it to. */
  readonly onUnexpectedEnd: (error: Error) => void;
}

export class WorkerHost {
  readonly name: string;
  readonly ended: Promise<WorkerEnd>;
  readonly #child: Child;
  #progress: WorkerProgress = { tags: [] };
  #end: WorkerEnd | undefined;
  #isEndExpected = false;
  #isKilled = false;

  constructor(children: Children, settings: WorkerSettings, listener: HostListener) {
    this.name = settings.host;
    const args = ['--import', import.meta.resolve('tsx'), SCRIPT, JSON.stringify(settings)];
    this.#child = children.start(process.execPath, args, 'messages');
    this.#child.process.on('message', (message: WorkerMessage) => this.#hear(message, listener));
    this.ended = this.#awaitEnd(listener);
  }

  get pid(): number {
    return this.#child.process.pid ?? 0;
  }

  get isKilled(): boolean {
    return this.#isKilled;
  }

  /** As the process told last. */
  get progress(): WorkerProgress {
    return this.#progress;
  }

  /** Without a word to it. Resolves when it is gone. */
  async kill(): Promise<void> {
    this.#isEndExpected = true;
    this.#isKilled = true;
    this.#child.process.kill('SIGKILL');
    await this.ended;
    this.#progress = { tags: [] };
  }

  /** Lets it give its tags back and end. */
  async stop(): Promise<WorkerEnd> {
    this.#isEndExpected = true;
    await stopChild(this.#child.process, 'SIGTERM');
    return this.ended;
  }

  #hear(message: WorkerMessage, listener: HostListener): void {
    if ('progress' in message) this.#progress = message.progress;
    else if ('said' in message) listener.onSaid(this.name, message.said);
    else if ('snapshot' in message) listener.onSnapshot(this.name, message.snapshot);
    else this.#end = message.end;
  }

  async #awaitEnd(listener: HostListener): Promise<WorkerEnd> {
    // 'close' comes after the last message.
    const [code, signal] = (await once(this.#child.process, 'close')) as [number | null, string | null];
    const wordless = `ended by ${signal ?? `exit code ${code}`} without a word: ${this.#child.output()}`;
    const end = this.#end ?? { failed: true, message: wordless };
    if (!this.#isEndExpected)
      listener.onUnexpectedEnd(new Error(`${this.name} (pid ${this.pid}) ended: ${end.message}`));
    return end;
  }
}
