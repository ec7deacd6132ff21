// Logs that break their contract, and what the whole library makes of each. docs/adapters.md has the table.

import { describe, expect, it } from 'vitest';
import { MessageBatch } from '../../src/core/message-batch.js';
import type { MessageBatchParts } from '../../src/core/message-batch.js';
import { minVersion } from '../../src/core/version.js';
import type { LogSystemInfo, PeekReply } from '../../src/ports/log-source.js';
import { failingWith, logOf, withReply } from './helpers.js';
import type { Hostile } from './whole.js';
import { SPIN, Whole, never, runWhole } from './whole.js';

type LogOf = NonNullable<Hostile['log']>;

/** A batch made by hand, as an adapter may that has its messages from a socket. */
function batchWith(batch: MessageBatch, change: Partial<MessageBatchParts>): MessageBatch {
  const { bytes, byteLength, recordStarts, recordCount, versions, versionRecords, versionCount, minKey, endKey } =
    batch;
  const { maxRecordBytes } = batch;
  return new MessageBatch({
    ...{ bytes, byteLength, recordStarts, recordCount, versions, versionRecords, versionCount, minKey, endKey },
    ...{ maxRecordBytes, ...change },
  });
}

/** Batches with messages changed, the others left as they are. */
const withBatch = (change: (batch: MessageBatch) => unknown): LogOf =>
  withReply((reply) => (reply.batch.isEmpty ? reply : { ...reply, batch: change(reply.batch) }));

/** Where the batch's bytes are another's, a copy with some of them changed. */
function bytesWith(batch: MessageBatch, change: (bytes: Uint8Array) => void): MessageBatch {
  const bytes = batch.bytes.slice(0, batch.byteLength);
  change(bytes);
  return batchWith(batch, { bytes });
}

const committedAs =
  (version: unknown): LogOf =>
  (log) =>
    logOf(log, { minKnownCommittedVersion: async () => version as bigint });

const systemAs =
  (change: (info: LogSystemInfo) => unknown): LogOf =>
  (log) =>
    logOf(log, {
      logSystem: async function* (signal) {
        for await (const info of log.logSystem(signal)) yield change(info) as LogSystemInfo;
      },
    });

/** As it is after the recovery, with the old epoch not drained: what was popped of it is kept back. */
const oldEpochsAs =
  (change: (epochs: LogSystemInfo['epochs']) => unknown): LogOf =>
  (log) => {
    const stale = systemAs((info) => ({ ...info, epochs: change(info.epochs) }));
    return { ...stale(log, undefined as never), pop: () => never() };
  };

