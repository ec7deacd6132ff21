// What no reader can notice, as docs/adapters.md says: the backup is wrong, and nobody says so. The conformance suites find each of these adapters; where a row of that page comes true no more, one of these tests fails.

import { describe, expect, it } from 'vitest';
import { utf8 } from '../../src/core/bytes.js';
import { MessageBatch } from '../../src/core/message-batch.js';
import type { ProgressStore } from '../../src/ports/progress-store.js';
import type { KeyValueBatch } from '../../src/ports/range-source.js';
import { logOf, sourceOf, storeOf, targetOf, withReply, withTransaction } from './helpers.js';
import type { Hostile, Outcome } from './whole.js';
import { Whole } from './whole.js';

/** What is said of a run that is stopped at its end is no word about the adapter. */
const worries = ({ said }: Outcome) => said.filter((line) => !line.includes('stopped by the test'));

const lies: Record<string, Hostile> = {
  'a log that leaves messages out of a reply, its end above them': {
    log: (log) => {
      let peeks = 0;
      return logOf(log, {
        peek: async (request) => {
          const reply = await log.peek(request);
          if (reply.batch.isEmpty || ++peeks % 3 > 0) return reply;
          return { ...reply, batch: MessageBatch.empty };
        },
      });
    },
  },
  'a log that writes to a batch after the reply': {
    log: withReply((reply) => {
      if (reply.batch.isEmpty) return reply;
      const { byteLength, recordStarts, recordCount, versions, versionRecords, versionCount } = reply.batch;
      const { minKey, endKey, maxRecordBytes } = reply.batch;
      const bytes = reply.batch.bytes.slice(0, byteLength);
      // The last byte of a value, so that it still is a mutation.
      setImmediate(() => bytes.fill(0x7a, byteLength - 1));
      const parts = { bytes, byteLength, recordStarts, recordCount, versions, versionRecords, versionCount };
      return { ...reply, batch: new MessageBatch({ ...parts, minKey, endKey, maxRecordBytes }) };
    }),
  },
  'a source with rows of another version': {
    source: (source) => sourceOf(source, { scan: (request) => source.scan({ ...request, version: 3n }) }),
  },
  'a source whose scan ends early without an error': {
    source: (source) =>
      sourceOf(source, {
        scan: async function* (request) {
          for await (const batch of source.scan(request)) {
            yield batch.slice(0, 1);
            return;
          }
        },
      }),
  },
  'a source that writes to values after it handed them over': {
    source: (source) =>
      sourceOf(source, {
        scan: async function* (request) {
          let before: KeyValueBatch = [];
          for await (const batch of source.scan(request)) {
            for (const [, value] of before) value.fill(0x78);
            before = batch;
            for (const [, value] of batch) value.fill(0x79);
            yield batch;
          }
        },
      }),
  },
  'a target that says that it is empty, and is not': {
    target: (target) => {
      target.put(utf8('a9'), utf8('of before'));
      return targetOf(target, { isEmpty: async () => true });
    },
  },
  'a target whose apply does half of it': {
    target: (target) =>
      targetOf(target, { apply: (operations, checkpoint) => target.apply(operations.slice(1), checkpoint) }),
  },
  'a target with wrong values from read': {
    target: (target) =>
      targetOf(target, {
        read: async (keys) => (await target.read(keys)).map((value) => value?.map((byte) => byte ^ 1)),
      }),
  },
};

describe('nobody notices', () => {
  it.each(Object.entries(lies))('%s', async (_name, hostile) => {
    const outcome = await new Whole(hostile).run();
    expect(outcome.foreign).toEqual([]);
    expect(worries(outcome)).toEqual([]);
    expect(outcome.lies).not.toEqual([]);
  });

  it('a store that loses records of what is not to be stored: it is popped all the same', async () => {
    const outcome = await new Whole({ store: without('noop/') }).run();
    expect(worries(outcome)).toEqual([]);
    expect(outcome.unrecordedPops).not.toEqual([]);
    expect([outcome.foreign, outcome.lies]).toEqual([[], []]);
  });

  it('a store that loses who owns a tag: no job starts, nothing is stored or popped', async () => {
    const whole = new Whole({ store: without('owner/') });
    const outcome = await whole.run();
    expect(worries(outcome)).toEqual([]);
    expect([outcome.foreign, outcome.lies]).toEqual([[], []]);
    expect(whole.world.log.pops.filter(({ upTo }) => upTo > 0n)).toEqual([]);
    expect(await filesOf(whole, 'plogs/')).toEqual([]);
  });

  it('a store that sees no conflicts, as long as one process uses it', async () => {
    const outcome = await new Whole({ store: seesNoConflicts }).run();
    expect(worries(outcome)).toEqual([]);
    expect([outcome.foreign, outcome.lies, outcome.unrecordedPops]).toEqual([[], [], []]);
    expect(outcome.exact).toBeGreaterThan(10);
  });
});

function without(prefix: string) {
  return withTransaction((tx) => ({
    set: (key, value) => (key.startsWith(prefix) ? undefined : tx.set(key, value)),
  }));
}

async function filesOf(whole: Whole, prefix: string): Promise<string[]> {
  const names: string[] = [];
  for await (const { name } of whole.stored.listFiles(prefix)) names.push(name);
  return names;
}

/** What is read is read before the transaction that writes. */
function seesNoConflicts(store: ProgressStore): ProgressStore {
  return storeOf(store, {
    transact: async (body) => {
      const written = new Map<string, Uint8Array | undefined>();
      const result = await body({
        get: async (key) => (written.has(key) ? written.get(key) : store.transact((tx) => tx.get(key))),
        getRange: async (begin, end) => {
          const values = new Map<string, Uint8Array | undefined>();
          for (const { key, value } of await store.transact((tx) => tx.getRange(begin, end))) values.set(key, value);
          for (const [key, value] of written) if (begin <= key && key < end) values.set(key, value);
          const entries = [...values].flatMap(([key, value]) => (value === undefined ? [] : [{ key, value }]));
          return entries.sort((a, b) => (a.key < b.key ? -1 : 1));
        },
        set: (key, value) => void written.set(key, value),
        clear: (key) => void written.set(key, undefined),
      });
      await store.transact(async (tx) => {
        for (const [key, value] of written) {
          if (value === undefined) tx.clear(key);
          else tx.set(key, value);
        }
      });
      return result;
    },
  });
}
