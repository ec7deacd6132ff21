// A container that dies at one chosen call: before the call takes effect, or right after it. Every later call fails as well, as it would for a process that is gone.

import { MemoryContainer } from '../../src/container/memory-container.js';
import type { BackupContainer, BackupFile, ListedFile, WriteFileOptions } from '../../src/ports/backup-container.js';

export class Crash extends Error {
  constructor() {
    super('the process died');
    this.name = 'Crash';
  }
}

export type Moment = 'before' | 'after';

export class CrashingContainer implements BackupContainer {
  readonly url: string;
  readonly inner: BackupContainer;
  calls = 0;
  readonly #at: number;
  readonly #moment: Moment;
  #dead = false;

  /** Dies at call number `at` (from 1 on). Infinity: never. */
  constructor(inner: BackupContainer, at: number, moment: Moment) {
    this.inner = inner;
    this.url = inner.url;
    this.#at = at;
    this.#moment = moment;
  }

  get crashed(): boolean {
    return this.#dead;
  }

  async #call<T>(effect: () => Promise<T>): Promise<T> {
    if (this.#dead) throw new Crash();
    const dies = ++this.calls === this.#at;
    if (dies) this.#dead = true;
    if (dies && this.#moment === 'before') throw new Crash();
    const result = await effect();
    if (dies) throw new Crash();
    return result;
  }

  create(): Promise<void> {
    return this.#call(() => this.inner.create());
  }

  exists(): Promise<boolean> {
    return this.#call(() => this.inner.exists());
  }

  async writeFile(name: string, options?: WriteFileOptions): Promise<BackupFile> {
    const file = await this.#call(() => this.inner.writeFile(name, options));
    return {
      name,
      append: (chunks) => this.#call(() => file.append(chunks)),
      finish: () => this.#call(() => file.finish()),
      // A dead process aborts nothing, but then nothing of the file is visible either.
      abort: () => file.abort(),
    };
  }

  readFile(name: string, offset: number, length: number): Promise<Uint8Array> {
    return this.#call(() => this.inner.readFile(name, offset, length));
  }

  async *listFiles(prefix: string): AsyncIterable<ListedFile> {
    await this.#call(() => Promise.resolve());
    for await (const file of this.inner.listFiles(prefix)) {
      if (this.#dead) throw new Crash();
      yield file;
    }
  }

  deleteFile(name: string): Promise<void> {
    return this.#call(() => this.inner.deleteFile(name));
  }
}

/** A copy that goes its own way. */
export async function copyOf(container: BackupContainer): Promise<MemoryContainer> {
  const copy = new MemoryContainer({ url: container.url });
  await copy.create();
  for (const [name, bytes] of await contentOf(container)) {
    const file = await copy.writeFile(name);
    if (bytes.length > 0) await file.append([bytes]);
    await file.finish();
  }
  return copy;
}

/** Everything in a container, by name. */
export async function contentOf(container: BackupContainer): Promise<Map<string, Uint8Array>> {
  const content = new Map<string, Uint8Array>();
  for await (const { name, size } of container.listFiles(''))
    content.set(name, await container.readFile(name, 0, size + 1));
  return content;
}