/** Each is named: one of these texts is said. */
const named: Record<string, [LogOf, RegExp]> = {
  'an end below begin': [
    withReply((reply, { begin }) => ({ ...reply, end: begin - 1n })),
    /LogSource\.peek .*an end below that/,
  ],
  'an end that is a number': [
    withReply((reply) => ({ ...reply, end: Number(reply.end) })),
    /LogSource\.peek .*the end \d+, which is no version/,
  ],
  'an end beyond 2^63': [withReply((reply) => ({ ...reply, end: 1n << 63n })), /LogSource\.peek .*no version/],
  'no reply at all': [withReply(() => undefined), /LogSource\.peek .*it answered undefined/],
  'a reply without a batch': [
    withReply((reply) => ({ ...reply, batch: undefined })),
    /LogSource\.peek .*the batch undefined/,
  ],
  'a batch that is an array': [withBatch((batch) => [...batch]), /LogSource\.peek .*a batch that is none/],
  'minKnownCommittedVersion as a number in a reply': [
    withReply((reply) => ({ ...reply, minKnownCommittedVersion: Number(reply.minKnownCommittedVersion) })),
    /LogSource\.peek .*minKnownCommittedVersion/,
  ],
  'minKnownCommittedVersion left out': [
    withReply((reply) => ({ ...reply, minKnownCommittedVersion: undefined })),
    /LogSource\.peek .*minKnownCommittedVersion undefined/,
  ],
  'minKnownCommittedVersion as a number': [committedAs(5), /LogSource\.minKnownCommittedVersion .*it answered 5/],
  'minKnownCommittedVersion undefined': [
    committedAs(undefined),
    /LogSource\.minKnownCommittedVersion .*it answered undefined/,
  ],
  'committedVersion as a text': [
    (log) => logOf(log, { committedVersion: async () => '7' as never }),
    /LogSource\.committedVersion .*it answered "7"/,
  ],
  'popped negative': [withReply((reply) => ({ ...reply, popped: -5n })), /LogSource\.peek .*popped -5n/],
  'popped null': [withReply((reply) => ({ ...reply, popped: null })), /LogSource\.peek .*popped null/],
  'popped beyond everything': [
    withReply((reply) => ({ ...reply, popped: 1n << 60n })),
    /LOG_GAP .*has discarded versions/,
  ],
  'messages below begin': [
    (log) => {
      let last: PeekReply | undefined;
      return logOf(log, {
        peek: async (request) => {
          const reply = await log.peek(request);
          const repeated = last === undefined || reply.batch.isEmpty ? reply : { ...reply, batch: last.batch };
          if (!reply.batch.isEmpty) last = { ...reply, batch: batchWith(reply.batch, {}) };
          return repeated;
        },
      });
    },
    /ADAPTER_CONTRACT the log.* was asked from version \d+ on and gave messages of/,
  ],
  'messages at the end': [
    withReply((reply) => ({ ...reply, end: reply.batch.lastVersion ?? reply.end })),
    /ADAPTER_CONTRACT the log.* gave messages of/,
  ],
  'versions out of order': [
    withBatch((batch) =>
      batch.versionCount < 2
        ? batch
        : batchWith(batch, { versions: batch.versions.slice(0, batch.versionCount).reverse() }),
    ),
    /its versions must ascend/,
  ],
  'a version twice': [
    withBatch((batch) =>
      batch.versionCount < 2
        ? batch
        : batchWith(batch, {
            versions: batch.versions.map((_, index) => batch.versions[index === 1 ? 0 : index] ?? 0n),
          }),
    ),
    /its versions must ascend/,
  ],
  'record starts beyond the bytes': [
    withBatch((batch) => batchWith(batch, { recordStarts: batch.recordStarts.map((start) => start + 1_000) })),
    /recordStarts must begin with 0/,
  ],
  'record starts in the middle of records': [
    withBatch((batch) =>
      batchWith(batch, { recordStarts: batch.recordStarts.map((start, index) => (index === 1 ? start + 1 : start)) }),
    ),
    /record \d+ .*(another length|out of order|another one)/,
  ],
  'more bytes than there are': [
    withBatch((batch) => batchWith(batch, { byteLength: batch.bytes.length + 1 })),
    /byteLength must be from 0/,
  ],
  'more records than there are': [
    withBatch((batch) => batchWith(batch, { recordCount: 1_000_000 })),
    /recordCount 1000000 does not fit/,
  ],
  'more versions than there are': [
    withBatch((batch) => batchWith(batch, { versionCount: 1_000_000 })),
    /versionCount 1000000 does not fit/,
  ],
  'a record of another version than it is listed under': [
    withBatch((batch) => bytesWith(batch, (bytes) => bytes.fill(9, 0, 8))),
    /its bytes say another one/,
  ],
  'a length beyond the record': [
    withBatch((batch) => bytesWith(batch, (bytes) => (bytes[12] = 1))),
    /another length than its bytes say/,
  ],
  'subsequences that go down': [
    withBatch((batch) => (batch.recordCount < 2 ? batch : bytesWith(batch, (bytes) => (bytes[8] = 0xff)))),
    /out of order: subsequences must not go down/,
  ],
  'a type that is no mutation': [
    withBatch((batch) => bytesWith(batch, (bytes) => (bytes[16] = 11))),
    /no mutations and never stored/,
  ],
  'a type that nobody knows': [
    withBatch((batch) => bytesWith(batch, (bytes) => (bytes[16] = 63))),
    /unknown mutation type 63/,
  ],
  'params that do not make up the mutation': [
    withBatch((batch) => bytesWith(batch, (bytes) => (bytes[17] = 200))),
    /param1 of 200 bytes does not fit/,
  ],
  'a key interval that leaves keys out': [
    withBatch((batch) => batchWith(batch, { minKey: Uint8Array.of(0xfe), endKey: Uint8Array.of(0xff) })),
    /outside of the interval/,
  ],
  'no key interval': [
    withBatch((batch) => batchWith(batch, { minKey: undefined, endKey: undefined })),
    /minKey and endKey must be keys/,
  ],
  'maxRecordBytes too small': [
    withBatch((batch) => batchWith(batch, { maxRecordBytes: 1 })),
    /longer than maxRecordBytes/,
  ],
  'a rejection with nothing': [
    (log) => logOf(log, { peek: () => failingWith(undefined) }),
    /LogSource\.peek .*it failed with undefined, not an Error/,
  ],
  'a rejection with a text': [
    (log) => logOf(log, { pop: () => failingWith('no') }),
    /LogSource\.pop .*it failed with "no", not an Error/,
  ],
  'a throw instead of a rejection': [
    (log) =>
      logOf(log, {
        peek: () => {
          throw new TypeError('at once');
        },
      }),
    /retry of peek from \d+ TypeError: at once/,
  ],
  'an answer that is no promise': [(log) => logOf(log, { peek: () => 7 as never }), /LogSource\.peek .*it answered 7/],
  'a pop that always fails': [
    (log) => logOf(log, { pop: () => Promise.reject(new Error('no pop today')) }),
    /retry of pop to \d+ Error: no pop today/,
  ],
  'a log system that yields nothing it should': [
    systemAs(() => 'epoch 1'),
    /LogSource\.logSystem .*it yielded "epoch 1"/,
  ],
  'a log system without epochs': [
    systemAs((info) => ({ ...info, epochs: [] })),
    /LogSource\.logSystem .*it yielded no epochs/,
  ],
  'epochs in reverse order': [
    oldEpochsAs((epochs) => epochs.toReversed()),
    /LogSource\.logSystem .*as the last one, and the recoveryCount/,
  ],
  'epochs that overlap': [
    oldEpochsAs((epochs) =>
      epochs.map((epoch) => (epoch.end === undefined ? epoch : { ...epoch, end: epoch.end + 3n })),
    ),
    /INVALID_EPOCHS epoch 2: begin \d+ must equal the end/,
  ],
  'epochs with a hole': [
    oldEpochsAs((epochs) =>
      epochs.map((epoch) => (epoch.end === undefined ? { ...epoch, begin: epoch.begin + 3n } : epoch)),
    ),
    /INVALID_EPOCHS epoch 2: begin \d+ must equal the end/,
  ],
  'an epoch twice': [
    systemAs((info) => ({ ...info, epochs: [...info.epochs, ...info.epochs.slice(-1)] })),
    /INVALID_EPOCHS/,
  ],
  'an epoch without a begin': [
    systemAs((info) => ({ ...info, epochs: info.epochs.map((epoch) => ({ ...epoch, begin: undefined })) })),
    /LogSource\.logSystem .*a begin/,
  ],
  'an oldest epoch that is yet to come': [
    systemAs((info) => ({ ...info, oldestBackupEpoch: 99 })),
    /LogSource\.logSystem .*oldestBackupEpoch 99 in epoch/,
  ],
  'a log system that is no stream': [
    (log) => logOf(log, { logSystem: () => 5 as never }),
    /LogSource\.logSystem .*not an AsyncIterable/,
  ],
};

