import { setImmediate as nextTurn } from 'node:timers/promises';

import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';

import { BlockPool, type BlockPoolOptions } from '../../src/br/threads/block-pool.js';
import pressBlocks from '../../src/br/threads/block-worker.js';
import { ThreadedBlockPress } from '../../src/br/threads/threaded-block-press.js';
import { BackupError } from '../../src/core/errors.js';
import { BLOCK_TRAILER_BYTES, type BlockPress } from '../../src/format/sst/block-press.js';
import type { SstCompression } from '../../src/format/sst/codec.js';
import { loadCodec } from '../../src/format/sst/codecs/load-codec.js';
import { inlinePress } from '../../src/format/sst/inline-press.js';
import { loadCrc32c } from '../../src/format/sst/native-crc32c.js';
import type { MultilevelQueueOptions } from '../../src/schedule/multilevel-queue.js';
import { CRASH, ECHO, EXIT, HANG } from './odd-worker.js';
import { sourceThreads } from './source-threads.js';

const compressions: readonly SstCompression[] = ['none', 'snappy', 'zlib', 'lz4', 'zstd'];
const oddThreads = { ...sourceThreads, workerFile: new URL('./odd-worker.ts', import.meta.url) };

const pools: BlockPool[] = [];
afterEach(async () => {
  await Promise.all(pools.splice(0).map((pool) => pool.close()));
});

async function open(options: Partial<BlockPoolOptions> = {}): Promise<BlockPool> {
  const pool = await BlockPool.open({ numThreads: 2, ...sourceThreads, ...options });
  pools.push(pool);
  return pool;
}

/** Blocks of these contents in one buffer, with room for their trailers, as a writer builds them. */
function inOneBuffer(contents: readonly Uint8Array[]): Uint8Array[] {
  const memory = new Uint8Array(contents.reduce((sum, { length }) => sum + length + BLOCK_TRAILER_BYTES, 0));
  let offset = 0;
  return contents.map((content) => {
    memory.set(content, offset);
    const block = memory.subarray(offset, offset + content.length);
    offset += content.length + BLOCK_TRAILER_BYTES;
    return block;
  });
}

/** A block that compresses well, and is like no other. */
function text(seed: number, length = 20_000): Uint8Array {
  return Buffer.from(Array.from({ length: Math.ceil(length / 10) }, (_, i) => `row${(i * seed) % 997} `.padEnd(10)).join('').slice(0, length)); // prettier-ignore
}

async function inline(compression: SstCompression, contents: readonly Uint8Array[]): Promise<Uint8Array[]> {
  const press = inlinePress(await loadCodec(compression), await loadCrc32c());
  return (await press.press(inOneBuffer(contents))).map((block) => block.slice());
}

/** A request for the odd worker. */
const order = (command: number, ms = 0) => [new Uint8Array([command, ms])];

const codeOf = (promise: Promise<unknown> | readonly Uint8Array[]) =>
  Promise.resolve(promise).then(
    () => 'resolved',
    (error: unknown) => (BackupError.is(error) ? error.code : error),
  );

