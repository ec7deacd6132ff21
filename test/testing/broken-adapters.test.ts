// A suite is worth what it finds: adapters, each with one mistake, and the case that must not pass.

import { describe, expect, it } from 'vitest';
import { MemoryContainer } from '../../src/container/memory-container.js';
import { MessageBatch } from '../../src/core/message-batch.js';
import { MutationType } from '../../src/core/mutation.js';
import { formatTag } from '../../src/core/version.js';
import type { BackupContainer, BackupFile } from '../../src/ports/backup-container.js';
import type { LogSource, PeekReply, PeekRequest } from '../../src/ports/log-source.js';
import type { ProgressEntry, ProgressStore, ProgressTransaction } from '../../src/ports/progress-store.js';
import type { ConformanceCase } from '../../src/testing/conformance.js';
import { containerSuite } from '../../src/testing/container-suite.js';
import type { SuiteMessage } from '../../src/testing/log-suite.js';
import { logSourceSuite } from '../../src/testing/log-suite.js';
import { MemoryLog } from '../../src/testing/memory-log.js';
import { progressStoreSuite } from '../../src/testing/store-suite.js';
import { MemoryProgressStore } from '../../src/progress/memory-progress-store.js';

async function failures(cases: readonly ConformanceCase[]): Promise<string[]> {
  const failed: string[] = [];
  for (const { name, run } of cases) {
    await run().catch(() => failed.push(name));
  }
  return failed;
}

