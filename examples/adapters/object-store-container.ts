// A BackupContainer over an object store: S3 and its like, reduced to the six calls that it takes.

import type { BackupContainer, BackupFile, ListedFile, WriteFileOptions } from 'tidemark';
import { BackupError, checkFileName } from 'tidemark';

/** What the client of the object store offers. */
export interface ObjectStore {
  createBucket(): Promise<void>;
  bucketExists(): Promise<boolean>;
  /** Stores a whole object in one step. False: it was to be a new one, and there is one of that name. */
  put(key: string, body: Uint8Array, onlyIfNew: boolean): Promise<boolean>;
  /** Up to `length` bytes, none beyond the end. Undefined: there is no such object. */
  get(key: string, offset: number, length: number): Promise<Uint8Array | undefined>;
  /** The next objects, at most a page of them, whose key begins with `prefix` and comes after `after`, in byte order. */
  list(prefix: string, after: string): Promise<readonly { key: string; size: number }[]>;
  delete(key: string): Promise<void>;
}

export class ObjectStoreContainer implements BackupContainer {
  readonly url: string;
  readonly #store: ObjectStore;

  constructor(url: string, store: ObjectStore) {
    this.url = url;
    this.#store = store;
  }

  async create(): Promise<void> {
    await this.#call('making the bucket', () => this.#store.createBucket());
  }

  async exists(): Promise<boolean> {
    return this.#call('looking for the bucket', () => this.#store.bucketExists());
  }

  async writeFile(name: string, options: WriteFileOptions = {}): Promise<BackupFile> {
    checkFileName(name);
    let chunks: Uint8Array[] = [];
    let state: 'open' | 'finished' | 'aborted' = 'open';
    const checkOpen = () => {
      if (state !== 'open') throw new BackupError('INVALID_STATE', `${name} is ${state} already`, { file: name });
    };
    return {
      name,
      append: async (added) => {
        checkOpen();
        // Copies: the memory is the caller's again as soon as this resolves. A client with multipart uploads sends it on instead.
        for (const chunk of added) chunks.push(chunk.slice());
      },
      finish: async () => {
        checkOpen();
        const body = Buffer.concat(chunks);
        const stored = await this.#call('storing', () => this.#store.put(name, body, options.exclusive ?? false), name);
        if (!stored)
          throw new BackupError('FILE_EXISTS', `${name} exists already`, { file: name, container: this.url });
        state = 'finished';
      },
      abort: async () => {
        if (state === 'open') state = 'aborted';
        chunks = [];
      },
    };
  }

  async readFile(name: string, offset: number, length: number): Promise<Uint8Array> {
    checkFileName(name);
    const bytes = await this.#call('reading', () => this.#store.get(name, offset, length), name);
    if (bytes !== undefined) return bytes;
    throw new BackupError('FILE_NOT_FOUND', `there is no file ${name}`, { file: name, container: this.url });
  }

  async *listFiles(prefix: string): AsyncIterable<ListedFile> {
    let after = '';
    for (;;) {
      const page = await this.#call('listing', () => this.#store.list(prefix, after));
      if (page.length === 0) return;
      for (const { key, size } of page) yield { name: (after = key), size };
    }
  }

  async deleteFile(name: string): Promise<void> {
    checkFileName(name);
    await this.#call('deleting', () => this.#store.delete(name), name);
  }

  /** Whatever the client throws may be over in a minute: `retryable` makes the worker try again. */
  async #call<T>(doing: string, work: () => Promise<T>, file?: string): Promise<T> {
    try {
      return await work();
    } catch (cause) {
      const facts = { retryable: true, container: this.url, file, cause };
      throw new BackupError('CONTAINER_UNAVAILABLE', `${doing} ${file ?? ''} in ${this.url} failed`, facts);
    }
  }
}
