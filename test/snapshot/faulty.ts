// A process that may die: clock, container and source as it sees them, with faults at random calls and an end at a chosen one.

import type { Clock } from '../../src/core/clock.js';
import { BackupError } from '../../src/core/errors.js';
import type { BackupContainer, BackupFile } from '../../src/ports/backup-container.js';
import type { RangeSource } from '../../src/ports/range-source.js';

/** Sleeps take no real time, but virtual time, and end in order. */
export class HastyClock implements Clock {
  #now = 0;
  #sleeping = 0;

  now(): number {
    return this.#now;
  }

  wallTime(): number {
    return Date.UTC(2026, 5, 1) + this.#now;
  }

  get pendingTimers(): number {
    return this.#sleeping;
  }

  async sleep(ms: number, signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    this.#sleeping++;
    await Promise.resolve();
    this.#sleeping--;
    signal?.throwIfAborted();
    this.#now += ms;
  }

  async yieldToHost(): Promise<void> {
    await Promise.resolve();
  }
}

export class Crash extends Error {}

export interface ProcessFaults {
  readonly random: () => number;
  /** The process dies at this call, counted over everything that it calls; Infinity: never. */
  readonly dieAt: number;
  /** Share of calls that fail for once. */
  readonly faultRate: number;
}

/** One life of a process. */
export class MortalProcess {
  readonly #faults: ProcessFaults;
  readonly #end = new AbortController();
  #calls = 0;
  /** Files that were opened and neither finished nor aborted. */
  readonly openFiles = new Set<string>();

  constructor(faults: ProcessFaults) {
    this.#faults = faults;
  }

  /** Aborts when the process dies: then nothing of it goes on. */
  get signal(): AbortSignal {
    return this.#end.signal;
  }

  get isDead(): boolean {
    return this.#end.signal.aborted;
  }

  get calls(): number {
    return this.#calls;
  }

  /** A fault takes effect before the call or after it, and so does the end. */
  async call<T>(effect: () => Promise<T>): Promise<T> {
    await Promise.resolve();
    if (this.isDead) throw new Crash('the process is dead');
    const { random, dieAt, faultRate } = this.#faults;
    const dies = ++this.#calls === dieAt;
    const fails = random() < faultRate;
    const effective = random() < 0.5;
    if ((dies || fails) && !effective) this.#fail(dies);
    const result = await effect();
    if (dies || fails) this.#fail(dies);
    return result;
  }

  #fail(dies: boolean): never {
    if (!dies) throw new BackupError('CONTAINER_UNAVAILABLE', 'a fault', { retryable: true });
    const crash = new Crash('the process dies');
    this.#end.abort(crash);
    throw crash;
  }

  container(inner: BackupContainer): BackupContainer {
    const call = <T>(effect: () => Promise<T>) => this.call(effect);
    return {
      url: inner.url,
      create: () => call(() => inner.create()),
      exists: () => call(() => inner.exists()),
      // An answer that is lost takes the file with it: nobody could abort that one.
      writeFile: async (name, options) =>
        this.#file(await call(() => inner.writeFile(name, options)), `${name} ${this.#calls}`),
      readFile: (name, offset, length) => call(() => inner.readFile(name, offset, length)),
      listFiles: (prefix) => this.#list(inner, prefix),
      deleteFile: (name) => call(() => inner.deleteFile(name)),
    };
  }

  /** It may fail before its first name or after its last one: once, or a long listing would hardly ever come through. The process may end at any name. */
  async *#list(inner: BackupContainer, prefix: string) {
    const failsLate = this.#faults.random() < 0.5;
    if (!failsLate) await this.call(async () => undefined);
    for await (const file of inner.listFiles(prefix)) {
      if (this.isDead) throw new Crash('the process is dead');
      if (++this.#calls === this.#faults.dieAt) this.#fail(true);
      yield file;
    }
    if (failsLate) await this.call(async () => undefined);
  }

  #file(inner: BackupFile, id: string): BackupFile {
    this.openFiles.add(id);
    return {
      name: inner.name,
      append: (chunks) => this.call(() => inner.append(chunks)),
      finish: () =>
        this.call(async () => {
          await inner.finish();
          this.openFiles.delete(id);
        }),
      abort: async () => {
        if (!this.isDead) await inner.abort();
        this.openFiles.delete(id);
      },
    };
  }

  source(inner: RangeSource): RangeSource {
    const stream = async function* <T>(this: MortalProcess, items: AsyncIterable<T>): AsyncIterable<T> {
      for await (const item of items) yield await this.call(async () => item);
    };
    return {
      // An answer that is lost would take the version with it: nobody could release that one.
      readVersion: async (request) => {
        await this.call(async () => undefined);
        return inner.readVersion(request);
      },
      releaseVersion: async (version) => {
        if (!this.isDead) await inner.releaseVersion?.(version);
      },
      regions: (request) => stream.call(this, inner.regions(request)) as ReturnType<RangeSource['regions']>,
      scan: (request) => stream.call(this, inner.scan(request)) as ReturnType<RangeSource['scan']>,
    };
  }
}