describe('the container suite finds', () => {
  class Delegate implements BackupContainer {
    listingLag?: number;
    readonly inner = new MemoryContainer();
    readonly url = this.inner.url;
    create() {
      return this.inner.create();
    }
    exists() {
      return this.inner.exists();
    }
    writeFile(name: string, options?: { exclusive?: boolean }): Promise<BackupFile> {
      return this.inner.writeFile(name, options);
    }
    readFile(name: string, offset: number, length: number) {
      return this.inner.readFile(name, offset, length);
    }
    listFiles(prefix: string): AsyncIterable<{ name: string; size: number }> {
      return this.inner.listFiles(prefix);
    }
    deleteFile(name: string) {
      return this.inner.deleteFile(name);
    }
  }

  /** Changes what becomes of a file. */
  function withFile(
    change: (file: BackupFile, container: MemoryContainer) => Partial<BackupFile>,
  ): () => BackupContainer {
    return () => {
      const container = new Delegate();
      container.writeFile = async (name, options) => {
        const file = await container.inner.writeFile(name, options);
        const kept = {
          name,
          append: (chunks: readonly Uint8Array[]) => file.append(chunks),
          finish: () => file.finish(),
          abort: () => file.abort(),
        };
        return { ...kept, ...change(file, container.inner) };
      };
      return container;
    };
  }

  function withCall(change: (container: Delegate) => void): () => BackupContainer {
    return () => {
      const container = new Delegate();
      change(container);
      return container;
    };
  }

  const mistakes: [string, string, () => BackupContainer][] = [
    [
      'a file that is visible while it is written',
      'a file is invisible until finish has resolved',
      withFile((file, inner) => ({
        append: async (chunks) => {
          await file.append(chunks);
          const early = await inner.writeFile(file.name);
          await early.append(chunks);
          await early.finish();
        },
      })),
    ],
    [
      'chunks that are kept without being copied',
      "the chunks' memory may be reused as soon as append has resolved",
      withFile((file) => {
        const kept: Uint8Array[] = [];
        return {
          append: async (chunks) => void kept.push(...chunks),
          finish: async () => {
            await file.append(kept);
            await file.finish();
          },
        };
      }),
    ],
    [
      'an abort that deletes the finished file',
      'abort after finish leaves the finished file',
      withFile((file, inner) => ({ abort: () => inner.deleteFile(file.name) })),
    ],
    [
      'an abort that stores what there is',
      'abort discards the file, at any moment and more than once',
      withFile((file) => ({ abort: () => file.finish() })),
    ],
    [
      'an exclusive write that replaces',
      'of several exclusive writers of one name exactly one wins',
      withCall((container) => (container.writeFile = (name) => container.inner.writeFile(name))),
    ],
    [
      'an exclusive write that looks first',
      'of several exclusive writers of one name exactly one wins',
      withCall((container) => {
        container.writeFile = async (name, options) => {
          for await (const file of container.inner.listFiles(name)) {
            if (options?.exclusive === true && file.name === name) return container.inner.writeFile(name, options);
          }
          return container.inner.writeFile(name);
        };
      }),
    ],
    [
      'names in the order of code units',
      'files are listed in the byte order of their names',
      withCall((container) => {
        container.listFiles = async function* (prefix) {
          const files = [];
          for await (const file of container.inner.listFiles(prefix)) files.push(file);
          yield* files.sort((a, b) => (a.name < b.name ? -1 : 1));
        };
      }),
    ],
    [
      'a prefix that is taken for a folder',
      'a prefix is a mere string, not only a folder',
      withCall((container) => {
        container.listFiles = async function* (prefix) {
          for await (const file of container.inner.listFiles(prefix)) {
            if (prefix === '' || prefix.endsWith('/') || file.name[prefix.length] === '/') yield file;
          }
        };
      }),
    ],
    [
      'reads that come back short',
      'readFile returns what lies in the range, shorter only at the end of the file, and nothing beyond it',
      withCall((container) => {
        container.readFile = (name, offset, length) => container.inner.readFile(name, offset, Math.min(length, 150));
      }),
    ],
    [
      'reads into memory that the next read uses again',
      'what readFile has given stays as it is, whatever is read next',
      withCall((container) => {
        const pool = new Uint8Array(16 << 20);
        container.readFile = async (name, offset, length) => {
          const bytes = await container.inner.readFile(name, offset, length);
          pool.set(bytes);
          return pool.subarray(0, bytes.length);
        };
      }),
    ],
    [
      'a file that is there before all of it is',
      'a listing that runs while a file is finished shows it whole or not at all',
      withFile((file, inner) => {
        let first: readonly Uint8Array[] = [];
        return {
          append: async (chunks) => {
            if (first.length === 0) first = chunks.map((chunk) => chunk.slice());
            await file.append(chunks);
          },
          finish: async () => {
            const isLarge = first.some((chunk) => chunk.length >= 1 << 20);
            if (isLarge) {
              const half = await inner.writeFile(file.name);
              await half.append(first);
              await half.finish();
              for (let i = 0; i < 10; i++) await new Promise((resolve) => setImmediate(resolve));
            }
            await file.finish();
          },
        };
      }),
    ],
    [
      'names that are not checked when reading',
      'names that leave the container, or that not every container can hold, are refused with INVALID_NAME',
      withCall((container) => {
        container.readFile = (name, offset, length) =>
          container.inner.readFile(name.replace(/^\.\.\//, ''), offset, length);
      }),
    ],
    [
      'a deletion that does nothing',
      'a deleted file is gone, and its name is free again',
      withCall((container) => (container.deleteFile = async () => {})),
    ],
    [
      'listings that are called exact and show a new file only the second time',
      'where listings do not lag, a file is listed as soon as finish has resolved, by every adapter',
      withCall((container) => {
        container.listingLag = 0;
        const shown = new Set<string>();
        container.listFiles = async function* (prefix) {
          for await (const file of container.inner.listFiles(prefix)) {
            if (shown.has(file.name)) yield file;
            shown.add(file.name);
          }
        };
      }),
    ],
    [
      'listings that are called exact and show a deleted file once more',
      'where listings do not lag, a file is not listed any more as soon as deleteFile has resolved, by every adapter',
      withCall((container) => {
        container.listingLag = 0;
        const cached = new Map<string, { name: string; size: number }>();
        container.listFiles = async function* (prefix) {
          const files = new Map(cached);
          cached.clear();
          for await (const file of container.inner.listFiles('')) {
            files.set(file.name, file);
            cached.set(file.name, file);
          }
          const found = [...files.values()].filter(({ name }) => name.startsWith(prefix));
          yield* found.sort((a, b) => (a.name < b.name ? -1 : 1));
        };
      }),
    ],
    [
      'listings that are called exact and remember the size of a file that was replaced',
      'where listings do not lag, a file that was replaced is listed in its new size, and one that is back is listed again',
      withCall((container) => {
        container.listingLag = 0;
        const sizes = new Map<string, number>();
        container.listFiles = async function* (prefix) {
          for await (const { name, size } of container.inner.listFiles(prefix)) {
            if (!sizes.has(name)) sizes.set(name, size);
            yield { name, size: sizes.get(name) ?? size };
          }
        };
      }),
    ],
    [
      'a listing lag that is no time',
      'listingLag is left out or a number of ms, the same for every adapter of the place',
      withCall((container) => (container.listingLag = Number.NaN)),
    ],
  ];

  it.each(mistakes)('%s', async (_mistake, name, open) => {
    expect(await failures(containerSuite(() => ({ container: open() })))).toContain(name);
  });
});

describe('the store suite finds', () => {
  /** Runs bodies one state at a time like a real store, but with a transaction that the mistake changes. */
  function withTransaction(change: (tx: ProgressTransaction) => Partial<ProgressTransaction>): () => ProgressStore {
    return withStore((store) => ({
      transact: (body) =>
        store.transact((tx) =>
          body({
            get: (key) => tx.get(key),
            getRange: (begin, end) => tx.getRange(begin, end),
            set: (key, value) => tx.set(key, value),
            clear: (key) => tx.clear(key),
            ...change(tx),
          }),
        ),
    }));
  }

  function withStore(change: (store: MemoryProgressStore) => Partial<ProgressStore>): () => ProgressStore {
    return () => {
      const store = new MemoryProgressStore();
      return {
        transact: (body) => store.transact(body),
        watch: (key, seen, signal) => store.watch(key, seen, signal),
        acquireLease: (request) => store.acquireLease(request),
        ...change(store),
      };
    };
  }

  /** Reads outside of the transaction: nothing tells the store what was read. */
  const unseen = <T>(store: MemoryProgressStore, read: (tx: ProgressTransaction) => Promise<T>) => store.transact(read);

  const mistakes: [string, string, () => ProgressStore][] = [
    [
      'no check for conflicts',
      'clients that increment one counter at once lose no increment',
      withStore((store) => ({
        transact: async (body) => {
          const writes: [string, Uint8Array | undefined][] = [];
          const result = await body({
            get: (key) => unseen(store, (tx) => tx.get(key)),
            getRange: (begin, end) => unseen(store, (tx) => tx.getRange(begin, end)),
            set: (key, value) => void writes.push([key, value]),
            clear: (key) => void writes.push([key, undefined]),
          });
          await store.transact(async (tx) => {
            for (const [key, value] of writes) {
              if (value === undefined) tx.clear(key);
              else tx.set(key, value);
            }
          });
          return result;
        },
      })),
    ],
    [
      'only written keys checked for conflicts (snapshot isolation)',
      'two transactions that each read what the other writes do not both go through (write skew)',
      snapshotIsolation,
    ],
    [
      'ranges without protection against phantoms',
      'a range that was read is protected against new keys (phantoms)',
      () => {
        const store = new MemoryProgressStore();
        return {
          transact: (body) =>
            store.transact((tx) => {
              const getRange = (begin: string, end: string): Promise<readonly ProgressEntry[]> =>
                unseen(store, (other) => other.getRange(begin, end));
              return body({
                get: (key) => tx.get(key),
                getRange,
                set: (key, value) => tx.set(key, value),
                clear: (key) => tx.clear(key),
              });
            }),
          watch: (key, seen, signal) => store.watch(key, seen, signal),
          acquireLease: (request) => store.acquireLease(request),
        };
      },
    ],
    [
      'a range that ends inclusively',
      'getRange gives begin <= key < end in the order of code units',
      withTransaction((tx) => ({ getRange: (begin, end) => tx.getRange(begin, `${end} `) })),
    ],
    [
      'writes of a body that failed',
      'an error of the body rolls back and is passed on',
      withStore((store) => ({
        transact: async (body) => {
          let failure: { error: unknown } | undefined;
          const result = await store.transact(async (tx) => {
            try {
              return await body(tx);
            } catch (error) {
              failure = { error };
              return undefined;
            }
          });
          if (failure !== undefined) throw failure.error;
          return result as never;
        },
      })),
    ],
    [
      'values in memory that is used again',
      'a value that was read stays as it was, whatever is read and written next',
      () => {
        const pool = new Uint8Array(20_000);
        return withTransaction((tx) => ({
          get: async (key) => {
            const value = await tx.get(key);
            if (value === undefined) return undefined;
            pool.set(value);
            return pool.subarray(0, value.length);
          },
        }))();
      },
    ],
    [
      'the result of a run that was not committed',
      'the result is that of the run that was committed, and no body runs once transact has answered',
      withStore((store) => ({
        transact: async (body) => {
          const results: unknown[] = [];
          await store.transact(async (tx) => void results.push(await body(tx)));
          return results[0] as never;
        },
      })),
    ],
    [
      'a body that runs again after the answer',
      'the result is that of the run that was committed, and no body runs once transact has answered',
      withStore((store) => ({
        transact: async (body) => {
          const result = await store.transact(body);
          setImmediate(() => void store.transact(body).catch(() => undefined));
          return result;
        },
      })),
    ],
    [
      'a watch that looks only at what comes later',
      'a watch resolves at once when the value is another already',
      withStore((store) => ({
        watch: async (key, _seen, signal) => {
          const now = await store.transact((tx) => tx.get(key));
          // Rather than for ever, so that the case ends.
          const soon = AbortSignal.any([signal, AbortSignal.timeout(20)]);
          await store.watch(key, now, soon);
        },
      })),
    ],
    [
      'a watch that rejects with an error of its own when its signal aborts',
      'a watch rejects with the reason of its signal, before it begins or while it waits',
      withStore((store) => ({
        watch: (key, seen, signal) => store.watch(key, seen, signal).catch(() => Promise.reject(new Error('aborted'))),
      })),
    ],
  ];

  function snapshotIsolation(): ProgressStore {
    const store = new MemoryProgressStore();
    return {
      transact: (body) =>
        store.transact(async (tx) =>
          body({
            get: async (key) => (key === 'counter' ? tx.get(key) : unseen(store, (other) => other.get(key))),
            getRange: (begin, end) => tx.getRange(begin, end),
            set: (key, value) => tx.set(key, value),
            clear: (key) => tx.clear(key),
          }),
        ),
      watch: (key, seen, signal) => store.watch(key, seen, signal),
      acquireLease: (request) => store.acquireLease(request),
    };
  }

  it.each(mistakes)('%s', async (_mistake, name, open) => {
    const suite = progressStoreSuite(() => {
      const store = open();
      return { client: () => store };
    });
    // Only this case: a store with such a mistake may keep others waiting for ever.
    expect(await failures(suite.filter((each) => each.name === name))).toEqual([name]);
  });
});

describe('the log suite finds', () => {
  function withLog(change: (log: MemoryLog) => Partial<LogSource>) {
    return () => {
      const log = new MemoryLog({ totalTags: 2 });
      const source: LogSource = {
        peek: (request) => log.peek(request),
        pop: (request) => log.pop(request),
        minKnownCommittedVersion: (request) => log.minKnownCommittedVersion(request),
        committedVersion: (signal) => log.committedVersion(signal),
        logSystem: (signal) => log.logSystem(signal),
        ...change(log),
      };
      return {
        source,
        epoch: { epoch: 1, begin: 1n, totalTags: 2 },
        commit: async (messages: readonly SuiteMessage[]) =>
          log.commit(
            messages.map(({ tag, key, value }) => ({
              tag,
              mutation: { type: MutationType.SetValue, param1: key, param2: value },
            })),
          ),
        recover: async () => ({ epoch: log.recover(), begin: log.committed + 1n, totalTags: 2 }),
      };
    };
  }

  /** Changes each reply. */
  const withReply = (change: (reply: PeekReply, request: PeekRequest, log: MemoryLog) => PeekReply) =>
    withLog((log) => ({ peek: async (request) => change(await log.peek(request), request, log) }));

  const mistakes: [string, string, ReturnType<typeof withLog>][] = [
    [
      'another tag’s messages',
      'a peek returns the messages of its tag, in order, with their versions',
      withLog((log) => ({
        peek: (request) => log.peek({ ...request, tag: { ...request.tag, id: 0 } }),
      })),
    ],
    [
      'batches in memory that the next peek uses again',
      'a batch stays as it is until it is released, whatever is peeked next',
      withLog((log) => {
        const last = new Map<string, Uint8Array>();
        return {
          peek: async (request) => {
            const reply = await log.peek(request);
            const { byteLength, recordStarts, recordCount, versions, versionRecords, versionCount } = reply.batch;
            const { minKey, endKey, maxRecordBytes } = reply.batch;
            const tag = formatTag(request.tag);
            last.get(tag)?.fill(1);
            const bytes = reply.batch.bytes.slice(0, byteLength);
            last.set(tag, bytes);
            const parts = { bytes, byteLength, recordStarts, recordCount, versions, versionRecords, versionCount };
            return { ...reply, batch: new MessageBatch({ ...parts, minKey, endKey, maxRecordBytes }) };
          },
        };
      }),
    ],
    [
      'more bytes than were asked for',
      'peeking on from each end finds every message once, however few bytes are asked for',
      withLog((log) => ({ peek: (request) => log.peek({ ...request, maxBytes: 1 << 30 }) })),
    ],
    [
      'an end beyond what is in the reply',
      'peeking on from each end finds every message once, however few bytes are asked for',
      withReply((reply, _request, log) => ({ ...reply, end: log.knownVersion + 1n })),
    ],
    [
      'an end that stays where nothing was written',
      'the end moves on over versions in which nothing was written for the tag',
      withReply((reply, { begin }) => ({ ...reply, end: (reply.batch.lastVersion ?? begin - 1n) + 1n })),
    ],
    [
      'a begin that is exclusive',
      'begin is inclusive, and what lies before it is not returned',
      withLog((log) => ({ peek: (request) => log.peek({ ...request, begin: request.begin + 1n }) })),
    ],
    [
      'a committed version that trails what was acknowledged',
      'what was acknowledged is committed, for the epoch and for the log as a whole, and neither goes back',
      withLog((log) => ({ committedVersion: async () => log.committed - 1n })),
    ],
    [
      "an ended epoch that answers with the new one's committed version",
      "an ended epoch's min known committed version is never at or above its end; the log's own goes on (P14, P8)",
      withLog((log) => ({ minKnownCommittedVersion: async () => log.committed })),
    ],
    [
      'a pop that takes the next version too',
      'a pop discards nothing above its version and nothing of other tags',
      withLog((log) => ({ pop: (request) => log.pop({ ...request, upTo: request.upTo + 1n }) })),
    ],
    [
      'a pop that takes other tags along',
      'a pop discards nothing above its version and nothing of other tags',
      withLog((log) => ({
        pop: async (request) => {
          for (const id of [0, 1]) await log.pop({ ...request, tag: { ...request.tag, id } });
        },
      })),
    ],
    [
      'a pop that is not reported',
      'a pop discards nothing above its version and nothing of other tags',
      withReply((reply) => ({ ...reply, popped: undefined })),
    ],
    [
      'popped that goes back',
      'a pop may come again, and a lower one than before changes nothing',
      withLog((log) => {
        const last = new Map<string, bigint>();
        return {
          pop: async (request) => {
            last.set(formatTag(request.tag), request.upTo);
            await log.pop(request);
          },
          peek: async (request) => ({ ...(await log.peek(request)), popped: last.get(formatTag(request.tag)) }),
        };
      }),
    ],
    [
      'a peek that ends with an error of its own when its signal aborts',
      'a peek rejects with the reason of its signal, and the next one is none the worse for it',
      withLog((log) => ({ peek: (request) => log.peek(request).catch(() => Promise.reject(new Error('aborted'))) })),
    ],
    [
      'a log system that does not tell of a recovery',
      'logSystem yields the current state first, then every recovery, and ends when its signal aborts',
      withLog((log) => ({
        logSystem: async function* (signal) {
          for await (const state of log.logSystem(signal)) {
            yield state;
            return;
          }
        },
      })),
    ],
  ];

  it.each(mistakes)('%s', async (_mistake, name, open) => {
    const suite = logSourceSuite(open);
    expect(await failures(suite.filter((each) => each.name === name))).toEqual([name]);
  });
});
