// What adapters may do: none of it is taken for a broken contract.

import { runInNewContext } from 'node:vm';
import { describe, expect, it } from 'vitest';
import { AbortScope } from '../../src/core/abort.js';
import { batchProblem } from '../../src/core/check-batch.js';
import type { Clock } from '../../src/core/clock.js';
import { systemClock } from '../../src/core/clock.js';
import { MessageBatch } from '../../src/core/message-batch.js';
import { MessageBatchBuilder } from '../../src/core/message-batch-builder.js';
import { MutationType } from '../../src/core/mutation.js';
import { logRouterTag } from '../../src/core/version.js';
import type { BackupContainer, ListedFile } from '../../src/ports/backup-container.js';
import { checkedContainer } from '../../src/ports/checked-container.js';
import { checkedLogSource } from '../../src/ports/checked-log-source.js';
import { checkedStore } from '../../src/ports/checked-progress-store.js';
import { checkedRangeSource } from '../../src/ports/checked-range-source.js';
import { checkedTarget } from '../../src/ports/checked-target.js';
import type { LogSystemInfo } from '../../src/ports/log-source.js';
import type { ProgressStore, ProgressTransaction } from '../../src/ports/progress-store.js';
import type { KeyValueBatch } from '../../src/ports/range-source.js';

const foreign = runInNewContext('({ Uint8Array, Uint32Array, BigInt64Array })') as {
  readonly Uint8Array: Uint8ArrayConstructor;
  readonly Uint32Array: Uint32ArrayConstructor;
  readonly BigInt64Array: BigInt64ArrayConstructor;
};
class OwnBytes extends Uint8Array {}
const { signal } = new AbortScope();

const kinds: readonly (readonly [string, Uint8Array])[] = [
  ['a Buffer', Buffer.from([1, 2])],
  ['a subclass', new OwnBytes([1, 2])],
  ['another realm', new foreign.Uint8Array([1, 2])],
];

function containerOf(change: Partial<BackupContainer>): BackupContainer {
  return change as BackupContainer;
}

/** Empty, whatever is written. */
const tx: ProgressTransaction = {
  get: () => Promise.resolve(undefined),
  getRange: () => Promise.resolve([]),
  set: () => undefined,
  clear: () => undefined,
};

function storeOf(transaction: ProgressTransaction): ProgressStore {
  return { transact: (body) => body(transaction), watch: isNone, acquireLease: isNone };
}

async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}

describe.each(kinds)('bytes: %s', (_name, bytes) => {
  it('of a container', async () => {
    const container = checkedContainer(containerOf({ url: 'x:', readFile: async () => bytes }), systemClock);
    expect([...(await container.readFile('a', 0, 2))]).toEqual([1, 2]);
  });

  it('of a store, which may use its memory again', async () => {
    const memory = bytes.slice();
    const store = storeOf({ ...tx, get: async () => memory, getRange: async () => [{ key: 'a', value: memory }] });
    const read = await checkedStore(store, systemClock).transact(async (t) => [
      await t.get('a'),
      (await t.getRange('a', 'b'))[0]?.value,
    ]);
    memory.fill(9);
    expect(read.map((value) => [...(value ?? [])])).toEqual([
      [1, 2],
      [1, 2],
    ]);
  });

  it('of a range source', async () => {
    const region = { id: '1', epoch: '1', range: { begin: bytes, end: bytes } };
    const source = checkedRangeSource({
      readVersion: async () => 1n,
      regions: async function* () {
        yield region;
      },
      scan: async function* (): AsyncGenerator<KeyValueBatch> {
        yield Object.freeze([Object.freeze([bytes, bytes] as const)]);
      },
    });
    expect(await collect(source.regions({ range: region.range, signal }))).toHaveLength(1);
    expect(await collect(source.scan({ region, range: region.range, version: 1n, signal }))).toHaveLength(1);
  });

  it('of a target', async () => {
    const target = checkedTarget({
      read: async () => [bytes, undefined],
      apply: isNone,
      checkpoint: isNone,
      isEmpty: isNone,
    });
    expect(await target.read([bytes, bytes])).toHaveLength(2);
  });
});

function isNone(): never {
  throw new Error('not called');
}

function handMade(): MessageBatch {
  const builder = new MessageBatchBuilder();
  builder.beginVersion(5n);
  builder.add(1, MutationType.SetValue, Buffer.from('k'), Buffer.from('v'));
  const made = builder.build();
  return new MessageBatch({
    bytes: foreign.Uint8Array.from(made.bytes),
    byteLength: made.byteLength,
    recordStarts: foreign.Uint32Array.from(made.recordStarts),
    recordCount: made.recordCount,
    versions: foreign.BigInt64Array.from(made.versions),
    versionRecords: foreign.Uint32Array.from(made.versionRecords),
    versionCount: made.versionCount,
    minKey: foreign.Uint8Array.from(made.minKey ?? []),
    endKey: foreign.Uint8Array.from(made.endKey ?? []),
    maxRecordBytes: made.maxRecordBytes,
  });
}