describe('BlockPool', () => {
  it.each(compressions)('gives the bytes of the press without threads: %s', async (compression) => {
    const pool = await open();
    const press = await pool.press({ compression });
    expect(press.compression).toBe(compression);
    const blocks = fc.array(fc.oneof(fc.uint8Array({ maxLength: 300 }), fc.nat(30_000).map((n) => text(n + 1, n))), { maxLength: 12 }); // prettier-ignore
    await fc.assert(
      fc.asyncProperty(blocks, async (contents) => {
        const stored = await press.press(inOneBuffer(contents));
        expect(stored.map((block) => Buffer.from(block))).toEqual(
          (await inline(compression, contents)).map((block) => Buffer.from(block)),
        );
      }),
      { numRuns: 25 },
    );
  });

  it('takes the level to the threads', async () => {
    const pool = await open({ numThreads: 1 });
    const size = async (level: number) => {
      const press = await pool.press({ compression: 'zstd', level });
      return (await press.press(inOneBuffer([text(7, 60_000)])))[0]!.length;
    };
    expect(await size(19)).toBeLessThan(await size(-7));
  });

  it('answers each call with its own blocks, in their order, however many are under way', async () => {
    const pool = await open();
    const presses = await Promise.all([1, 2, 3].map(() => pool.press({ compression: 'lz4' })));
    const calls = Array.from({ length: 60 }, (_, call) => {
      const contents = [text(call + 1, 50 + 999 * (call % 7)), text(call + 100, 3000)];
      return { contents, stored: presses[call % 3]!.press(inOneBuffer(contents)) };
    });
    for (const { contents, stored } of calls) expect(await stored).toEqual(await inline('lz4', contents));
  });

  it('hands the memory over and gets it back: nothing is copied', async () => {
    const pool = await open({ numThreads: 1 });
    const press = await pool.press({ compression: 'snappy' });
    const raw = inOneBuffer([text(1), text(2)]);
    const { buffer, byteLength } = { buffer: raw[0]!.buffer, byteLength: raw[0]!.buffer.byteLength };
    const pressed = press.press(raw);
    expect(buffer.byteLength).toBe(0);
    const stored = await pressed;
    expect(stored[0]!.buffer.byteLength).toBe(byteLength);
    expect(stored[1]!.buffer).toBe(stored[0]!.buffer);
    expect(await press.press([])).toEqual([]);
  });

  it('has no threads when numThreads is 0', async () => {
    const pool = await open({ numThreads: 0, workerFile: new URL('./no-such-file.js', import.meta.url) });
    const press = await pool.press({ compression: 'zstd' });
    expect([pool.numThreads, press.concurrency, press instanceof ThreadedBlockPress]).toEqual([0, 1, false]);
    expect(await press.press(inOneBuffer([text(3)]))).toEqual(await inline('zstd', [text(3)]));
    await pool.close();
    expect(await codeOf(pool.press({ compression: 'zstd' }))).toBe('STOPPED');
  });

  it('checks what it is given', async () => {
    for (const numThreads of [-1, 1.5, Infinity, 257]) {
      await expect(BlockPool.open({ numThreads })).rejects.toThrow(/numThreads must be a whole number/);
    }
    const pool = await open({ numThreads: 1 });
    expect(await codeOf(pool.press({ compression: 'zstd', level: 23 }))).toBe('INVALID_OPTION');
    expect(await codeOf(pool.press({ compression: 'bzip2' as 'zlib' }))).toBe('INVALID_OPTION');
  });

  it('counts the time on the threads to whom it was for', async () => {
    const pool = await open({ ...oddThreads, numThreads: 1 });
    const [a, b] = [await pool.press({ compression: 'zstd', taskId: 'a' }), await pool.press({ compression: 'lz4', taskId: 'a' })]; // prettier-ignore
    await a.press(order(ECHO, 30));
    await b.press(order(ECHO, 12));
    await (await pool.press({ compression: 'zstd', taskId: 'b' })).press(order(ECHO, 5));
    expect([pool.timeOf('a'), pool.timeOf('b')]).toEqual([42, 5]);
  });

  it('lets the event loop of a thread turn after each unit: Node frees the memory of native codecs nowhere else', async () => {
    const request = () => ({
      compression: 'zstd' as const,
      level: undefined,
      blocks: [inOneBuffer([text(3, 1_000)])].flat(),
      cancelled: new Int32Array(new SharedArrayBuffer(4)),
    });
    // Loads the codec, which takes turns of its own.
    await pressBlocks(request());
    let turned = false;
    setImmediate(() => (turned = true));
    await pressBlocks(request());
    expect(turned).toBe(true);
  });

  it('really measures that time', async () => {
    const pool = await open({ numThreads: 1 });
    await (await pool.press({ compression: 'zlib', level: 9, taskId: 'a' })).press(inOneBuffer([text(11, 100_000)]));
    expect(pool.timeOf('a')).toBeGreaterThan(0);
  });
});

