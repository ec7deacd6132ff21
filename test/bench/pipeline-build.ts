// What a LogSource pays: messages into batches with the builder, against a bare copy of the same bytes, message by message: of each message's two params, as the
// builder gets them. The detail also says what a copy of whole records costs, as if someone had framed them before.

import { BufferPool } from '../../src/core/buffer-pool.js';
import { MessageBatchBuilder } from '../../src/core/message-batch-builder.js';
import { DEFAULT_PAIRS, atLeast, inTurn, type BenchOptions, type Figures } from './bench.js';
import { RECORD_BYTES, makeMessages, type Messages } from './messages.js';

const BATCH_BYTES = 4 << 20;
const PER_BATCH = Math.floor(BATCH_BYTES / RECORD_BYTES);
const DEFAULT_SIZE_MIB = 256;
/** Distinct messages: more than the processor's caches hold. */
const DISTINCT = 200_000;

export async function bench(options: BenchOptions): Promise<Figures> {
  const count = Math.ceil(((options.sizeMiB ?? DEFAULT_SIZE_MIB) * 2 ** 20) / RECORD_BYTES);
  const messages = makeMessages(DISTINCT);
  const records = framed(messages);
  const { ratio, a, b } = await inTurn(
    async () => Promise.resolve(time(() => copyParams(messages, count))),
    async () => Promise.resolve(time(() => build(messages, count))),
    options.pairs ?? DEFAULT_PAIRS,
  );
  const whole = await inTurn(
    async () => Promise.resolve(time(() => copyRecords(records, count))),
    async () => Promise.resolve(time(() => build(messages, count))),
    options.pairs ?? DEFAULT_PAIRS,
  );
  const rate = (count / b / 1000).toFixed(1);
  const detail =
    `${rate} M messages/s: ${count} sets of 16 + 100 bytes, 10 to a version, ${ns(b, count)} ns each with the builder, ${ns(a, count)} ns for a bare copy of ` +
    `key and value; ratio to a copy of whole records framed before (${ns(whole.a, count)} ns): ${whole.ratio.toFixed(2)}`;
  return { 'pipeline.build': atLeast(ratio, 0.5, 'ratio to a bare copy', detail) };
}

/** Each message's record, alone. */
function framed(messages: Messages): Uint8Array[] {
  const batch = buildOne(new MessageBatchBuilder(), messages, 0, DISTINCT);
  return messages.keys.map((_, i) => batch.bytes.subarray(batch.recordStarts[i], batch.recordStarts[i + 1]));
}

function build(messages: Messages, count: number): void {
  const builder = new MessageBatchBuilder({ pool: new BufferPool(), initialBytes: BATCH_BYTES });
  for (let done = 0; done < count; done += PER_BATCH) {
    buildOne(builder, messages, done, Math.min(PER_BATCH, count - done)).release();
  }
}

function buildOne(builder: MessageBatchBuilder, { keys, values, perVersion }: Messages, from: number, count: number) {
  let version = 1n;
  let message = from % DISTINCT;
  for (let done = 0; done < count;) {
    builder.beginVersion(version++);
    for (let subsequence = 0; subsequence < perVersion && done < count; subsequence++, done++) {
      builder.add(subsequence, 0, keys[message] as Uint8Array, values[message] as Uint8Array);
      if (++message === DISTINCT) message = 0;
    }
  }
  return builder.build();
}

function copyParams({ keys, values }: Messages, count: number): void {
  const pool = new BufferPool();
  for (let done = 0; done < count; done += PER_BATCH) {
    const buffer = pool.take(BATCH_BYTES);
    const copies = Math.min(PER_BATCH, count - done);
    let message = done % DISTINCT;
    let at = 0;
    for (let i = 0; i < copies; i++) {
      const key = keys[message] as Uint8Array;
      const value = values[message] as Uint8Array;
      buffer.set(key, at);
      buffer.set(value, at + key.length);
      at += key.length + value.length;
      if (++message === DISTINCT) message = 0;
    }
    pool.give(buffer);
  }
}

function copyRecords(records: readonly Uint8Array[], count: number): void {
  const pool = new BufferPool();
  for (let done = 0; done < count; done += PER_BATCH) {
    const buffer = pool.take(BATCH_BYTES);
    const copies = Math.min(PER_BATCH, count - done);
    let message = done % DISTINCT;
    let at = 0;
    for (let i = 0; i < copies; i++) {
      const record = records[message] as Uint8Array;
      buffer.set(record, at);
      at += record.length;
      if (++message === DISTINCT) message = 0;
    }
    pool.give(buffer);
  }
}

function time(body: () => void): number {
  const start = performance.now();
  body();
  return performance.now() - start;
}

function ns(ms: number, count: number): string {
  return ((ms * 1e6) / count).toFixed(1);
}
