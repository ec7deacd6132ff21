// A container in memory: for tests, for simulations, and as the shortest complete example of the port.

import { EMPTY_BYTES } from '../core/bytes.js';
import { BackupError } from '../core/errors.js';
import type { BackupContainer, BackupFile, ListedFile, WriteFileOptions } from '../ports/backup-container.js';
import { checkReadRange } from './check-read-range.js';
import { checkFileName, compareFileNames } from '../core/file-name.js';

export interface MemoryContainerOptions {
  /** Default `memory:`. */
  readonly url?: string;
}

/** Every file is one Uint8Array. What is written is copied, and so is what is read. */
export class MemoryContainer implements BackupContainer {
  readonly url: string;
  readonly listingLag: number = 0;
  #created = false;
  readonly #files = new Map<string, Uint8Array>();
  /** The names in listing order; undefined when a name was added or deleted since they were sorted. */
  #sortedNames: readonly string[] | undefined;

  constructor(options: MemoryContainerOptions = {}) {
    this.url = options.url ?? 'memory:';
  }

  create(): Promise<void> {
    this.#created = true;
    return Promise.resolve();
  }

  exists(): Promise<boolean> {
    return Promise.resolve(this.#created);
  }

  async writeFile(name: string, options: WriteFileOptions = {}): Promise<BackupFile> {
    checkFileName(name);
    return new MemoryFile(name, (bytes) => this.#publish(name, bytes, options.exclusive ?? false));
  }

  async readFile(name: string, offset: number, length: number): Promise<Uint8Array> {
    checkFileName(name);
    checkReadRange(name, offset, length);
    const bytes = this.#files.get(name);
    if (bytes === undefined) {
      throw new BackupError('FILE_NOT_FOUND', `there is no file ${name} in ${this.url}`, {
        file: name,
        container: this.url,
      });
    }
    return bytes.slice(offset, offset + length);
  }

  async *listFiles(prefix: string): AsyncIterable<ListedFile> {
    this.#sortedNames ??= [...this.#files.keys()].sort(compareFileNames);
    for (const name of this.#sortedNames) {
      if (!name.startsWith(prefix)) continue;
      const bytes = this.#files.get(name);
      // Deleted since the listing began.
      if (bytes !== undefined) yield { name, size: bytes.length };
    }
  }

  async deleteFile(name: string): Promise<void> {
    checkFileName(name);
    if (this.#files.delete(name)) this.#sortedNames = undefined;
  }

  #publish(name: string, bytes: Uint8Array, exclusive: boolean): void {
    if (exclusive && this.#files.has(name)) {
      throw new BackupError('FILE_EXISTS', `${name} exists already in ${this.url}`, {
        file: name,
        container: this.url,
      });
    }
    this.#created = true;
    this.#files.set(name, bytes);
    this.#sortedNames = undefined;
  }
}

class MemoryFile implements BackupFile {
  readonly name: string;
  readonly #publish: (bytes: Uint8Array) => void;
  #chunks: Uint8Array[] = [];
  #state: 'open' | 'finished' | 'aborted' = 'open';

  constructor(name: string, publish: (bytes: Uint8Array) => void) {
    this.name = name;
    this.#publish = publish;
  }

  async append(chunks: readonly Uint8Array[]): Promise<void> {
    this.#checkOpen('append');
    if (chunks.length > 0) this.#chunks.push(concatenate(chunks));
  }

  async finish(): Promise<void> {
    this.#checkOpen('finish');
    this.#publish(concatenate(this.#chunks));
    this.#state = 'finished';
    this.#chunks = [];
  }

  async abort(): Promise<void> {
    if (this.#state === 'finished') return;
    this.#state = 'aborted';
    this.#chunks = [];
  }

  #checkOpen(call: string): void {
    if (this.#state === 'open') return;
    throw new BackupError('INVALID_STATE', `${call}() on ${this.name}, which is ${this.#state} already`, {
      file: this.name,
    });
  }
}

/** Always a copy: the caller's memory is not ours. */
function concatenate(chunks: readonly Uint8Array[]): Uint8Array {
  let length = 0;
  for (const chunk of chunks) length += chunk.length;
  if (length === 0) return EMPTY_BYTES;
  const bytes = new Uint8Array(length);
  let offset = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, offset);
    offset += chunk.length;
  }
  return bytes;
}