describe('BlockPool, the end of it', () => {
  it('rejects what is under way when it is closed, and leaves no thread behind', async () => {
    const resources = () => process.getActiveResourcesInfo().filter((name) => /Worker|MessagePort/.test(name)).length;
    const before = resources();
    const pool = await open(oddThreads);
    const press = await pool.press({ compression: 'zstd' });
    await press.press(order(ECHO));
    // Two are at each thread, the others wait.
    const calls = Promise.all(Array.from({ length: 6 }, () => codeOf(press.press(order(HANG)))));
    expect(resources()).toBeGreaterThan(before);
    expect(pool.waiting).toBe(2);
    await pool.close();
    expect(await calls).toEqual(Array(6).fill('STOPPED'));
    expect(await codeOf(press.press(order(ECHO)))).toBe('STOPPED');
    expect(pool.waiting).toBe(0);
    expect(resources()).toBe(before);
    expect(pool.close()).toBe(pool.close());
  });

  it('closes when its signal aborts, and does not open under one that has aborted', async () => {
    const controller = new AbortController();
    const pool = await open({ ...oddThreads, numThreads: 1, signal: controller.signal });
    const press = await pool.press({ compression: 'zstd' });
    const hanging = codeOf(press.press(order(HANG)));
    controller.abort(new Error('enough'));
    expect(await hanging).toBe('STOPPED');
    await pool.close();
    await expect(open({ signal: controller.signal })).rejects.toThrow('enough');
  });

  it('cancels one press alone, at once', async () => {
    const pool = await open({ ...oddThreads, numThreads: 1 });
    const controller = new AbortController();
    const cancelled = await pool.press({ compression: 'zstd', taskId: 'a', signal: controller.signal });
    const other = await pool.press({ compression: 'zstd', taskId: 'b' });
    await other.press(order(ECHO));
    const calls = Array.from({ length: 4 }, () => codeOf(cancelled.press(order(ECHO, 9))));
    const behind = other.press(order(ECHO, 1));
    const reason = new Error('not any more');
    controller.abort(reason);
    expect(await Promise.all(calls)).toEqual([reason, reason, reason, reason]);
    expect(await behind).toHaveLength(1);
    await expect(Promise.resolve(cancelled.press(order(ECHO)))).rejects.toBe(reason);
  });

  it.each([
    ['ends', EXIT, /exited with code: 3/],
    ['crashes', CRASH, /out of luck/],
  ])('fails the call whose thread %s, loudly, and goes on with a new thread', async (_what, command, why) => {
    const pool = await open({ ...oddThreads, numThreads: 1 });
    const press = await pool.press({ compression: 'zstd' });
    const error: unknown = await Promise.resolve(press.press(order(command))).catch((caught: unknown) => caught);
    expect(BackupError.is(error, 'THREAD_FAILED') && error.retryable).toBe(true);
    expect(String(error)).toMatch(why);
    expect(await press.press(order(ECHO))).toHaveLength(1);
  });

  it('fails all calls when no thread starts', async () => {
    const pool = await open({ workerFile: new URL('./no-such-worker.js', import.meta.url) });
    const press = await pool.press({ compression: 'zstd' });
    const calls = await Promise.all(Array.from({ length: 8 }, () => codeOf(press.press(inOneBuffer([text(1)])))));
    expect(calls).toEqual(Array(8).fill('THREAD_FAILED'));
    expect(await codeOf(press.press(inOneBuffer([text(1)])))).toBe('THREAD_FAILED');
  });

  it('tells of memory that has been handed over before', async () => {
    const pool = await open({ ...oddThreads, numThreads: 1 });
    const press = await pool.press({ compression: 'zstd' });
    const taken = order(ECHO);
    await press.press(taken);
    expect(await codeOf(press.press(taken))).toBe('INVALID_STATE');
    expect(await press.press(order(ECHO))).toHaveLength(1);
  });
});

describe('BlockPool, whose turn it is', () => {
  /** Keeps `depth` calls under way, each of which takes 50 ms of a thread by its own account, until it is told to stop. */
  function keepPressing(press: BlockPress, depth: number, log: string[], name: string) {
    let stopped = false;
    const one = async () => {
      while (!stopped) {
        await press.press(order(ECHO, 50));
        log.push(name);
      }
    };
    const all = Promise.all(Array.from({ length: depth }, one));
    return async () => {
      stopped = true;
      await all;
    };
  }

  /** How many units of a long backup are done between the call of a short one and its answer, ten times over. */
  async function unitsBefore(queue: MultilevelQueueOptions): Promise<number[]> {
    const pool = await open({ ...oddThreads, numThreads: 1, queue });
    const long = await pool.press({ compression: 'zstd', taskId: 'long' });
    const log: string[] = [];
    const stop = keepPressing(long, 16, log, 'long');
    while (pool.timeOf('long') < 2000) await nextTurn();
    const counts: number[] = [];
    for (let round = 0; round < 10; round++) {
      const short = await pool.press({ compression: 'zstd', taskId: `short ${round}` });
      const before = log.length;
      await short.press(order(ECHO, 4));
      counts.push(log.length - before);
      // Neither is the long one left waiting.
      for (const done = log.length; log.length < done + 20;) await nextTurn();
    }
    await stop();
    return counts;
  }

  it('does not let a long backup keep a short one waiting', async () => {
    // Two are at the thread, one has been dealt the next turn, and of five turns one goes to a level below.
    expect(Math.max(...(await unitsBefore({})))).toBeLessThanOrEqual(5);
    // First come, first served, for comparison.
    expect(Math.min(...(await unitsBefore({ levelThresholds: [Infinity, Infinity] })))).toBeGreaterThan(12);
  });
});
