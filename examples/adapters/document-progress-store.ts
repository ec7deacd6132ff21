// A ProgressStore in one shared document that can be replaced "only if it has not changed": a row of an SQL table, a key of
// etcd or Consul, an object with an ETag.

import type { ProgressEntry, ProgressStore, ProgressTransaction } from 'tidemark';
import { BackupError } from 'tidemark';

/** What the client of the database offers. */
export interface SharedDocument {
  /** The newest text, which is '' at first, and its revision. */
  read(): Promise<{ text: string; revision: number }>;
  /** Replaces the text, durably, if its revision is still this one. False: it is not. */
  replace(revision: number, text: string): Promise<boolean>;
  /** Resolves when the revision is no longer this one. Rejects with the signal's reason. */
  changed(revision: number, signal: AbortSignal): Promise<void>;
}

const MAX_ATTEMPTS = 1000;

/** All keys and values are in the document: whatever a transaction has read has changed only if the revision has. */
export class DocumentProgressStore implements ProgressStore {
  readonly #document: SharedDocument;

  constructor(document: SharedDocument) {
    this.#document = document;
  }

  async transact<T>(body: (tx: ProgressTransaction) => Promise<T>): Promise<T> {
    for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
      const { text, revision } = await this.#call(() => this.#document.read());
      const values = decode(text);
      const tx = new DocumentTransaction(values);
      const result = await body(tx); // An error of the body is the caller's, and nothing is written.
      if (!tx.hasWritten) return result;
      if (await this.#call(() => this.#document.replace(revision, encode(values)))) return result;
    }
    throw new BackupError('STORE_CONFLICT', `lost ${MAX_ATTEMPTS} times in a row`, { retryable: true });
  }

  async watch(key: string, seen: Uint8Array | undefined, signal: AbortSignal): Promise<void> {
    const wanted = seen === undefined ? undefined : Buffer.from(seen).toString('base64');
    for (;;) {
      signal.throwIfAborted();
      const { text, revision } = await this.#call(() => this.#document.read());
      if (decode(text).get(key) !== wanted) return;
      // Not missed: a change since the read has another revision already.
      await this.#document.changed(revision, signal);
    }
  }

  /** The client's errors are temporary ones: the library tries again later. */
  async #call<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (cause) {
      throw new BackupError('STORE_UNAVAILABLE', 'the database cannot be reached', { retryable: true, cause });
    }
  }
}

class DocumentTransaction implements ProgressTransaction {
  hasWritten = false;
  /** Values in base64, this transaction's own writes among them. */
  readonly #values: Map<string, string>;

  constructor(values: Map<string, string>) {
    this.#values = values;
  }

  async get(key: string): Promise<Uint8Array | undefined> {
    const value = this.#values.get(key);
    return value === undefined ? undefined : Buffer.from(value, 'base64');
  }

  async getRange(begin: string, end: string): Promise<readonly ProgressEntry[]> {
    const keys = [...this.#values.keys()].filter((key) => key >= begin && key < end).sort();
    return keys.map((key) => ({ key, value: Buffer.from(this.#values.get(key) ?? '', 'base64') }));
  }

  set(key: string, value: Uint8Array): void {
    this.hasWritten = true;
    this.#values.set(key, Buffer.from(value).toString('base64'));
  }

  clear(key: string): void {
    this.hasWritten = true;
    this.#values.delete(key);
  }
}

function decode(text: string): Map<string, string> {
  return new Map(text === '' ? [] : (JSON.parse(text) as [string, string][]));
}

function encode(values: ReadonlyMap<string, string>): string {
  return JSON.stringify([...values]);
}
