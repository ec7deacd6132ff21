// What a LogSource pays: messages into batches with the builder, against a bare copy of the same bytes, message by message, into buffers from the same pool
// that grow as needed. Twice, since it depends on how the messages lie: key and value together in one view (one copy a message, and `addJoined`), or in a view of each (two
// copies a message, and `add`). The figure is the worse of the two ratios; the detail says also what `add` is against one copy.

import { BufferPool } from '../../src/core/buffer-pool.js';
import { MessageBatchBuilder } from '../../src/core/message-batch-builder.js';
import { atLeast, inTurn, type BenchOptions, type Figures } from './bench.js';
import { KEY_BYTES, RECORD_BYTES, makeMessages, type Messages } from './messages.js';

const BATCH_BYTES = 4 << 20;
const PER_BATCH = Math.floor(BATCH_BYTES / RECORD_BYTES);
const DEFAULT_SIZE_MIB = 64;
/** Many short pairs: what else the machine does falls into few of them. */
const PAIRS = 25;
/** Distinct messages: more than the processor's caches hold. */
const DISTINCT = 200_000;

/** Makes one batch of `copies` messages, from message `from` on. */
type Way = (from: number, copies: number) => void;

export async function bench(options: BenchOptions): Promise<Figures> {
  const count = Math.ceil(((options.sizeMiB ?? DEFAULT_SIZE_MIB) * 2 ** 20) / RECORD_BYTES);
  const pairs = options.pairs ?? PAIRS;
  const { joined, separate } = waysOf(makeMessages(DISTINCT));
  const compare = (a: Way, b: Way) => inTurn(timed(a, count), timed(b, count), pairs);
  const together = await compare(joined.copy, joined.build);
  const apart = await compare(separate.copy, separate.build);
  const ns = (ms: number) => Number(((ms * 1e6) / count).toFixed(1));
  const value = Math.min(together.ratio, apart.ratio);
  return {
    'pipeline.build': atLeast(value, 0.5, 'ratio to a bare copy', {
      'messages per second': Math.round((count / Math.max(together.b, apart.b)) * 1000),
      messages: `${count} sets of 16 + 100 bytes, 10 to a version`,
      'ratio, key and value together': round(together.ratio),
      'ns of one copy': ns(together.a),
      'ns of addJoined': ns(together.b),
      'ratio, key and value apart': round(apart.ratio),
      'ns of two copies': ns(apart.a),
      'ns of add': ns(apart.b),
      'ratio of one copy to add': round(together.a / apart.b),
    }),
  };
}

function waysOf(messages: Messages) {
  const { both, keys, values, perVersion } = messages;
  const builder = new MessageBatchBuilder({ pool: new BufferPool(), initialBytes: BATCH_BYTES });
  const pool = new BufferPool();
  // As a log would have them: made before.
  const versions = Array.from({ length: Math.ceil(PER_BATCH / perVersion) }, (_, i) => BigInt(i) + 1n);
  return {
    joined: {
      copy(from: number, copies: number) {
        let buffer = pool.take(BATCH_BYTES);
        let message = from;
        let at = 0;
        for (let i = 0; i < copies; i++) {
          const params = both[message] as Uint8Array;
          if (at + params.length > buffer.length) buffer = grow(pool, buffer);
          buffer.set(params, at);
          at += params.length;
          if (++message === DISTINCT) message = 0;
        }
        pool.give(buffer);
      },
      build(from: number, copies: number) {
        let version = 0;
        let message = from;
        for (let done = 0; done < copies;) {
          builder.beginVersion(versions[version++] as bigint);
          for (let subsequence = 0; subsequence < perVersion && done < copies; subsequence++, done++) {
            builder.addJoined(subsequence, 0, both[message] as Uint8Array, KEY_BYTES);
            if (++message === DISTINCT) message = 0;
          }
        }
        builder.build().release();
      },
    },
    separate: {
      copy(from: number, copies: number) {
        let buffer = pool.take(BATCH_BYTES);
        let message = from;
        let at = 0;
        for (let i = 0; i < copies; i++) {
          const key = keys[message] as Uint8Array;
          const value = values[message] as Uint8Array;
          if (at + key.length + value.length > buffer.length) buffer = grow(pool, buffer);
          buffer.set(key, at);
          buffer.set(value, at + key.length);
          at += key.length + value.length;
          if (++message === DISTINCT) message = 0;
        }
        pool.give(buffer);
      },
      build(from: number, copies: number) {
        let version = 0;
        let message = from;
        for (let done = 0; done < copies;) {
          builder.beginVersion(versions[version++] as bigint);
          for (let subsequence = 0; subsequence < perVersion && done < copies; subsequence++, done++) {
            builder.add(subsequence, 0, keys[message] as Uint8Array, values[message] as Uint8Array);
            if (++message === DISTINCT) message = 0;
          }
        }
        builder.build().release();
      },
    },
  };
}

/** Time in ms to bring `count` messages into batches in that way. */
function timed(way: Way, count: number): () => Promise<number> {
  return async () => {
    const start = performance.now();
    for (let done = 0; done < count; done += PER_BATCH) way(done % DISTINCT, Math.min(PER_BATCH, count - done));
    return Promise.resolve(performance.now() - start);
  };
}

function grow(pool: BufferPool, old: Uint8Array): Uint8Array {
  const grown = pool.take(old.length * 2);
  grown.set(old);
  pool.give(old);
  return grown;
}

function round(ratio: number): number {
  return Number(ratio.toFixed(3));
}
