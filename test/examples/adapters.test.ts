// The adapters of the guides: each passes its conformance suite, and the guide shows the very file that does.

import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { Mutation, Version } from 'tidemark';
import { MutationType } from 'tidemark';
import { systemClock } from '../../src/core/clock.js';
import { logRouterTag } from '../../src/core/version.js';
import { containerSuite, logSourceSuite, progressStoreSuite } from 'tidemark/testing';
import type { SuiteMessage } from 'tidemark/testing';
import { DocumentProgressStore } from '../../examples/adapters/document-progress-store.js';
import type { SharedDocument } from '../../examples/adapters/document-progress-store.js';
import { JournalLogSource, tagOfKey } from '../../examples/adapters/journal-log-source.js';
import type { Journal, JournalEntry } from '../../examples/adapters/journal-log-source.js';
import type { ObjectStore } from '../../examples/adapters/object-store-container.js';
import { ObjectStoreContainer } from '../../examples/adapters/object-store-container.js';

describe.each([
  ['backup-container.md', 'object-store-container.ts'],
  ['progress-store.md', 'document-progress-store.ts'],
  ['log-source.md', 'journal-log-source.ts'],
])('%s', (guide, example) => {
  it(`shows examples/adapters/${example}`, () => {
    const text = (path: string) => readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8');
    const blocks = Array.from(text(`docs/guides/${guide}`).matchAll(/^```ts\n([\s\S]*?)^```$/gm), (match) => match[1]);
    expect(blocks).toContain(text(`examples/adapters/${example}`));
  });
});

describe('ObjectStoreContainer', () => {
  for (const { name, run } of containerSuite(openObjectStore)) it(name, run);

  it("turns the client's errors into retryable ones", async () => {
    const { container, store } = openObjectStore();
    store.list = () => Promise.reject(new Error('503'));
    const listing = container.listFiles('')[Symbol.asyncIterator]().next();
    await expect(listing).rejects.toMatchObject({
      code: 'CONTAINER_UNAVAILABLE',
      retryable: true,
      cause: { message: '503' },
    });
  });
});

describe('DocumentProgressStore', () => {
  for (const { name, run } of progressStoreSuite(openDocument)) it(name, run);
});

describe('JournalLogSource', () => {
  for (const { name, run } of logSourceSuite(openJournal, { epochs: false })) it(name, run);

  it('says what was discarded after a restart too', async () => {
    const { source, journal, commit, keyFor } = openJournal();
    const value = new Uint8Array(1);
    const versions: Version[] = [];
    for (let i = 0; i < 3; i++)
      versions.push(await commit([0, 1, 2].map((tag) => ({ tag, key: keyFor(tag, `k${i}`), value }))));
    const [, second, third] = versions as [Version, Version, Version];
    for (const id of [0, 1, 2]) await source.pop({ epoch: 1, tag: logRouterTag(id), upTo: id === 0 ? third : second });
    const restarted = new JournalLogSource(journal, 3);
    for (const id of [0, 1, 2]) {
      const { popped, batch, end } = await restarted.peek({
        epoch: 1,
        tag: logRouterTag(id),
        begin: 1n,
        maxBytes: 1_000_000,
        signal: new AbortController().signal,
      });
      expect(popped).toBe(second);
      expect(batch.recordCount).toBe(1);
      expect(end).toBe(third + 1n);
    }
  });
});

/** An object store in memory, with small pages. */
function openObjectStore() {
  const objects = new Map<string, Uint8Array>();
  let bucket = false;
  const store: ObjectStore = {
    createBucket: async () => {
      bucket = true;
    },
    bucketExists: async () => bucket,
    put: async (key, body, onlyIfNew) => {
      if (onlyIfNew && objects.has(key)) return false;
      objects.set(key, new Uint8Array(body));
      return true;
    },
    get: async (key, offset, length) => objects.get(key)?.slice(offset, offset + length),
    list: async (prefix, after) => {
      const keys = [...objects.keys()].filter((key) => key.startsWith(prefix) && compareUtf8(key, after) > 0);
      return keys
        .sort(compareUtf8)
        .slice(0, 3)
        .map((key) => ({ key, size: objects.get(key)?.length ?? 0 }));
    },
    delete: async (key) => {
      objects.delete(key);
    },
  };
  const open = () => new ObjectStoreContainer('objects://bucket', store);
  return { container: open(), reopen: open, store };
}

function compareUtf8(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}

/** A document in memory that several clients share. */
function openDocument() {
  let text = '';
  let revision = 0;
  let listeners: (() => void)[] = [];
  const document: SharedDocument = {
    read: async () => ({ text, revision, time: systemClock.now() }),
    replace: async (expected, next) => {
      if (expected !== revision) return false;
      text = next;
      revision++;
      const told = listeners;
      listeners = [];
      for (const listener of told) listener();
      return true;
    },
    changed: (seen, signal) =>
      new Promise((resolve, reject) => {
        if (signal.aborted) reject(signal.reason as Error);
        else if (seen !== revision) resolve();
        else {
          listeners.push(resolve);
          signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
        }
      }),
  };
  return { client: () => new DocumentProgressStore(document) };
}

/** A journal in memory. */
class TestJournal implements Journal {
  entries: JournalEntry[] = [];
  version: Version = 0n;
  discardedThrough: Version | undefined;
  readonly #listeners = new Set<() => void>();

  commit(mutations: readonly Mutation[]): Version {
    this.version += 3n;
    if (mutations.length > 0) this.entries.push({ version: this.version, mutations });
    for (const listener of [...this.#listeners]) listener();
    return this.version;
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  discard(version: Version): void {
    this.entries = this.entries.filter((entry) => entry.version > version);
    this.discardedThrough = version;
  }
}

function openJournal() {
  const totalTags = 3;
  const journal = new TestJournal();
  return {
    journal,
    source: new JournalLogSource(journal, totalTags),
    epoch: { epoch: 1, begin: 1n, totalTags },
    commit: async (messages: readonly SuiteMessage[]) =>
      journal.commit(messages.map(({ key, value }) => ({ type: MutationType.SetValue, param1: key, param2: value }))),
    keyFor: (tag: number, name: string) => {
      let key = Buffer.from(name);
      while (tagOfKey(key, totalTags) !== tag) key = Buffer.concat([key, Buffer.of(0x2e)]);
      return key;
    },
  };
}
