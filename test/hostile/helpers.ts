// Honest adapters as objects of plain functions, so that a test can put one of its own in the place of one of theirs.

import type { MemoryContainer } from '../../src/container/memory-container.js';
import type { BackupContainer, BackupFile } from '../../src/ports/backup-container.js';
import type { LogSource, PeekReply, PeekRequest } from '../../src/ports/log-source.js';
import type { ProgressStore, ProgressTransaction } from '../../src/ports/progress-store.js';
import type { RangeSource } from '../../src/ports/range-source.js';
import type { RestoreTarget } from '../../src/ports/restore-target.js';

export function logOf(log: Required<LogSource>, change: Partial<LogSource> = {}): LogSource {
  return {
    peek: (request) => log.peek(request),
    pop: (request) => log.pop(request),
    minKnownCommittedVersion: (request) => log.minKnownCommittedVersion(request),
    committedVersion: (signal) => log.committedVersion(signal),
    logSystem: (signal) => log.logSystem(signal),
    ...change,
  };
}

/** Each reply of a peek changed. */
export function withReply(change: (reply: PeekReply, request: PeekRequest) => unknown) {
  return (log: Required<LogSource>): LogSource =>
    logOf(log, { peek: async (request) => change(await log.peek(request), request) as PeekReply });
}

export function storeOf(store: ProgressStore, change: Partial<ProgressStore> = {}): ProgressStore {
  return {
    transact: (body) => store.transact(body),
    watch: (key, seen, signal) => store.watch(key, seen, signal),
    acquireLease: (request) => store.acquireLease(request),
    ...change,
  };
}

/** Each transaction changed. */
export function withTransaction(change: (tx: ProgressTransaction) => Partial<ProgressTransaction>) {
  return (store: ProgressStore): ProgressStore =>
    storeOf(store, {
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
    });
}

export function containerOf(container: MemoryContainer, change: Partial<BackupContainer> = {}): BackupContainer {
  return {
    url: container.url,
    create: () => container.create(),
    exists: () => container.exists(),
    writeFile: (name, options) => container.writeFile(name, options),
    readFile: (name, offset, length) => container.readFile(name, offset, length),
    listFiles: (prefix) => container.listFiles(prefix),
    deleteFile: (name) => container.deleteFile(name),
    ...change,
  };
}

/** Each file that is written, changed. */
export function withFile(change: (file: BackupFile, container: MemoryContainer) => Partial<BackupFile>) {
  return (container: MemoryContainer): BackupContainer =>
    containerOf(container, {
      writeFile: async (name, options) => {
        const file = await container.writeFile(name, options);
        return {
          name,
          append: (chunks) => file.append(chunks),
          finish: () => file.finish(),
          abort: () => file.abort(),
          ...change(file, container),
        };
      },
    });
}

/** The listing as a list, changed. */
export function withListing(change: (files: { name: string; size: number }[], prefix: string) => unknown[]) {
  return (container: MemoryContainer): BackupContainer =>
    containerOf(container, {
      listFiles: async function* (prefix) {
        const files: { name: string; size: number }[] = [];
        for await (const file of container.listFiles(prefix)) files.push({ ...file });
        yield* change(files, prefix) as { name: string; size: number }[];
      },
    });
}

export function sourceOf(source: RangeSource, change: Partial<RangeSource> = {}): RangeSource {
  return {
    readVersion: (request) => source.readVersion(request),
    releaseVersion: async (version) => source.releaseVersion?.(version),
    regions: (request) => source.regions(request),
    scan: (request) => source.scan(request),
    ...change,
  };
}

export function targetOf(target: RestoreTarget, change: Partial<RestoreTarget> = {}): RestoreTarget {
  return {
    read: (keys) => target.read(keys),
    apply: (operations, checkpoint) => target.apply(operations, checkpoint),
    checkpoint: () => target.checkpoint(),
    isEmpty: (range) => target.isEmpty(range),
    ...change,
  };
}

/** As adapters in JavaScript may fail: with something that is no Error. */
export function failingWith(reason: unknown): Promise<never> {
  // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors -- that is what is tested
  return Promise.reject(reason);
}
