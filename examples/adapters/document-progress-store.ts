// A ProgressStore in one shared document that can be replaced "only if it has not changed": a row of an SQL table, a key of
// etcd or Consul, an object with an ETag.

import { randomUUID } from 'node:crypto';
import type { Lease, LeaseRequest, ProgressEntry, ProgressStore, ProgressTransaction } from 'tidemark';
import { BackupError, LEASE_PREFIX } from 'tidemark';

/** What the client of the database offers. */
export interface SharedDocument {
  /** The newest text, which is '' at first, its revision, and the database's own time in ms: not this process's. */
  read(): Promise<{ text: string; revision: number; time: number }>;
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
      const { content, revision } = await this.#read();
      const tx = new DocumentTransaction(content.values);
      const result = await body(tx); // An error of the body is the caller's, and nothing is written.
      if (!tx.hasWritten) return result;
      // A lease may have ended while the body ran: then whoever reads it now removes it, and the revision is another one.
      if (content.leases.size > 0 && (await this.#read()).revision !== revision) continue;
      if (await this.#replace(revision, content)) return result;
    }
    throw lostTooOften();
  }

  async watch(key: string, seen: Uint8Array | undefined, signal: AbortSignal): Promise<void> {
    const wanted = seen === undefined ? undefined : Buffer.from(seen).toString('base64');
    for (;;) {
      signal.throwIfAborted();
      const { content, revision, untilLeaseEnds } = await this.#read();
      if (content.values.get(key) !== wanted) return;
      // Not missed: a change since the read has another revision already. But the end of a lease changes nothing by itself.
      const soon = untilLeaseEnds === undefined ? [] : [AbortSignal.timeout(Math.ceil(untilLeaseEnds))];
      try {
        await this.#document.changed(revision, AbortSignal.any([signal, ...soon]));
      } catch (error) {
        if (signal.aborted || !soon.some(({ aborted }) => aborted)) throw error;
      }
    }
  }

  async acquireLease({ key, value, ttl }: LeaseRequest): Promise<Lease | undefined> {
    if (!key.startsWith(LEASE_PREFIX) || key === LEASE_PREFIX || !Number.isSafeInteger(ttl) || ttl < 1) {
      throw new BackupError('INVALID_OPTION', `not a lease: key ${JSON.stringify(key)}, ttl ${ttl}`);
    }
    const id = randomUUID();
    const base64 = Buffer.from(value).toString('base64');
    const acquired = await this.#update(({ values, leases }, time) => {
      if (values.has(key)) return leases.get(key)?.id === id; // Ours, if an earlier attempt took effect after all.
      values.set(key, base64);
      leases.set(key, { id, endsAt: time + ttl });
      return true;
    });
    if (!acquired) return undefined;
    const renew = async () => {
      const renewed = await this.#update(({ leases }, time) => {
        if (leases.get(key)?.id !== id) return false;
        leases.set(key, { id, endsAt: time + ttl });
        return true;
      });
      if (!renewed) throw new BackupError('LEASE_LOST', `the lease ${key} has ended`);
    };
    const release = async () => {
      await this.#update(({ values, leases }) => {
        if (leases.get(key)?.id !== id) return false;
        values.delete(key);
        return leases.delete(key);
      });
    };
    return { key, renew, release };
  }

  /** Changes the newest content; `change` says whether there is anything to write. */
  async #update(change: (content: Content, time: number) => boolean): Promise<boolean> {
    for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
      const { content, revision, time } = await this.#read();
      if (!change(content, time)) return false;
      if (await this.#replace(revision, content)) return true;
    }
    throw lostTooOften();
  }

  /**
   * Whoever finds leases that have ended removes them before anything else. So a lease ends by a change of the document, and nobody who has
   * read it before can replace the document afterwards.
   */
  async #read() {
    for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
      const { text, revision, time } = await this.#call(() => this.#document.read());
      const content = decode(text);
      const ended = [...content.leases].filter(([, { endsAt }]) => endsAt <= time);
      if (ended.length === 0) {
        const left = [...content.leases.values()].map(({ endsAt }) => endsAt - time);
        return { content, revision, time, untilLeaseEnds: left.length === 0 ? undefined : Math.min(...left) };
      }
      for (const [key] of ended) {
        content.values.delete(key);
        content.leases.delete(key);
      }
      await this.#replace(revision, content); // Or another was faster: read again in any case.
    }
    throw lostTooOften();
  }

  #replace(revision: number, content: Content): Promise<boolean> {
    return this.#call(() => this.#document.replace(revision, encode(content)));
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
    this.#willWrite(key);
    this.#values.set(key, Buffer.from(value).toString('base64'));
  }

  clear(key: string): void {
    this.#willWrite(key);
    this.#values.delete(key);
  }

  #willWrite(key: string): void {
    if (key.startsWith(LEASE_PREFIX)) throw new BackupError('INVALID_OPTION', `${key} is written by leases alone`);
    this.hasWritten = true;
  }
}

interface Content {
  /** In base64; leases have theirs among them. */
  readonly values: Map<string, string>;
  /** Whose each lease is, and when it ends by the database's time. */
  readonly leases: Map<string, { readonly id: string; readonly endsAt: number }>;
}

type ContentJson = { values: [string, string][]; leases: [string, { id: string; endsAt: number }][] };

function decode(text: string): Content {
  const { values, leases } = JSON.parse(text === '' ? '{"values":[],"leases":[]}' : text) as ContentJson;
  return { values: new Map(values), leases: new Map(leases) };
}

function encode({ values, leases }: Content): string {
  return JSON.stringify({ values: [...values], leases: [...leases] } satisfies ContentJson);
}

function lostTooOften(): BackupError {
  return new BackupError('STORE_CONFLICT', `lost ${MAX_ATTEMPTS} times in a row`, { retryable: true });
}
