// Follows everything that is written to the coordination store, from its first revision on, and feeds it to a ledger. Nothing is missed: etcd's revisions have no holes, and the ledger looks for them.

import type { Etcd3, IEvent } from 'etcd3';
import { AbortScope } from '../../src/core/abort.js';
import { watchRevisions } from '../../src/etcd/watch-stream.js';
import { Ledger, type Change } from './ledger.js';
import { monotonicNow } from './messages.js';

const EVERYTHING = Buffer.from([0]);
/** The first revision that can hold anything. */
const FIRST = 2n;

export class StoreHistory {
  readonly ledger = new Ledger();
  readonly #client: Etcd3;
  readonly #dataPrefix: string;
  readonly #scope = new AbortScope();
  readonly #following: Promise<void>;
  #waiting = new Set<() => void>();
  #failure: string | undefined;

  /** The store must be the only one in its etcd. The client stays its owner's. */
  constructor(client: Etcd3, storePrefix: string) {
    this.#client = client;
    this.#dataPrefix = `${storePrefix}keys/`;
    this.#following = this.#follow();
  }

  /** Why no more is heard; undefined: all is well. */
  get failure(): string | undefined {
    return this.#failure;
  }

  /** Resolves after the next change, or when nothing is heard any more. */
  async change(): Promise<void> {
    if (this.#failure === undefined) await new Promise<void>((resolve) => this.#waiting.add(resolve));
  }

  /** Resolves when everything is in the ledger that was written before the call. */
  async catchUp(): Promise<void> {
    const { header } = await this.#client.kv.range({ key: EVERYTHING });
    while (this.ledger.revision < Number(header.revision) && this.#failure === undefined) await this.change();
  }

  async close(): Promise<void> {
    this.#scope.end();
    await this.#following;
  }

  async #follow(): Promise<void> {
    const { signal } = this.#scope;
    try {
      const request = { key: EVERYTHING, rangeEnd: EVERYTHING, startRevision: FIRST };
      for await (const { events } of watchRevisions(this.#client, request, { signal })) {
        this.#take(events, monotonicNow());
      }
    } catch (error) {
      if (!signal.aborted) this.#failure = `the history of the store is not heard any more: ${String(error)}`;
    } finally {
      this.#awake();
    }
  }

  /** An item may hold several revisions. */
  #take(events: readonly IEvent[], at: number): void {
    let changes: Change[] = [];
    for (const [index, { type, kv }] of events.entries()) {
      const key = kv.key.toString('latin1');
      if (key.startsWith(this.#dataPrefix)) {
        const value = type === 'Put' ? kv.value.toString('utf8') : undefined;
        changes.push({ key: key.slice(this.#dataPrefix.length), value });
      }
      if (events[index + 1]?.kv.mod_revision === kv.mod_revision) continue;
      this.ledger.take({ revision: Number(kv.mod_revision), at, changes });
      changes = [];
    }
    this.#awake();
  }

  #awake(): void {
    const waiting = this.#waiting;
    this.#waiting = new Set();
    for (const resolve of waiting) resolve();
  }
}