it('a batch that a host has made itself, in another realm', () => {
  expect(batchProblem(handMade())).toBeUndefined();
});

it('a log that says by the invalid version that nothing is popped, and uses its reply again', async () => {
  class Log {
    readonly #reply = { batch: MessageBatch.empty, end: 7n, minKnownCommittedVersion: -1n, popped: -1n };
    peek() {
      return Promise.resolve(this.#reply);
    }
    pop = isNone;
    minKnownCommittedVersion = isNone;
    committedVersion = isNone;
  }
  const source = checkedLogSource(Object.freeze(new Log()), systemClock);
  const request = { epoch: 1, tag: logRouterTag(0), begin: 7n, maxBytes: 10, signal };
  await expect(source.peek(request)).resolves.toMatchObject({ end: 7n });
});

it('a listing with markers for folders, as object stores have: they are passed over', async () => {
  const files: ListedFile[] = [
    { name: 'logs/', size: 0 },
    { name: 'logs/a', size: 1 },
    { name: 'logs/b/', size: 0 },
    { name: 'logs/b/c', size: 2 },
  ];
  const inner = containerOf({
    url: 'x:',
    listFiles: async function* () {
      yield* files;
    },
  });
  const listed = await collect(checkedContainer(inner, systemClock).listFiles('logs/'));
  expect(listed.map(({ name }) => name)).toEqual(['logs/a', 'logs/b/c']);
});

describe('streams that heed no signal, but return', () => {
  /** Hangs after its first item. */
  function stream<T>(first: T) {
    let isReturned = false;
    let asked = false;
    const items: AsyncIterable<T> = {
      [Symbol.asyncIterator]: () => ({
        next: () => {
          if (asked) return new Promise<never>(() => undefined);
          asked = true;
          return Promise.resolve({ done: false, value: first });
        },
        return: () => {
          isReturned = true;
          return Promise.resolve({ done: true, value: undefined });
        },
      }),
    };
    return { items, isReturned: () => isReturned };
  }

  async function abortAfterFirst<T>(items: (signal: AbortSignal) => AsyncIterable<T>): Promise<void> {
    const stop = new AbortController();
    const reading = (async () => {
      for await (const _item of items(stop.signal)) setImmediate(() => stop.abort(new Error('enough')));
    })();
    await expect(reading).rejects.toThrow('enough');
  }

  it('the log system', async () => {
    const info: LogSystemInfo = {
      recoveryCount: 1,
      recoveryState: 'accepting_commits',
      oldestBackupEpoch: 1,
      epochs: [{ epoch: 1, begin: 0n, end: undefined, totalTags: 1 }],
    };
    const { items, isReturned } = stream(info);
    const log = { logSystem: () => items, peek: isNone, pop: isNone, minKnownCommittedVersion: isNone };
    const source = checkedLogSource({ ...log, committedVersion: isNone }, systemClock);
    await abortAfterFirst((aborting) => source.logSystem?.(aborting) ?? items);
    expect(isReturned()).toBe(true);
  });

  it('a scan', async () => {
    const { items, isReturned } = stream<KeyValueBatch>([]);
    const source = checkedRangeSource({ readVersion: isNone, regions: isNone, scan: () => items });
    const range = { begin: new Uint8Array(0), end: new Uint8Array([255]) };
    const region = { id: '1', epoch: '1', range };
    await abortAfterFirst((aborting) => source.scan({ region, range, version: 1n, signal: aborting }));
    expect(isReturned()).toBe(true);
  });
});

describe('watches', () => {
  const store = (sleeps: number[]): ProgressStore => {
    const clock: Clock = { ...systemClock, now: () => 0, sleep: async (ms) => void sleeps.push(ms) };
    return checkedStore({ transact: isNone, watch: async () => undefined, acquireLease: isNone }, clock);
  };

  it('a change that wakes hundreds holds up none of them', async () => {
    const sleeps: number[] = [];
    const watched = store(sleeps);
    for (let change = 0; change < 5; change++)
      await Promise.all(Array.from({ length: 300 }, () => watched.watch('k', undefined, signal)));
    expect(sleeps).toEqual([]);
  });

  it('one that always fires is slowed down, however many keys it has', async () => {
    const sleeps: number[] = [];
    const watched = store(sleeps);
    for (let i = 0; i < 100; i++) for (const key of ['a', 'b']) await watched.watch(key, undefined, signal);
    expect(sleeps.length).toBeGreaterThan(100);
  });
});

it('a read that is overtaken by a write of the same transaction sees it or not', async () => {
  const transact = checkedStore(storeOf(tx), systemClock).transact(async (t) => {
    const reads = [t.get('k'), t.getRange('a', 'z')] as const;
    t.set('k', new Uint8Array(1));
    return Promise.all(reads);
  });
  await expect(transact).resolves.toEqual([undefined, []]);
});