/** The contract is broken, or nearly, and nothing suffers: all that is claimed is exact, and the backup goes on. */
const tolerated: Record<string, LogOf> = {
  'a minKnownCommittedVersion that goes back': (log) => {
    let calls = 0;
    return logOf(log, {
      minKnownCommittedVersion: async (request) => (++calls % 2 === 0 ? 0n : log.minKnownCommittedVersion(request)),
      peek: async (request) => ({
        ...(await log.peek(request)),
        ...(++calls % 3 === 0 ? { minKnownCommittedVersion: -1n } : {}),
      }),
    });
  },
  'an end beyond the end of the epoch, once that is over': (log, whole) =>
    logOf(log, {
      peek: async (request) => {
        const reply = await log.peek(request);
        const isOver = request.epoch === 1 && whole.phase === 'recovered';
        return isOver ? { ...reply, end: reply.end + 5n } : reply;
      },
    }),
  'peeks that bring nothing and do not move on, time and again': (log) => {
    let calls = 0;
    return logOf(log, {
      peek: async (request) =>
        ++calls % 3 > 0
          ? { batch: MessageBatch.empty, end: request.begin, minKnownCommittedVersion: 0n, popped: undefined }
          : log.peek(request),
    });
  },
  'a log system that ends after each state': (log) =>
    logOf(log, {
      logSystem: async function* (signal) {
        for await (const info of log.logSystem(signal)) {
          yield info;
          return;
        }
      },
    }),
  'replies after the end of the wait': (log) =>
    logOf(log, {
      peek: async ({ signal: _signal, ...request }) => {
        const deaf = new AbortController();
        return log.peek({ ...request, signal: deaf.signal });
      },
    }),
  'pops that never answer': (log) => logOf(log, { pop: () => never() }),
};

