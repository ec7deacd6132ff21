// A child process of the torture test, from outside: started, killed, frozen, asked to stop, and watched for whatever it should not do.

import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { join } from 'node:path';
import type { ChildMessage, ChildSettings, Command } from './messages.js';
import type { Report } from './report.js';

/** ms: far longer than anything takes, on a busy machine too. */
const PATIENCE = 120_000;

export interface ChildOptions {
  /** Where the compiled code is. */
  readonly code: string;
  readonly settings: ChildSettings;
  readonly report: Report;
  /** When the test runs as root and the child must not. */
  readonly uid?: number | undefined;
  /** How many files it may have open. */
  readonly handleLimit?: number | undefined;
}

export class Child {
  readonly name: string;
  readonly #report: Report;
  readonly #process: ChildProcess;
  readonly #ended: Promise<void>;
  readonly #events: { readonly name: string; readonly detail: string }[] = [];
  #errors = '';
  #killed = false;
  #isReady = false;
  #isOver = false;
  #signal: string | null = null;
  #code: number | null = null;
  #end: (ChildMessage & { kind: 'end' }) | undefined;
  #largestBuffer = 0;

  constructor({ code, settings, report, uid, handleLimit }: ChildOptions) {
    this.#report = report;
    this.#process = fork(join(code, 'test/torture/child-process.js'), [JSON.stringify(settings)], {
      ...(handleLimit === undefined
        ? { execArgv: ['--enable-source-maps'] }
        : { execPath: 'prlimit', execArgv: [`--nofile=${handleLimit}`, process.execPath, '--enable-source-maps'] }),
      stdio: ['ignore', 'inherit', 'pipe', 'ipc'],
      ...(uid === undefined ? {} : { uid, gid: uid }),
    });
    this.name = `${settings.role} ${settings.share} (pid ${this.#process.pid})`;
    this.#process.stderr?.setEncoding('utf8').on('data', (text: string) => (this.#errors += text));
    this.#process.on('message', (message: ChildMessage) => this.#hear(message));
    this.#ended = this.#awaitEnd();
    report.count(`processes started: ${settings.role}`);
    // One that is to kill itself is expected to die.
    this.#killed = settings.killAtOperation !== undefined;
  }

  get isReady(): boolean {
    return this.#isReady;
  }

  /** Whether it has done anything worth telling. */
  get hasActed(): boolean {
    return this.#events.length > 0;
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  /** Whether it was SIGKILL that ended it. */
  get wasKilled(): boolean {
    return this.#signal === 'SIGKILL';
  }

  get ended(): Promise<void> {
    return this.#ended;
  }

  get largestBuffer(): number {
    return this.#largestBuffer;
  }

  /** Events of this name, and those whose detail holds the text. */
  count(name: string, text = ''): number {
    return this.#events.filter((event) => event.name === name && event.detail.includes(text)).length;
  }

  send(command: Command): void {
    if (this.#process.connected) this.#process.send(command);
  }

  signal(name: 'SIGSTOP' | 'SIGCONT'): void {
    this.#process.kill(name);
  }

  async kill(): Promise<void> {
    this.#killed = true;
    this.#process.kill('SIGKILL');
    await this.#ended;
  }

  /** Lets it end in good order; that it does, leaving nothing behind, is part of the test. `allowed`: what may be left of calls that hang. */
  async stop(allowed = 0): Promise<void> {
    this.#process.kill('SIGCONT');
    this.send({ command: 'stop' });
    const patience = new AbortController();
    const late = sleep(PATIENCE, 'late' as const, { signal: patience.signal }).catch(() => 'in time' as const);
    const outcome = await Promise.race([this.#ended.then(() => 'ended' as const), late]);
    patience.abort();
    if (outcome === 'late') {
      this.#report.problem(`${this.name} did not end when it was asked to`);
      await this.kill();
      return;
    }
    if (this.wasKilled) return; // it had been told to kill itself
    this.#report.count('processes that ended in good order');
    this.#checkEnd(allowed);
  }

  #checkEnd(allowed: number): void {
    if (this.#end === undefined) return; // reported already
    const { resources } = this.#end;
    if (resources.length > allowed) this.#report.problem(`${this.name} left resources: ${resources.join(', ')}`);
    const files = this.#end.openFiles.filter((target) => target.startsWith('/') && !target.startsWith('/dev/'));
    if (files.length > allowed) this.#report.problem(`${this.name} left open: ${files.join(', ')}`);
  }

  #hear(message: ChildMessage): void {
    if (message.kind === 'ready') this.#isReady = true;
    else if (message.kind === 'end') this.#end = message;
    else if (message.kind === 'problem') this.#report.problem(`${this.name}: ${message.message}`);
    else if (message.kind === 'memory') this.#hearMemory(message);
    else {
      this.#events.push(message);
      this.#report.count(`events: ${message.name}`);
    }
  }

  /** A batch that is larger than the lock passes alone; the test's are not. */
  #hearMemory({ bufferedBytes, lockBytes }: ChildMessage & { kind: 'memory' }): void {
    this.#largestBuffer = Math.max(this.#largestBuffer, bufferedBytes);
    this.#report.high('most bytes buffered by a worker', bufferedBytes);
    if (bufferedBytes > lockBytes) this.#report.problem(`${this.name} holds ${bufferedBytes} bytes of ${lockBytes}`);
  }

  async #awaitEnd(): Promise<void> {
    const [code, signal] = (await once(this.#process, 'close')) as [number | null, string | null];
    this.#isOver = true;
    this.#code = code;
    this.#signal = signal;
    if (signal === 'SIGKILL' && this.#killed) return;
    const errors = this.#errors.trim();
    if (signal !== null || code !== 0) {
      this.#report.problem(`${this.name} ended by itself, code ${this.#code}, signal ${signal}: ${errors}`);
    } else if (errors !== '' || this.#end === undefined) {
      this.#report.problem(`${this.name} ended and said: ${errors === '' ? '(nothing)' : errors}`);
    }
  }
}