/** The tail that is not committed is called committed as long as the epoch lasts; then the recovery rolls it back. */
const overcommitted: LogOf = (log) => {
  const committed = (epoch: number, version: bigint) => (epoch === log.epoch ? log.knownVersion : version);
  return logOf(log, {
    // It forgets nothing that it may still need.
    pop: async (request) => {
      const { signal } = new AbortController();
      const upTo = minVersion(request.upTo, await log.minKnownCommittedVersion({ ...request, signal }));
      await log.pop({ ...request, upTo });
    },
    minKnownCommittedVersion: async (request) => committed(request.epoch, await log.minKnownCommittedVersion(request)),
    peek: async (request) => {
      const reply = await log.peek(request);
      return { ...reply, minKnownCommittedVersion: committed(request.epoch, reply.minKnownCommittedVersion) };
    },
  });
};

describe('a log that gives', () => {
  it('as committed what it then rolls back is named, by the worker and by every plan as long as a job has the void versions', async () => {
    const whole = new Whole({ log: overcommitted });
    const { said, foreign, lies } = await whole.run();
    expect(foreign).toEqual([]);
    expect(said.join('\n')).toMatch(/recruit ADAPTER_CONTRACT .*epoch 1.*were stored as committed/);
    // No file can tell what was rolled back after it was written: the container goes on claiming these versions, and these alone are wrong.
    const begin = whole.world.log.epochs[1]?.begin ?? 0n;
    expect(lies.filter((lie) => BigInt(/version (\d+)/.exec(lie)?.[1] ?? 0) < begin)).toEqual([]);
  });

  it.each(Object.entries(named))('%s is named', async (_name, [log, text]) => {
    const { said } = await runWhole({ log });
    expect(said.filter((line) => text.test(line))).not.toEqual([]);
  });

  it.each(Object.entries(tolerated))('%s does no harm', async (_name, log) => {
    const { exact } = await runWhole({ log });
    expect(exact).toBeGreaterThan(10);
  });

  it('no answer at all stores nothing, pops nothing, and can be stopped', async () => {
    let whole: Whole | undefined;
    await runWhole({
      log: (log, made) => {
        whole = made;
        return logOf(log, { peek: () => never(), committedVersion: () => never() });
      },
    });
    expect(whole?.world.log.pops.filter(({ upTo }) => upTo > 0n)).toEqual([]);
  });

  it('no state of the log system starts no worker, and nothing is popped', async () => {
    let whole: Whole | undefined;
    await runWhole({
      log: (log, made) => {
        whole = made;
        return logOf(log, { logSystem: async function* () {} });
      },
    });
    expect(whole?.world.log.pops).toEqual([]);
  });

  it('the same state of the log system without end is listened to now and then', async () => {
    let states = 0;
    const endless = (log: Whole['world']['log']) =>
      logOf(log, {
        logSystem: async function* (signal) {
          for await (const info of log.logSystem(signal)) {
            for (; states < SPIN && !signal.aborted; states++) yield info;
            return;
          }
        },
      });
    await runWhole({ log: endless });
    expect(states).toBeLessThan(SPIN);
  });
});
